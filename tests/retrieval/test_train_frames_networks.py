"""Training from frames: which network learns, at which rate and precision, and which pictures it is given."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import torch
from clipreel import cli, extract_features, load_encoder
from clipreel.errors import ConfigError
from clipreel.models.adaclip.checkpoint import load_checkpoint
from clipreel.models.adaclip.end_to_end import FrameNetworks
from clipreel.models.clip.architecture import Architecture, import_clip
from clipreel.models.weights import read_state_dict
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.frames_data import FrameFolder, FrameRule
from clipreel.retrieval.train import LAST
from clipreel.tests.retrieval.frames_world import K, N, keys, states


@pytest.fixture(scope="module")
def world(frames_world) -> Path:
    return frames_world


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory) -> Path:
    from torchvision.models import mobilenet_v2

    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("mobilenet") / "own.pth"
    torch.save(mobilenet_v2(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    """A vision transformer of two layers as OpenAI builds them."""
    import_clip()
    from clip.model import CLIP

    torch.manual_seed(6)
    path = tmp_path_factory.mktemp("vit") / "vit.pt"
    torch.save(CLIP(*astuple(Architecture(32, 64, 2, 64, 16, 77, 49408, 64, 1, 2))).state_dict(), path)  # pyright: ignore
    return path


@pytest.mark.parametrize("freeze_cnn", [False, True])
def test_the_selectors_network(world, tmp_path, mobilenet, freeze_cnn, tiny, capsys):
    """It learns with a frozen CLIP, statistics of BatchNorm included; frozen, nothing of it moves."""
    some = dict(list(json.loads((world / "train.json").read_text()).items())[:5])
    (tmp_path / "some.json").write_text(json.dumps(some))
    run = train_retrieval(**keys(world, tmp_path / "run", policy_backbone="mobilenet_v2", policy_checkpoint=mobilenet, num_epochs=1,
                                 freeze_cnn=freeze_cnn, freeze_clip=not freeze_cnn, num_frm=2, top_k=1, batch_size=5,
                                 annotations=tmp_path / "some.json", validation_fraction=0, no_warmup=True))
    assert (run.folder / "clip.safetensors").is_file() == freeze_cnn
    assert (run.folder / "policy.safetensors").is_file() == (not freeze_cnn)
    checkpoint = load_checkpoint(run.checkpoint)
    assert checkpoint.policy is not None
    if freeze_cnn:
        kept = load_checkpoint(run.folder / LAST).clip_state
        before = read_state_dict(mobilenet)
        assert all(torch.equal(tensor, before[name.removeprefix("policy.")]) for name, tensor in kept.items()
                   if name.startswith("policy."))
        return
    assert checkpoint.encoder == tiny.identity
    before, after = read_state_dict(mobilenet), read_state_dict(run.folder / "policy.safetensors")
    for name in ("features.0.0.weight", "features.18.1.running_mean"):
        assert not torch.equal(before[name], after[name]), name
    report = extract_features(world / "videos" / "event00016.mp4", encoder=tiny, select=run.checkpoint,
                              policy_checkpoint=str(run.folder / "policy.safetensors"))
    assert [len(one) for one in report.features.values()] == [1]
    words = ["retrieval", "evaluate", f"checkpoint={run.checkpoint}", f"annotations={tmp_path / 'some.json'}", "device=cpu",
             f"frames_dir={world / 'frames'}", f"texts={world}", f"output_path={tmp_path / 'e'}", "bootstrap=0"]
    assert cli.main([*words, f"policy_checkpoint={mobilenet}"]) == 2
    assert "give the file that it was trained with" in capsys.readouterr().err
    assert cli.main([*words, f"policy_checkpoint={run.folder / 'policy.safetensors'}"]) == 0
    assert "> adaclip, trained mlp" in capsys.readouterr().out


def test_the_groups_of_the_optimizer(tiny, world, mobilenet):
    """The selector's network learns at the heads' rate, the CLIP at its own."""
    from clipreel.configs.retrieval_train_schema import RetrievalTrainConfig
    from clipreel.models.adaclip.model import AdaClip
    from clipreel.models.adaclip.options import AdaClipOptions
    from clipreel.retrieval.optimizer import make_optimizer

    policy: Any = load_encoder("policy", "mobilenet_v2", checkpoint=str(mobilenet), device="cpu")
    networks = FrameNetworks(tiny, policy, freeze_clip=False, freeze_cnn=False, freeze_layer_num=0, precision=torch.float32)
    config = RetrievalTrainConfig(frames_dir="x", annotations="x", learning_rate=1e-3, coef_lr=1e-2)
    model = AdaClip(AdaClipOptions(tiny.dim, num_frm=N, top_k=K, policy_backbone="mobilenet_v2", policy_dim=1280, hidden_dim=32))
    optimizer = make_optimizer(config, model, networks, networks.trained_policy)
    rates = {id(parameter): group["initial_lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in optimizer.param_groups)
    assert {rates[id(parameter)] for parameter in policy_parameters(networks)} == {1e-3}
    assert {rates[id(parameter)] for parameter in networks.visual.parameters() if parameter.requires_grad} == {1e-5}


def policy_parameters(networks: FrameNetworks) -> list[torch.nn.Parameter]:
    assert networks.trained_policy is not None
    return list(networks.trained_policy.parameters())


@pytest.mark.parametrize(("freeze_layer_num", "learns", "stays"), [
    (-1, ["visual.conv1.weight", "text.token_embedding.weight", "visual.transformer.resblocks.0.ln_1.weight"], []),
    (0, ["visual.transformer.resblocks.0.ln_1.weight", "visual.proj", "text.ln_final.weight"],
     ["visual.conv1.weight", "text.token_embedding.weight", "visual.ln_pre.weight", "text.positional_embedding"]),
    (1, ["visual.transformer.resblocks.1.ln_1.weight", "text.text_projection"],
     ["visual.transformer.resblocks.0.ln_1.weight", "text.transformer.resblocks.0.ln_1.weight"]),
])
def test_blocks_that_stay(vit, freeze_layer_num, learns, stays):
    networks = FrameNetworks(load_encoder("clip", "custom", checkpoint=str(vit), device="cpu"), None, freeze_clip=False,
                             freeze_cnn=False, freeze_layer_num=freeze_layer_num, precision=torch.float32)
    trained = {name for name, parameter in networks.named_parameters() if parameter.requires_grad}
    assert set(learns) <= trained
    assert not set(stays) & trained


def test_master_weights_are_float32_under_autocast(world, tmp_path, vit):
    changes: dict[str, Any] = {"num_epochs": 1, "policy_backbone": "raw", "model_name": "custom", "checkpoint": vit}
    run = train_retrieval(**keys(world, tmp_path / "run", precision="bfloat16", **changes))
    assert all(tensor.dtype == torch.float32 for tensor in states(run).values() if tensor.is_floating_point())
    plain = train_retrieval(**keys(world, tmp_path / "plain", **changes))
    assert run.losses != plain.losses
    assert run.losses[0] == pytest.approx(plain.losses[0], rel=0.1)
    before, after = read_state_dict(vit)["visual.ln_post.weight"], states(run)["visual.ln_post.weight"]
    assert 0 < (after - before).abs().max() < 1e-3
    assert torch.equal(after.bfloat16(), before.bfloat16())  # steps that 16 bits would round away
    with pytest.raises(ConfigError, match="precision=float16 loses small gradients"):
        train_retrieval(**keys(world, tmp_path / "other", precision="float16"))


def test_files_and_folders_are_the_same_videos(world, tiny):
    """Frames read from the video files are those of the folders, but for what JPEG loses."""
    rule, specs = FrameRule(6), [tiny.preprocess]
    videos = [("event00016", ()), ("event00017", ())]
    folders = FrameFolder(str(world / "frames"), "image_{:05d}.jpg", specs, 2).take(videos, rule)
    files = FrameFolder(str(world / "videos"), "image_{:05d}.jpg", specs, 2).take(videos, rule)
    assert folders.crops.shape == (2, 6, 3, 64, 64)
    assert torch.equal(folders.mask, files.mask)
    assert (folders.crops.float() - files.crops.float()).abs().mean() < 4


def test_which_frames():
    assert FrameRule(4).rows(16).tolist() == [0, 4, 8, 12]
    assert FrameRule(4, segment_sampling=True).rows(16).tolist() == [2, 6, 10, 14]
    assert FrameRule(4).rows(2).tolist() == [0, 0, 1, 1]
    drawn = [FrameRule(4, "random").rows(100, (3, 4, epoch, 7)).tolist() for epoch in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(sorted(set(rows)) == rows and len(rows) == 4 for rows in drawn)
    assert FrameRule(4, "random").rows(3, (1,)).tolist() == [0, 0, 1, 2]
