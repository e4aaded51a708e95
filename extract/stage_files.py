"""The files that a stage leaves in its output folder: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .store.files import write_whole


def prepare(folder: Path) -> None:
    """Raises ConfigError where the folder cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".clipreel-write-test"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"output_path={folder}: cannot be written ({error.strerror}); give a folder that can") from error


def write_json(path: Path, content: Any) -> None:
    """Raises ConfigError where it cannot be written."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Raises ConfigError where it cannot be written."""
    try:
        write_whole(path, lambda file: file.write(text.encode(errors="backslashreplace")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); give another output_path") from error
