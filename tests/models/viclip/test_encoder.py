"""The encoder of feature_type=viclip: loading, texts, recipes, errors. What all encoders keep is in test_registry.py."""

import logging
from typing import cast

import numpy as np
import open_clip
import pytest
import torch
from clipreel.errors import ConfigError, WeightsError
from clipreel.models.base import WindowEncoder
from clipreel.models.registry import identify, load_encoder
from clipreel.models.viclip import family, source
from clipreel.models.viclip.tokenizer import count_tokens, tokenize
from clipreel.tests.viclip_small import small_state
from safetensors.torch import save_file

TEXTS = ["a dog", "", "Two  dogs\trun\nacross",
         "café &amp;amp; naïve &lt;b&gt;", "🙂 emoji 👩‍👩‍👧 here", "year 2024, 3.14%", "x" * 500,
         "word " * 30, "word " * 31, "word " * 90, "don't we'll I'M", "日本語のテキスト"]


@pytest.fixture(scope="module")
def state():
    return small_state()


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("viclip") / "small.pth"
    torch.save({"model": state}, path)
    return path


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return load_encoder("viclip", "custom", checkpoint=str(checkpoint), device="cpu")


@pytest.fixture(scope="module")
def windows():
    return torch.randint(0, 256, (3, 8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


# loading


WAYS = {
    "as published": lambda state, path: torch.save({"model": state}, path),
    "bare": torch.save,
    "module.": lambda state, path: torch.save({f"module.{key}": value for key, value in state.items()}, path),
    "both": lambda state, path: torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, path),
    "safetensors": lambda state, path: save_file({key: value.contiguous() for key, value in state.items()}, path),
    "float16": lambda state, path: torch.save({"model": {key: value.half() for key, value in state.items()}}, path),
    "legacy": lambda state, path: torch.save({"model": state}, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_storing_it(way, state, encoder, windows, tmp_path):
    path = tmp_path / "weights.pth"
    WAYS[way](state, path)
    again = load_encoder("viclip", "custom", checkpoint=str(path), device="cpu")
    tolerance = 0.05 if way == "float16" else 0.0
    assert (again.encode(windows) - encoder.encode(windows)).abs().max() <= tolerance
    assert (again.encode_text(["a dog"]) - encoder.encode_text(["a dog"])).abs().max() <= tolerance


def without(key):
    return lambda state: {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(("change", "message"), [
    (without("temp"), "does not fit the ViCLIP that its shapes suggest: it lacks temp"),
    (without("vision_encoder.ln_post.bias"), "it lacks vision_encoder.ln_post.bias"),
    (without("vision_encoder.conv1.weight"), "is no ViCLIP: it lacks vision_encoder.conv1.weight"),
    (lambda state: {**state, "logit_scale": torch.zeros(())}, "it has besides logit_scale"),
    (lambda state: {**state, "vision_encoder.proj": torch.zeros(64, 31)}, r"vision_encoder.proj \[64, 31\] instead of \[64, 32\]"),
    (lambda state: {"visual.proj": torch.zeros(3)}, "is no ViCLIP but a CLIP .use feature_type=clip."),
    (lambda state: {"model": 3}, "no tensors: model"),
])
def test_what_does_not_fit_is_refused(change, message, state, tmp_path):
    torch.save(change(state), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        load_encoder("viclip", "custom", checkpoint=str(tmp_path / "w.pth"), device="cpu")


class Runs:
    def __reduce__(self):
        return (pytest.fail, ("the checkpoint was executed",))


def test_nothing_is_executed(state, tmp_path):
    torch.save({"model": state, "args": Runs()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds more than tensors"):
        load_encoder("viclip", "custom", checkpoint=str(tmp_path / "w.pth"), device="cpu")


@pytest.mark.parametrize("name", ["ViCLIP-L", "ViCLIP-B"])
def test_the_name_must_be_true(name, checkpoint):
    with pytest.raises(WeightsError, match=rf"is no {name} but embed_dim 32, .*use model_name=custom"):
        load_encoder("viclip", name, checkpoint=str(checkpoint), device="cpu")


@pytest.mark.parametrize(("model_name", "arguments", "message"), [
    ("ViCLIP-l", {}, "did you mean 'ViCLIP-L'"),
    ("ViCLIP-L", {}, "checkpoint=hf-hub:OpenGVLab/ViCLIP"),
    ("ViCLIP-L", {"pretrained": "openai"}, "pretrained=openai does not go with feature_type=viclip"),
    ("ViCLIP-L", {"checkpoint": "hf-hub:OpenGVLab"}, "<org>/<repository>"),
    ("custom", {"recipe": "demo", "crop": "center"}, "crop=center does not go with recipe=demo"),
    ("custom", {"recipe": "demo", "preprocess": "pil"}, "preprocess=pil does not go with recipe=demo"),
    ("custom", {"recipe": "vbench"}, r"recipe=vbench is unknown.*demo, train, null"),
])
@pytest.mark.parametrize("call", [load_encoder, identify])
def test_wrong_settings(call, model_name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        call("viclip", model_name, device="cpu", **arguments)


@pytest.mark.parametrize("feature_type", ["clip", "open_clip"])
@pytest.mark.parametrize("call", [load_encoder, identify])
def test_other_families_have_no_recipe(feature_type, call):
    with pytest.raises(ConfigError, match=f"recipe=demo does not go with feature_type={feature_type}"):
        call(feature_type, "ViT-B-32" if feature_type == "open_clip" else "ViT-B/32", recipe="demo", device="cpu")


# recipes


def test_recipes_are_recorded_and_change_the_picture(checkpoint, pictures):
    from clipreel.models.preprocess import preprocess_frames

    default, demo, train = (cast(WindowEncoder, load_encoder("viclip", "custom", checkpoint=str(checkpoint), recipe=recipe,
                                                             device="cpu")) for recipe in (None, "demo", "train"))
    assert default.identity == train.identity != demo.identity
    assert (demo.identity.recipe, train.identity.recipe) == ("demo", "train")
    assert demo.identity.crop == train.identity.crop == "squash"
    assert demo.choose_frames(32).tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    assert train.choose_frames(32).tolist() == [1, 5, 9, 13, 17, 21, 25, 29]
    difference = preprocess_frames(pictures, demo.preprocess).float() - preprocess_frames(pictures, train.preprocess).float()
    assert difference.abs().max() > 1
    with_crop = load_encoder("viclip", "custom", checkpoint=str(checkpoint), crop="center", device="cpu")
    assert with_crop.preprocess.crop == with_crop.identity.crop == "center"


# texts


@pytest.mark.parametrize("context_length", [32, 77])
def test_tokens_are_open_clips(context_length):
    theirs = open_clip.SimpleTokenizer(context_length=context_length)(TEXTS)
    assert torch.equal(tokenize(TEXTS, context_length).long(), theirs.long())


def test_token_counts(encoder):
    assert encoder.token_counts(["a dog", "", "word " * 30, "word " * 31]) == [4, 2, 32, 33]
    tokenizer = open_clip.SimpleTokenizer()
    assert [count_tokens(text) for text in TEXTS] == [len(tokenizer.encode(text)) + 2 for text in TEXTS]


def test_too_long_texts_lose_their_ends_and_it_is_said(encoder, caplog):
    caplog.set_level(logging.INFO)
    short = encoder.encode_text(["word " * 30, "a dog"])
    assert not caplog.records
    long = encoder.encode_text(["word " * 50, "a dog", "word " * 60])
    assert torch.allclose(short[0], long[0], atol=1e-6) and torch.allclose(long[0], long[2], atol=1e-6)
    (record,) = caplog.records
    assert "2 of 3 texts are longer" in record.message
    assert "first 32 tokens" in record.message


def test_context_length(checkpoint):
    arguments = {"checkpoint": str(checkpoint), "pretrained": None, "precision": "float32", "crop": None,
                 "preprocess": "tensor", "recipe": None, "device": "cpu"}
    with pytest.raises(ConfigError, match="longer than the 32 tokens"):
        family.load("custom", context_length=77, **arguments)
    grown = family.load("custom", context_length=77, untrained_context=True, **arguments)
    assert grown.context_length == 77
    assert grown.encode_text(["word " * 60]).shape == (1, 32)


# windows


def test_single_frames_are_taken_as_windows_of_one(encoder, windows):
    assert encoder.num_frames == 8
    assert encoder.encode(windows[:, :1]).shape == (3, 32)
    with pytest.raises(ValueError, match=r"uint8 RGB frames \[n, 8, 3, 32, 32\], not torch.uint8 \[3, 4, 3, 32, 32\]"):
        encoder.encode(windows[:, :4])


def test_order_of_frames(encoder, windows):
    assert not np.allclose(encoder.encode(windows), encoder.encode(windows.flip(1)), atol=1e-3)


# the hub


def hub(monkeypatch, tmp_path, files, *, online=True, cached=False):
    """A hub of one repository, and what was downloaded from it."""
    import huggingface_hub

    got = []

    def listing(repository):
        if not online:
            raise ConnectionError("Name or service not known")
        return files

    def download(repository, name):
        if not online and not cached:
            raise ConnectionError("Name or service not known")
        got.append((repository, name))
        return str(tmp_path / name)

    def snapshot(repository, local_files_only):
        assert local_files_only
        if not cached:
            raise FileNotFoundError("Cannot find an appropriate cached snapshot folder")
        return str(tmp_path)

    source._fetch.cache_clear()
    monkeypatch.setattr(huggingface_hub, "list_repo_files", listing)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return got


@pytest.mark.parametrize(("checkpoint", "files", "chosen"), [
    ("hf-hub:a/b", ["README.md", "model.pth"], "model.pth"),
    ("hf-hub:a/b", ["model.pth", "model.safetensors", "config.json"], "model.safetensors"),
    ("hf-hub:a/b", ["ViCLIP-B_x.pth", "ViCLIP-L_x.pth"], "ViCLIP-L_x.pth"),
    ("hf-hub:a/b/sub/one.pth", [], "sub/one.pth"),
])
def test_hub(checkpoint, files, chosen, monkeypatch, tmp_path):
    got = hub(monkeypatch, tmp_path, files)
    assert source.find_weights("ViCLIP-L", checkpoint) == tmp_path / chosen
    assert source.find_weights("ViCLIP-L", checkpoint) == tmp_path / chosen
    assert got == [("a/b", chosen)]  # once


@pytest.mark.parametrize(("files", "message"), [
    (["x.pth", "y.pth"], r"several weight files \(x.pth, y.pth\): name one, as in checkpoint=hf-hub:a/b/x.pth"),
    (["ViCLIP-L_x.pth", "ViCLIP-L_y.pth"], "ViCLIP-L_x.pth, ViCLIP-L_y.pth"),
    (["README.md"], r"holds no weight file \(found: README.md\)"),
    ([], "found: nothing"),
])
def test_hub_without_a_clear_choice(files, message, monkeypatch, tmp_path):
    hub(monkeypatch, tmp_path, files)
    with pytest.raises(WeightsError, match=message):
        source.find_weights("ViCLIP-L", "hf-hub:a/b")


@pytest.mark.parametrize("checkpoint", ["hf-hub:a/b", "hf-hub:a/b/x.pth"])
def test_hub_out_of_reach(checkpoint, monkeypatch, tmp_path):
    hub(monkeypatch, tmp_path, [], online=False)
    with pytest.raises(WeightsError, match=r"cannot get a/b.* \(Name or service not known\).*checkpoint=<file>"):
        identify("viclip", "ViCLIP-L", checkpoint=checkpoint, device="cpu")


def test_hub_out_of_reach_but_fetched_before(checkpoint, monkeypatch, tmp_path):
    (tmp_path / "small.pth").write_bytes(checkpoint.read_bytes())
    (tmp_path / "README.md").touch()
    hub(monkeypatch, tmp_path, [], online=False, cached=True)
    encoder = load_encoder("viclip", "custom", checkpoint="hf-hub:a/b", device="cpu")
    assert encoder.identity == identify("viclip", "custom", checkpoint=str(checkpoint), device="cpu")
