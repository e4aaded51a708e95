"""Drawn videos with multiple-choice questions about them, in Video-MME's columns and folders.

    python -m clipreel.sample.questions --output FOLDER --videos 70 --seed 500000 --layout video

Three questions a video: which colour, which form, which place (or, where the shape moves or changes, which whole shape).
The domains and categories are Video-MME's own names, dealt in turn, so that its program can score the answers; a duration
is told by the number of scenes: one is short, two are medium, three are long.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from .caption import Description, scene_caption
from .draw import draw_frame
from .scene import COLOURS, FORMS, PLACES, SIZES, Scene, Shape, VideoScript
from .video import write_video

Layout = Literal["video", "frames"]
SAMPLE_FOLDER = Path(__file__).parent / "videomme"
SAMPLE_VIDEOS, SAMPLE_SEED = 4, 400_000
PARQUET = Path("videomme", "test-00000-of-00001.parquet")
DURATIONS = ("short", "medium", "long")  # by the number of scenes
FRAMES = 8  # pictures of a video in the layout `frames`
SCENE_SECONDS = 1.6
_CATEGORIES = (("Knowledge", "Geography"), ("Film & Television", "Animation"), ("Sports Competition", "Athletics"),
               ("Artistic Performance", "Magic Show"), ("Life Record", "Handicraft"), ("Multilingual", "Multilingual"))


@dataclass(frozen=True)
class QuestionRow:
    """One row of the dataset, under Video-MME's names; `options` begin with their letters."""

    video_id: str
    duration: str
    domain: str
    sub_category: str
    url: str
    videoID: str
    question_id: str
    task_type: str
    question: str
    options: list[str]
    answer: str


def script_of(seed: int, width: int = 96, height: int = 72) -> VideoScript:
    """A still shape, or two or three in turn that share no colour, form or place; all from the seed (below a million)."""
    generator = np.random.default_rng([seed, 4])
    count = 1 + int(generator.choice(3, p=(0.6, 0.3, 0.1)))
    drawn = [[values[place] for place in generator.permutation(len(values))] for values in (COLOURS, FORMS, PLACES)]
    shapes = [Shape(colour, form, SIZES[generator.integers(len(SIZES))], where)
              for colour, form, where in list(zip(*drawn, strict=False))[:count]]
    return VideoScript.of([(shape, SCENE_SECONDS, "still") for shape in shapes], width=width, height=height,
                          fps=Fraction(10), seed=seed)


def questions_of(number: int, seed: int, script: VideoScript) -> list[QuestionRow]:
    """Three rows about video `number` (from 0). What is asked for is in one scene; no wrong option is in any."""
    generator = np.random.default_rng([seed, 5])
    shapes = [scene.shape for scene in script.scenes if scene.shape is not None]
    video_id = f"{number + 1:03d}"
    domain, sub_category = _CATEGORIES[number % len(_CATEGORIES)]
    asked = (
        ("Attribute Perception", "Which colour does a shape in this video have?", "colour", COLOURS),
        ("Object Recognition", "Which form is seen in this video?", "shape", FORMS),
        ("Spatial Perception", "Where in the picture is a shape seen?", "place", PLACES),
    )
    rows = []
    for place, (task_type, question, factor, values) in enumerate(asked, start=1):
        there = {getattr(shape, factor) for shape in shapes}
        right = getattr(shapes[generator.integers(len(shapes))], factor)
        wrong = [value for value in values if value not in there]
        if len(wrong) < 3:  # forms are four and places five: with more than one scene the whole shapes are asked for
            task_type, question = "Information Synopsis", "What is shown in this video?"
            shape = shapes[generator.integers(len(shapes))]
            texts = [_caption(shape), *_others(shapes, generator)]
        else:
            chosen = [right, *generator.choice(np.array(wrong), 3, replace=False).tolist()]
            texts = [Description(**{factor: value}).caption for value in chosen]
        order = generator.permutation(4)
        rows.append(QuestionRow(
            video_id, DURATIONS[len(shapes) - 1], domain, sub_category, "", f"drawn{seed:06d}", f"{video_id}-{place}",
            task_type, question, [f"{letter}. {texts[row].capitalize()}." for letter, row in zip("ABCD", order, strict=True)],
            "ABCD"[order.tolist().index(0)]))
    return rows


