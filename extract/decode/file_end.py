"""Does a file hold all the bytes that its own container structure promises?

Times in headers lie (edit lists trim, audio runs longer); the outermost boxes do not. MPEG-TS, raw streams and live
recordings promise nothing: for them a cut cannot be known.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"styp", b"free", b"skip", b"wide", b"pnot"}
_LATER_BOXES = _FIRST_BOXES | {b"moof", b"mfra", b"sidx", b"ssix", b"prft", b"emsg", b"meta", b"uuid", b"udta", b"PICT"}


def missing_bytes(path: Path) -> int:
    """How many promised bytes the file lacks; 0 when it is whole or promises nothing. Raises OSError."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(64)
        if int.from_bytes(head[:4], "big") == _EBML:
            end = _matroska_end(head)
        elif head[:4] == b"RIFF":
            end = _riff_end(file, size)
        elif head[4:8] in _FIRST_BOXES:
            end = _boxes_end(file, size)
        else:
            end = None
    return max(0, end - size) if end is not None else 0


def _matroska_end(head: bytes) -> int | None:
    _, position = _variable_integer(head, 0, keep_marker=True)
    length, position = _variable_integer(head, position)
    if length is None or position + length + 12 > len(head):
        return None
    name, position = _variable_integer(head, position + length, keep_marker=True)
    length, position = _variable_integer(head, position)
    return position + length if name == _SEGMENT and length is not None else None


def _variable_integer(data: bytes, position: int, keep_marker: bool = False) -> tuple[int | None, int]:
    """An EBML number (None: "unknown", all ones) and the position after it."""
    if position >= len(data) or data[position] == 0:
        return None, position + 1
    length = 9 - data[position].bit_length()
    value = int.from_bytes(data[position:position + length], "big")
    if keep_marker:
        return value, position + length
    mask = (1 << (7 * length)) - 1
    return (None if value & mask == mask else value & mask), position + length


def _riff_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end + 8 <= size:  # OpenDML files are several RIFF chunks
        file.seek(end)
        header = file.read(8)
        if header[:4] != b"RIFF":
            break
        end += 8 + int.from_bytes(header[4:], "little")
    return end


def _boxes_end(file: BinaryIO, size: int) -> int | None:
    end = 0
    while end < size:
        file.seek(end)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if length == 0:  # "to the end of the file"
            return size
        if len(header) < 8 or length < 8 or header[4:8] not in _LATER_BOXES:
            return None  # what follows is no box: padding, or something appended
        end += length
    return end
