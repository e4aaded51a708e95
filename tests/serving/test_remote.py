"""feature_type=remote: the same features as in process, from any stage, over lines that drop and servers that change."""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from clipreel import cli, extract_features, load_encoder, load_features, serve_encoder
from clipreel.errors import ConfigError, EncoderServerError
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.remote import client as client_module
from clipreel.models.remote.client import Client
from clipreel.models.remote.protocol import ServerInfo
from clipreel.tests.serving.calls import call
from clipreel.tests.viclip_small import write_small

TOKEN = "a-token-for-the-tests-only"
SAMPLE = Path(__file__).resolve().parents[2] / "sample"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client_module, "PATIENCE_SECONDS", 1.0)


@pytest.fixture
def remote(url):
    return load_encoder("remote", "any", url=url)


@contextmanager
def line(url, *cuts):
    """A line to the server that is cut: the n-th connection after `cuts[n]` bytes of the answer (None: never). With no cut
    left, connections are refused when the last is `"gone"`. Yields its address and the list of connections."""
    parts = urlsplit(url)
    listening, made = socket.create_server(("127.0.0.1", 0)), []

    def forward(source, target, most):
        with suppress(OSError):
            while (most is None or most > 0) and (data := source.recv(65536 if most is None else min(most, 65536))):
                target.sendall(data)
                most = None if most is None else most - len(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept():
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                cut = cuts[len(made)] if len(made) < len(cuts) else None
                made.append(cut)
                if cut == "gone":
                    near.close()
                    listening.close()
                    return
                far = socket.create_connection((parts.hostname, parts.port))
                ends.extend([near, far])
                for source, target, most in ((near, far, None), (far, near, cut)):
                    threading.Thread(target=forward, args=(source, target, most), daemon=True).start()

    ends: list[socket.socket] = []
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", made
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)
        time.sleep(0.02)
        for end in ends:
            end.close()


def test_the_same_encoder(remote, tiny, drawings):
    crops = torch.cat([preprocess_frames(picture, tiny.preprocess) for picture in drawings])
    assert (remote.identity, remote.preprocess, remote.dim) == (tiny.identity, tiny.preprocess, tiny.dim)
    assert remote.logit_scale == tiny.logit_scale
    torch.testing.assert_close(remote.encode(crops), tiny.encode(crops), rtol=1e-5, atol=1e-5)
    sentences = ["a red circle", "ein grüner Kreis", ""]
    torch.testing.assert_close(remote.encode_text(sentences), tiny.encode_text(sentences), rtol=1e-5, atol=1e-5)
    assert [remote.fits(text) for text in ("a dog", "word " * 90, "x" * 5000)] == [True, False, False]


def test_large_batches_go_in_portions(tiny):
    crops = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (11, 3, 64, 64), dtype=np.uint8))
    for limits in ({"max_images": 4, "max_texts": 2}, {"max_body_megabytes": 0.03}):
        with serve_encoder(tiny, port=0, **limits) as running:
            remote = load_encoder("remote", "any", url=running.url)
            torch.testing.assert_close(remote.encode(crops), tiny.encode(crops), rtol=1e-4, atol=1e-5)
            sentences = [f"number {number}" for number in range(5)]
            torch.testing.assert_close(remote.encode_text(sentences), tiny.encode_text(sentences), rtol=1e-4, atol=1e-5)
            assert call(running.url, path="/info").json["counters"]["requests"] > 4


