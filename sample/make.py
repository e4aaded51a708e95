"""The repository's sample videos: their scripts, the truth about what they show, and the program that draws them.

    python -m clipreel.sample.make
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .caption import scene_caption
from .scene import Shape, VideoScript
from .video import write_video

SAMPLE_FOLDER = Path(__file__).parent
PATH_LIST_NAME = "sample_video_paths.txt"


@dataclass(frozen=True)
class SampleVideo:
    """A file in `sample/` and what it shows when."""

    name: str
    script: VideoScript
    tone_hertz: float | None = None


SAMPLE_VIDEOS = (
    SampleVideo("red_circle_then_blue_square.mp4", VideoScript.of((
        (Shape("red", "circle", "large", "left"), 4.0, "still"),
        (Shape("blue", "square", "small", "right"), 4.0, "still"),
    ), seed=1)),
    SampleVideo("three_scenes.mp4", VideoScript.of((
        (Shape("green", "triangle", "large", "middle"), 3.0, "still"),
        (None, 2.0, "still"),
        (Shape("yellow", "ring", "large", "top"), 4.0, "still"),
    ), fps=Fraction(30), seed=2)),
    SampleVideo("moving_shapes.webm", VideoScript.of((
        (Shape("cyan", "circle", "large", "middle"), 3.0, "left to right"),
        (Shape("purple", "square", "small", "middle"), 3.0, "rising"),
        (Shape("red", "triangle", "small", "right"), 3.0, "growing"),
    ), seed=3)),
    SampleVideo("blue_ring_with_tone.mp4", VideoScript.of((
        (Shape("blue", "ring", "large", "top"), 3.0, "falling"),
        (Shape("blue", "ring", "large", "bottom"), 3.0, "still"),
    ), width=426, fps=Fraction(30000, 1001), seed=4), tone_hertz=440.0),
)


def make_samples(folder: Path) -> list[Path]:
    """Draws the sample videos into `folder` and lists them in `sample_video_paths.txt` beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for sample in SAMPLE_VIDEOS:
        write_video(sample.script, folder / sample.name, tone_hertz=sample.tone_hertz)
        paths.append(folder / sample.name)
    (folder / PATH_LIST_NAME).write_text(path_list(), encoding="utf-8")
    return paths


def path_list() -> str:
    """The text of `sample_video_paths.txt`: a path a line, relative to the list; what each video shows as comments."""
    lines = ["# The demonstration videos, drawn by `python -m clipreel.sample.make`. Paths start where this list lies."]
    for sample in SAMPLE_VIDEOS:
        lines += ["", *(
            f"# {scene.start_seconds:g} to {scene.end_seconds:g} s: {scene_caption(scene)}"
            for scene in sample.script.scenes
        ), sample.name]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipreel.sample.make", description=__doc__)
    parser.add_argument("--output", type=Path, default=SAMPLE_FOLDER, help="the folder for the videos and their list")
    for path in make_samples(parser.parse_args().output):
        sys.stdout.write(f"{path} ({path.stat().st_size / 1000:.0f} kB)\n")


if __name__ == "__main__":
    main()
