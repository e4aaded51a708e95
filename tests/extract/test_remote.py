"""Videos and features at URLs: the same outcome as with files, against an S3 server on this machine."""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clipreel import FeatureDataset, cli, extract_features, load_features
from clipreel.errors import ConfigError, InputError, MissingExtraError, StoreConflictError, StoredDataError
from clipreel.extract import remote
from clipreel.extract.fetching import identified_at_url
from clipreel.extract.object_leases import ObjectLeases
from clipreel.extract.videos import VideoItem, content_id
from clipreel.tests.extract.stored_files import below, files, same

KEYS = {"extraction_fps": 1, "on_extraction": "save_numpy"}


@pytest.fixture(scope="module")
def fs(s3):
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


@pytest.fixture(scope="module")
def sample_videos(sample_videos):
    """Three are enough here."""
    return sample_videos[:3]


@pytest.fixture(scope="module")
def at_s3(s3, fs, sample_videos):
    """The sample videos, at a URL."""
    for video in sample_videos:
        fs.put_file(str(video), f"bucket/videos/deeper/{video.name}")
    fs.pipe_file("bucket/videos/notes.md", b"no video")
    return f"{s3}/videos"


@pytest.mark.parametrize("format_name", ["save_numpy", "save_pickle", "save_hdf5"])
def test_a_url_holds_what_a_folder_would(format_name, s3, fs, at_s3, sample_videos, tiny, tmp_path):
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": format_name}
    here = extract_features(sample_videos, output_path=tmp_path / "here", **keys)
    fetched = tmp_path / "fetched"
    there = extract_features(at_s3, output_path=f"{s3}/{format_name}", tmp_path=str(fetched), workers=2, **keys)
    assert (there.failed, sorted(there.done)) == ([], sorted(here.done))
    assert list(fetched.iterdir()) == []
    stored = below(fs, f"{s3}/{format_name}")
    if format_name == "save_numpy":
        same(files(tmp_path / "here"), stored)
    else:
        assert files(tmp_path / "here").keys() == stored.keys()
    for key, features in here.features.items():
        again = there.features[key]
        assert again.features == pytest.approx(features.features, abs=1e-5)
        assert again.timestamps_ms.tolist() == features.timestamps_ms.tolist()
        assert again.provenance.source.content_id == features.provenance.source.content_id
        assert again.provenance.source.size_bytes == features.provenance.source.size_bytes
        assert re.fullmatch(rf"{at_s3}/deeper/{key}\.\w+", again.provenance.source.path)
    second = extract_features(at_s3, output_path=f"{s3}/{format_name}", **keys)
    assert (second.done, sorted(second.skipped)) == ([], sorted(here.done))
    assert cli.main(["inspect", f"{s3}/{format_name}"]) == 0
    assert FeatureDataset(f"{s3}/{format_name}/clip/tiny").keys == tuple(sorted(here.done))


def test_other_settings_are_refused_and_replaced(s3, fs, at_s3, tiny):
    output = f"{s3}/settings"
    extract_features(at_s3, encoder=tiny, output_path=output, **KEYS)
    with pytest.raises(StoreConflictError, match="normalize: False there, True now"):
        extract_features(at_s3, encoder=tiny, output_path=output, normalize=True, **KEYS)
    with pytest.raises(StoreConflictError, match="extraction_fps"):  # the other format's metadata has the same name
        extract_features(at_s3, encoder=tiny, output_path=output, on_extraction="save_pickle", extraction_fps=2)
    report = extract_features(at_s3, encoder=tiny, output_path=output, normalize=True, overwrite=True, **KEYS)
    assert len(report.done) == len(report.features)
    assert all(features.provenance.settings.normalize for features in report.features.values())
    assert not [name for name in below(fs, output) if ".leases" in name or "write-test" in name]


def test_what_is_half_there_is_done_again(s3, fs, at_s3, tiny):
    output = f"{s3}/half"
    first = extract_features(at_s3, encoder=tiny, output_path=output, **KEYS)
    one, two, *rest = sorted(first.done)
    fs.rm_file(f"bucket/half/clip/tiny/{one}_meta.json")
    fs.pipe_file(f"bucket/half/clip/tiny/{two}_fps.npy", b"short")
    with pytest.raises(StoredDataError):
        load_features(f"{output}/clip/tiny/{two}_meta.json")
    again = extract_features(at_s3, encoder=tiny, output_path=output, **KEYS)
    assert (sorted(again.done), sorted(again.skipped)) == ([one, two], rest)
    assert len(load_features(f"{output}/clip/tiny/{two}_meta.json")) > 1


