"""`serve` as a command: a process of its own, ports, tokens, and ^C with requests under way."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from clipreel import cli, load_encoder, serve_encoder
from clipreel.configs.load import keys_of
from clipreel.configs.serving_schema import ServeConfig
from clipreel.errors import ConfigError
from clipreel.tests.serving.calls import call, texts, unit

MAIN = Path(__file__).resolve().parents[2] / "main.py"


@contextmanager
def process(*words):
    """The command in a process of its own; yields it and its address."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, str(MAIN), "serve", "model_name=tiny", "device=cpu", "port=0", *words],
                          stderr=subprocess.PIPE, text=True, env=environment) as started:
        try:
            assert started.stderr is not None
            found = re.search(r"at (http://\S+);", line := started.stderr.readline())
            assert found, line + started.stderr.read()
            yield started, found[1]
        finally:
            started.kill()


def crops(count):
    return np.random.default_rng(count).integers(0, 256, (count, 3, 64, 64), dtype=np.uint8).tobytes()


def test_an_interrupt_lets_requests_finish(tiny):
    with process("batch_size=1") as (server, url):
        answers = []

        def send():
            answers.append(call(url, "POST", "/embed?format=raw", crops(250), "application/octet-stream",
                                Clipreel_Shape="250,3,64,64"))

        sending = threading.Thread(target=send)
        sending.start()
        deadline = time.monotonic() + 30
        while call(url, path="/info").json["counters"]["batches"] < 3 and time.monotonic() < deadline:
            time.sleep(0.002)
        before = call(url, path="/info").json["counters"]
        server.send_signal(signal.SIGINT)
        sending.join(60)
        assert server.wait(30) == 0
        assert server.stderr is not None
        said = server.stderr.read()
    assert 0 < before["batches"] < 250, "it was in the middle"
    assert [(answer.status, answer.rows.shape) for answer in answers] == [(200, (250, 64))]
    assert "stopped: 1 requests, 0 texts and 250 images, 0 of them from the cache, 250 batches" in said
    assert "Traceback" not in said
    with pytest.raises(OSError, match="refused"):
        call(url)


def test_sigterm_and_the_command_s_own_answers(tiny):
    with process("feature_type=clip") as (server, url):
        np.testing.assert_allclose(texts(url, ["a red circle"]).rows, unit(tiny.encode_text(["a red circle"]).numpy()), atol=1e-6)
        assert load_encoder("remote", "tiny", url=url).identity == tiny.identity
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_two_interrupts_end_it_at_once():
    with process("batch_size=1", "cache_megabytes=0") as (server, url):
        body, answers = json.dumps({"texts": [f"{number} " * 20 for number in range(1000)]}), []

        def send():
            with suppress(OSError):
                answers.append(call(url, "POST", "/embed", body, "application/json"))

        sending = threading.Thread(target=send)
        sending.start()
        deadline = time.monotonic() + 30
        while not call(url, path="/info").json["counters"]["batches"] and time.monotonic() < deadline:
            time.sleep(0.002)
        server.send_signal(signal.SIGINT)
        time.sleep(0.3)
        began = time.monotonic()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130
        assert time.monotonic() - began < 5
        sending.join(30)
    assert [answer.status for answer in answers] in ([], [500]), "cut off, however that shows"


def test_a_port_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        began = time.monotonic()
        assert cli.main(["serve", "feature_type=open_clip", "model_name=ViT-bigG-14", "pretrained=laion2b_s39b_b160k",
                         f"port={port}"]) == 2
        assert time.monotonic() - began < 5, "said before a model is loaded"
    error = capsys.readouterr().err
    assert f"port={port}: something else listens there" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("words", "said"), [
    (["host=0.0.0.0"], "token="), (["host=::"], "token="), (["token=short"], "16 or more"),
    (["token=with a space in the middle"], "spaces"), (["token=naïve-but-long-enough"], "letters"),
    (["host=no.such.host.invalid"], "host=no.such.host.invalid"), (["host=192.0.2.1", "token=0123456789abcdef"], "be listened on"),
    (["port=70000"], "port=70000"), (["port=-1"], "port=-1"), (["feature_type=remote"], "other than remote"),
    (["url=http://127.0.0.1:1"], "no url="), (["batch_size=0"], "batch_size=0"), (["queue_length=100"], "queue_length=100"),
    (["allowed_hosts=[a b]"], "'a b'"), (["max_body_megabytes=nan"], "max_body_megabytes"),
    (["feature_type=policy", "model_name=raw"], "no text tower"), (["device=cpu", "device_ids=cpu"], "give one"),
    (["prot=1"], "did you mean 'port'"), (["model_name=ViT-B/33"], "did you mean 'ViT-B/32'"),
])
def test_wrong_words(capsys, words, said):
    assert cli.main(["serve", "model_name=tiny", "port=0", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_token_is_suggested_and_never_shown(capsys, monkeypatch):
    monkeypatch.delenv("CLIPREEL_TOKEN", raising=False)
    cli.main(["serve", "host=0.0.0.0"])
    suggested = re.search(r"such as (\S+), or", capsys.readouterr().err)
    assert suggested is not None and len(suggested[1]) == 32
    config = ServeConfig()
    assert "token" not in repr(config.encoder)


def test_help(capsys):
    assert cli.main(["--help"]) == 0
    assert "serve" in capsys.readouterr().out
    assert cli.main(["serve", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for key in keys_of(ServeConfig):
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{key.name} = "))
        assert lines[place + 1] == f"    {key.meaning}"


def test_without_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["serve", "model_name=tiny"]) == 2
    assert "pip install 'clipreel[serving]'" in capsys.readouterr().err


def test_from_python(tiny):
    with pytest.raises(ConfigError, match="model_name: already settled"), serve_encoder(tiny, model_name="tiny"):
        pass
    with serve_encoder(feature_type="clip", model_name="tiny", device_ids=["cpu", "cpu"], port=0, host="::1") as running:
        assert running.url.startswith("http://[::1]:")
        assert call(running.url, path="/info").json["devices"] == ["cpu", "cpu"]
        assert load_encoder("remote", "any", url=running.url).encode_text(["a"]).shape == (1, 64)
    with serve_encoder(tiny, port=0) as running:
        port = int(running.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match="something else listens"), serve_encoder(tiny, port=port):
            pass
        assert call(running.url).status == 200
    with serve_encoder(tiny, port=port) as running:
        assert call(running.url).status == 200, "the port is free again at once"


def test_the_light_start():
    code = ("import sys, clipreel.cli, clipreel.serving.guards, clipreel.serving.command; "
            "heavy = {'torch', 'numpy', 'starlette', 'uvicorn', 'PIL'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
