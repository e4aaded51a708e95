"""Drawn videos with captions of which each is true of a few frames only: a world for choosing frames.

    python -m clipreel.sample.events --output FOLDER --train 600 --test 500 --seed 0

A video shows eight shapes in turn, one on every scene, in a random order. Two of them are its event and are captioned: "a red
circle on the left", "a blue ring at the top". The other six are the events of three other videos of the same split, so that
nothing in a frame's content tells whose it is. What does tell is unsaid: a video's own event is drawn large, as if filmed from
near, and what only passes through it is small.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from .caption import Description, colour_shape_descriptions
from .scene import PLACES, Shape, Size, VideoScript
from .video import write_video

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
SCENE_SECONDS, FPS = 1.0, Fraction(2)  # two frames a scene, sixteen a video
OTHERS = 3  # videos whose events pass through a video
SIDE = 64  # pixels, as the demonstration model sees them
DESCRIPTIONS = tuple(Description(one.colour, one.shape, place=place) for one in colour_shape_descriptions() for place in PLACES)


@dataclass(frozen=True)
class EventVideo:
    """A video, its captions, and which of its frames show what they say."""

    video_id: str
    split: Split
    captions: tuple[str, ...]
    script: VideoScript
    is_event: tuple[bool, ...]  # a frame each


def draw_world(train: int, test: int, seed: int, size_tells: bool = True) -> list[EventVideo]:
    """`train` and `test` videos; no two have the same two captions.

    `size_tells`: False draws events and others in sizes at random, so that there is nothing to learn (a control).

    Raises ValueError where there are not as many events, or fewer than four videos in a split.
    """
    generator = np.random.default_rng([seed, 11])
    events = [pair for pair in combinations(range(len(DESCRIPTIONS)), 2) if _apart(*pair)]
    if train + test > len(events) or min(train, test) <= OTHERS:
        raise ValueError(f"{train} videos to train and {test} to test: allowed are {OTHERS + 1} or more of each, and "
                         f"{len(events)} together")
    drawn = generator.permutation(len(events))[:train + test]
    videos: list[EventVideo] = []
    parts: tuple[tuple[Split, int, int], ...] = (("train", 0, train), ("test", train, test))
    for split, begin, count in parts:
        own = [events[place] for place in drawn[begin:begin + count]]
        for number in range(count):
            others = generator.choice(count - 1, OTHERS, replace=False)
            passing = [which for other in others for which in own[other + (other >= number)]]
            shown = [(which, True) for which in own[number]] + [(which, False) for which in passing]
            order = generator.permutation(len(shown))
            sizes: list[Size] = ["large" if shown[place][1] else "small" for place in order]
            if not size_tells:
                sizes = ["large" if coin else "small" for coin in generator.integers(2, size=len(shown))]
            script = VideoScript.of(
                [(_shape(shown[place][0], size), SCENE_SECONDS, "still") for place, size in zip(order, sizes, strict=True)],
                width=SIDE, height=SIDE, fps=FPS, seed=int(generator.integers(1_000_000)))
            per_scene = script.frame_count // len(shown)
            captions = tuple(DESCRIPTIONS[which].caption for which in own[number])
            is_event = tuple(shown[place][1] for place in order for _ in range(per_scene))
            videos.append(EventVideo(f"event{begin + number:05d}", split, captions, script, is_event))
    return videos


def write_world(folder: Path, videos: list[EventVideo]) -> Iterator[EventVideo]:
    """Writes train.json, test.json and videos.csv at once, then each video, which is given when it is there."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        listed = {video.video_id: {"sentences": video.captions, "is_event": video.is_event}
                  for video in videos if video.split == split}
        (folder / f"{split}.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    with open(folder / "videos.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "id", "video_id"])
        rows.writerows([f"videos/{video.video_id}.mp4", video.video_id, video.video_id] for video in videos)
    for video in videos:
        write_video(video.script, folder / "videos" / f"{video.video_id}.mp4")
        yield video


def _apart(one: int, other: int) -> bool:
    """Two shapes of an event differ in colour and place."""
    return DESCRIPTIONS[one].colour != DESCRIPTIONS[other].colour and DESCRIPTIONS[one].place != DESCRIPTIONS[other].place


def _shape(which: int, size: Size) -> Shape:
    said = DESCRIPTIONS[which]
    assert said.colour is not None and said.shape is not None and said.place is not None
    return Shape(said.colour, said.shape, size, said.place)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipreel.sample.events", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the folder for videos, annotations and the list of videos")
    parser.add_argument("--train", type=int, default=600, help="how many videos to train on")
    parser.add_argument("--test", type=int, default=500, help="how many videos to test on")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    videos = draw_world(arguments.train, arguments.test, arguments.seed)
    count = sum(1 for _ in write_world(arguments.output, videos))
    sys.stdout.write(f"{arguments.output}: {count} videos, train.json, test.json, videos.csv\n")


if __name__ == "__main__":
    main()