def test_failures_are_listed_there_and_tried_again(s3, fs, sample_videos, capfd):
    fs.pipe_file("bucket/lists/videos.csv", f"path,id,start,end\ngood{sample_videos[0].suffix},first,0,2\n"
                                            "absent.mp4,second,,\nbroken.mp4,third,,\n".encode())
    fs.put_file(str(sample_videos[0]), f"bucket/lists/good{sample_videos[0].suffix}")
    fs.pipe_file("bucket/lists/broken.mp4", b"no video" * 100)
    words = ["model_name=tiny", "extraction_fps=1", "on_extraction=save_numpy", f"output_path={s3}/failed"]
    assert cli.main([*words, f"file_with_video_paths={s3}/lists/videos.csv"]) == 1
    rows = [json.loads(line) for line in fs.cat_file("bucket/failed/failures.jsonl").decode().splitlines()]
    assert {row["path"]: row["name"] for row in rows} == {f"{s3}/lists/absent.mp4": "second", f"{s3}/lists/broken.mp4": "third"}
    assert all(row["reason"].startswith(row["path"]) for row in rows), rows  # and no temporary name
    assert "clipreel-tmp" not in capfd.readouterr().err
    for name in ("absent", "broken"):
        fs.put_file(str(sample_videos[1]), f"bucket/lists/{name}.mp4")
    assert cli.main([*words, "retry_failed=true"]) == 0
    assert fs.cat_file("bucket/failed/failures.jsonl") == b""
    assert {name for name in below(fs, f"{s3}/failed") if name.endswith("_meta.json")} == {
        f"clip/tiny/{name}_meta.json" for name in ("first", "second", "third")}


def test_two_runs_at_once_do_every_video_once(s3, fs, sample_videos, tiny):
    for number in range(8):
        fs.pipe_file(f"bucket/many/v{number}.mp4", sample_videos[0].read_bytes() + bytes(number))
    reports = []

    def run():
        reports.append(extract_features(f"{s3}/many/*.mp4", encoder=tiny, output_path=f"{s3}/both", **KEYS))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(report.failed for report in reports)
    assert sorted(reports[0].done + reports[1].done) == [f"v{number}" for number in range(8)]
    assert not [name for name in below(fs, f"{s3}/both") if ".leases" in name]


def test_leases_exclude_and_are_handed_over(s3, fs):
    place = f"{s3}/leases"
    one, two = ObjectLeases(place), ObjectLeases(place)
    assert one.take("x")
    assert not two.take("x")
    one.give_back("x")
    assert two.take("x")
    two.close()
    worker, other, stranger = ObjectLeases(place, "run"), ObjectLeases(place, "run"), ObjectLeases(place, "another")
    assert worker.take("y")
    assert not stranger.take("y")
    assert other.take("y")
    other.close()
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    remote.write_bytes(f"{place}/.leases/z", json.dumps({"host": os.uname().nodename, "process": dead.pid}).encode())
    assert one.take("z")
    one.close()
    remote.write_bytes(f"{place}/.leases/z", json.dumps({"host": "elsewhere", "process": 1}).encode())
    assert not stranger.take("z")
    remote.remove(f"{place}/.leases/z")
    assert below(fs, place).keys() <= {".leases/y"}  # the first worker's, whose run it was


def test_no_more_files_lie_here_than_threads_decode(s3, at_s3, tiny, tmp_path, monkeypatch):
    there, fetch = [], remote.fetch

    def counted(url, path):
        fetch(url, path)
        there.append(len(list(Path(path).parent.iterdir())))

    monkeypatch.setattr(remote, "fetch", counted)
    extract_features(at_s3, encoder=tiny, output_path=tmp_path / "out", tmp_path=str(tmp_path / "tmp"), workers=1, **KEYS)
    assert there == [1] * len(there)
    assert len(there) >= 3


def test_a_file_that_changes_meanwhile_is_refused(s3, fs, sample_videos, tiny, tmp_path, monkeypatch):
    fs.put_file(str(sample_videos[0]), "bucket/changing/a.mp4")
    fetch = remote.fetch

    def changed(url, path):
        fs.put_file(str(sample_videos[1]), "bucket/changing/a.mp4")
        fetch(url, path)

    monkeypatch.setattr(remote, "fetch", changed)
    report = extract_features(f"{s3}/changing/a.mp4", encoder=tiny, output_path=tmp_path, **KEYS)
    assert "is another file than when this run began" in report.failed[0].reason


