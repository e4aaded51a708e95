"""What the demonstration model `tiny` gets right on draws that it was not trained on."""

import logging
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clip import tokenize
from clip.model import CLIP, build_model
from clipreel.sample.caption import (
    EMPTY_CAPTION,
    Description,
    colour_shape_descriptions,
    describe,
    full_descriptions,
    seen_at,
)
from clipreel.sample.example import (
    HELD_OUT,
    UNSEEN_SEEDS,
    held_out_descriptions,
    training_descriptions,
    unseen_example,
)
from clipreel.sample.make import SAMPLE_FOLDER, SAMPLE_VIDEOS
from clipreel.sample.scene import Shape, VideoScript
from clipreel.sample.train import (
    CHECKPOINT,
    CaptionSampler,
    TrainingPlan,
    contrastive_loss,
    factor_codes,
    normalise,
    save_checkpoint,
    tiny_network,
    train,
    truth,
)
from clipreel.sample.video import write_video
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

FACTORS = ("colour", "shape", "size", "place")
FULL = full_descriptions()

logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def network() -> CLIP:
    network = tiny_network().eval()
    network.load_state_dict(load_file(CHECKPOINT))  # float16 into float32
    return network


@torch.inference_mode()
def probabilities(network: CLIP, frames: Sequence[np.ndarray], captions: Sequence[str]) -> Tensor:
    """Of each caption for each frame (uint8 RGB [64, 64, 3]): [frames, captions]."""
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    image_features = functional.normalize(network.encode_image(normalise(images)), dim=-1)
    text_features = functional.normalize(network.encode_text(tokenize(list(captions))), dim=-1)
    return (network.logit_scale.exp() * image_features @ text_features.T).softmax(-1)


def accuracies(network: CLIP, frames: Sequence[np.ndarray], seen: Sequence[Description]) -> dict[str, float]:
    """Top-1 over the 240 full captions, all factors together and each for itself."""
    found = probabilities(network, frames, [description.caption for description in FULL]).argmax(-1).tolist()
    right = np.array([
        [said == actual for said, actual in zip(astuple(FULL[row]), astuple(description), strict=True)]
        for row, description in zip(found, seen, strict=True)
    ])
    return {"all": float(right.all(1).mean()), **dict(zip(FACTORS, right.mean(0).tolist(), strict=True))}


def report(what: str, count: int, measured: dict[str, float]) -> str:
    line = f"{what}, {count} frames: " + ", ".join(f"{name} {100 * value:.1f} %" for name, value in measured.items())
    logger.info("%s", line)
    return line


