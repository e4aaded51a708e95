"""Training from frames: the CLIP and the selector's own network really learn, and what comes out serves every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from clipreel import cli, extract_features, load_encoder
from clipreel.errors import ConfigError, InputError, VideoError
from clipreel.extract.text_features import CaptionFeatures
from clipreel.models.adaclip.checkpoint import load_checkpoint
from clipreel.models.weights import read_state_dict
from clipreel.retrieval.annotations import read_annotations
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.gallery import load_gallery
from clipreel.retrieval.metrics import retrieval_metrics
from clipreel.retrieval.queries import query_features
from clipreel.retrieval.text_tower import queries_encoder
from clipreel.retrieval.train import LAST, MODEL
from clipreel.tests.retrieval.frames_world import K, N, keys, states, training_tensors

MAIN = Path(__file__).resolve().parents[2] / "main.py"


@pytest.fixture(scope="module")
def world(frames_world) -> Path:
    return frames_world


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


def test_inference_on_the_pictures(trained, world, tmp_path):
    """As the original is asked: the same command with do_inference and resume; the choice is the selector's, by its own looks."""
    clip = trained.folder / "clip.safetensors"
    asked = {name: value for name, value in keys(world, tmp_path / "run", policy_backbone="raw", resume=trained.checkpoint,
                                                 do_inference=True, model_name="custom", checkpoint=clip).items()}
    assert cli.main(["retrieval", "train", *(f"{name}={value}" for name, value in asked.items())]) == 0
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    videos = read_annotations(world / "test.json")
    at = tmp_path / "run" / f"features_{N}"
    gallery = load_gallery(at / "clip" / "custom", [video.video_id for video in videos], N, at / "policy" / "raw")
    store = CaptionFeatures(world / "texts", gallery.encoder)
    queries = query_features(videos, "concat", store, lambda: load_encoder("clip", "custom", checkpoint=str(clip), device="cpu"))
    model = load_checkpoint(trained.checkpoint).model
    assert gallery.policy is not None
    cosines = model.similarity(*map(torch.from_numpy, (queries.features, gallery.features, gallery.mask, gallery.policy)))
    right = retrieval_metrics(cosines.detach().numpy(), queries.video_of, resamples=0).text_to_video
    assert (found["method"]["choice"], found["method"]["frames"], found["num_frm"]) == ("adaclip", K, N)
    to_video = found["method"]["text_to_video"]
    assert (to_video["R@5"], to_video["MeanR"]) == (right.recall[5], right.mean_rank)


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
    steps = {int(tensor) for name, tensor in training_tensors(run).items() if name.endswith(".step")}
    assert steps == {2}


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
    """The same losses and weights at the same global batch; Q-Score compares everybody's texts with everybody's frames."""
    shared = {"policy_backbone": "raw", "num_epochs": 1, "validation_fraction": 0, "frame_agg": "qscore",
              "concat_captions": "indep-all"}
    one = train_retrieval(**keys(world, tmp_path / "one", **shared, batch_size=8))
    words = [f"{name}={value}" for name, value in keys(world, tmp_path / "two", **shared, batch_size=4).items()]
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