class _Plain(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def test_https_without_ranges(s3, sample_videos, tiny, tmp_path):
    handler = functools.partial(_Plain, directory=str(sample_videos[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        url = f"{base}/{sample_videos[0].name}?signature=secret"
        report = extract_features([url, f"{base}/absent.mp4"], encoder=tiny, output_path=tmp_path, **KEYS)
        server.shutdown()
    source = report.features[sample_videos[0].stem].provenance.source
    assert source.path == f"{base}/{sample_videos[0].name}"
    assert source.content_id == content_id(VideoItem(str(sample_videos[0]), "a"))
    assert [failure.path for failure in report.failed] == [f"{base}/absent.mp4"]


def test_identity_at_a_url_is_that_of_the_file(s3, fs, tmp_path):
    for size in (0, 1, 65536, 65537, 300_001):
        file = tmp_path / f"{size}.mp4"
        file.write_bytes(os.urandom(size))
        fs.put_file(str(file), f"bucket/sizes/{size}.mp4")
        item, identity = identified_at_url(VideoItem(str(file), "a", 1.0, 2.0, url=f"{s3}/sizes/{size}.mp4"))
        assert (identity, item.size_bytes) == (content_id(VideoItem(str(file), "a", 1.0, 2.0)), size)


def test_file_urls_are_paths(sample_videos, tiny, tmp_path):
    report = extract_features(f"file://{sample_videos[0]}", encoder=tiny, output_path=f"file://{tmp_path}", **KEYS)
    assert report.features[sample_videos[0].stem].provenance.source.path == str(sample_videos[0])
    assert (tmp_path / "clip" / "tiny").is_dir()


@pytest.mark.parametrize(("keys", "error", "said"), [
    ({"output_path": "s3://absent-bucket/x"}, ConfigError, "cannot be written"),
    ({"output_path": "nothing://x/y"}, ConfigError, "is no URL that fsspec reaches"),
    ({"videos": "s3://bucket/no/videos/*.mp4"}, InputError, "no video there"),
    ({"videos": "s3://bucket/none.csv"}, InputError, "is no readable list"),
])
def test_what_is_refused_before_anything_is_started(s3, keys, error, said, sample_videos, tiny, tmp_path):
    keys = {"videos": sample_videos[0], "output_path": tmp_path, "on_extraction": "save_numpy"} | keys
    with pytest.raises(error, match=said):
        extract_features(keys.pop("videos"), encoder=tiny, **keys)


def test_small_files_are_read_in_one_request(s3, fs):
    for content in (b"", b"x", bytes(1000)):
        fs.pipe_file("bucket/small", content)
        assert remote.read_if_there(f"{s3}/small") == remote.read_if_there(f"{s3}/small", whole=True) == content
        assert remote.RemoteFile(f"{s3}/small").is_file()
    assert remote.read_if_there(f"{s3}/none") is None
    assert not remote.RemoteFile(f"{s3}/none").is_file()


def test_a_dry_run_counts_what_is_at_urls(s3, at_s3, sample_videos, capsys):
    words = ["model_name=tiny", "extraction_fps=1", "dry_run=true"]
    assert cli.main([*words, f"video_paths=[{', '.join(map(str, sample_videos))}]"]) == 0
    assert cli.main([*words, f"video_paths={at_s3}"]) == 0
    here, there = capsys.readouterr().out.splitlines()
    assert here == there


def test_other_commands_refuse_urls(tmp_path, capsys):
    assert cli.main(["frames", "s3://bucket/a.mp4", str(tmp_path / "frames")]) == 1
    assert "only extraction and dry_run read" in capsys.readouterr().err
    assert cli.main(["texts", str(tmp_path / "a.txt"), "model_name=tiny", "output_path=s3://bucket/x"]) == 2
    assert "writes to folders only" in capsys.readouterr().err


def test_a_missing_extra_names_its_pip_line(sample_videos, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clipreel\[s3\]'"):
        extract_features(sample_videos[0], encoder=tiny, output_path="s3://bucket/x", on_extraction="save_numpy")


def test_paths_need_no_fsspec():
    code = ("import sys, clipreel.extract.remote, clipreel.extract.store.object_store, clipreel.extract.object_leases\n"
            "sys.exit(any(name.partition('.')[0] in ('fsspec', 's3fs', 'aiohttp') for name in sys.modules))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