def test_windows(tmp_path):
    keys: dict[str, Any] = {"checkpoint": str(write_small(tmp_path / "viclip.pth")), "device": "cpu"}
    local = load_encoder("viclip", "custom", **keys, recipe="demo")
    with serve_encoder(local, port=0) as running:
        remote = load_encoder("remote", "custom", url=running.url, recipe="demo")
        windows = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (3, 8, 3, 32, 32), dtype=np.uint8))
        for some in (windows, windows[:, :1]):
            torch.testing.assert_close(remote.encode(some), local.encode(some), rtol=1e-4, atol=1e-5)
        for name in ("num_frames", "context_length"):
            assert getattr(remote, name) == getattr(local, name)
        for name, argument in (("choose_frames", 30), ("choose_frames", 3), ("token_counts", ["a dog", "word " * 90])):
            assert np.array_equal(getattr(remote, name)(argument), getattr(local, name)(argument))
        still = call(running.url, "POST", "/embed", (SAMPLE / "none").name.encode(), "image/png")
        assert still.status == 422
        reports = [extract_features(SAMPLE / "three_scenes.mp4", encoder=encoder, window_seconds=3) for encoder in (remote, local)]
    there, here = (report.features["three_scenes"].arrays() for report in reports)
    np.testing.assert_allclose(there["viclip"], here["viclip"], rtol=1e-4, atol=1e-5)
    assert np.array_equal(there["intervals_ms"], here["intervals_ms"])


def words(tmp_path, name, **keys):
    return [f"output_path={tmp_path / name}", "on_extraction=save_numpy", "extraction_fps=2", "device=cpu",
            f"video_paths={SAMPLE}/*.mp4", "batch_size=8", *(f"{key}={value}" for key, value in keys.items())]


def test_extraction_is_the_local_one(url, tmp_path, sample_videos, capsys):
    assert cli.main(words(tmp_path, "local", feature_type="clip", model_name="tiny")) == 0
    assert cli.main(words(tmp_path, "remote", feature_type="remote", url=url, show_pred="true", pred_texts="['a red circle']")) == 0
    for video in (video for video in sample_videos if video.suffix == ".mp4"):
        here, there = (load_features(tmp_path / place / "clip" / "tiny" / f"{video.stem}_clip.npy")
                       for place in ("local", "remote"))
        assert here.provenance.settings == there.provenance.settings
        assert np.array_equal(here.timestamps_ms, there.timestamps_ms)
        np.testing.assert_allclose(there.features, here.features, rtol=1e-4, atol=1e-5)
    assert TOKEN not in (tmp_path / "remote" / "clip" / "tiny" / f"{sample_videos[0].stem}_meta.json").read_text()
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "local").rglob("*.npy")}
    assert cli.main(words(tmp_path, "local", feature_type="remote", url=url)) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "local").rglob("*.npy")} == before, "what is done is done"


def test_another_stage(url, tmp_path, capsys):
    """Video questions with a remote model answer as with the local one."""
    said = {}
    for name, keys in (("local", ["feature_type=clip", "model_name=tiny"]), ("remote", ["feature_type=remote", f"url={url}"])):
        dataset = SAMPLE / "videomme" / "videomme" / "test-00000-of-00001.parquet"
        assert cli.main(["videoqa", "answer", f"dataset={dataset}", f"video_root={SAMPLE / 'videomme'}", "device=cpu", *keys,
                         "text=question_option", f"output_path={tmp_path / name}"]) == 0
        said[name] = json.loads((tmp_path / name / "viclip_output_test.json").read_text())
    capsys.readouterr()
    assert said["remote"] == said["local"]


def test_tokens(tiny, tmp_path, capsys, monkeypatch):
    with serve_encoder(tiny, port=0, token=TOKEN) as running:
        for wrong in (None, "x" * 20):
            with pytest.raises(ConfigError, match="token"):
                load_encoder("remote", "any", url=running.url, token=wrong)
        assert load_encoder("remote", "any", url=running.url, token=TOKEN).dim == 64
        monkeypatch.setenv("CLIPREEL_TOKEN", TOKEN)
        assert cli.main(words(tmp_path, "remote", feature_type="remote", url=running.url)) == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == []
    assert TOKEN not in "".join(capsys.readouterr())


@pytest.mark.parametrize("keys", [{}, {"url": "ftp://127.0.0.1"}, {"url": "127.0.0.1:8090"}, {"url": "http://"}, {"url": "http://a:b"},
                                  {"url": "http://user:word@127.0.0.1:1"}, {"url": "http://127.0.0.1:1/?x=1"}])
