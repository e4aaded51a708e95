"""launcher=ray on a cluster of two nodes on this machine: the outcome is that of one machine, whoever is killed."""

import contextlib
import json
import os
import signal
import threading
import time
from typing import Any

import pytest
from clipreel import cli, extract_features
from clipreel.errors import ConfigError, MissingExtraError
from clipreel.extract.job import Job
from clipreel.extract.outcome import lease_name
from clipreel.extract.progress import Progress
from clipreel.extract.videos import VideoItem, content_id
from clipreel.tests.extract.stored_files import below, files, same

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


def test_a_node_is_killed_in_the_middle(cluster, many, alone, s3, capfd):
    import s3fs

    fs, killed = s3fs.S3FileSystem(use_listings_cache=False), []
    for path in many.iterdir():
        fs.put_file(str(path), f"bucket/ray/{path.name}")

    def kill(stopped):
        while not stopped.wait(0.02):
            if sum(name.endswith("_meta.json") for name in fs.find("bucket/ray-out")) >= 4:
                killed.append(next(iter(cluster.worker_nodes)))
                cluster.remove_node(killed[0], allow_graceful=False)
                return

    with meanwhile(kill):
        code = cli.main([*words(f"{s3}/ray", f"{s3}/ray-out", "launcher=ray", f"address={cluster.address}", "devices_per_node=1"),
                         f"encoders=[{{model_name: tiny}}, {{model_name: tiny, extraction_fps: 1, output_path: {s3}/ray-slow}}]"])
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    said = capfd.readouterr().err
    assert (code, len(killed)) == (1, 1)
    assert said.count(f"done {VIDEOS}, skipped 0, failed 1") == 2
    assert "was lost" in said
    there, slow = below(fs, f"{s3}/ray-out"), below(fs, f"{s3}/ray-slow")
    failures = [json.loads(line)["path"] for line in there.pop("failures.jsonl").decode().splitlines()]
    assert failures == [f"{s3}/ray/broken.mp4"]
    # no lease and no mark of the run is left
    same({name: content for name, content in alone.items() if name != "failures.jsonl"}, there)
    assert slow.keys() == there.keys()


def test_a_video_that_kills_its_worker_is_a_failure_of_its_own(cluster, many, alone, tmp_path):
    (video,) = many.glob("v03.*")
    lease = tmp_path / "clip" / "tiny" / ".leases" / lease_name(
        Job(0, "v03", VideoItem(video, "v03"), content_id(VideoItem(video, "v03"))))
    deaths = []

    def kill(stopped):
        while not stopped.wait(0.002):
            with contextlib.suppress(OSError, ValueError):
                process = json.loads(lease.read_text())["process"]
                if process != os.getpid() and process not in deaths:
                    os.kill(process, signal.SIGKILL)
                    deaths.append(process)

    with meanwhile(kill):
        report = extract_features(many, model_name="tiny", extraction_fps=4, on_extraction="save_numpy", output_path=tmp_path,
                                  batch_size=8, launcher="ray", address=cluster.address)
    assert {failure.key: failure.error for failure in report.failed} == {
        "v03": "WorkerDiedError", "broken": "UnreadableVideoError"}
    assert len(deaths) >= 2
    there = files(tmp_path)
    assert len(there.pop("failures.jsonl").splitlines()) == 2
    # every other video, and no lease, temporary file or mark of the run
    same({name: content for name, content in alone.items() if "v03" not in name and name != "failures.jsonl"}, there)
    assert not list(tmp_path.rglob(".leases"))


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


def test_an_interrupt_keeps_what_is_done_and_leaves_nothing_behind(cluster, many, alone, tmp_path, monkeypatch):
    update = Progress.update

    def interrupted(self, finished, frames, video_seconds):
        update(self, finished, frames, video_seconds)
        if finished >= 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", interrupted)
    assert cli.main(words(many, tmp_path, "launcher=ray", f"address={cluster.address}")) == 130
    kept = len(list(tmp_path.rglob("*_meta.json")))
    assert 2 <= kept < VIDEOS
    assert not list(tmp_path.rglob(".*"))
    monkeypatch.undo()
    began = time.monotonic()
    assert cli.main(words(many, tmp_path)) == 1
    assert time.monotonic() - began < 120
    same(alone, files(tmp_path))


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
