"""The judge that looks: any model with eyes behind an OpenAI-compatible server."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..calls import LanguageClient, Request
from ..records import Answer, Pictures, Question, Verdict

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

    def requests(self, questions: Sequence[Question]) -> list[Request]:
        """All that will be asked, for an estimate."""
        asked = [self._request(question) for question in questions]
        return asked + [self._request(replace(question, a=question.b, b=question.a)) for question in questions] * self._swap

    def judge(self, questions: Sequence[Question]) -> list[Verdict]:
        replies = self._client.ask(self.requests(questions))
        verdicts = []
        for place, question in enumerate(questions):
            own, again = replies[place], replies[len(questions) + place] if self._swap else None
            problem = own.error or (again.error if again else None)
            if problem:
                verdicts.append(Verdict(question.difference.id, "invalid", None, problem))
                continue
            answer, said = own.value["answer"], own.value["explanation"]
            if again is None:
                verdicts.append(Verdict(question.difference.id, answer, None, said))
                continue
            other = _TURNED.get(again.value["answer"], again.value["answer"])
            agrees = answer == other
            verdicts.append(Verdict(question.difference.id, answer if agrees else "undecided", 1.0 if agrees else 0.0,
                                    f"{said} | swapped: {again.value['explanation']}"))
        return verdicts

    def _request(self, question: Question) -> Request:
        text = (f"The action: {question.action}\nThe statement: {question.difference.statement}\nOf which video is the statement "
                f"truer, A or B? First explain what the frames show, then answer {self._answers}.")
        content = [*self._frames("A", question.a), *self._frames("B", question.b), {"type": "text", "text": text}]
        return Request(question.key, self._model, _SYSTEM, content, self._schema, seed=self._seed)

    def _frames(self, video: str, pictures: Pictures) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        count = len(pictures.pixels)
        for place, (picture, seconds) in enumerate(zip(pictures.pixels, pictures.timestamps_seconds, strict=True), start=1):
            parts.append({"type": "text", "text": f"Video {video}, frame {place} of {count}, at {seconds:.2f} s:"})
            parts.append({"type": "image_url", "image_url": {"url": jpeg_uri(picture, self._size), "detail": self._detail}})
        return parts


def jpeg_uri(picture: np.ndarray, longest_side: int, quality: int = 90) -> str:
    """uint8 RGB [h, w, 3] as a data URI, made smaller where it is larger."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