def test_addresses_that_are_none(keys):
    with pytest.raises(ConfigError, match="url="):
        load_encoder("remote", "any", **keys)


def test_what_is_asked_must_be_there(url):
    for key, value in (("model_name", "ViT-B/32"), ("pretrained", "x"), ("precision", "bfloat16"), ("crop", "pad"),
                       ("recipe", "demo"), ("checkpoint", "x.pt")):
        asked: dict[str, Any] = {"model_name": "any", key: value}
        with pytest.raises(ConfigError, match=f"{key}={value}"):
            load_encoder("remote", **asked, url=url)
    assert load_encoder("remote", "tiny", url=url, precision="float32", crop="center").dim == 64
    with pytest.raises(ConfigError, match="url= and token="):
        load_encoder("clip", "tiny", url=url)


def test_no_server_is_said_at_once(capsys, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    assert cli.main(words(tmp_path, "x", feature_type="remote", url=url)) == 2
    assert time.monotonic() - began < 2
    error = capsys.readouterr().err
    assert "does not answer" in error and "main.py serve" in error
    assert cli.main(words(tmp_path, "x", feature_type="remote")) == 2
    assert "needs url=" in capsys.readouterr().err


def answering(*answers):
    """A server of raw bytes: the n-th connection gets answers[n], the last one again. Yields its address."""
    @contextmanager
    def running():
        listening, number = socket.create_server(("127.0.0.1", 0)), [0]

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answers[min(number[0], len(answers) - 1)])
                        number[0] += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            thread.join(10)
    return running()


def response(body, status="200 OK", headers=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n{headers}\r\n".encode() + content


@pytest.mark.parametrize("change", [
    None, {"dim": "64"}, {"dim": True}, {"identity": None}, {"fingerprint": "x"}, {"preprocess": []}, {"limits": {}},
    {"logit_scale": "1"}, {"identity.feature_type": "../../etc"}, {"identity.feature_type": "remote"},
    {"identity.model_name": ".."}, {"identity.recipe": 3},
    {"preprocess.interpolation": "nearest"}, {"preprocess.mean": [1.0]}, {"preprocess.mean": 3}, {"num_frames": 8},
])
def test_servers_that_are_none_of_ours(url, change):
    info = call(url, path="/info").json
    for name, value in (change or {}).items():
        *path, last = name.split(".")
        (info[path[0]] if path else info)[last] = value
    if change and "fingerprint" not in change:
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # let every other check be what refuses
            info["fingerprint"] = ServerInfo.from_json({**info, "fingerprint": None}).fingerprint
    body = response(info if change else b"<html>hello</html>")
    with answering(body) as there, pytest.raises(ConfigError, match="no encoder server that this version understands"):
        load_encoder("remote", "any", url=there)


def test_busy_servers_are_asked_again(monkeypatch):
    monkeypatch.setattr(client_module, "LONGEST_PAUSE_SECONDS", 0.2)
    busy = response({"error": "busy"}, "429 Too Many Requests", "Retry-After: 0\r\n")
    away = response({"error": "restarting"}, "503 Service Unavailable")
    half, head = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\nContent-Ty"
    with answering(busy, b"", away, half, head, b"garbage\r\n\r\n", response(b"fine")) as there:
        client = Client(there)
        assert client.request("POST", "/embed", b"x", patience_seconds=30).body == b"fine"
        client.close()


@pytest.mark.parametrize(("status", "kind"), [
    ("500 Internal Server Error", EncoderServerError), ("409 Conflict", EncoderServerError), ("302 Found", ConfigError),
    ("422 Unprocessable Content", ConfigError), ("401 Unauthorized", ConfigError), ("429 Too Many Requests", EncoderServerError)])
def test_refusals_keep_their_sentence(status, kind):
    with answering(response({"error": "because"}, status)) as there, pytest.raises(kind, match=r"because|token") as raised:
        Client(there).request("POST", "/embed", b"x", patience_seconds=0.2)
    assert isinstance(raised.value, kind)


def test_a_refused_upload_is_no_riddle(tiny):
    """A body that the server does not read to its end: its reason arrives all the same."""
    with serve_encoder(tiny, port=0, max_body_megabytes=0.1) as running:
        client = Client(running.url)
        for _ in range(5):
            with pytest.raises(ConfigError, match="larger than 100000 bytes"):
                client.request("POST", "/embed", bytes(20_000_000), {"Content-Type": "image/png"}, patience_seconds=0)
        client.close()


def test_a_line_that_drops(url, tiny, monkeypatch):
    monkeypatch.setattr(client_module, "PATIENCE_SECONDS", 30.0)
    crops = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8))
    with line(url, None, 0, 40, 300, 700) as (there, made):
        remote: Any = load_encoder("remote", "any", url=there)
        for _ in range(3):
            torch.testing.assert_close(remote.encode(crops), tiny.encode(crops), rtol=1e-4, atol=1e-5)
            remote._client.close()
        assert len(made) >= 5