def make_questions(folder: Path, count: int, seed: int, layout: Layout = "video") -> list[QuestionRow]:
    """Draws `count` videos of the seeds from `seed` on, and the dataset about them, into `folder`.

    `video`: data/<videoID>.mp4 and subtitle/<videoID>.srt. `frames`: output/<videoID>/frames/*.jpg with subtitles.txt (a line
    a frame) and <videoID>.json. Both: videomme/test-00000-of-00001.parquet, which needs pyarrow.
    """
    rows = []
    for number in range(count):
        script = script_of(seed + number)
        rows += questions_of(number, seed + number, script)
        (_write_video if layout == "video" else _write_frames)(folder, rows[-1].videoID, script)
    (folder / PARQUET).parent.mkdir(parents=True, exist_ok=True)
    write_dataset(folder / PARQUET, rows)
    return rows


def write_dataset(path: Path, rows: Sequence[QuestionRow]) -> None:
    """As parquet, a row a question. Needs pyarrow."""
    import pyarrow
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.Table.from_pylist([asdict(row) for row in rows]), path)


def _caption(shape: Shape) -> str:
    return Description(shape.colour, shape.shape, place=shape.place).caption


def _others(shapes: Sequence[Shape], generator: np.random.Generator) -> list[str]:
    """Three captions of shapes whose colour is not in the video."""
    colours = [colour for colour in COLOURS if colour not in {shape.colour for shape in shapes}]
    picked = generator.choice(np.array(colours), 3, replace=False).tolist()
    return [Description(colour, FORMS[generator.integers(len(FORMS))], place=PLACES[generator.integers(len(PLACES))]).caption
            for colour in picked]


def _said(scene: Scene) -> str:
    return scene_caption(scene).capitalize() + "."


def _write_video(folder: Path, name: str, script: VideoScript) -> None:
    for part in ("data", "subtitle"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_video(script, folder / "data" / f"{name}.mp4")
    blocks = [f"{number}\n{_clock(scene.start_seconds)} --> {_clock(scene.end_seconds)}\n"
              f'<font color="white" size=".72c">{_said(scene)}</font>\n' for number, scene in enumerate(script.scenes, start=1)]
    (folder / "subtitle" / f"{name}.srt").write_text("\n".join(blocks), encoding="utf-8")


def _write_frames(folder: Path, name: str, script: VideoScript) -> None:
    from PIL import Image

    frames = folder / "output" / name / "frames"
    frames.mkdir(parents=True, exist_ok=True)
    said = []
    for number in range(FRAMES):
        seconds = (number + 0.5) * script.duration_seconds / FRAMES
        Image.fromarray(draw_frame(script, seconds)).save(frames / f"frame_{number:03d}.jpg", quality=88)
        said.append({"frame": f"frame_{number:03d}.jpg", "timestamp": f"00:{int(seconds):02d}",
                     "subtitle": _said(script.scene_at(seconds))})
    (frames.parent / "subtitles.txt").write_text("\n".join(line["subtitle"] for line in said) + "\n", encoding="utf-8")
    content = json.dumps({"video_id": name, "frames": said}, indent=1)
    (frames.parent / f"{name}.json").write_text(content + "\n", encoding="utf-8")


def _clock(seconds: float) -> str:
    return f"00:00:{int(seconds):02d},{round(seconds % 1 * 1000):03d}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipreel.sample.questions", description=__doc__)
    parser.add_argument("--output", type=Path, default=SAMPLE_FOLDER, help="the folder for the videos and the questions")
    parser.add_argument("--videos", type=int, default=SAMPLE_VIDEOS)
    parser.add_argument("--seed", type=int, default=SAMPLE_SEED, help="of the first video; below a million")
    parser.add_argument("--layout", choices=get_args(Layout), default="video")
    arguments = parser.parse_args()
    rows = make_questions(arguments.output, arguments.videos, arguments.seed, arguments.layout)
    sys.stdout.write(f"{arguments.output / PARQUET}: {len(rows)} questions about {arguments.videos} videos\n")


if __name__ == "__main__":
    main()
