"""The benchmark's records from every kind of file, its selections, and what is said of wrong ones."""

import hashlib
import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow
import pyarrow.parquet
import pytest
from clipreel.configs.differencing_schema import DifferencingConfig
from clipreel.differencing.dataset import DOMAIN_FPS, read_pairs
from clipreel.differencing.similarity import sampling_fps
from clipreel.errors import ConfigError, InputError


def record(key="s0", action="fitness_0", split="easy", **changes):
    """A record as the benchmark stores it: nested values are JSON texts; keys have gaps and two digits."""
    annotated = {"10": {"name": "arm height", "description": "the arms are higher", "query_string": "are the arms higher?",
                        "num_frames": "1"},
                 "2": {"name": "speed", "description": "the squat is faster", "query_string": "faster?", "num_frames": "gt_1"},
                 "7": None}
    return {
        "sample_key": key, "action": action, "action_name": "squat", "action_description": "a person squats",
        "source_dataset": "humann", "domain": "fitness", "split": split, "sample_hash": 2**62 + 1,
        "vid0_thumbnail": b"\x89PNG", "videos": json.dumps([
            {"path": "a/kinect", "fps_original": 8, "frames_trim": [0, 18, None]},
            {"path": "b.mp4", "fps_original": 30.0, "frames_trim": [26, 727, None]}]),
        "retrieval_frames": json.dumps([{"10": [3], "2": None}, {"10": [4, 5], "2": None}]),
        "differences_annotated": json.dumps(annotated), "differences_gt": json.dumps({"10": "b", "2": "c", "7": None}),
        "n_differences_open_prediction": 3, **changes}


def written(path, records):
    path.write_text(json.dumps([{name: value for name, value in one.items() if not isinstance(value, bytes)} for one in records]))
    return str(path)


def test_a_record_is_read_to_its_last_field(tmp_path):
    (pair,) = read_pairs(written(tmp_path / "d.json", [record()]))
    assert (pair.key, pair.action, pair.action_description, pair.domain, pair.split) == (
        "s0", "fitness_0", "a person squats", "fitness", "easy")
    assert pair.seed == 2**62 + 1
    assert [one.id for one in pair.differences] == ["10", "2"]  # in the file's order; the one that is null is none
    assert [one.span for one in pair.differences] == ["frame", "several"]
    assert pair.truth == {"10": "b", "2": "c", "7": None}
    assert pair.allowed_differences == 3
    assert pair.retrieval_frames == ({"10": (3,), "2": None}, {"10": (4, 5), "2": None})
    a, b = pair.clips
    assert (a.path, a.fps, a.begin_frame, a.end_frame) == (tmp_path / "a/kinect", 8.0, 0, 18)
    assert (b.begin_frame, b.end_frame) == (26, 727)


def _json(folder, records):
    return written(folder / "d.json", records)


def _lines(folder, records):
    _json(folder, records)
    lines = [json.dumps(one) for one in json.loads((folder / "d.json").read_text())]
    (folder / "d.jsonl").write_text("\n".join(lines) + "\n\n")
    return str(folder / "d.jsonl")


def _parquet(folder, records):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), folder / "d.parquet")
    return str(folder / "d.parquet")


def _hub_folder(folder, records):
    (folder / "data").mkdir()
    for number, some in enumerate((records[:1], records[1:])):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(some), folder / "data" / f"test-0000{number}-of-00002.parquet")
    return str(folder)


def _saved_to_disk(folder, records):
    """What `datasets`' save_to_disk leaves: a folder a split, streams of Arrow in parts, and what map() cached beside them."""
    (folder / "test").mkdir()
    (folder / "dataset_dict.json").write_text('{"splits": ["test"]}')
    (folder / "test" / "state.json").write_text("{}")
    for name, some in (("data-00000-of-00002", records[:1]), ("data-00001-of-00002", records[1:]), ("cache-1f", records)):
        table = pyarrow.Table.from_pylist(some)
        with pyarrow.ipc.new_stream(folder / "test" / f"{name}.arrow", table.schema) as stream:
            stream.write_table(table)
    return str(folder)


def _arrow_file(folder, records):
    table = pyarrow.Table.from_pylist(records)
    with pyarrow.ipc.new_file(folder / "d.arrow", table.schema) as file:
        file.write_table(table)
    return str(folder / "d.arrow")


