"""Videos with their captions, as every command of retrieval reads them, and the queries made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError

CaptionRule = Literal["concat", "mean", "indep-one", "indep-all"]


@dataclass(frozen=True)
class CaptionedVideo:
    """A video and what is said of it, in the file's order."""

    video_id: str
    captions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Queries:
    """Texts to search with, and the video that each belongs to."""

    texts: tuple[str, ...]
    video_of: np.ndarray  # int64 [Q], places in the sequence of videos

    def __len__(self) -> int:
        return len(self.texts)


def read_annotations(path: str | os.PathLike[str]) -> tuple[CaptionedVideo, ...]:
    """The videos of a JSON file: an object keyed by video id, whose `sentences` are the captions; other fields are left
    alone.

    Raises InputError for a file that cannot be read or that is no such object, and names the video.
    """
    name = Path(path).expanduser()
    try:
        content = json.loads(name.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_doubles)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"annotations={path}: cannot be read ({error}); `retrieval prepare` makes such files") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"annotations={path}: is no JSON that can be used ({error}); `retrieval prepare` makes such files of the "
                         "published ones") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"annotations={path}: allowed is a JSON object with a video an entry, such as "
                         '{"video7020": {"sentences": ["a woman creating a fondant baby"]}}; `retrieval prepare` makes it of '
                         "the published files")
    return tuple(CaptionedVideo(video_id, _captions(path, video_id, said)) for video_id, said in content.items())


def texts_of(videos: Sequence[CaptionedVideo], rule: CaptionRule) -> Queries:
    """What is searched with.

    concat: the captions of a video as one text, joined by blanks. The others: every caption by itself. Of these, mean is to
    make one query of a video's features (no end is cut off, as it is of long joined texts); indep-one and indep-all differ in
    training, which takes one of a video's captions at random in an epoch, or each of them.
    """
    if rule == "concat":
        return Queries(tuple(" ".join(video.captions) for video in videos), np.arange(len(videos)))
    texts = tuple(caption for video in videos for caption in video.captions)
    return Queries(texts, np.repeat(np.arange(len(videos)), [len(video.captions) for video in videos]))


def _captions(path: str | os.PathLike[str], video_id: str, said: Any) -> tuple[str, ...]:
    sentences = said.get("sentences") if isinstance(said, dict) else None
    if not isinstance(sentences, list) or not sentences or not all(isinstance(one, str) and one.strip() for one in sentences):
        raise InputError(f"annotations={path}: video {video_id!r} needs `sentences`, a list of texts with one at least and none "
                         "empty")
    return tuple(sentences)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        double = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"the key {double!r} comes twice")
    return content
