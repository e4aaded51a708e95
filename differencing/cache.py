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
_COLUMNS = "model, text, input_tokens, output_tokens, seconds"
_PATIENCE_SECONDS = 30  # for another process that writes


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
    `read_only`: of a file that is there, and stays as it is.

    Every method raises ConfigError where the file cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False):
        self._lock, self._path = threading.Lock(), path
        try:
            if read_only:
                self._connection = _opened_to_read(path)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_PATIENCE_SECONDS)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(_TABLE)
            self._connection.execute(f"SELECT {_COLUMNS} FROM answers LIMIT 1")
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def get(self, key: str) -> StoredAnswer | None:
        try:
            with self._lock:
                row = self._connection.execute(f"SELECT {_COLUMNS} FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return StoredAnswer(*row) if row is not None else None

    def put(self, key: str, answer: StoredAnswer) -> None:
        """Written at once: a killed run has every answer it got."""
        try:
            with self._lock:
                self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", (
                    key, answer.model, answer.text, answer.input_tokens, answer.output_tokens, answer.seconds))
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Leaves one file: without it the write-ahead log stays beside it, which is as good."""
        with self._lock:
            self._connection.close()

    def _unusable(self, error: Exception) -> ConfigError:
        return ConfigError(f"cache_path={self._path}: is no cache of answers that can be used ({error}); name another file")


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """A file in a folder that cannot be written is opened as one that nobody changes."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    for name in (uri, f"{uri}&immutable=1"):
        connection = sqlite3.connect(name, uri=True, check_same_thread=False, timeout=_PATIENCE_SECONDS)
        try:
            connection.execute(f"SELECT {_COLUMNS} FROM answers LIMIT 1")
            return connection
        except sqlite3.Error:
            connection.close()
            if name != uri or not path.is_file():
                raise
    raise AssertionError
