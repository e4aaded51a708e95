"""A request that is not done as asked."""

from __future__ import annotations


class Refusal(Exception):
    """Answered with `status` and the sentence; `retry_after_seconds`: when the same request may go through."""

    def __init__(self, status: int, sentence: str, *, retry_after_seconds: int | None = None):
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after_seconds = status, sentence, retry_after_seconds
