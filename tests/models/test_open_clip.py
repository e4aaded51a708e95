"""feature_type=open_clip: names, tags, folders, preprocessing that belongs to the weights."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from clipreel.errors import ConfigError, WeightsError
from clipreel.models.open_clip import source
from clipreel.models.open_clip.source import clean_name, find_source
from clipreel.models.registry import identify, load_encoder
from clipreel.models.weights import sha256_of
from safetensors.torch import load_file, save_file


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict]:
    """Stands for the hub: gives one file for every tag and keeps what was asked."""
    asked: list[dict] = []
    (tmp_path / "weights.bin").write_bytes(b"weights")

    def download(config: dict, **_: object) -> str:
        asked.append(config)
        return str(tmp_path / "weights.bin")

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    return asked


@pytest.mark.parametrize(("given", "cleaned"), [
    ("ViT-B/32", "ViT-B-32"), ("ViT-L/14@336px", "ViT-L-14-336"), ("RN50x4", "RN50x4"), ("ViT-B-32", "ViT-B-32"),
])
def test_names_are_cleaned(given: str, cleaned: str):
    assert clean_name(given) == cleaned
    assert cleaned in open_clip.list_models()


def test_tag(fetched: list[dict]):
    found = identify("open_clip", "ViT-L/14", pretrained="laion2b-s32b_b82k", device="cpu")
    assert (found.model_name, found.pretrained, found.crop) == ("ViT-L-14", "laion2b_s32b_b82k", "center")
    assert fetched[0]["hf_hub"] == "laion/CLIP-ViT-L-14-laion2B-s32B-b82K/"
    followed = find_source("ViT-L/14", checkpoint=None, pretrained="laion2b_s32b_b82k")
    assert followed.preprocess_config["mean"] == (0.5,) * 3


def test_crop_is_the_models_own(fetched: list[dict]):
    assert identify("open_clip", "ViT-B-16-SigLIP", pretrained="webli", device="cpu").crop == "squash"
    assert identify("open_clip", "ViT-B-16-SigLIP", pretrained="webli", crop="center", device="cpu").crop == "center"


@pytest.mark.parametrize(("model_name", "pretrained", "message"), [
    ("ViT-B-32", "openai", "trained with QuickGELU.*use model_name=ViT-B-32-quickgelu"),
    ("ViT-B/16", "dfn2b", "use model_name=ViT-B-16-quickgelu"),
    ("ViT-L/14@336px", "openai", "use model_name=ViT-L-14-336-quickgelu"),
    ("roberta-ViT-B-32", "laion2b_s12b_b32k", "trained without QuickGELU.*use another tag"),
])
def test_quick_gelu_mismatch(fetched: list[dict], model_name: str, pretrained: str, message: str):
    with pytest.raises(ConfigError, match=message):
        identify("open_clip", model_name, pretrained=pretrained, device="cpu")
    assert not fetched, "found out before a download"


def test_quick_gelu_match(fetched: list[dict]):
    assert identify("open_clip", "ViT-B-32-quickgelu", pretrained="openai", device="cpu").pretrained == "openai"


@pytest.mark.parametrize(("model_name", "arguments", "message"), [
    ("ViT-B-33", {"pretrained": "openai"}, r"no architecture 'ViT-B-33'; did you mean 'ViT-B-.*list_models"),
    ("ViT-B-32", {"pretrained": "laion2b_s34b_b79"}, r"did you mean 'laion2b_s34b_b79k'\? \(tags of ViT-B-32: "),
    ("ViT-B-32", {}, r"needs weights: give pretrained=<tag> \(tags of ViT-B-32: openai, .*checkpoint=<file>"),
    ("ViT-B-32", {"checkpoint": "a.pt", "pretrained": "b.pt"}, "name two weight files: give one"),
    ("hf-hub:org/model", {"pretrained": "openai"}, "holds its own weights"),
    ("local-dir:/somewhere", {"checkpoint": "a.pt"}, "holds its own weights"),
])
def test_wrong_names(model_name: str, arguments: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        identify("open_clip", model_name, device="cpu", **arguments)


@pytest.mark.parametrize("argument", ["checkpoint", "pretrained"])
def test_weight_file_takes_the_published_preprocessing(tmp_path: Path, argument: str):
    (tmp_path / "w.pt").write_bytes(b"weights")
    found = find_source("ViT-B-16-SigLIP", **{"checkpoint": None, "pretrained": None, argument: str(tmp_path / "w.pt")})
    assert found.preprocess_config["resize_mode"] == "squash"
    assert found.preprocess_config["mean"] == (0.5, 0.5, 0.5)
    assert found.note
    assert "published weights" in found.note
    assert found.pretrained is None


def test_weight_file_of_an_architecture_with_several_preprocessings(tmp_path: Path):
    (tmp_path / "w.pt").write_bytes(b"weights")
    with pytest.raises(ConfigError, match=r"laion2b_s32b_b82k differ.* from openai.*add pretrained=<tag>"):
        find_source("ViT-L-14", checkpoint=str(tmp_path / "w.pt"), pretrained=None)
    found = find_source("ViT-L-14", checkpoint=str(tmp_path / "w.pt"), pretrained="laion2b_s32b_b82k")
    assert found.preprocess_config["mean"] == (0.5, 0.5, 0.5)
    assert found.weights == tmp_path / "w.pt"


def test_hub_unreachable(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: object, **__: object):
        raise FileNotFoundError("Failed to download file")

    monkeypatch.setattr(open_clip, "download_pretrained", unreachable)
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained_from_hf", unreachable)
    for model_name, pretrained in (("ViT-B-32", "laion2b_s34b_b79k"), ("hf-hub:org/model", None)):
        with pytest.raises(WeightsError, match=r"cannot get .*HF_HUB_OFFLINE=1; or give checkpoint=.*local-dir:"):
            identify("open_clip", model_name, pretrained=pretrained, device="cpu")


def test_hub_repository(monkeypatch: pytest.MonkeyPatch, small_files: dict[str, Path]):
    folder = small_files["open_clip"]
    monkeypatch.setattr(source, "_hub_file", lambda _, name: folder / (name or "open_clip_model.safetensors"))
    found = identify("open_clip", "hf-hub:org/model", device="cpu")
    assert (found.model_name, found.crop) == ("hf-hub:org/model", "pad")
    assert found.weights_sha256 == sha256_of(folder / "open_clip_model.safetensors")


def test_local_folder(small_files: dict[str, Path]):
    encoder = load_encoder("open_clip", f"local-dir:{small_files['open_clip']}", device="cpu")
    spec = encoder.preprocess
    assert (spec.image_size, spec.crop, spec.interpolation, spec.mean, spec.std) == (
        64, "pad", "bilinear", (0.5,) * 3, (0.25,) * 3)
    assert encoder.dim == 32


@pytest.fixture
def folder(tmp_path: Path, small_files: dict[str, Path]) -> Path:
    return Path(shutil.copytree(small_files["open_clip"], tmp_path / "model"))


def change_config(folder: Path, part: str, **changes: object) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config[part].update(changes)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(("part", "change", "message"), [
    ("preprocess_cfg", {"interpolation": "lanczos"}, "supported are bicubic and bilinear"),
    ("preprocess_cfg", {"resize_mode": "widest"}, "resizes by 'widest'; supported are shortest, squash, longest"),
    ("preprocess_cfg", {"fill_color": 128}, "pads with 128"),
    ("model_cfg", {"vision_cfg": {"image_size": [64, 64], "layers": 2, "width": 64, "patch_size": 16,
                                  "no_such_setting": 1}}, "open_clip cannot build"),
])
def test_settings_that_are_not_supported(folder: Path, part: str, change: dict, message: str):
    change_config(folder, part, **change)
    with pytest.raises(ConfigError, match=message):
        load_encoder("open_clip", f"local-dir:{folder}", device="cpu")


def test_frames_that_are_not_square(folder: Path):
    change_config(folder, "model_cfg", vision_cfg={"image_size": [64, 96], "layers": 2, "width": 64, "patch_size": 16})
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    state["visual.positional_embedding"] = torch.zeros(25, 64)
    save_file(state, weights)
    with pytest.raises(ConfigError, match="frames of 64x96; only square ones"):
        load_encoder("open_clip", f"local-dir:{folder}", device="cpu")


def test_folders_that_lack_something(folder: Path, tmp_path: Path):
    (folder / "open_clip_model.safetensors").rename(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"lacks open_clip_model\.safetensors or"):
        identify("open_clip", f"local-dir:{folder}", device="cpu")
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks open_clip_config\.json"):
        identify("open_clip", f"local-dir:{folder}", device="cpu")
    with pytest.raises(WeightsError, match="there is no folder"):
        identify("open_clip", "local-dir:/no/such/folder", device="cpu")


@pytest.mark.parametrize("text", ["{", "{}", '{"model_cfg": {}}', "[]"])
def test_descriptions_of_nothing(folder: Path, text: str):
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"open_clip_config\.json"):
        identify("open_clip", f"local-dir:{folder}", device="cpu")


def test_checkpoint_that_does_not_fit(folder: Path):
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    del state["ln_final.bias"]
    save_file(state, weights)
    with pytest.raises(WeightsError, match=r"does not fit local-dir:.*: it lacks ln_final\.bias\. Give the model_name"):
        load_encoder("open_clip", f"local-dir:{folder}", device="cpu")


def test_root_log_is_left_alone(small_files: dict[str, Path], caplog: pytest.LogCaptureFixture):
    handlers, filters = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    load_encoder("open_clip", f"local-dir:{small_files['open_clip']}", device="cpu").encode_text(["a dog"])
    assert "initialized randomly" not in caplog.text
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().filters == filters


def test_siglip_tokenizer_is_asked_for_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from clipreel.models.open_clip.family import Tokenizer

    def missing(*_: object, **__: object):
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")

    monkeypatch.setattr(open_clip, "get_tokenizer", missing)
    tokenizer = Tokenizer("ViT-B-16-SigLIP")
    with pytest.raises(ConfigError, match="pip install transformers"):
        tokenizer(["a dog"])
