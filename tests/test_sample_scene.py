"""The demonstration world's scripts, captions and drawings."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clipreel.sample.caption import (
    EMPTY_CAPTION,
    Description,
    all_descriptions,
    caption_at,
    colour_shape_descriptions,
    describe,
    full_descriptions,
    scene_caption,
    seen_at,
)
from clipreel.sample.draw import draw_frame, draw_frames
from clipreel.sample.example import HELD_OUT, TRAINING_SEEDS, UNSEEN_SEEDS, training_descriptions, training_script
from clipreel.sample.scene import COLOURS, FORMS, MOTIONS, PLACES, SIZES, Scene, Shape, VideoScript

CIRCLE = Shape("red", "circle", "small", "left")


def test_captions_of_every_granularity_are_distinct():
    assert len({description.caption for description in full_descriptions()}) == 240
    assert len({description.caption for description in colour_shape_descriptions()}) == 24
    assert len({EMPTY_CAPTION} | {description.caption for description in all_descriptions()}) == 631


@pytest.mark.parametrize(("description", "caption"), [
    (Description("red", "circle", "small", "left"), "a small red circle on the left"),
    (Description("blue", "ring", None, "middle"), "a blue ring in the middle"),
    (Description("green", None, None, "top"), "a green shape at the top"),
    (Description(), "a shape"),
])
def test_caption_wording_is_fixed(description, caption):
    assert description.caption == caption


@pytest.mark.parametrize(("said", "seen", "expected"), [
    (Description("red"), Description("red", "circle", "small", None), True),
    (Description("blue"), Description("red", "circle", "small", None), False),
    (Description("red", place="left"), Description("red", "circle", "small", None), None),
    (Description("blue", place="left"), Description("red", "circle", "small", None), False),
])
def test_a_caption_is_true_false_or_unclear(said, seen, expected):
    assert said.is_true_of(seen) is expected


def test_twenty_combinations_are_held_out_evenly():
    assert len(set(HELD_OUT)) == 20
    assert len(training_descriptions()) == 220
    for factor, values in (("colour", COLOURS), ("shape", FORMS), ("size", SIZES), ("place", PLACES)):
        drawn = [getattr(shape, factor) for shape in HELD_OUT]
        assert all(drawn.count(value) in (20 // len(values), 1 + 20 // len(values)) for value in values)


def test_training_never_shows_a_held_out_combination():
    shown = set()
    for seed in TRAINING_SEEDS[:5000]:
        script, seconds = training_script(np.random.default_rng(seed), seed)
        shown.add(seen_at(script.scenes[0], seconds))
    # Neither clearly nor between two places or sizes, where it might be taken for one.
    assert all(describe(shape).is_true_of(seen) is False for shape in HELD_OUT for seen in shown if seen)
    assert shown >= {None, *training_descriptions()}


def test_seeds_of_training_and_unseen_draws_are_disjoint():
    assert not set(TRAINING_SEEDS) & set(UNSEEN_SEEDS)


def test_a_script_places_its_scenes_without_gaps():
    script = VideoScript.of([(CIRCLE, 1.5, "still"), (None, 0.5, "still"), (CIRCLE, 2.0, "rising")], fps=Fraction(30))
    assert [scene.start_seconds for scene in script.scenes] == [0.0, 1.5, 2.0]
    assert script.frame_count == 120
    assert [caption_at(script.scene_at(seconds), seconds) for seconds in (0, 1.5, 2.0, 3.0, 4.0)] == [
        "a small red circle on the left", EMPTY_CAPTION, "a small red circle", "a small red circle on the left",
        "a small red circle",
    ]


@pytest.mark.parametrize("change", [
    {"scenes": ()}, {"width": 321}, {"height": 0},
    {"scenes": (Scene(CIRCLE, 1.0, 1.0),)}, {"scenes": (Scene(CIRCLE, 0.0, 1.0), Scene(CIRCLE, 2.0, 1.0))},
])
def test_a_script_that_cannot_be_shown_is_refused(change):
    with pytest.raises(ValueError, match=r"at least one scene|must last|even and 16"):
        replace(VideoScript((Scene(CIRCLE, 0.0, 1.0),)), **change)


@pytest.mark.parametrize(("motion", "first", "last"), [
    ("still", "a small red circle in the middle", "a small red circle in the middle"),
    ("left to right", "a small red circle on the left", "a small red circle on the right"),
    ("right to left", "a small red circle on the right", "a small red circle on the left"),
    ("rising", "a small red circle at the bottom", "a small red circle at the top"),
    ("falling", "a small red circle at the top", "a small red circle at the bottom"),
    ("growing", "a small red circle in the middle", "a large red circle in the middle"),
    ("shrinking", "a large red circle in the middle", "a small red circle in the middle"),
])
def test_a_motion_begins_and_ends_where_its_name_says(motion, first, last):
    scene = Scene(replace(CIRCLE, place="middle"), 2.0, 3.0, motion)
    assert caption_at(scene, 2.0) == first
    assert caption_at(scene, 5.0) == last


def test_scene_captions_name_the_motion():
    captions = {scene_caption(Scene(CIRCLE, 0.0, 1.0, motion)) for motion in MOTIONS}
    assert len(captions) == len(MOTIONS)
    assert "a small red circle moving from left to right" in captions
    assert scene_caption(Scene(None, 0.0, 1.0)) == EMPTY_CAPTION


def test_drawing_follows_from_the_seed_alone():
    script = VideoScript.of([(CIRCLE, 0.2, "left to right"), (None, 0.2, "still")], width=160, height=120, seed=5)
    frames = list(draw_frames(script))
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 10
    assert np.array_equal(frames[7], draw_frame(script, 7 / 25))
    assert not np.array_equal(frames[7], draw_frame(replace(script, seed=6), 7 / 25))
    assert not np.array_equal(frames[7], frames[8])  # each frame has its own noise


@pytest.mark.parametrize(("width", "height"), [(320, 240), (96, 170), (128, 128)])
def test_places_lie_in_the_central_square(width, height):
    script = VideoScript.of([(Shape("red", "square", "large", "left"), 1.0, "still")], width=width, height=height)
    frame = draw_frame(script, 0.5).astype(int)
    rows, columns = np.nonzero(frame[..., 0] - frame[..., 1:].max(-1) > 60)
    side = min(width, height)
    assert abs((columns.mean() - (width - side) / 2) / side - 0.22) < 0.06
    assert abs((rows.mean() - (height - side) / 2) / side - 0.5) < 0.06
