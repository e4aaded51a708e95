"""Text features of phrases: options, with their questions made to fit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..extract.text_features import TextFeaturesOf
from ..models.base import TextEncoder
from .texts import Phrase, fit


class TextFeatures(TextFeaturesOf[Phrase]):
    """Phrase -> unit feature. The same option without a question, and a text that two phrases come to, are encoded once."""

    def said(self, key: Phrase, encoder: TextEncoder) -> tuple[str, bool]:
        fitted = fit(key, encoder)
        return fitted.said, fitted.cut

    def entry(self, key: Phrase) -> dict[str, Any]:
        return asdict(key)

    def key_of(self, entry: dict[str, Any]) -> Phrase:
        return Phrase(str(entry["option"]), str(entry["question"]), bool(entry["question_first"]))
