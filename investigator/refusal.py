"""A request that is not done as asked: its status, a word for programs, a sentence for people and what they can do."""

from __future__ import annotations


class Refusal(Exception):
    """Answered with `status` and `{"error": {"code", "message", "do"}}`."""

    def __init__(self, status: int, code: str, message: str, do: str | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.do = status, code, message, do


def not_found(what: str) -> Refusal:
    """The same words for what is missing and what is not allowed: neither tells what lies on the disk."""
    return Refusal(404, "not_found", f"{what} is not here, or lies outside the folders that may be opened",
                   "choose one of the library, or start the investigator with roots= that hold it")


def bad_request(message: str, do: str | None = None) -> Refusal:
    return Refusal(400, "bad_request", message, do)
