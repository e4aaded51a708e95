"""What every encoder of pictures and texts keeps, whichever family it is of; a family without a small model here fails.

feature_type=policy has no text tower: test_policy.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clipreel import serve_encoder
from clipreel.errors import ConfigError
from clipreel.models.base import Encoder
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.registry import ENCODERS, identify, load_encoder

PRECISIONS = ("float32", "bfloat16", "float16")


def small_model(feature_type: str, files: dict[str, Path]) -> tuple[str, dict[str, Any]]:
    """model_name and further arguments."""
    return {
        "clip": ("custom", {"checkpoint": str(files["vit"])}),
        "clip resnet": ("custom", {"checkpoint": str(files["resnet"])}),
        "open_clip": (f"local-dir:{files['open_clip']}", {}),
        "viclip": ("custom", {"checkpoint": str(files["viclip"])}),
    }[feature_type]


@pytest.fixture(scope="module", params=[*(name for name in ENCODERS if name != "policy"), "clip resnet"])
def case(request: pytest.FixtureRequest, small_files: dict[str, Path]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if request.param == "remote":
        with serve_encoder(feature_type="clip", model_name="custom", checkpoint=small_files["vit"], device="cpu", port=0) as server:
            yield "remote", "any", {"url": server.url}
    else:
        yield request.param.split()[0], *small_model(request.param, small_files)


@pytest.fixture(scope="module")
def encoder(case: tuple[str, str, dict[str, Any]]) -> Encoder:
    feature_type, model_name, arguments = case
    return load_encoder(feature_type, model_name, device="cpu", **arguments)


@pytest.fixture
def frames(encoder: Encoder, pictures: np.ndarray) -> torch.Tensor:
    """Four inputs of the encoder: single frames, or windows of them."""
    crops = preprocess_frames(pictures, encoder.preprocess)  # [4, 3, S, S]
    length = getattr(encoder, "num_frames", None)
    if length is None:
        return crops
    return torch.stack([torch.stack([crop.roll(5 * time, dims=2) for time in range(length)]) for crop in crops])


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(left.double(), right.double()).min().item()


def test_frames_to_float32_rows(encoder: Encoder, frames: torch.Tensor):
    features = encoder.encode(frames)
    assert features.shape == (4, encoder.dim)
    assert features.dtype == torch.float32
    assert features.device == encoder.device
    assert features.isfinite().all()
    assert cosine(features[:1], features[1:2]) < 0.99999, "different frames, different features"


def test_same_frames_same_features(encoder: Encoder, frames: torch.Tensor):
    assert torch.equal(encoder.encode(frames), encoder.encode(frames))


def test_batch_size_changes_nothing(encoder: Encoder, frames: torch.Tensor):
    one_by_one = torch.cat([encoder.encode(frame[None]) for frame in frames])
    assert cosine(one_by_one, encoder.encode(frames)) > 0.999999


def test_empty_batches(encoder: Encoder, frames: torch.Tensor):
    assert encoder.encode(frames[:0]).shape == (0, encoder.dim)
    assert encoder.encode_text([]).shape == (0, encoder.dim)


def test_texts_share_the_space(encoder: Encoder):
    features = encoder.encode_text(["a dog", "a red circle moves to the right"])
    assert features.shape == (2, encoder.dim)
    assert features.dtype == torch.float32
    assert not torch.equal(features[0], features[1])
    assert encoder.logit_scale == (100 if encoder.identity.feature_type == "viclip" else pytest.approx(1 / 0.07, rel=1e-3))


def test_many_texts_are_their_parts(encoder: Encoder):
    texts = [f"number {i}" for i in range(150)]
    assert cosine(encoder.encode_text(texts)[-2:], encoder.encode_text(texts[-2:])) > 0.999999


def test_too_long_text(encoder: Encoder):
    if encoder.identity.feature_type == "viclip":
        pytest.skip("cuts as its original does, and says so: test_encoder.py")
    with pytest.raises(ConfigError, match="longer than the 77 tokens"):
        encoder.encode_text(["fine", "word " * 76])
    assert encoder.encode_text(["word " * 75]).shape == (1, encoder.dim)


def test_one_sentence_alone_is_refused(encoder: Encoder):
    with pytest.raises(ValueError, match="a list of one"):
        encoder.encode_text("a dog")


@pytest.mark.parametrize("wrong", [torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 64, dtype=torch.uint8),
                                   torch.zeros(3, 64, 64, dtype=torch.uint8),
                                   torch.zeros(1, 64, 64, 3, dtype=torch.uint8)])
def test_other_tensors_are_refused(encoder: Encoder, wrong: torch.Tensor):
    with pytest.raises(ValueError, match="uint8 RGB frames"):
        encoder.encode(wrong)


def test_no_gradients(encoder: Encoder, frames: torch.Tensor):
    assert not encoder.encode(frames).requires_grad
    assert not encoder.encode_text(["a dog"]).requires_grad


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precision(case: tuple[str, str, dict[str, Any]], encoder: Encoder, frames: torch.Tensor, precision: Any):
    feature_type, model_name, arguments = case
    if feature_type == "remote" and precision != "float32":
        pytest.skip("the server's own: tests/serving/test_remote.py")
    lower = load_encoder(feature_type, model_name, precision=precision, device="cpu", **arguments)
    assert lower.identity.precision == precision
    assert lower.encode(frames).dtype == torch.float32
    assert cosine(lower.encode(frames), encoder.encode(frames)) > 0.99
    assert cosine(lower.encode_text(["a dog"]), encoder.encode_text(["a dog"])) > 0.99
    assert lower.logit_scale == encoder.logit_scale


@pytest.mark.parametrize("settings", [{}, {"crop": "pad"}, {"crop": "center", "precision": "bfloat16"},
                                      {"preprocess": "pil"}, {"crop": "squash"}], ids=str)
def test_identity_is_known_beforehand(case: tuple[str, str, dict[str, Any]], settings: dict[str, Any]):
    feature_type, model_name, arguments = case
    if feature_type == "remote" and settings:
        pytest.skip("the server's own: tests/serving/test_remote.py")
    known = identify(feature_type, model_name, device="cpu", **arguments, **settings)
    loaded = load_encoder(feature_type, model_name, device="cpu", **arguments, **settings)
    assert known == loaded.identity
    assert known.feature_type == ("clip" if feature_type == "remote" else feature_type)
    assert known.precision == settings.get("precision", "float32")
    assert known.crop == loaded.preprocess.crop == settings.get("crop", known.crop)
    assert known.preprocess == loaded.preprocess.backend == settings.get("preprocess", "tensor")
    assert len(known.weights_sha256) == 64


def test_unknown_feature_type():
    with pytest.raises(ConfigError, match=r"'open-clip'; did you mean 'open_clip'\?"):
        load_encoder("open-clip", "ViT-B-32")


@pytest.mark.parametrize(("setting", "message"), [
    ({"precision": "bf16"}, "precision=bf16 is unknown"),
    ({"crop": "centre"}, "did you mean 'center'"),
    ({"preprocess": "cv2"}, "preprocess=cv2 is unknown.*tensor, pil"),
    ({"recipe": "vbench"}, "recipe=vbench is unknown.*demo, train"),
    ({"device": "gpu"}, "device=gpu is no device"),
    ({"device": "cuda:99"}, "device=cuda:99 is not present"),
    ({"device": "meta"}, "device=meta is not supported"),
])
@pytest.mark.parametrize("call", [load_encoder, identify])
def test_wrong_settings(call: Any, setting: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        call("clip", "tiny", **setting)


def test_default_device():
    pytest.importorskip("torch")
    expected = "float16" if torch.cuda.is_available() else "float32"
    assert identify("clip", "ViT-B/32").precision == expected


def test_registry_waits_with_torch():
    code = ("import sys, clipreel.models.registry, clipreel.models.clip.archives; "
            "sys.exit(1 if {'torch', 'clip', 'open_clip', 'numpy'} & set(sys.modules) else 0)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
