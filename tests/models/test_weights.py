"""Every layout that is read, and everything that is refused."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import pytest
import torch
from clipreel.errors import WeightsError
from clipreel.models import weights
from clipreel.models.clip.archives import ARCHIVES, Archive
from clipreel.models.weights import fill, read_state_dict, sha256_of
from safetensors.torch import save_file

STATE = {"visual.proj": torch.arange(6.0).view(2, 3), "logit_scale": torch.tensor(4.6)}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


LAYOUTS = {
    "plain": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": STATE, "optimizer": {"lr": 0.1}},
    "wrapped twice": {"state_dict": {"model": STATE}},
    "module.": prefixed("module."),
    "model.": prefixed("model."),
    "several prefixes": {"state_dict": prefixed("model.module.")},
    "compiled": prefixed("_orig_mod."),
    "numbers of OpenAI's": {**STATE, "input_resolution": 224, "context_length": torch.tensor(77), "vocab_size": 49408},
}


def assert_is_state(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == STATE.keys()
    for key, value in STATE.items():
        assert torch.equal(found[key], value)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str, legacy: bool):
    torch.save(LAYOUTS[layout], tmp_path / "weights.bin", _use_new_zipfile_serialization=not legacy)
    assert_is_state(read_state_dict(tmp_path / "weights.bin"))


def test_safetensors_under_any_suffix(tmp_path: Path):
    save_file(prefixed("module."), tmp_path / "weights.pt")
    assert_is_state(read_state_dict(tmp_path / "weights.pt"))


def test_prefix_stays_where_not_all_bear_it(tmp_path: Path):
    torch.save({"model.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "weights.pt")
    assert read_state_dict(tmp_path / "weights.pt").keys() == {"model.a", "b"}


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(STATE["logit_scale"])
        self.visual = torch.nn.Module()
        self.visual.proj = torch.nn.Parameter(STATE["visual.proj"])
        self.register_buffer("input_resolution", torch.tensor(224))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.logit_scale


@pytest.fixture
def torchscript(tmp_path: Path) -> Path:
    path = tmp_path / "ViT-B-32.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated; OpenAI's files remain
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Small()).save(path)
    return path


def test_torchscript_is_not_run(torchscript: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(WeightsError, match=r"TorchScript archive.*none of OpenAI's: convert"):
        read_state_dict(torchscript)


def test_torchscript_with_pinned_hash(torchscript: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ARCHIVES, "ViT-B/32", Archive("ViT-B-32.pt", sha256_of(torchscript)))
    assert_is_state(read_state_dict(torchscript))


class Malicious:
    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_malicious_pickle_is_refused(tmp_path: Path, legacy: bool):
    witness = tmp_path / "executed"
    torch.save({"state_dict": STATE, "hook": Malicious(witness)}, tmp_path / "bad.pt",
               _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="more than tensors"):
        read_state_dict(tmp_path / "bad.pt")
    assert not witness.exists()


def whole_zip() -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("content", "message"), [
    (b"", "empty"),
    (b"just some words\n", "just some words"),
    (b"<!DOCTYPE html><html>404</html>", "web page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    (whole_zip()[:-100], "cut short or damaged"),
    (whole_zip()[:40], "cut short or damaged"),
    (whole_zip().replace(b"PK\x01\x02" + bytes(4), b"PK\x01\x02\x00\x00\xff\x00"), "damaged"),  # of zip's version 25.5
    (b"\x80\x02X\x01", "damaged"),  # a length of four bytes that has one
    (b"\x80\x02\x8a\nl\xfc\x9cF", "damaged"),
    (b"\x80", "damaged"),
    ((1000).to_bytes(8, "little") + b'{"a":' + b" " * 2000, "damaged"),
])
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [{}, [1, 2], torch.ones(3), {"state_dict": {}}, {"epoch": 3, "a": torch.ones(1)},
                                     {"vocab_size": 3}, "text"], ids=str)
def test_contents_that_are_no_weights(tmp_path: Path, content: object):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="expected are named tensors"):
        read_state_dict(tmp_path / "weights.pt")


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(WeightsError, match="there is no checkpoint"):
        read_state_dict(tmp_path / "absent.pt")
    with pytest.raises(WeightsError, match="is a folder"):
        read_state_dict(tmp_path)


def test_sha256_is_computed_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with monkeypatch.context() as patch:
        patch.setattr(weights.hashlib, "sha256", lambda: pytest.fail("hashed twice"))
        sha256_of(path.rename(tmp_path / "other"))
    time.sleep(0.02)
    (tmp_path / "other").write_bytes(b"abd")
    assert sha256_of(tmp_path / "other").startswith("a52d159f")


def test_fill_names_the_tensors(tmp_path: Path):
    network = torch.nn.Linear(2, 3)
    state = {"weight": torch.ones(3, 4), "extra": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"lacks bias; it has besides extra; it has in other shapes weight \[3, 4\] "
                                           r"instead of \[3, 2\]"):
        fill(network, state, path=tmp_path / "w.pt", name="a line")