def _native_values(folder, records):
    """Values themselves instead of JSON in texts: Parquet's structs have every field of every row."""
    nested = ("videos", "retrieval_frames", "differences_annotated", "differences_gt")
    plain = [{**one, **{name: json.loads(one[name]) for name in nested}} for one in records]
    for one in plain:
        for video in one["videos"]:
            video["frames_trim"] = [*video["frames_trim"][:2], None]
    return _parquet(folder, plain)


@pytest.mark.parametrize("write", [_json, _lines, _parquet, _hub_folder, _saved_to_disk, _arrow_file, _native_values])
def test_every_kind_of_file_holds_the_same(tmp_path, write):
    records = [record("s0"), record("s1", "fitness_3", "medium")]
    (tmp_path / "there").mkdir()
    pairs = read_pairs(write(tmp_path / "there", records), video_root=str(tmp_path))
    assert pairs == read_pairs(written(tmp_path / "plain.json", records))


def test_splits_and_subsets(tmp_path):
    records = [record(f"s{number}", action, split) for number, (action, split) in enumerate(
        [("x", "easy"), ("y", "medium"), ("x", "easy"), ("z", "hard"), ("x", "easy"), ("y", "medium")])]
    name = written(tmp_path / "d.json", records)

    def keys(**selection):
        return [pair.key for pair in read_pairs(name, **selection)]

    assert keys() == keys(split="all") == [f"s{number}" for number in range(6)]
    assert keys(split="easy") == ["s0", "s2", "s4"]
    assert keys(split="medium", subset_mode="1_per_action") == ["s1"]
    assert keys(subset_mode="2_per_action") == ["s0", "s1", "s2", "s3", "s5"]
    assert keys(subset_mode="10_per_action") == keys(subset_mode="0")
    with pytest.raises(InputError, match=r"no pair of split=hard.*'easy': 1"):
        read_pairs(written(tmp_path / "e.json", records[:1]), split="hard")


@pytest.mark.parametrize("subset", ["", "all", "1", "0_per_action", "x_per_action", "1_per_actions", "-1_per_action"])
def test_other_subsets_are_refused(subset):
    with pytest.raises(ConfigError, match="K_per_action"):
        DifferencingConfig(dataset="d", subset_mode=subset)


@pytest.mark.parametrize(("domain", "fps"), [*DOMAIN_FPS.items(), ("drawn", 8.0)])
def test_domains_have_their_rates(tmp_path, domain, fps):
    (pair,) = read_pairs(written(tmp_path / "d.json", [record(domain=domain)]))
    assert sampling_fps(DifferencingConfig(dataset="d"), pair) == fps
    assert sampling_fps(DifferencingConfig(dataset="d", extraction_fps=2.5), pair) == 2.5


def test_the_allowed_number_is_reckoned_where_it_is_absent(tmp_path):
    one = record(differences_gt=json.dumps({"10": "b", "2": "c"}))
    del one["n_differences_open_prediction"]
    assert read_pairs(written(tmp_path / "d.json", [one]))[0].allowed_differences == math.ceil(1.5 * 2)


VIDEO = {"path": "a.mp4", "fps_original": 30}


