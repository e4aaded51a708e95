"""The cheap looks at frames: torchvision's networks without their last layer, with random weights at true architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clipreel.errors import ConfigError, WeightsError
from clipreel.models.policy import family
from clipreel.models.policy.backbones import BACKBONES
from clipreel.models.policy.encoder import PolicyEncoder
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.registry import identify, load_encoder
from PIL import Image
from torch import nn
from torchvision import models, transforms

CNNS = ("mobilenet_v2", "mobilenet_v3_large", "resnet50")
DIMS = {"raw": 3136, "mobilenet_v2": 1280, "mobilenet_v3_large": 1280, "resnet50": 2048}


def random_network(name: str) -> nn.Module:
    """torchvision's own, with statistics that tell pictures apart: those of some noise."""
    torch.manual_seed(3)
    network = getattr(models, name)(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.nn.functional.interpolate(torch.randn(8, 3, 14, 14), size=224))
    return network.eval()


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    return {name: random_network(name) for name in CNNS}


@pytest.fixture(scope="module")
def files(theirs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As torchvision publishes them: the whole classifier."""
    folder = tmp_path_factory.mktemp("policy")
    for name, network in theirs.items():
        torch.save(network.state_dict(), folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in theirs}


def load(name: str, files: dict[str, Path], **settings: Any) -> PolicyEncoder:
    checkpoint = str(files[name]) if name in files else None
    encoder: Any = load_encoder("policy", name, checkpoint=checkpoint, device="cpu", **settings)
    return encoder


def pooled(name: str, network: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What torchvision's network has before Dropout and its last Linear, by its own modules."""
    if name == "resnet50":
        stem = network.maxpool(network.relu(network.bn1(network.conv1(pixels))))
        return network.layer4(network.layer3(network.layer2(network.layer1(stem)))).mean((2, 3))
    features = network.features(pixels).mean((2, 3))
    if name == "mobilenet_v3_large":
        return nn.functional.hardswish(network.classifier[0](features))
    return features


@pytest.mark.parametrize("name", CNNS)
def test_torchvisions_network_up_to_its_last_layer(name: str, theirs, files, pictures: np.ndarray):
    transform = transforms.Compose([
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224),
        transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    pixels: Any = [transform(Image.fromarray(picture)) for picture in pictures]
    with torch.no_grad():
        expected = pooled(name, theirs[name], torch.stack(pixels))
    encoder = load(name, files)
    features = encoder.encode(preprocess_frames(pictures, encoder.preprocess))
    assert features.shape == (4, DIMS[name]) == (4, encoder.dim)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3)
    tells_apart, should = features - features.mean(0), expected - expected.mean(0)
    assert torch.nn.functional.cosine_similarity(tells_apart, should).min() > 0.9999
    assert should.norm() > 0.05 * expected.norm(), "different pictures, different features"


def test_the_layer_before_the_last_keeps_its_weights(theirs, files):
    """The original's initialisation ran after the weights were loaded, and wrote over MobileNetV3's 960 -> 1280 layer."""
    kept = load("mobilenet_v3_large", files).network.get_parameter("classifier.0.weight")
    assert kept.shape == (1280, 960)
    assert torch.equal(kept, theirs["mobilenet_v3_large"].classifier[0].weight)


def test_raw_is_the_picture_in_grey(pictures: np.ndarray):
    encoder = load("raw", {})
    features = encoder.encode(preprocess_frames(pictures, encoder.preprocess))
    assert features.shape == (4, 3136)
    small = [transforms.CenterCrop(56)(Image.fromarray(picture).resize((99, 56), Image.Resampling.BICUBIC)) for picture in pictures]
    expected = np.stack([np.asarray(picture.convert("L"), dtype=np.float32).reshape(-1) / 255 for picture in small])
    assert np.abs(features.numpy() - expected).max() < 1.01 / 255
    assert encoder.identity.weights_sha256 == identify("policy", "raw", device="cpu").weights_sha256


@pytest.mark.parametrize("name", DIMS)
def test_frozen_and_without_gradients(name: str, files, pictures: np.ndarray):
    encoder = load(name, files)
    crops = preprocess_frames(pictures[:2], encoder.preprocess)
    before = {key: value.clone() for key, value in encoder.network.state_dict().items()}
    first = encoder.encode(crops)
    assert not first.requires_grad
    assert not encoder.features(crops).requires_grad
    assert not any(module.training for module in encoder.network.modules())
    assert all(torch.equal(value, before[key]) for key, value in encoder.network.state_dict().items())
    assert torch.equal(first, encoder.encode(crops))
    assert encoder.encode(crops[:0]).shape == (0, DIMS[name])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["raw", "mobilenet_v3_large"])
