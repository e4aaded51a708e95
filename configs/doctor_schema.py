"""The keys of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from .schema import key


@dataclass(frozen=True)
class DoctorConfig:
    """`python main.py doctor`: what is here, what is wrong with it, and what to do."""

    output_path: str = key("./output", "where features will go: is it writable, and how much room is there")
    self_test: bool = key(True, "extract a sample video with the demonstration model, about two seconds")
