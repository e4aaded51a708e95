"""Shards, and runs that share an output folder: every video once, none twice at once, none for ever blocked."""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from clipreel import cli, extract_features, load_features
from clipreel.errors import ConfigError
from clipreel.extract import leases
from clipreel.extract.leases import Leases
from clipreel.extract.store import files
from clipreel.tests.media import make_clip


@pytest.fixture(scope="module")
def many(tmp_path_factory, sample_videos):
    """Thirty names of one video, in folders, two of them the same."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(30):
        path = folder / str(number % 3) / f"video{number % 29}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sample_videos[number % len(sample_videos)].read_bytes() + bytes(number))
    return folder


def stored(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "clip" / "tiny").iterdir()) if path.is_file()}


def words(many, output, *more):
    return [f"video_paths={many}", "model_name=tiny", "extraction_fps=1", "on_extraction=save_numpy", f"output_path={output}",
            *more]


def test_shards_make_what_one_run_makes(many, tmp_path):
    assert cli.main(words(many, tmp_path / "one")) == 0
    counts = []
    for number in range(4):
        before = len(list((tmp_path / "four").glob("clip/tiny/*_meta.json")))
        assert cli.main(words(many, tmp_path / "four", f"shard={number}/4")) == 0
        counts.append(len(list((tmp_path / "four").glob("clip/tiny/*_meta.json"))) - before)
    assert sum(counts) == 30
    assert max(counts) < 30
    one, four = stored(tmp_path / "one"), stored(tmp_path / "four")
    assert one.keys() == four.keys()
    for name in one:
        if not name.endswith(("_clip.npy", "_meta.json")):  # other batches, other last bits
            assert one[name] == four[name]
    assert (tmp_path / "four" / "failures.3-of-4.jsonl").read_text() == ""
    assert not (tmp_path / "four" / "failures.jsonl").exists()


def test_shards_keep_their_own_failures(many, tmp_path):
    listed = tmp_path / "videos.txt"
    listed.write_text("".join(f"{tmp_path}/absent{number}.mp4\n" for number in range(20)))
    output = f"output_path={tmp_path / 'out'}"
    common = [f"file_with_video_paths={listed}", "model_name=tiny", "on_extraction=save_numpy", output]
    assert [cli.main([*common, f"shard={number}/2"]) for number in range(2)] == [1, 1]
    rows = [len((tmp_path / "out" / f"failures.{number}-of-2.jsonl").read_text().splitlines()) for number in range(2)]
    assert sum(rows) == 20
    assert min(rows) > 0
    assert cli.main(["model_name=tiny", "on_extraction=save_numpy", output, "retry_failed=true", "shard=1/2"]) == 1
    assert len((tmp_path / "out" / "failures.1-of-2.jsonl").read_text().splitlines()) == rows[1]


@pytest.mark.parametrize("word", ["4/4", "-1/4", "3", "1/0", "a/b", "1/2/3", "١/٢"])
def test_words_that_name_no_shard(word, sample_videos):
    with pytest.raises(ConfigError, match="I/N"):
        extract_features(sample_videos[0], model_name="tiny", shard=word)


def test_a_shard_without_videos_is_done(sample_videos, tmp_path):
    codes = [cli.main([f"video_paths={sample_videos[0]}", "model_name=tiny", "on_extraction=save_numpy", "extraction_fps=1",
                       f"output_path={tmp_path}", f"shard={number}/3"]) for number in range(3)]
    assert codes == [0, 0, 0]
    assert len(list(tmp_path.glob("clip/tiny/*_meta.json"))) == 1


def test_two_runs_at_once_do_every_video_once(many, tiny, tmp_path):
    reports = []

    def run():
        reports.append(extract_features(many, encoder=tiny, extraction_fps=1, on_extraction="save_numpy", output_path=tmp_path))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(report.failed for report in reports)
    assert sorted(reports[0].done + reports[1].done) == sorted(path.name.removesuffix("_meta.json")
                                                               for path in tmp_path.glob("clip/tiny/*_meta.json"))
    assert sum(len(report.done) for report in reports) == 30
    assert all(len(report.done) + len(report.skipped) + len(report.elsewhere) == 30 for report in reports)
    assert not list(tmp_path.glob("clip/tiny/.leases"))


def test_a_video_that_another_run_is_at_is_left_to_it(sample_videos, tiny, tmp_path):
    folder = tmp_path / "clip" / "tiny"
    folder.mkdir(parents=True)
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path}
    # The other run is this test: it is alive, and holds every lease.
    taken, take = [], Leases.take
    other = Leases(folder)

    def note(self, name):
        taken.append(name)
        return take(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leases, "take", note)
        extract_features(sample_videos, **keys)
    for path in folder.glob("*"):
        path.unlink()
    for name in taken:
        assert other.take(name)
    report = extract_features(sample_videos, **keys)
    assert (report.done, report.failed, len(report.elsewhere)) == ([], [], len(sample_videos))
    assert f"left to another run {len(sample_videos)}" in str(report)
    assert report.exit_code == 0
    other.close()
    assert len(extract_features(sample_videos, **keys).done) == len(sample_videos)


def test_a_killed_run_blocks_nobody(tmp_path, sample_videos):
    command = [sys.executable, "-c", "import sys, time; from pathlib import Path; from clipreel.extract.leases import Leases\n"
               "print(Leases(Path(sys.argv[1])).take('x'), flush=True); time.sleep(60)", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        mine = Leases(tmp_path)
        assert not mine.take("x")
        process.kill()
        process.wait()
    assert mine.take("x")
    mine.close()
    assert not (tmp_path / ".leases").exists()


def test_a_machine_that_died_blocks_for_a_while_only(tmp_path, monkeypatch):
    (tmp_path / ".leases").mkdir()
    lease = tmp_path / ".leases" / "x"
    lease.write_text(json.dumps({"host": f"not-{socket.gethostname()}", "process": 1}))
    mine = Leases(tmp_path)
    assert not mine.take("x")
    old = time.time() - leases.SECONDS - 5
    os.utime(lease, (old, old))
    assert mine.take("x")
    mine.close()


def test_a_number_that_is_given_again_is_another_process(tmp_path, tiny, sample_videos):
    """As in a container that was started anew: the dead run had this very number."""
    place = tmp_path / "clip" / "tiny"
    (place / ".leases").mkdir(parents=True)
    (place / ".leases" / "x").write_text(json.dumps({**leases.owner(None), "began": "1"}))
    stale = place / f".{'0' * 16}.{files.machine()}.{os.getpid()}-1-0.clipreel-tmp"
    stale.touch()
    mine = Leases(place)
    assert mine.take("x")
    mine.close()
    report = extract_features(sample_videos[0], encoder=tiny, extraction_fps=1, on_extraction="save_numpy", output_path=tmp_path)
    assert len(report.done) == 1
    assert not stale.exists()
    assert not (place / ".leases").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 1, "process": "x"}', "[" * 100_000])
def test_a_lease_that_says_nothing_blocks_for_a_while_only(tmp_path, content):
    """A power cut leaves such."""
    (tmp_path / ".leases").mkdir()
    lease = tmp_path / ".leases" / "x"
    lease.write_text(content)
    mine = Leases(tmp_path)
    assert not mine.take("x")
    mine.close()
    os.utime(lease, (1, 1))
    mine = Leases(tmp_path)
    assert mine.take("x")
    mine.close()
    assert not lease.exists()


def test_links_that_lie_and_disks_without_links(tmp_path, monkeypatch):
    def made_but_denied(source, target, link=os.link):
        link(source, target)
        raise FileExistsError

    def none(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for number, link in enumerate((made_but_denied, none)):
        (tmp_path / f"{number}").mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", link)
            mine, other = Leases(tmp_path / f"{number}"), Leases(tmp_path / f"{number}")
            assert mine.take("x")
            assert not other.take("x")
            assert [path.name for path in (tmp_path / f"{number}" / ".leases").iterdir()] == ["x"]
            mine.close()
            assert other.take("x")
            other.close()


def test_one_of_many_takes_what_the_dead_left_and_counts_it(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / ".leases").mkdir()
    for name in map(str, range(40)):
        (tmp_path / ".leases" / name).write_text(json.dumps({"host": files.machine(), "process": dead.pid, "deaths": 1}))
    runs, took = [Leases(tmp_path) for _ in range(5)], []

    def work(mine):
        took.extend((name, name in mine.suspects) for name in map(str, range(40)) if mine.take(name))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in took) == sorted(map(str, range(40)))
    assert sum(suspect for _, suspect in took) > 20  # one that was quicker than the count loses it
    for mine in runs:
        mine.close()


def test_a_lease_that_is_held_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "SECONDS", 0.5)
    mine = Leases(tmp_path)
    assert mine.take("x")
    file = tmp_path / ".leases" / "x"
    file.write_text(json.dumps({"host": "elsewhere", "process": 1}))
    time.sleep(1.2)
    assert not Leases(tmp_path).take("x")
    mine.close()


def test_threads_never_hold_one_lease_together(tmp_path):
    held, wrong, runs = set(), [], [Leases(tmp_path) for _ in range(4)]

    def work(mine):
        for number in range(300):
            name = str(number % 5)
            if mine.take(name):
                if name in held:
                    wrong.append(name)
                held.add(name)
                held.discard(name)
                mine.give_back(name)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in runs:
        mine.close()
    assert wrong == []


def test_what_two_runs_made_can_be_read(many, tmp_path):
    assert cli.main(words(many, tmp_path, "shard=0/4")) == 0
    for path in (tmp_path / "clip" / "tiny").glob("*_meta.json"):
        assert len(load_features(path)) > 1


def test_a_damaged_video_gives_its_lease_back(tmp_path, tiny):
    make_clip("cut.mp4", tmp_path)
    report = extract_features(tmp_path / "cut.mp4", encoder=tiny, on_extraction="save_numpy", output_path=tmp_path / "out")
    assert len(report.failed) == 1
    assert not list((tmp_path / "out").glob("clip/tiny/.leases"))