@pytest.mark.parametrize(("changes", "said"), [
    ({"videos": None}, "has no videos"),
    ({"differences_gt": "{'a'"}, "differences_gt is no JSON"),
    ({"videos": json.dumps([VIDEO])}, "no list of two"),
    ({"videos": json.dumps([VIDEO, {"path": 3}])}, "has no path"),
    ({"videos": json.dumps([VIDEO, {**VIDEO, "frames_trim": [5, 5, None]}])}, r"frames \[5, 5\) are none"),
    ({"videos": json.dumps([VIDEO, {**VIDEO, "frames_trim": [-3, 5, None]}])}, "frames_trim"),
    ({"videos": json.dumps([VIDEO, {**VIDEO, "frames_trim": [0, 9, 2]}])}, "a step of 2"),
    ({"videos": json.dumps([VIDEO, {**VIDEO, "frames_trim": ["x", 9]}])}, "frames_trim"),
    ({"differences_annotated": "[]"}, "must be mappings"),
    ({"differences_annotated": json.dumps({"10": {"name": "n"}, "2": None})}, "difference 10 has no description"),
    ({"differences_annotated": json.dumps({"10": {"description": "d", "num_frames": "3"}})}, "num_frames '3'"),
    ({"differences_annotated": json.dumps({"10": {"description": "d", "opposite": 3}, "2": {"description": "d"}})}, "opposite"),
    ({"differences_gt": json.dumps({"10": "d"})}, "allowed is a, b, c or null"),
    ({"differences_gt": json.dumps({"99": "a"})}, "annotated difference"),
    ({"retrieval_frames": json.dumps([{}])}, "no list of two"),
    ({"retrieval_frames": json.dumps([{"10": 3}, {}])}, "no frame numbers"),
    ({"retrieval_frames": json.dumps([{"10": [None]}, {}])}, "no frame numbers"),
    ({"retrieval_frames": json.dumps([{"10": [-1]}, {}])}, "count from 0"),
    ({"n_differences_open_prediction": "many"}, "n_differences_open_prediction is 'many'"),
    ({"sample_hash": float("nan")}, "sample_hash"),
    ({"sample_key": "s0"}, "is there twice"),
])
def test_a_wrong_record_is_named(tmp_path, changes, said):
    name = written(tmp_path / "d.json", [record("s0"), record("s1") | changes])
    with pytest.raises(InputError, match=said) as caught:
        read_pairs(name)
    assert "record 2" in str(caught.value)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("d.json", "{", "no JSON that can be read"), ("d.json", "{}", "no JSON list"), ("d.json", "[3]", "record 1 is int"),
    ("d.json", "[" * 100_000, "no JSON"), ("d.jsonl", "{}\n{", "no JSON"), ("d.parquet", "PAR1 but no", "cannot be read"),
    ("d.csv", "a,b", "allowed is a file .parquet"), ("d.arrow", "x", "cannot be read"),
])
def test_a_wrong_file_is_said(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        read_pairs(str(tmp_path / name))


def test_a_missing_file_and_an_empty_folder_are_said(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_pairs(str(tmp_path / "none.parquet"))
    with pytest.raises(InputError, match="neither parquet nor arrow"):
        read_pairs(str(tmp_path))
    with pytest.raises(InputError, match="video_root="):
        read_pairs(written(tmp_path / "d.json", [record()]), video_root=str(tmp_path / "none"))


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as fetching a small data set takes."""

    files: dict[str, bytes]
    asked: list[str]
    commit = "0" * 40

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path.startswith("/api/datasets/jmhb/VidDiffBench/tree/"):
            body = json.dumps([{"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                               for name, data in self.files.items()]).encode()
        elif path.startswith("/api/datasets/jmhb/VidDiffBench"):
            body = json.dumps({"id": "jmhb/VidDiffBench", "sha": self.commit, "private": False, "disabled": False, "downloads": 0,
                               "likes": 0, "tags": [], "siblings": [{"rfilename": name} for name in self.files]}).encode()
        else:
            body = self.files.get(path.rpartition(f"/{self.commit}/")[2], b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """hub(files): a stand-in for the hub on this machine, that the hub's own client fetches from."""
    servers = []

    def start(files):
        handler = type("Handler", (Hub,), {"files": files, "asked": []})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
        _point_at(monkeypatch, tmp_path, f"http://127.0.0.1:{servers[-1].server_port}")
        return handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _point_at(monkeypatch, tmp_path, address):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)


def test_a_name_on_the_hub_is_fetched_without_its_videos(hub, tmp_path):
    source = Path(_parquet(tmp_path, [record()])).read_bytes()
    handler = hub({"data/test-00000-of-00001.parquet": source, "videos/fitness.zip": b"gigabytes", "README.md": b"card"})
    assert [pair.key for pair in read_pairs("jmhb/VidDiffBench")] == ["s0"]
    assert not any("fitness.zip" in path or "README" in path for path in handler.asked)


def test_a_hub_that_cannot_be_reached_is_said(tmp_path, monkeypatch):
    _point_at(monkeypatch, tmp_path, "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"dataset=jmhb/VidDiffBench: is no file here, and cannot be fetched from the hub"):
        read_pairs("jmhb/VidDiffBench")
