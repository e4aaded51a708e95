"""The cheap networks that look at frames before the encoder does: low-resolution pixels, or an ImageNet classifier of
torchvision's without its last layer.

Source: the policy networks of AdaCLIP (ACM MM 2023); the layers that stay keep their published weights, MobileNetV3's
960 -> 1280 layer among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ...errors import WeightsError
from ..weights import StateDict, fill

_COUNTERS = ".num_batches_tracked"  # of BatchNorm: older files lack it, and nothing here reads it
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's "L"


@dataclass(frozen=True)
class Published:
    """A file of torchvision's, ImageNet-1K V1 (the ones of the paper), and the SHA-256 that it must have."""

    file_name: str
    sha256: str

    @property
    def url(self) -> str:
        return f"https://download.pytorch.org/models/{self.file_name}"


@dataclass(frozen=True)
class Backbone:
    """One of them. `resize_size`: the picture's short side before the square of image_size is cut out of its middle."""

    dim: int
    image_size: int
    resize_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    build: Callable[[], nn.Module]  # pixels float [n, 3, S, S] -> [n, dim]
    classifier: tuple[str, ...] = ()  # what the names of the layers that are left out begin with
    published: Published | None = None


class GreyPixels(nn.Module):
    """The picture itself: grey levels from 0 to 1, a row a picture. Has no weights."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, S, S] in 0..1 -> [n, S * S]."""
        weights = torch.tensor(_GREY, device=pixels.device).view(3, 1, 1)
        return (pixels.float() * weights).sum(1).flatten(1).to(pixels.dtype)


def build_with_weights(name: str, state: StateDict, path: Path) -> nn.Module:
    """The network with the weights of a file: torchvision's whole classifier, or what a training here has written.

    Frozen and in evaluation mode, so that BatchNorm's statistics stay. Raises WeightsError where a tensor does not fit.
    """
    backbone = BACKBONES[name]
    with torch.device("meta"):  # no random numbers for weights that come from the file
        network = backbone.build()
    expected = network.state_dict()
    kept = {key: value.to(torch.float32, copy=True) if value.is_floating_point() else value.clone()
            for key, value in state.items() if not key.startswith(backbone.classifier)}
    kept |= {key: torch.zeros_like(value, device="cpu") for key, value in expected.items()
             if key.endswith(_COUNTERS) and key not in kept}
    fill(network, kept, path=path, name=f"torchvision's {name}", assign=True)
    return network.eval().requires_grad_(False)


def build_without_weights(name: str) -> nn.Module:
    """The network of a backbone that has none. Raises WeightsError for one that has."""
    backbone = BACKBONES[name]
    if backbone.published is not None:
        raise WeightsError(f"the policy backbone {name} has weights: load them")
    return backbone.build().eval()


def _mobilenet_v2() -> nn.Module:
    from torchvision.models import mobilenet_v2

    network = mobilenet_v2(weights=None)
    network.classifier = nn.Sequential()  # the pooled 1280 channels as they are
    return network


def _mobilenet_v3_large() -> nn.Module:
    from torchvision.models import mobilenet_v3_large

    network = mobilenet_v3_large(weights=None)
    network.classifier = network.classifier[:2]  # Linear 960 -> 1280 and Hardswish stay; Dropout and the last Linear go
    return network


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.fc = nn.Sequential()  # pyright: ignore[reportAttributeAccessIssue]
    return network


def _imagenet(dim: int, build: Callable[[], nn.Module], classifier: str, published: Published) -> Backbone:
    return Backbone(dim, 224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), build, (classifier,), published)


BACKBONES = {
    "raw": Backbone(56 * 56, 56, 56, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), GreyPixels),
    "mobilenet_v2": _imagenet(1280, _mobilenet_v2, "classifier.1.", Published(
        "mobilenet_v2-b0353104.pth", "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889")),
    "mobilenet_v3_large": _imagenet(1280, _mobilenet_v3_large, "classifier.3.", Published(
        "mobilenet_v3_large-8738ca79.pth", "8738ca797c879b547d18bbd15da5736ff2557b2036a9af72225393ca61759a04")),
    "resnet50": _imagenet(2048, _resnet50, "fc.", Published(
        "resnet50-0676ba61.pth", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a")),
}