def test_lower_precision(name: str, files, pictures: np.ndarray, precision: str):
    encoder, lower = load(name, files), load(name, files, precision=precision)
    crops = preprocess_frames(pictures, encoder.preprocess)
    assert lower.encode(crops).dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(lower.encode(crops), encoder.encode(crops)).min() > 0.99


@pytest.mark.parametrize("name", CNNS)
def test_a_file_without_the_last_layer_and_without_counters(name: str, theirs, files, tmp_path: Path):
    """What a training here writes, and what torchvision's oldest files lack."""
    whole = load(name, files).network.state_dict()
    torch.save({key: value for key, value in whole.items() if not key.endswith("num_batches_tracked")}, tmp_path / "w.pth")
    again = load(name, {name: tmp_path / "w.pth"}).network.state_dict()
    assert whole.keys() == again.keys() < theirs[name].state_dict().keys()
    assert all(torch.equal(value, again[key]) for key, value in whole.items() if not key.endswith("num_batches_tracked"))


def test_identity_is_known_beforehand_and_downloads_nothing(files):
    for name in CNNS:
        published = BACKBONES[name].published
        assert published is not None
        assert len(published.sha256) == 64
        assert published.sha256.startswith(published.file_name.removesuffix(".pth").rpartition("-")[2])
        assert identify("policy", name, device="cpu").weights_sha256 == published.sha256
        assert identify("policy", name, checkpoint=str(files[name]), device="cpu") == load(name, files).identity


def test_published_weights_are_fetched_and_verified(monkeypatch, tmp_path: Path):
    asked = []
    monkeypatch.setattr(family, "fetch", lambda url, sha256: asked.append((url, sha256)) or tmp_path / "missing")
    with pytest.raises(WeightsError, match="there is no checkpoint"):
        load_encoder("policy", "resnet50", device="cpu")
    assert asked == [("https://download.pytorch.org/models/resnet50-0676ba61.pth",
                      "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a")]


@pytest.mark.parametrize(("name", "settings", "message"), [
    ("mobilenet", {}, "no model_name 'mobilenet'; did you mean 'mobilenet_v2'"),
    ("raw", {"checkpoint": "x.pth"}, "has no weights: leave it out"),
    ("resnet50", {"pretrained": "imagenet"}, "pretrained=imagenet does not go with feature_type=policy"),
    ("resnet50", {"recipe": "demo"}, "recipe=demo does not go with"),
])
def test_wrong_arguments(name: str, settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        load_encoder("policy", name, device="cpu", **settings)


def test_weights_of_another_network(files):
    with pytest.raises(WeightsError, match="does not fit torchvision's mobilenet_v2"):
        load("mobilenet_v2", {"mobilenet_v2": files["resnet50"]})


def test_texts_are_refused():
    encoder = load("raw", {})
    with pytest.raises(ConfigError, match="no text tower"):
        encoder.encode_text(["a dog"])
    with pytest.raises(ConfigError, match="no text tower"):
        _ = encoder.logit_scale


def test_pixels_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"uint8 RGB frames \[n, 3, 56, 56\]"):
        load("raw", {}).encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
