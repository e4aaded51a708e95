"""Answers of language models on disk: an answer that was paid for once is never paid for again."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError

_TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, seconds REAL NOT NULL)"""


@dataclass(frozen=True)
class StoredAnswer:
    """The raw text of a validated answer, and what it took."""

    model: str
    text: str
    input_tokens: int
    output_tokens: int
    seconds: float


class AnswerCache:
    """Request's SHA-256 -> answer, in one SQLite file; threads and processes may share it. Only validated answers go in.
    `read_only`: of a file that is there, and stays as it is."""

    def __init__(self, path: Path, *, read_only: bool = False):
        self._lock = threading.Lock()
        try:
            if read_only:
                self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False,
                                                   timeout=30)
                self._connection.execute("SELECT key FROM answers LIMIT 1")
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"cache_path={path}: is no cache of answers that can be used ({error}); name another file") from error

    def get(self, key: str) -> StoredAnswer | None:
        with self._lock:
            row = self._connection.execute(
                "SELECT model, text, input_tokens, output_tokens, seconds FROM answers WHERE key = ?", (key,)).fetchone()
        return StoredAnswer(*row) if row is not None else None

    def put(self, key: str, answer: StoredAnswer) -> None:
        """Written at once: a killed run has every answer it got."""
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", (
                key, answer.model, answer.text, answer.input_tokens, answer.output_tokens, answer.seconds))

    def close(self) -> None:
        """Leaves one file: without it the write-ahead log stays beside it, which is as good."""
        with self._lock:
            self._connection.close()
