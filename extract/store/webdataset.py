"""WebDataset tars: `<key>.features.npy`, `<key>.timestamps_ms.npy`, `<key>.fps.npy`, `<key>.json` a video.

The first member is a block that says where the index is and how long the file is, the last one the index: every video's mark
and where its arrays lie. Both have names that readers of WebDataset pass over (`__…__`). So a cut file is known at once, and a
video is read without a walk through the tar.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import StoredDataError
from ..features import Features
from ..remote import RemoteFile
from .marks import NOT_A_MARK, features_of, mark_from_json, mark_to_json
from .separate import load_numpy
from .shard import Entry, Stamp, opened

SUFFIX = ".tar"
_FORMAT = "clipreel-webdataset"
_HEAD, _INDEX = "__clipreel__", "__index__"
_BLOCK = tarfile.BLOCKSIZE


class WebDataset:
    """Files that the package `webdataset` reads, and this one by itself."""

    def write(self, stream: BinaryIO, videos: Mapping[str, Features]) -> None:
        """Write the tar to a stream that can seek."""
        lines = []
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, _HEAD, bytes(_BLOCK))
            for key, features in videos.items():
                name, contents, places = sample_name(key), dict[str, dict[str, Any]](), dict[str, tuple[int, int]]()
                for array_name, array in features.arrays().items():
                    member = "features" if array_name == features.provenance.settings.encoder.feature_type else array_name
                    data = _npy(array)
                    places[array_name] = _add(tar, f"{name}.{member}.npy", data), len(data)
                    contents[array_name] = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                mark = mark_to_json(key, features, contents)
                _add(tar, f"{name}.json", _text(mark))
                lines.append(_text({"mark": mark, "places": places}))
            index = b"\n".join(lines)
            offset = _add(tar, _INDEX, index)
        head = {"format": _FORMAT, "file_bytes": stream.tell(), "index_offset": offset, "index_bytes": len(index)}
        stream.seek(_BLOCK)  # behind the first member's header
        stream.write(json.dumps(head).encode().ljust(_BLOCK))

    def entries(self, file: Path | RemoteFile) -> Iterator[Entry]:
        try:
            with opened(file) as (stream, size, stamp):
                return iter([_entry(json.loads(line), stamp) for line in _index_of(stream, size).split(b"\n")])
        except (OSError, *NOT_A_MARK) as error:
            raise StoredDataError(f"{file}: is no whole tar of features that clipreel wrote ({error})") from error

    def read(self, file: Path | RemoteFile, entry: Entry, *, verify: bool = False) -> Features:
        mark, arrays = entry.mark, dict[str, np.ndarray]()
        place = f"{file}:{mark.key}"
        try:
            with opened(file) as (stream, _, stamp):
                if stamp != entry.stamp:
                    entry = self._now(file, mark.key)
                    mark = entry.mark
                for name, (offset, size) in entry.places.items():
                    stream.seek(offset)
                    data = stream.read(size)
                    if verify and hashlib.sha256(data).hexdigest() != mark.contents[name]["sha256"]:
                        raise StoredDataError(f"{place}: {name} changed since it was written (SHA-256 differs); "
                                              "remove the file and run the extraction again")
                    arrays[name] = load_numpy(io.BytesIO(data), place)
        except OSError as error:
            raise StoredDataError(f"{place}: cannot be read ({error})") from error
        return features_of(mark, arrays)

    def _now(self, file: Path | RemoteFile, key: str) -> Entry:
        """The entry in a file that was written anew since."""
        for entry in self.entries(file):
            if entry.mark.key == key:
                return entry
        raise StoredDataError(f"{file}:{key}: is not there any more; a newer file may hold it")


def sample_name(key: str) -> str:
    """A key as a name in the tar: the first dot of a name ends it there, so dots are written %2E (and % is %25)."""
    escaped = key.replace("%", "%25").replace(".", "%2E")
    return "".join(f"%{byte - 0xDC00:02X}" if 0xDC80 <= (byte := ord(letter)) <= 0xDCFF else letter for letter in escaped)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _text(content: dict[str, Any]) -> bytes:
    # backslashreplace: bytes of a path that are no UTF-8 become JSON's own escapes
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode(errors="backslashreplace")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Adds a member; returns the offset of its data."""
    member = tarfile.TarInfo(name)  # no times and owners: equal features, equal files
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
    return tar.offset - -(-len(data) // _BLOCK) * _BLOCK


def _index_of(file: BinaryIO, size: int) -> bytes:
    """Raises ValueError, KeyError, TypeError, AttributeError or OSError."""
    start = file.read(2 * _BLOCK)
    if not start.startswith(_HEAD.encode() + b"\0"):
        raise ValueError(f"its first member is not {_HEAD}")
    head = json.loads(start[_BLOCK:])
    if head["format"] != _FORMAT:
        raise ValueError(f"its format is {head['format']!r}")
    if head["file_bytes"] != size:
        raise ValueError(f"{size} bytes of {head['file_bytes']}")
    _check_place(head["index_offset"], head["index_bytes"], size)
    file.seek(head["index_offset"])
    return file.read(head["index_bytes"])


def _entry(line: dict[str, Any], stamp: Stamp) -> Entry:
    mark = mark_from_json(line["mark"])
    places = {str(name): (offset, size) for name, (offset, size) in line["places"].items()}
    if places.keys() != mark.contents.keys():
        raise ValueError(f"the places of {mark.key!r} are not its arrays'")
    for name, (offset, size) in places.items():
        _check_place(offset, size, offset + mark.contents[name]["size_bytes"])
    return Entry(mark, places, stamp)


def _check_place(offset: object, size: object, end: int) -> None:
    if not (isinstance(offset, int) and isinstance(size, int) and offset >= 0 and size >= 0 and offset + size <= end):
        raise ValueError(f"it names bytes that it does not have ({offset}, {size})")


WEBDATASET = WebDataset()