def test_a_server_that_dies_in_the_middle(tiny, tmp_path, capsys):
    """The run ends with what it has; with the server back, the same command makes the rest."""
    with serve_encoder(tiny, port=0) as running:
        with line(running.url, None, 3000, "gone") as (there, _):
            given = words(tmp_path, "remote", feature_type="remote", url=there, workers=1)
            assert cli.main([*given, "batch_size=2"]) == 1
        assert "does not answer" in capsys.readouterr().err
        folder = tmp_path / "remote" / "clip" / "tiny"
        done = {path.name: path.stat().st_mtime_ns for path in folder.glob("*_clip.npy")}
        assert len(done) < len(list(SAMPLE.glob("*.mp4")))
        assert cli.main(words(tmp_path, "remote", feature_type="remote", url=running.url)) == 0
    assert len(list(folder.glob("*_clip.npy"))) == len(list(SAMPLE.glob("*.mp4")))
    assert all((folder / name).stat().st_mtime_ns == time_ns for name, time_ns in done.items())


def test_a_model_that_changes_in_the_middle(tiny, tmp_path, capsys):
    """Another model behind the same address: refused by the server, and by the client if the server does not know better."""
    squashed = load_encoder("clip", "tiny", crop="squash", device="cpu")
    with serve_encoder(tiny, port=0) as first:
        port = urlsplit(first.url).port
        remote: Any = load_encoder("remote", "any", url=first.url)
    assert cli.main(words(tmp_path, "x", feature_type="clip", model_name="tiny")) == 0
    crops = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with serve_encoder(squashed, port=port) as second:
        with pytest.raises(EncoderServerError, match="not the model that this run began with"):
            remote.encode(crops)
        with pytest.raises(EncoderServerError, match="not the model"):
            remote.encode_text(["a dog"])
        with pytest.raises(EncoderServerError, match="not the model"):
            remote.fits("a dog")
        capsys.readouterr()
        assert cli.main(words(tmp_path, "x", feature_type="remote", url=second.url)) == 2, "the store holds the other model's"
        assert "crop" in capsys.readouterr().err
    row = np.zeros(64, dtype="<f4").tobytes()
    with answering(response(row, headers="Clipreel-Model: other\r\n"), response(row)) as there:
        remote = type(remote)(Client(there), remote._info)
        for _ in range(2):
            with pytest.raises(EncoderServerError, match="another model"):
                remote.encode(crops)


def test_a_model_that_changes_while_the_run_is_planned(tiny, url, tmp_path, capsys):
    with serve_encoder(load_encoder("clip", "tiny", crop="squash", device="cpu"), port=0) as other:
        before, after = (response(call(one, path="/info").body) for one in (url, other.url))
    with answering(before, after) as there:
        assert cli.main(words(tmp_path, "x", feature_type="remote", url=there)) == 2
    assert "another one by now" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npy"))


def test_what_servers_say_of_themselves_survives_json(url):
    info = call(url, path="/info").json
    again = ServerInfo.from_json(info).to_json()
    assert json.loads(json.dumps(again)) == {name: info[name] for name in again}
