"""launcher=ray on a cluster of two nodes on this machine: the outcome is that of one machine, whoever is killed."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clipreel import FeatureDataset, cli, extract_features
from clipreel.configs.schema import ExtractConfig
from clipreel.errors import ConfigError, MissingExtraError
from clipreel.extract.job import Job
from clipreel.extract.outcome import lease_name
from clipreel.extract.progress import Progress
from clipreel.extract.ray_machines import RayMachines
from clipreel.extract.videos import VideoItem, content_id
from clipreel.tests.extract.stored_files import below, files, same
from clipreel.tests.processes import at_work

ray = pytest.importorskip("ray", reason="needs the extra ray")
VIDEOS = 16


@pytest.fixture(scope="module")
def cluster(s3):
    """A head without processors and two nodes with one each; S3's address is in their environment."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DEDUP_LOGS", "0")
        node: dict[str, Any] = {"object_store_memory": 80 << 20}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **node})
        for _ in range(2):
            made.add_node(num_cpus=1, **node)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def fs(s3):
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


@pytest.fixture(scope="module")
def many(tmp_path_factory, sample_videos):
    """Names of the sample videos, each another video, and one that is none."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(VIDEOS):
        video = sample_videos[number % len(sample_videos)]
        (folder / f"v{number:02d}{video.suffix}").write_bytes(video.read_bytes() + bytes(number))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def words(many, output, *more):
    return ["model_name=tiny", "extraction_fps=4", "on_extraction=save_numpy", "batch_size=8", f"video_paths={many}",
            f"output_path={output}", *more]


@pytest.fixture(scope="module")
def alone(many, tmp_path_factory):
    """What one machine makes."""
    output = tmp_path_factory.mktemp("alone")
    assert cli.main(words(many, output)) == 1
    return files(output)


def workers_at(names, read):
    """The processes that have leases, of such files."""
    found = set()
    for name in names:
        if ".leases/" in name and "write-" not in name:
            with contextlib.suppress(OSError, ValueError):  # given back meanwhile
                found.add(json.loads(read(name))["process"])
    return found


@contextlib.contextmanager
def meanwhile(work):
    """`work(stopped)` in a thread, for as long as the block runs."""
    stopped = threading.Event()
    thread = threading.Thread(target=work, args=(stopped,))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_a_node_is_killed_and_another_joins_in_the_middle(cluster, many, alone, fs, s3, capfd, monkeypatch):
    """And decoders crash and hang meanwhile."""
    for path in many.iterdir():
        fs.put_file(str(path), f"bucket/ray/{path.name}")
    for fault in ("crash", "hang"):
        fs.put_file(str(many / "v00.mp4"), f"bucket/ray/{fault}.mp4")
    paused, stored, began = [], [], []
    update = Progress.update

    def count():
        return sum(name.endswith("_meta.json") for name in fs.find("bucket/ray-out"))

    def changed(self, *figures):
        update(self, *figures)
        if not stored and count() >= 4 and len(workers := workers_at(fs.find("bucket/ray-out/clip"), fs.cat_file)) == 2:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            while all(map(at_work, workers)):
                time.sleep(0.05)
            # The worker that is left pauses until the one that comes has done something.
            paused.extend(filter(at_work, workers))
            for process in paused:
                os.kill(process, signal.SIGSTOP)
            stored.append(count())
            cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
            began.append(time.monotonic())
        elif len(stored) == 1 and (count() >= stored[0] + 2 or time.monotonic() - began[0] > 60):
            stored.append(count())
            for process in paused:
                os.kill(process, signal.SIGCONT)

    monkeypatch.setattr(Progress, "update", changed)
    ray.init(address=cluster.address, log_to_driver=False,
             runtime_env={"worker_process_setup_hook": "clipreel.tests.faulty_child.spoil_workers"})
    try:
        code = cli.main([
            *words(f"{s3}/ray", f"{s3}/ray-out"), "launcher=ray", "devices_per_node=1", "isolate=true", "decode_seconds_limit=4",
            f"encoders=[{{model_name: tiny}}, {{model_name: tiny, extraction_fps: 1, output_path: {s3}/ray-slow}}]"])
    finally:
        ray.shutdown()
    said = capfd.readouterr().err
    assert code == 1
    assert (len(paused), len(stored)) == (1, 2)
    assert stored[1] >= stored[0] + 2
    assert said.count(f"done {VIDEOS}, skipped 0, failed 3") == 2
    assert "was lost" in said
    assert "2 workers" in said.partition("was lost")[2]  # the bar, or its lines
    there, slow = below(fs, f"{s3}/ray-out"), below(fs, f"{s3}/ray-slow")
    rows = map(json.loads, there.pop("failures.jsonl").splitlines())
    assert {row["key"]: (row["error"], row["decoder_deaths"]) for row in rows} == {
        "broken": ("UnreadableVideoError", 0), "crash": ("QuarantinedError", 2), "hang": ("DecoderDiedError", 1)}
    # no lease and no mark of the run is left
    same({name: content for name, content in alone.items() if name != "failures.jsonl"}, there)
    for name in there:
        if name.endswith("_clip.npy"):
            assert np.load(io.BytesIO(there[name])) == pytest.approx(np.load(io.BytesIO(alone[name])), abs=1e-5)
    assert slow.keys() == there.keys()


def test_a_video_that_kills_its_worker_is_a_failure_of_its_own(cluster, many, alone, fs, s3):
    """While others, which are done, wait for their file of many."""
    (video,) = many.glob("v03.*")
    output = f"{s3}/ray-many"
    item = VideoItem(str(video), "v03")
    lease = f"{output}/clip/tiny/.leases/{lease_name(Job(0, 'v03', item, content_id(item)))}"
    deaths = []

    def kill(stopped):
        while not stopped.wait(0.002):
            with contextlib.suppress(OSError, ValueError):
                process = json.loads(fs.cat_file(lease))["process"]
                if process != os.getpid() and process not in deaths:
                    os.kill(process, signal.SIGKILL)
                    deaths.append(process)

    keys = {"model_name": "tiny", "extraction_fps": 4, "on_extraction": "save_hdf5", "output_path": output, "batch_size": 8,
            "videos_per_file": 1000}
    with meanwhile(kill):
        report = extract_features(many, launcher="ray", address=cluster.address, **keys)
    assert {failure.key: failure.error for failure in report.failed} == {
        "v03": "WorkerDiedError", "broken": "UnreadableVideoError"}
    assert len(deaths) >= 2
    there = below(fs, output)
    assert len(there.pop("failures.jsonl").splitlines()) == 2
    assert all(re.fullmatch(r"clip/tiny/videos-\d{5}\.h5", name) for name in there)  # no lease, and no mark of the run
    # every other video once, and counted once
    wanted = {name.removesuffix("_clip.npy").removeprefix("clip/tiny/"): content for name, content in alone.items()
              if name.endswith("_clip.npy") and "v03" not in name}
    assert sorted(report.done) == sorted(wanted)
    dataset = FeatureDataset(output)
    assert dataset.keys == tuple(sorted(wanted))
    for sample in dataset:
        assert sample.features.numpy() == pytest.approx(np.load(io.BytesIO(wanted[sample.key])), abs=1e-5)
    assert report.frames == sum(len(np.load(io.BytesIO(content))) for content in wanted.values())
    again = extract_features(many, **keys)
    assert {failure.key: failure.error for failure in again.failed} == {
        "v03": "QuarantinedError", "broken": "UnreadableVideoError"}
    assert (again.done, len(again.skipped)) == ([], VIDEOS - 1)


def test_a_machine_with_another_folder_behind_the_name_is_refused(cluster, many, tmp_path, capfd):
    def hide(stopped):  # what tells workers that it is the same folder
        seen = set()
        while not stopped.wait(0.2):
            there = set(tmp_path.rglob(".*.clipreel-tmp"))
            for path in there & seen:  # and not what is about to be renamed
                path.unlink(missing_ok=True)
            seen = there

    with meanwhile(hide):
        assert cli.main(words(many, tmp_path, "launcher=ray", f"address={cluster.address}")) == 2
    assert f"error: output_path={tmp_path} is another folder on" in capfd.readouterr().err
    assert not ray.is_initialized()
    assert not list(tmp_path.rglob("*_meta.json"))


def test_a_killed_driver_and_an_interrupt_leave_nothing_at_work(cluster, many, alone, tmp_path, monkeypatch):
    argv = words(many, tmp_path, "launcher=ray", f"address={cluster.address}")
    code = "import sys; from clipreel.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", code, *argv], stderr=subprocess.DEVNULL) as driver:
        while len(list(tmp_path.rglob("*_meta.json"))) < 2:
            assert driver.poll() is None
            time.sleep(0.005)
        driver.kill()
    # without it the workers end by themselves
    workers, began = workers_at(map(str, tmp_path.rglob("*")), lambda name: Path(name).read_text()), time.monotonic()
    assert workers
    while any(map(at_work, workers)):
        assert time.monotonic() - began < 30
        time.sleep(0.1)
    kept = len(list(tmp_path.rglob("*_meta.json")))
    assert kept < VIDEOS - 6

    update = Progress.update

    def interrupted(self, finished, frames, video_seconds):
        update(self, finished, frames, video_seconds)
        if finished >= 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "update", interrupted)
    assert cli.main(argv) == 130
    monkeypatch.undo()
    assert kept < len(list(tmp_path.rglob("*_meta.json"))) < VIDEOS
    assert not list(tmp_path.rglob(".*"))
    assert cli.main(words(many, tmp_path)) == 1
    same(alone, files(tmp_path))


def test_sigterm_ends_a_run_in_order_unless_somebody_else_answers_it(cluster):
    """Ray's own answer would abort the process after three seconds."""
    config = ExtractConfig(launcher="ray", address=cluster.address, on_extraction="save_numpy")
    of_the_cluster, heard = signal.getsignal(signal.SIGTERM), []
    try:
        for before in (signal.SIG_DFL, lambda number, frame: heard.append(number)):
            signal.signal(signal.SIGTERM, before)
            machines = RayMachines(config)
            with pytest.raises(SystemExit) if before == signal.SIG_DFL else contextlib.nullcontext():
                os.kill(os.getpid(), signal.SIGTERM)
            machines.close()
            assert heard == ([] if before == signal.SIG_DFL else [signal.SIGTERM])
            assert signal.getsignal(signal.SIGTERM) == before
    finally:
        signal.signal(signal.SIGTERM, of_the_cluster)


