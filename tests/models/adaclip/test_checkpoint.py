"""Checkpoints: what comes back is what was saved, and nothing is loaded half."""

import dataclasses
import json

import pytest
import torch
from clipreel.errors import ConfigError, WeightsError
from clipreel.models.adaclip.checkpoint import (
    Checkpoint,
    TextRules,
    TrainingState,
    load_checkpoint,
    load_training_state,
    refuse_other_options,
    save_checkpoint,
)
from clipreel.models.adaclip.model import AdaClip
from clipreel.models.adaclip.options import AdaClipOptions
from clipreel.models.base import EncoderIdentity
from safetensors import safe_open
from safetensors.torch import save_file

ENCODER = EncoderIdentity("clip", "tiny", None, "ab" * 32, "float32", "center", "tensor")
OPTIONS = AdaClipOptions(dim=16, num_frm=4, top_k=2, hidden_dim=8, mlp_hidden_dim=8)


@pytest.fixture
def checkpoint():
    torch.manual_seed(1)
    return Checkpoint(AdaClip(OPTIONS), ENCODER, TextRules("concat", 32), clip_state={"text_projection": torch.randn(3, 3)},
                      epoch=4)


def test_what_is_read_is_what_was_written(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    training = TrainingState({"exp_avg.0": torch.randn(2)}, {"step": 7, "best": 0.5})
    save_checkpoint(path, checkpoint, training)
    back = load_checkpoint(path)
    assert back.options == OPTIONS and back.encoder == ENCODER and back.texts == checkpoint.texts and back.epoch == 4
    assert back.fingerprint == checkpoint.fingerprint
    assert not back.model.training
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(back.model.state_dict()[name], tensor)
    assert torch.equal(back.clip_state["text_projection"], checkpoint.clip_state["text_projection"])
    state = load_training_state(path)
    assert state is not None and state.progress == training.progress
    assert torch.equal(state.tensors["exp_avg.0"], training.tensors["exp_avg.0"])
    assert [one.name for one in tmp_path.iterdir()] == ["model.safetensors"]
    save_checkpoint(path, checkpoint)
    assert load_training_state(path) is None


def test_the_fingerprint_knows_weights_options_and_encoder(checkpoint):
    assert checkpoint.fingerprint == dataclasses.replace(checkpoint, epoch=9).fingerprint
    other = dataclasses.replace(ENCODER, weights_sha256="cd" * 32)
    assert dataclasses.replace(checkpoint, encoder=other).fingerprint != checkpoint.fingerprint
    before = checkpoint.fingerprint
    with torch.no_grad():
        checkpoint.model.selector.scorer[0].bias[0] += 1e-6
    assert checkpoint.fingerprint != before


def rewritten(path, change_tensors=None, change_said=None):
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said = json.loads(metadata["clipreel"])
    (change_tensors or (lambda _: None))(tensors)
    (change_said or (lambda _: None))(said)
    save_file(tensors, path, metadata={**metadata, "clipreel": json.dumps(said)})


@pytest.mark.parametrize(("tensors", "said", "message"), [
    (lambda t: t.pop("model.logit_scale"), None, "lacks logit_scale"),
    (lambda t: t.update({"model.more": torch.zeros(1)}), None, "has more besides"),
    (lambda t: t.update({"model.logit_scale": torch.zeros(2)}), None, r"in the shape \[2\]"),
    (lambda t: t["model.logit_scale"].add_(1), None, "is damaged"),
    (None, lambda s: s["options"].update(frame_agg="mean"), "besides"),
    (None, lambda s: s["options"].update(num_frm=5), "in the shape"),
    (None, lambda s: s["options"].update(top_k=1), "is damaged"),
    (None, lambda s: s["options"].update(new_option=1), "new_option on one side only"),
    (None, lambda s: s["options"].update(top_k=40), "top_k=40"),
    (None, lambda s: s.pop("encoder"), "does not understand"),
])
def test_nothing_is_loaded_half(checkpoint, tmp_path, tensors, said, message):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, checkpoint)
    rewritten(path, tensors, said)
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(path)


def test_other_files_are_refused(tmp_path, checkpoint):
    with pytest.raises(WeightsError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(WeightsError, match="no checkpoint that can be read"):
        load_checkpoint(tmp_path / "text")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no checkpoint of `retrieval train`"):
        load_checkpoint(tmp_path / "other.safetensors")
    path = tmp_path / "cut.safetensors"
    save_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="no checkpoint that can be read"):
        load_checkpoint(path)


def test_other_options_are_named():
    refuse_other_options("a", OPTIONS, {"top_k": 2})
    with pytest.raises(ConfigError, match=r"top_k=3 now, 2 there; frame_agg=mean now, mlp there"):
        refuse_other_options("a", OPTIONS, {"top_k": 3, "frame_agg": "mean", "num_frm": 4})