def decoded(path: Path) -> list[np.ndarray]:
    """All frames after resize and centre crop: uint8 RGB [64, 64, 3] each."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    height, width = frames.shape[2:]
    size = (64, round(64 * width / height)) if width >= height else (round(64 * height / width), 64)
    frames = functional.interpolate(frames, size, mode="bicubic", antialias=True)
    top, left = (size[0] - 64) // 2, (size[1] - 64) // 2
    return list(frames[:, :, top:top + 64, left:left + 64].permute(0, 2, 3, 1).numpy())


def test_the_checkpoint_is_small_half_precision_and_of_openais_architecture():
    assert CHECKPOINT.stat().st_size <= 10_000_000
    tensors = load_file(CHECKPOINT)
    weights = [tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")]
    assert {tensor.dtype for tensor in weights} == {torch.float16}
    assert all(bool(tensor.isfinite().all()) for tensor in weights)
    assert 1 < tensors["logit_scale"].float().exp() <= 100.1
    network = build_model(dict(tensors))  # loads strictly, every size read from the tensors
    assert isinstance(network, CLIP)
    assert network.visual.input_resolution == 64


@pytest.mark.parametrize(("what", "descriptions", "draws"), [
    ("seen combinations", training_descriptions(), 4), ("held-out combinations", held_out_descriptions(), 30),
])
def test_top_1_over_all_captions_on_unseen_draws(network, what, descriptions, draws):
    wanted = [Shape(*astuple(description)) for description in descriptions] * draws
    examples = [unseen_example(seed, shape) for seed, shape in zip(UNSEEN_SEEDS, wanted, strict=False)]
    measured = accuracies(network, [example.frame for example in examples], [describe(shape) for shape in wanted])
    line = report(what, len(wanted), measured)
    assert measured["all"] >= 0.95, line


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_top_1_survives_the_codec(network, tmp_path, suffix):
    # Every eleventh combination and the held-out ones, five frames each; the middle frame is looked at.
    shapes = [Shape(*astuple(description)) for description in FULL[::11]] + list(HELD_OUT)
    script = VideoScript.of([(shape, 0.2, "still") for shape in shapes], fps=Fraction(25), seed=UNSEEN_SEEDS[-1])
    write_video(script, tmp_path / f"shapes{suffix}")
    frames = decoded(tmp_path / f"shapes{suffix}")[2::5]
    measured = accuracies(network, frames, [describe(shape) for shape in shapes])
    line = report(f"decoded {suffix}", len(frames), measured)
    assert measured["all"] >= 0.95, line


def test_top_1_over_partial_captions(network):
    partial = colour_shape_descriptions()
    captions = [EMPTY_CAPTION, *(description.caption for description in partial)]
    shapes: list[Shape | None] = [None] * 60 + [Shape(*astuple(description)) for description in FULL]
    examples = [unseen_example(seed, shape) for seed, shape in zip(UNSEEN_SEEDS[10_000:], shapes, strict=False)]
    expected = torch.tensor([
        0 if shape is None else 1 + partial.index(Description(shape.colour, shape.shape)) for shape in shapes
    ])
    right = probabilities(network, [example.frame for example in examples], captions).argmax(-1) == expected
    measured = {"empty": float(right[:60].float().mean()), "colour and shape": float(right[60:].float().mean())}
    line = report("partial captions", len(shapes), measured)
    assert min(measured.values()) >= 0.95, line


def test_the_sample_videos_show_what_their_scripts_say(network):
    for sample in SAMPLE_VIDEOS:
        script = sample.script
        frames = decoded(SAMPLE_FOLDER / sample.name)
        times_seconds = [float(number / script.fps) for number in range(len(frames))]
        shown = [seen_at(script.scene_at(seconds), seconds) for seconds in times_seconds]
        clear = [(frame, seen) for frame, seen in zip(frames, shown, strict=True) if seen and None not in astuple(seen)]
        measured = accuracies(network, [frame for frame, _ in clear], [seen for _, seen in clear])
        line = report(sample.name, len(clear), measured)
        assert measured["all"] >= 0.95, line


def test_probabilities_are_sure_of_a_clear_match(network):
    frames = decoded(SAMPLE_FOLDER / "red_circle_then_blue_square.mp4")
    first, second = probabilities(network, [frames[50], frames[150]], ["a red circle", "a blue square"])
    assert first[0] > 0.95
    assert second[1] > 0.95


def test_truth_leaves_unclear_pairs_out():
    seen = factor_codes([Description("red", "circle", "small", None), None])
    said = factor_codes([Description("red"), Description("blue"), Description(place="left"), None])
    true, false = truth(seen, said)
    assert true.tolist() == [[True, False, False, False], [False, False, False, True]]
    assert false.tolist() == [[False, True, False, True], [True, True, True, False]]


def test_loss_prefers_the_truth_and_ignores_unclear_pairs():
    true = torch.tensor([[True, False, False], [False, True, False]])
    false = torch.tensor([[False, True, False], [True, False, True]])
    right = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    unclear = right.clone()
    unclear[0, 2] = 50.0
    assert contrastive_loss(right, true, false) < 0.01
    assert contrastive_loss(-right, true, false) > 5
    assert contrastive_loss(unclear, true, false) == contrastive_loss(right, true, false)


def test_training_never_says_a_held_out_combination():
    said = {tuple(code) for code in CaptionSampler(0.5).codes.tolist()}
    assert not said & {tuple(code) for code in factor_codes(held_out_descriptions()).tolist()}
    assert len(said) == 631 - 20


def test_a_short_training_runs_and_saves(tmp_path):
    trained = train(TrainingPlan(examples=64, steps=3, batch_size=32))
    save_checkpoint(trained, tmp_path / "tiny.safetensors")
    tiny_network().load_state_dict(load_file(tmp_path / "tiny.safetensors"))
