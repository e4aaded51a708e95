"""The judge that looks: any model with eyes behind an OpenAI-compatible server."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..calls import LanguageClient, Reply
from ..records import Answer, Pictures, Question, Verdict
from ..request import Request

_SYSTEM = ("You compare two videos of the same action by a few frames of each. The videos are public and the question is about "
           "movement and things, never about who a person is. Answer with JSON alone.")
_TURNED: dict[Answer, Answer] = {"a": "b", "b": "a"}


class OpenaiJudge:
    """One request a question, frames of A before frames of B, each labelled by video, place and time.

    `may_abstain`: "none" is allowed; benchmark runs must name a video. `swap`: asks again with A and B exchanged; agreement
    gives confidence 1, disagreement is `undecided`.
    """

    def __init__(self, client: LanguageClient, model: str, *, detail: str = "high", size: int = 768, swap: bool = False,
                 may_abstain: bool = True, seed: int = 0):
        self._client, self._model, self._detail, self._size = client, model, detail, size
        self._swap, self._seed = swap, seed
        answers = ["a", "b", "none"] if may_abstain else ["a", "b"]
        self._answers = '"a" or "b"' + ', or "none" if the videos do not clearly differ in this' * may_abstain
        self._schema = {"type": "object", "required": ["explanation", "answer"], "additionalProperties": False, "properties": {
            "explanation": {"type": "string"}, "answer": {"type": "string", "enum": answers}}}
        self.identity = f"openai {model}{' swapped' * swap}"

    def judge(self, pairs: Iterable[Sequence[Question]]) -> list[list[Verdict] | str]:
        """All pairs' questions are made into requests, announced with their price, and asked side by side."""
        asked = [self._requests(questions) for questions in pairs]
        every = [request for requests in asked for _, several in requests for request in several]
        self._client.announce("stage 3", every)
        replies = iter(self._client.ask(every))
        return [self._verdicts([(name, [next(replies) for _ in several]) for name, several in requests]) for requests in asked]

    def _verdicts(self, answered: Sequence[tuple[str, Sequence[Reply]]]) -> list[Verdict] | str:
        """Of one pair. An answer that came and is no use is `invalid`; one that was not had fails the pair."""
        lacking = next((reply.error for _, replies in answered for reply in replies if reply.error and not reply.is_unusable), None)
        return f"stage 3: {lacking}" if lacking else [_verdict(name, *replies) for name, replies in answered]

    def _requests(self, questions: Sequence[Question]) -> list[tuple[str, list[Request]]]:
        """A difference's id, and its question; with `swap` also the swapped one. A frame of several differences is encoded once."""
        uris: dict[tuple[str, float], str] = {}

        def frames(side: str, pictures: Pictures) -> list[_Frame]:
            times = pictures.timestamps_seconds.tolist()
            for picture, seconds in zip(pictures.pixels, times, strict=True):
                if (side, seconds) not in uris:
                    uris[side, seconds] = jpeg_uri(picture, self._size)
            return [_Frame(seconds, uris[side, seconds]) for seconds in times]

        asked = []
        for question in questions:
            a, b = frames("a", question.a), frames("b", question.b)
            asked.append((question.difference.id, [self._request(question, a, b)] + [self._request(question, b, a)] * self._swap))
        return asked

    def _request(self, question: Question, a: Sequence[_Frame], b: Sequence[_Frame]) -> Request:
        text = (f"The action: {question.action}\nThe statement: {question.difference.statement}\nOf which video is the statement "
                f"truer, A or B? First explain what the frames show, then answer {self._answers}.")
        content = [*self._labelled("A", a), *self._labelled("B", b), {"type": "text", "text": text}]
        return Request(question.key, self._model, _SYSTEM, content, self._schema, seed=self._seed)

    def _labelled(self, video: str, frames: Sequence[_Frame]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for place, frame in enumerate(frames, start=1):
            parts.append({"type": "text", "text": f"Video {video}, frame {place} of {len(frames)}, at {frame.seconds:.2f} s:"})
            parts.append({"type": "image_url", "image_url": {"url": frame.uri, "detail": self._detail}})
        return parts


@dataclass(frozen=True)
class _Frame:
    seconds: float
    uri: str


def _verdict(name: str, own: Reply, again: Reply | None = None) -> Verdict:
    problem = own.error or (again.error if again else None)
    if problem:
        return Verdict(name, "invalid", None, problem)
    answer, said = own.value["answer"], own.value["explanation"]
    if again is None:
        return Verdict(name, answer, None, said)
    agrees = answer == _TURNED.get(again.value["answer"], again.value["answer"])
    return Verdict(name, answer if agrees else "undecided", 1.0 if agrees else 0.0,
                   f"{said} | swapped: {again.value['explanation']}")


def jpeg_uri(picture: np.ndarray, longest_side: int, quality: int = 90) -> str:
    """uint8 RGB [h, w, 3] as a data URI, made smaller where it is larger."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