@pytest.mark.parametrize(("more", "said"), [
    ({"on_extraction": "print"}, "prints none"),
    ({"show_pred": True, "pred_texts": ["a"]}, "leave show_pred out"),
    ({"device_ids": ["0"]}, "the cluster names the devices"),
    ({"launcher": "local", "address": "auto"}, "go with launcher=ray"),
    ({"devices_per_node": 0}, "devices_per_node=0"),
    ({"address": "127.0.0.1:9"}, "no Ray cluster answers there"),
])
def test_words_that_do_not_go_together(more, said, sample_videos, tmp_path):
    keys = {"model_name": "tiny", "on_extraction": "save_numpy", "output_path": tmp_path, "launcher": "ray"} | more
    with pytest.raises(ConfigError, match=said):
        extract_features(sample_videos[0], **keys)


def test_a_loaded_encoder_cannot_go_to_other_machines(tiny, sample_videos, tmp_path):
    with pytest.raises(ConfigError, match="name the model instead"):
        extract_features(sample_videos[0], encoder=tiny, on_extraction="save_numpy", output_path=tmp_path, launcher="ray")


def test_without_ray_the_pip_line_is_said(sample_videos, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clipreel\[ray\]'"):
        extract_features(sample_videos[0], model_name="tiny", on_extraction="save_numpy", output_path=tmp_path, launcher="ray")
