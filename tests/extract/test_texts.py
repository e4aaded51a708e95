"""`texts`: files of texts, and their features in the store that stages read."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from clipreel import encode_texts
from clipreel.cli import main
from clipreel.errors import ConfigError, InputError
from clipreel.extract.text_features import CaptionFeatures, TextFeatures
from clipreel.extract.text_file import read_texts

# files


@pytest.mark.parametrize(("name", "content", "keys", "texts"), [
    ("a.csv", "id,caption\n1,a dog\n2,\"a cat, asleep\"\n", {}, ("a dog", "a cat, asleep")),
    ("a.csv", "\ufeffSentence,x\r\na dog,1\r\n\r\na cat,2\r\n", {}, ("a dog", "a cat")),
    ("a.csv", "caption,other\na,b\n", {"column": "Other"}, ("b",)),
    ("a.csv", "id,caption\n1, two  blanks \n2,\"of\ntwo lines\"\n", {}, (" two  blanks ", "of\ntwo lines")),
    ("a.tsv", "id\ttext\n1\ta, b\n", {}, ("a, b",)),
    ("a.txt", "a dog\n\n  a cat \n", {}, ("a dog", "a cat")),
    ("a.JSON", json.dumps({"v": {"sentences": ["a", "b"], "duration": 3}, "w": {"sentences": ["c"]}}), {}, ("a", "b", "c")),
    ("a.json", json.dumps({"v": {"sentences": ["a", "b"]}, "w": {"sentences": ["c"]}}), {"joined": True}, ("a b", "c")),
])
def test_files_of_texts(tmp_path, name, content, keys, texts):
    (tmp_path / name).write_text(content, newline="")
    assert read_texts(str(tmp_path / name), **keys).texts == texts


def test_empty_entries_are_counted(tmp_path):
    (tmp_path / "a.csv").write_text("caption,x\na,1\n ,2\n,3\n")
    assert (read_texts(str(tmp_path / "a.csv")).texts, read_texts(str(tmp_path / "a.csv")).empty) == (("a",), 2)


@pytest.mark.parametrize(("name", "content", "keys", "error", "part"), [
    ("a.csv", b"id,words\n1,a\n", {}, ConfigError, "none of caption, sentence, text"),
    ("a.csv", b"id,caption\n1,a\n", {"column": "said"}, ConfigError, "its columns are id, caption"),
    ("a.csv", b"id,caption\n1,a dog, a cat\n", {}, InputError, "line 2 has more fields"),
    ("a.csv", b"caption\n\xff\xfe\n", {}, InputError, "UTF-8"),
    ("a.csv", b"", {}, ConfigError, "(none)"),
    ("a.txt", b"\n \n", {}, InputError, "holds no text"),
    ("a.txt", b"a", {"column": "x"}, ConfigError, "goes with a CSV"),
    ("a.txt", b"a", {"joined": True}, ConfigError, "goes with a JSON"),
    ("a.json", b"[1", {}, InputError, "no JSON"),
    ("a.json", b"[\"a\"]", {}, InputError, "sentences"),
    ("a.json", b"{\"v\": {\"sentences\": [1]}}", {}, InputError, "'v'"),
    ("a.json", b"[" * 100_000, {}, InputError, "no JSON"),
    ("a.pdf", b"x", {}, ConfigError, ".csv, .tsv, .txt, .json"),
])
def test_files_that_cannot_be(tmp_path, name, content, keys, error, part):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        read_texts(str(tmp_path / name), **keys)
    assert part in str(caught.value)


def test_no_file_is_exit_2(tmp_path, capsys):
    assert main(["texts", f"{tmp_path}/none.csv", "model_name=tiny", "device=cpu"]) == 2
    assert "none.csv" in capsys.readouterr().err
    assert main(["texts", "model_name=tiny"]) == 2
    assert "needs a file of texts" in capsys.readouterr().err


# the store


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("caption\n" + "".join(f"a red circle number {number}\n" for number in range(30)) + "a red circle number 3\n")
    return path


def test_what_is_stored_is_what_the_encoder_says(captions, tiny, tmp_path, capsys):
    words = ["texts", str(captions), "model_name=tiny", "device=cpu", f"output_path={tmp_path}/out"]
    assert main(words) == 0
    assert "30 texts: 30 encoded, 0 there already" in capsys.readouterr().out
    for kind in (CaptionFeatures, TextFeatures):  # every stage finds them
        stored = kind(tmp_path / "out" / "texts", tiny.identity)
        texts = ["a red circle number 3", "a red circle number 29"]
        right = tiny.encode_text(texts).numpy()
        assert np.allclose(stored.matrix[stored.rows(texts)], right / np.linalg.norm(right, axis=1, keepdims=True), atol=1e-5)
    before = {path.name: path.stat().st_mtime_ns for path in stored.folder.iterdir()}
    assert main(words) == 0
    assert "30 texts: 0 encoded, 30 there already" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in stored.folder.iterdir()} == before


def test_a_second_run_loads_no_network(captions, tiny, tmp_path):
    encode_texts(captions, encoder=tiny, output_path=tmp_path)

    class Unused:
        identity, device = tiny.identity, tiny.device

        def encode_text(self, texts):
            raise AssertionError

    assert len(encode_texts(captions, encoder=Unused(), output_path=tmp_path).matrix) == 30  # pyright: ignore[reportArgumentType]


def test_new_texts_alone_are_encoded(captions, tiny, tmp_path):
    encode_texts(captions, encoder=tiny, output_path=tmp_path)
    captions.write_text(captions.read_text() + "a blue square\n")
    asked = []

    class Counting:
        identity, device, logit_scale = tiny.identity, tiny.device, tiny.logit_scale

        def encode_text(self, texts):
            asked.extend(texts)
            return tiny.encode_text(texts)

    encode_texts(captions, encoder=Counting(), output_path=tmp_path)  # pyright: ignore[reportArgumentType]
    assert asked == ["a blue square"]


def test_another_model_is_stored_apart(captions, tiny, tmp_path):
    from dataclasses import replace

    encode_texts(captions, encoder=tiny, output_path=tmp_path)
    other = replace(tiny.identity, weights_sha256="1" * 64)
    assert CaptionFeatures(tmp_path / "texts", other).lacking(["a red circle number 3"]) == ["a red circle number 3"]


def test_long_texts_are_cut_at_a_word_and_said(tiny, tmp_path, capsys):
    long = "a red circle " + "that moves slowly " * 80
    (tmp_path / "t.txt").write_text(f"{long}\na red circle\n{'x' * 9000}\n")
    assert main(["texts", f"{tmp_path}/t.txt", "model_name=tiny", "device=cpu", f"output_path={tmp_path}"]) == 0
    assert "2 texts are too long for tiny" in capsys.readouterr().err
    stored = CaptionFeatures(tmp_path / "texts", tiny.identity)
    assert stored.is_cut(long.strip()) and stored.is_cut("x" * 9000) and not stored.is_cut("a red circle")
    kept = "a red circle that moves slowly"
    while tiny.fits(f"{kept} that"):
        kept += " that" if kept.endswith("slowly") else " moves" if kept.endswith("that") else " slowly"
    kept = kept if tiny.fits(kept) else kept.rpartition(" ")[0]
    right = tiny.encode_text([kept]).numpy()
    assert np.allclose(stored.matrix[stored.rows([long.strip()])], right / np.linalg.norm(right), atol=1e-5)


_KILLED = """
import os, sys
from clipreel import encode_texts, load_encoder
from clipreel.extract import text_features
text_features._SHARD_TEXTS = 10
tiny = load_encoder("clip", "tiny", device="cpu")

class Dying:
    identity, device, logit_scale = tiny.identity, tiny.device, tiny.logit_scale
    calls = 0

    def encode_text(self, texts):
        self.calls += 1
        if self.calls == 3:
            os.kill(os.getpid(), 9)
        return tiny.encode_text(texts)

encode_texts(sys.argv[1], encoder=Dying(), output_path=sys.argv[2])
"""


def test_a_killed_run_goes_on_where_it_was(captions, tiny, tmp_path):
    process = subprocess.run([sys.executable, "-c", _KILLED, str(captions), str(tmp_path)], capture_output=True, text=True,
                             check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(CaptionFeatures(tmp_path / "texts", tiny.identity).matrix) == 20
    stored = encode_texts(captions, encoder=tiny, output_path=tmp_path)
    assert len(stored.matrix) == 30
    assert not [path for path in stored.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(captions, tiny, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written"):
        encode_texts(captions, encoder=tiny, output_path=tmp_path / "out")
    tmp_path.chmod(0o700)


def test_an_output_that_is_a_file(captions, tiny, tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        encode_texts(captions, encoder=tiny, output_path=tmp_path / "out")
