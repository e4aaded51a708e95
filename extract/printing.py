"""The printing sink: the one place that writes results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from .features import Features


def format_features(features: Features) -> str:
    """Name, array and max / mean / min of each array."""
    parts = []
    for name, array in features.arrays().items():
        parts.append(f"{name}\n{array}\n"
                     f"max: {array.max():.8f}; mean: {array.mean():.8f}; min: {array.min():.8f}\n\n")
    return "".join(parts)


def format_probabilities(number: int, texts: Sequence[str], probabilities: np.ndarray) -> str:
    """`Video #0: text | text`, then `frame 0: [p, p]` a frame."""
    lines = [f"Video #{number}: {' | '.join(texts)}"]
    lines += [f"frame {row}: {values}" for row, values in enumerate(probabilities.tolist())]
    return "\n".join(lines) + "\n"


class InOrder:
    """Prints what videos give in the order the videos were named, though they finish in another."""

    def __init__(self):
        self._next, self._waiting = 0, dict[int, str]()

    def put(self, number: int, text: str) -> None:
        """Everything that video `number` has to say (nothing, for a failed one)."""
        self._waiting[number] = text
        try:
            while self._next in self._waiting:
                sys.stdout.write(self._waiting.pop(self._next))
                self._next += 1
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has enough
            raise
        except (OSError, ValueError, AttributeError) as error:  # a full disk, a closed stdout
            raise BrokenPipeError(f"standard output cannot be written ({error})") from error
