"""Training from frames: the CLIP and the selector's own network really learn, and what comes out serves every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clipreel import cli, extract_features, frames_at, load_encoder
from clipreel.errors import ConfigError, InputError, VideoError
from clipreel.models.adaclip.checkpoint import load_checkpoint, load_training_state
from clipreel.models.adaclip.end_to_end import FrameNetworks
from clipreel.models.clip.architecture import Architecture, import_clip
from clipreel.models.weights import read_state_dict
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.frames_data import FrameFolder, FrameRule
from clipreel.retrieval.text_tower import queries_encoder
from clipreel.retrieval.train import LAST, MODEL
from clipreel.sample.events import draw_world, write_world
from PIL import Image

N, K = 4, 2
MAIN = Path(__file__).resolve().parents[2] / "main.py"


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny) -> Path:
    """24 videos: annotations, the files, and folders of JPEGs of the same frames."""
    folder = tmp_path_factory.mktemp("frames_world")
    for _ in write_world(folder, draw_world(16, 8, 5)):
        pass
    for path in sorted((folder / "videos").iterdir()):
        target = folder / "frames" / path.stem
        target.mkdir(parents=True)
        for number, pixels in enumerate(frames_at(path, np.arange(16) * 500.0).pixels):
            Image.fromarray(pixels).save(target / f"image_{number + 1:05d}.jpg", quality=95)
    return folder


def keys(world: Path, output: Path, **changes: Any) -> dict[str, Any]:
    values = {"frames_dir": world / "frames", "annotations": world, "model_name": "tiny", "num_frm": N, "top_k": K,
              "frame_agg": "mlp", "hidden_dim": 32, "mlp_hidden_dim": 32, "batch_size": 4, "device": "cpu", "seed": 3,
              "learning_rate": 1e-3, "coef_lr": 1e-2, "num_epochs": 2, "texts": world, "output_path": output, **changes}
    return {name: value for name, value in values.items() if value is not None}


def load_training_state_of(run: Any) -> dict[str, torch.Tensor]:
    found = load_training_state(run.folder / LAST)
    assert found is not None
    return found.tensors


def states(run: Any, name: str = LAST) -> dict[str, torch.Tensor]:
    found = load_checkpoint(run.folder / name)
    return {**found.model.state_dict(), **found.clip_state}


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    return train_retrieval(**keys(world, tmp_path_factory.mktemp("trained") / "run", policy_backbone="raw"))


def test_clip_alone_learns(world, tmp_path):
    """On uniform frames and their mean nothing but the CLIP can make the loss fall."""
    run = train_retrieval(**keys(world, tmp_path / "run", no_policy=True, num_frm=8, top_k=8, frame_agg="mean", coef_lr=0.3,
                                 num_epochs=8, batch_size=7))
    assert run.epochs[-1].loss < 0.5 * run.epochs[0].loss
    assert run.pairs == 14 and run.missing == 0  # two are set apart


def test_which_of_the_clip_learns(trained, tiny):
    before, after = tiny.network.state_dict(), read_state_dict(trained.folder / "clip.safetensors")
    changed = {name for name, tensor in before.items() if not torch.equal(tensor.float(), after[name])}
    assert {"visual.attnpool.c_proj.weight", "text_projection", "visual.layer1.0.conv1.weight",
            "transformer.resblocks.0.mlp.c_fc.weight", "logit_scale"} <= changed
    assert not {"visual.conv1.weight", "token_embedding.weight", "positional_embedding"} & changed
    assert not {name for name in changed if "running_" in name}  # BatchNorm's statistics
    assert all(tensor.dtype == torch.float32 for tensor in after.values() if tensor.is_floating_point())


def test_what_it_wrote_serves_every_command(trained, world, tmp_path, capsys):
    """Extraction with the trained CLIP, frames chosen before it runs, evaluation and an index of both."""
    clip, model = trained.folder / "clip.safetensors", trained.folder / MODEL
    checkpoint = load_checkpoint(model)
    assert checkpoint.clip_state == {}
    assert (checkpoint.encoder.model_name, checkpoint.policy and checkpoint.policy.model_name) == ("custom", "raw")
    encode = ["feature_type=clip", "model_name=custom", f"checkpoint={clip}", "device=cpu", "on_extraction=save_numpy",
              f"file_with_video_paths={world / 'videos.csv'}", "batch_size=16"]
    assert cli.main([*encode, "extraction_total=16", f"output_path={tmp_path / 'all'}"]) == 0
    assert cli.main(["feature_type=policy", "model_name=raw", *encode[3:], "extraction_total=16",
                     f"output_path={tmp_path / 'all'}"]) == 0
    assert cli.main([*encode, "extraction_total=16", f"select={model}", f"output_path={tmp_path / 'chosen'}"]) == 0
    assert "48 of 96 candidate frames encoded" in capsys.readouterr().err
    evaluate = ["retrieval", "evaluate", f"checkpoint={model}", f"annotations={world / 'test.json'}", f"texts={tmp_path}",
                f"encoder_checkpoint={clip}", "device=cpu", "bootstrap=0"]
    results = []
    for name, more in (("all", [f"policy_features={tmp_path / 'all/policy/raw'}"]), ("chosen", [])):
        features = tmp_path / name / "clip" / "custom"
        assert cli.main([*evaluate, f"features={features}", f"output_path={tmp_path / name}", *more]) == 0
        results.append(json.loads((tmp_path / name / "results.json").read_text()))
        assert cli.main(["retrieval", "index", f"checkpoint={model}", f"features={features}", "device=cpu",
                         f"output_path={tmp_path / name / 'index'}", *more]) == 0
    own = [one["method"] for one in results]
    assert own[0] == own[1], "the same frames, the same ranks"


def test_features_of_others_choice_are_refused(trained, world, tmp_path, capsys):
    other = train_retrieval(**keys(world, tmp_path / "run", policy_backbone="raw", num_epochs=1, freeze_clip=True))
    clip = trained.folder / "clip.safetensors"
    extract_features(file_with_video_paths=world / "videos.csv", model_name="custom", checkpoint=clip, device="cpu",
                     extraction_total=8, select=other.checkpoint, on_extraction="save_numpy", output_path=tmp_path)
    words = [f"checkpoint={trained.checkpoint}", f"features={tmp_path / 'clip/custom'}", "device=cpu"]
    assert cli.main(["retrieval", "evaluate", *words, f"annotations={world / 'test.json'}", f"output_path={tmp_path}"]) == 2
    assert "another checkpoint chose before they were encoded" in capsys.readouterr().err
    assert cli.main(["retrieval", "index", *words, f"output_path={tmp_path / 'index'}"]) == 2


@pytest.mark.parametrize("changes", [{"policy_backbone": "raw"}, {"policy_backbone": "raw", "sampling": "random"}], ids=str)
def test_a_stopped_training_goes_on_to_the_same_weights(world, tmp_path, changes, monkeypatch):
    from clipreel.retrieval import train

    whole = train_retrieval(**keys(world, tmp_path / "whole", **changes))
    save, saved = train._Training._save, []

    def stopping(self, name):
        save(self, name)
        saved.append(name)
        if name == LAST:
            raise KeyboardInterrupt

    monkeypatch.setattr(train._Training, "_save", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_retrieval(**keys(world, tmp_path / "parts", **changes))
    monkeypatch.undo()
    parts = train_retrieval(**keys(world, tmp_path / "parts", **changes))
    one, other = states(whole), states(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.losses == parts.losses


def test_accumulated_gradients_are_one_step(world, tmp_path):
    """Two batches a step: half as many steps, and every one of them counted."""
    run = train_retrieval(**keys(world, tmp_path / "run", gradient_accumulation_steps=2, num_epochs=1, batch_size=3,
                                 optim="adamw"))
    assert len(run.losses) == 4
    steps = {int(tensor) for name, tensor in load_training_state_of(run).items() if name.endswith(".step")}
    assert steps == {2}


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
def test_the_selectors_network(world, tmp_path, mobilenet, freeze_cnn, tiny):
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


def test_a_frozen_clip_goes_through_the_store(world, tmp_path):
    """Nothing of the pictures learns: they are encoded once, then it is a training on features."""
    run = train_retrieval(**keys(world, tmp_path / "run", freeze_clip=True, policy_backbone="raw"))
    assert list((tmp_path / "run" / "frames").rglob("*_clip.npy"))
    assert list((tmp_path / "run" / "frames").rglob("*_policy.npy"))
    assert load_checkpoint(run.checkpoint).policy is not None
    assert not (run.folder / "clip.safetensors").exists()


def test_word_aggregation_keeps_its_text_tower(world, tmp_path):
    """Words are weighed by what was trained, so queries go through the tower that was trained with it."""
    run = train_retrieval(**keys(world, tmp_path / "run", word_agg="mlp", frame_agg="mean", num_epochs=1))
    checkpoint, clip = load_checkpoint(run.checkpoint), run.folder / "clip.safetensors"
    _, load = queries_encoder(checkpoint, str(clip), "cpu")
    words = load().encode_text(["a red circle", "a blue square"])
    plain = load_encoder("clip", "custom", checkpoint=str(clip), device="cpu").encode_text(["a red circle", "a blue square"])
    assert words.shape == plain.shape
    assert torch.nn.functional.cosine_similarity(words, plain).max() < 0.9999


def test_two_processes_are_one(world, tmp_path):
    """The same losses and weights at the same global batch."""
    shared = {"policy_backbone": "raw", "num_epochs": 1, "validation_fraction": 0}
    one = train_retrieval(**keys(world, tmp_path / "one", **shared, batch_size=4))
    words = [f"{name}={value}" for name, value in keys(world, tmp_path / "two", **shared, batch_size=2).items()]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(MAIN),
                           "retrieval", "train", *words], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    two = [float(line.partition(",")[2]) for line in (tmp_path / "two" / "losses.csv").read_text().splitlines()[1:]]
    assert len(two) == 4
    assert two == pytest.approx(one.losses, rel=1e-4)
    clips = [read_state_dict(tmp_path / name / "clip.safetensors") for name in ("one", "two")]
    assert all(torch.allclose(clips[0][name], tensor, atol=1e-6) for name, tensor in clips[1].items())


def test_what_is_missing_or_broken(world, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(16):
        (frames / f"event{number:05d}").symlink_to(world / "frames" / f"event{number:05d}")
    (frames / "event00003").unlink()
    run = train_retrieval(**keys(world, tmp_path / "run", frames_dir=frames, num_epochs=1, validation_fraction=0))
    assert (run.pairs, run.missing) == (15, 1)
    (frames / "event00003").mkdir()
    (frames / "event00003" / "image_00001.jpg").write_bytes(b"no picture")
    with pytest.raises(VideoError, match=r"event00003.*is no picture that can be read"):
        train_retrieval(**keys(world, tmp_path / "broken", frames_dir=frames, num_epochs=1, validation_fraction=0, batch_size=8))


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"frames_dir": "nowhere"}, InputError, "there is no such folder"),
    ({"img_tmpl": "picture.jpg"}, ConfigError, "a place for the picture's number"),
    ({"policy_backbone": "raw", "rescale_size": 64}, ConfigError, "sees 56x56 pictures"),
    ({"max_img_size": 112}, ConfigError, "sees pictures of 64 pixels"),
    ({"freeze_clip": True, "sampling": "random"}, ConfigError, "the pictures are encoded once"),
    ({"concat_captions": "mean"}, ConfigError, "the text tower is to be trained"),
])
def test_refusals(world, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train_retrieval(**keys(world, tmp_path / "run", **changes))
