"""The judge that needs no key: similarities of the statement with both videos' frames.

It sees what single pictures show and the encoder has words for: colour, kind, size, place. It sees no motion, no speed and
no order, cannot count, and knows only the statement's words; the opposite statement is what keeps one video that looks more
like everything from winning every question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from ...errors import ClipreelError
from ...extract.text_features import TextFeatures
from ...models.base import Encoder
from ...models.preprocess import preprocess_frames
from ..matching import opposite_statement
from ..records import Question, Verdict
from ..similarity import encode_texts


class ClipJudge:
    """`margin`: a difference of contrasts (cosines) below it is no clear difference; 0 always names a video."""

    def __init__(self, encoder: Encoder, texts: TextFeatures, *, margin: float):
        self._encoder, self._texts, self._margin = encoder, texts, margin
        self.identity = f"clip {encoder.identity.model_name}"

    def judge(self, pairs: Iterable[Sequence[Question]]) -> list[list[Verdict] | str]:
        """The contrast of a video: the mean over its frames of cos(statement) - cos(opposite). Confidence is the softmax of
        both contrasts at the encoder's own scale."""
        return [self._judge(questions) for questions in pairs]

    def _judge(self, questions: Sequence[Question]) -> list[Verdict] | str:
        statements = [(question.difference.statement, _opposite(question)) for question in questions]
        try:
            encode_texts(self._texts, [text for pair in statements for text in pair if text], self._encoder)
        except ClipreelError as error:
            return f"stage 3: {error}"
        return [self._verdict(question, *pair) for question, pair in zip(questions, statements, strict=True)]

    def _verdict(self, question: Question, statement: str, opposite: str | None) -> Verdict:
        texts = self._texts.matrix[self._texts.rows([statement, opposite] if opposite else [statement])]
        direction = texts[0] - texts[1] if opposite else texts[0]  # [dim]
        a, b = (float((self._features(side.pixels) @ direction).mean()) for side in (question.a, question.b))
        confidence = 1 / (1 + math.exp(-self._encoder.logit_scale * min(abs(a - b), 1.0)))
        answer = "none" if abs(a - b) < self._margin or a == b else "a" if a > b else "b"
        contrast = f" less {opposite!r}" if opposite else ""
        return Verdict(question.difference.id, answer, confidence, f"{statement!r}{contrast}: A {a:+.4f}, B {b:+.4f}")

    def _features(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [n, h, w, 3] -> float32 [n, dim], rows of length 1."""
        features = self._encoder.encode(preprocess_frames(pixels, self._encoder.preprocess)).cpu().numpy()
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _opposite(question: Question) -> str | None:
    given = question.difference.opposite or opposite_statement(question.difference.statement)
    return given if given and re.sub(r"\s+", " ", given) != question.difference.statement else None
