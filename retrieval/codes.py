"""Small codes of unit vectors, to find candidates fast; candidates are then ranked by the vectors themselves."""

from __future__ import annotations

import numpy as np

_BITS_OF_BYTE = np.array([bin(value).count("1") for value in range(256)], dtype=np.uint8)


def int8_codes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, D] -> codes int8 [n, D] and scales float32 [n]: vectors are about codes * scales."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12) / 127
    return np.round(vectors / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def binary_codes(vectors: np.ndarray) -> np.ndarray:
    """float32 [n, D] -> signs, uint8 [n, 8 * ceil(D / 64)]: bits that D does not fill are 0 in every code."""
    bits = np.packbits(vectors > 0, axis=1)
    return np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))


def equal_bits(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Minus the number of bits in which each code differs from the query: uint8 [b], [n, b] -> float32 [n]."""
    words = codes.view(np.uint64) ^ query.view(np.uint64)  # [n, b / 8]
    if hasattr(np, "bitwise_count"):  # NumPy 2
        differing = np.bitwise_count(words).sum(axis=1, dtype=np.int32)
    else:
        differing = _BITS_OF_BYTE[words.view(np.uint8)].sum(axis=1, dtype=np.int32)
    return -differing.astype(np.float32)
