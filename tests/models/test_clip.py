"""feature_type=clip: names, architectures read from shapes, and what wrong checkpoints are told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from clipreel.errors import ConfigError, WeightsError
from clipreel.models.clip import family
from clipreel.models.clip.architecture import ARCHITECTURES, Architecture, import_clip, infer, name_of
from clipreel.models.clip.archives import ARCHIVES
from clipreel.models.precision import lower_precision
from clipreel.models.registry import identify, load_encoder
from safetensors.torch import save_file

SMALL_VIT = Architecture(32, 64, 2, 64, 16, 77, 49408, 64, 1, 2)
StateDict = dict[str, torch.Tensor]


def meta_state(architecture: Architecture) -> StateDict:
    import_clip()
    from clip.model import CLIP

    with torch.device("meta"):
        return CLIP(*dataclasses.astuple(architecture)).state_dict()  # pyright: ignore[reportArgumentType]


def test_archives_are_those_of_the_package():
    import_clip()
    from clip import clip

    assert {name: archive.url for name, archive in ARCHIVES.items()} == clip._MODELS


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_is_read_from_shapes(name: str):
    found = infer(meta_state(ARCHITECTURES[name]), Path("w.pt"))
    assert found == ARCHITECTURES[name]
    assert name_of(found) == name
    assert ARCHITECTURES.keys() == ARCHIVES.keys()


def test_small_architectures(small_state: StateDict):
    assert infer(small_state, Path("w.pt")) == SMALL_VIT
    assert name_of(SMALL_VIT) is None


def test_published_names_need_no_file_to_be_identified(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(family, "fetch", lambda *_: pytest.fail("it was fetched"))
    found = identify("clip", "ViT-L/14@336px", device="cpu", precision="bfloat16")
    assert found.weights_sha256 == ARCHIVES["ViT-L/14@336px"].sha256
    assert (found.model_name, found.pretrained, found.crop) == ("ViT-L/14@336px", None, "center")


def test_published_weights_are_fetched(monkeypatch: pytest.MonkeyPatch, small_files: dict[str, Path]):
    asked = []
    monkeypatch.setattr(family, "fetch", lambda *what: asked.append(what) or small_files["vit"])
    monkeypatch.setitem(ARCHITECTURES, "ViT-B/32", SMALL_VIT)
    encoder = load_encoder("clip", "ViT-B/32", device="cpu")
    assert asked == [(ARCHIVES["ViT-B/32"].url, ARCHIVES["ViT-B/32"].sha256)]
    assert (encoder.dim, encoder.preprocess.image_size) == (32, 64)
    assert encoder.preprocess.mean == (0.48145466, 0.4578275, 0.40821073)
    assert encoder.preprocess.std == (0.26862954, 0.26130258, 0.27577711)


def test_tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_state: StateDict):
    monkeypatch.setattr(family, "TINY_PATH", tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is missing from this installation"):
        load_encoder("clip", "tiny", device="cpu")
    save_file(small_state, tmp_path / "tiny.safetensors")
    assert load_encoder("clip", "tiny", device="cpu").dim == 32
    with pytest.raises(ConfigError, match="use model_name=custom"):
        load_encoder("clip", "tiny", checkpoint="other.pt", device="cpu")


def test_custom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_state: StateDict):
    assert family.CUSTOM_PATH.parts[-4:] == ("models", "clip", "checkpoints", "CLIP-custom.pth")
    monkeypatch.setattr(family, "CUSTOM_PATH", tmp_path / "CLIP-custom.pth")
    with pytest.raises(WeightsError, match=r"give checkpoint=<file>, or put the checkpoint at .*CLIP-custom\.pth"):
        identify("clip", "custom", device="cpu")
    torch.save({"state_dict": {f"module.{key}": value for key, value in small_state.items()}}, family.CUSTOM_PATH)
    assert load_encoder("clip", "custom", device="cpu").dim == 32


def test_checkpoint_must_be_what_its_name_says(small_files: dict[str, Path]):
    with pytest.raises(WeightsError, match=r"is no ViT-B/32 but embed_dim 32, .*use model_name=custom$"):
        load_encoder("clip", "ViT-B/32", checkpoint=str(small_files["vit"]), device="cpu")


def test_checkpoint_of_another_of_the_nine(monkeypatch: pytest.MonkeyPatch, small_files: dict[str, Path]):
    monkeypatch.setitem(ARCHITECTURES, "ViT-B/16", SMALL_VIT)
    with pytest.raises(WeightsError, match="no ViT-B/32 but a ViT-B/16: use model_name=custom or model_name=ViT-B/16"):
        load_encoder("clip", "ViT-B/32", checkpoint=str(small_files["vit"]), device="cpu")


@pytest.mark.parametrize(("model_name", "message"), [
    ("ViT-B-32", r"did you mean 'ViT-B/32'\? \(allowed: RN50, .*tiny, custom; for others, feature_type=open_clip"),
    ("vit-l/14", "did you mean 'ViT-L/14'"),
    ("nothing", r"no model_name 'nothing' \(allowed"),
])
def test_unknown_names(model_name: str, message: str):
    with pytest.raises(ConfigError, match=message):
        identify("clip", model_name, device="cpu")


def test_pretrained_is_for_open_clip():
    with pytest.raises(ConfigError, match="use feature_type=open_clip"):
        identify("clip", "ViT-B/32", pretrained="openai", device="cpu")


FOREIGN = {
    "a ResNet classifier": {"layer1.0.conv1.weight": (64, 64, 1, 1), "fc.weight": (1000, 2048)},
    "an open_clip network": {"visual.trunk.norm.weight": (768,), "text.transformer.x": (1,), "logit_scale": ()},
    "a ViCLIP": {"vision_encoder.conv1.weight": (768, 3, 1, 16, 16), "text_encoder.ln_final.weight": (512,)},
    "Hugging Face": {"text_model.final_layer_norm.weight": (512,), "logit_scale": ()},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_networks_are_told_apart(kind: str, tmp_path: Path):
    torch.save({key: torch.ones(shape) for key, shape in FOREIGN[kind].items()}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=f"no CLIP of OpenAI's architecture but .*{kind}.*it lacks text_projection"):
        load_encoder("clip", "custom", checkpoint=str(tmp_path / "w.pt"), device="cpu")


@pytest.mark.parametrize(("change", "message"), [
    ({"ln_final.bias": None}, r"lacks ln_final\.bias"),
    ({"surplus": torch.ones(1)}, "has besides surplus"),
    ({"visual.ln_pre.weight": torch.ones(65)}, r"visual\.ln_pre\.weight \[65\] instead of \[64\]"),
    ({"visual.positional_embedding": torch.ones(16, 64)}, "for 15 cells, which is no square"),
    ({"visual.conv1.weight": torch.ones(64, 3)}, r"visual\.conv1\.weight in the shape \[64, 3\]"),
    ({"token_embedding.weight": torch.ones(10, 64)}, "has 10 tokens"),
    ({"text_projection": torch.ones(60, 32)}, "60 wide, which is no multiple of 64"),
    ({"visual.proj": None}, r"lacks visual\.layer1\.0\.conv1\.weight"),
])
def test_damaged_networks(small_state: StateDict, tmp_path: Path, change: dict, message: str):
    state = {key: value for key, value in {**small_state, **change}.items() if value is not None}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        load_encoder("clip", "custom", checkpoint=str(tmp_path / "w.pt"), device="cpu")


@pytest.mark.parametrize("file", ["vit", "resnet"])
def test_sixteen_bits_where_openai_has_them(small_files: dict[str, Path], file: str):
    import_clip()
    from clip.model import convert_weights
    from clipreel.models.clip.architecture import build
    from clipreel.models.weights import read_state_dict

    state = read_state_dict(small_files[file])
    ours, theirs = (build(infer(state, small_files[file]), state, small_files[file]) for _ in range(2))
    lower_precision(ours, torch.float16)
    convert_weights(theirs)
    dtypes = {key: value.dtype for key, value in ours.state_dict().items()}
    assert dtypes == {key: value.dtype for key, value in theirs.state_dict().items()}
    assert set(dtypes.values()) >= {torch.float16, torch.float32}


def test_a_running_network_does_not_follow_its_file(tmp_path: Path, small_state: StateDict):
    path = tmp_path / "w.safetensors"
    save_file(small_state, path)
    encoder = load_encoder("clip", "custom", checkpoint=str(path), device="cpu")
    frames = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    before = encoder.encode(frames)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * (path.stat().st_size // 2))
    assert torch.equal(encoder.encode(frames), before)


def test_attention_is_fused(small_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention",
                        lambda *given, **named: calls.append(1) or fused(*given, **named))
    encoder = load_encoder("clip", "custom", checkpoint=str(small_files["vit"]), device="cpu")
    encoder.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert len(calls) == 2
