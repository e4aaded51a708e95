"""An index on disk: a folder of segments that are written once and never changed, and `index.json`, which says what counts.

Replacing `index.json` is the commit: before it nothing new counts, and what it names was flushed to the disk.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import StoredDataError
from ..extract.store.files import digest_of_file, remove_stale, write_whole
from ..models.base import EncoderIdentity
from .codes import binary_codes, int8_codes

MANIFEST = "index.json"
FORMAT, SCHEMA_VERSION = "clipreel-index", 1
PREFIX = "part-"  # of all files but the manifest
_VERIFIED_BYTES = 256 << 20  # files up to this size are compared with their digests whenever an index is opened


@dataclass(frozen=True)
class IndexIdentity:
    """What the vectors are: whose, and how a video's frames became one. Vectors of two identities have no common meaning."""

    encoder: EncoderIdentity
    selection: str  # learned, all, uniform or kmedoids
    k: int | None = None
    checkpoint: str | None = None  # the fingerprint of the model that chose and aggregated
    selected_by: str | None = None  # of the one that chose frames before they were encoded (`select=` of the extraction)

    def differences(self, other: IndexIdentity) -> list[str]:
        """In words, what makes their vectors incomparable."""
        mine, theirs = ({**asdict(one), **asdict(one.encoder), "encoder": None} for one in (self, other))
        return [f"{name}: {mine[name]} there, {theirs[name]} now" for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class File:
    """A file of the index, as it was written."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Segment:
    """Rows that were written together. `files` by what they hold: vectors, keys, videos, offsets, codes, scales."""

    rows: int
    files: dict[str, File]
    dead: File | None = None  # the rows that were deleted or replaced since
    dead_rows: int = 0


@dataclass(frozen=True)
class Approximate:
    """A structure of FAISS over the first segments, and what it was found to do on vectors of the index itself."""

    kind: str  # hnsw or ivf
    file: File
    segments: int
    rows: int
    effort: int  # ef of hnsw, probes of ivf
    recall: float  # of the 10 best, against the exact ones


@dataclass(frozen=True)
class Manifest:
    """What counts: everything that an index is."""

    identity: IndexIdentity
    dim: int
    dtype: str  # float32, float16, int8, binary
    structure: str  # auto, exact, hnsw, ivf
    roots: tuple[str, ...]  # folders of stored features, absolute
    segments: tuple[Segment, ...] = ()
    approximate: Approximate | None = None
    checkpoint: File | None = None  # the model, for queries
    generation: int = 0

    @property
    def alive(self) -> int:
        return sum(segment.rows - segment.dead_rows for segment in self.segments)

    def files(self) -> set[str]:
        """The names of all files that count."""
        held = [file for segment in self.segments for file in (*segment.files.values(), segment.dead) if file is not None]
        held += [self.approximate.file] if self.approximate is not None else []
        held += [self.checkpoint] if self.checkpoint is not None else []
        return {MANIFEST, *(file.name for file in held)}


@dataclass(frozen=True)
class IndexedVideo:
    """A video of an index, and where its features lie: a place (`find_stored`'s file) below a root, and a key."""

    video_id: str
    root: int
    file: str  # relative to the root
    key: str
    sha256: str  # of the stored array: another one is another version of the features
    source: str  # the video that they were made of


@dataclass(frozen=True, eq=False)
class NewVideos:
    """Videos to add, with their unit vectors."""

    videos: Sequence[IndexedVideo]
    vectors: np.ndarray = field(repr=False)  # float32 [n, dim]


def read_manifest(folder: Path) -> Manifest:
    """Raises StoredDataError where there is no index, or it is damaged or of another version."""
    path = folder / MANIFEST
    if not path.is_file():
        raise StoredDataError(f"index={folder}: holds no index ({MANIFEST}); make it with `retrieval index … output_path={folder}`")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said = content.pop("digest")
        if content["format"] != FORMAT:
            raise ValueError("it is no index of ours")
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"it is of layout {content['schema_version']}, and this version of clipreel reads {SCHEMA_VERSION}")
        if _digest(content) != said:
            raise ValueError("it was changed since it was written")
        return _manifest(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoredDataError(f"{path}: is damaged ({error}); make the index again") from error


def commit(folder: Path, manifest: Manifest) -> None:
    """From here on this is the index. What does not count any more is removed. Raises OSError."""
    content = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **asdict(manifest)}
    content = json.loads(json.dumps(content))  # tuples become lists, as they will be read
    text = json.dumps({**content, "digest": _digest(content)}, indent=1)
    write_whole(folder / MANIFEST, lambda file: file.write(text.encode()))
    sweep(folder, manifest)


def sweep(folder: Path, manifest: Manifest) -> None:
    """Remove files that do not count: of earlier commits, and of writers that were killed. Only for who holds the lock."""
    remove_stale(folder)
    counting = manifest.files()
    for path in folder.iterdir():
        if path.name not in counting and path.name.startswith(PREFIX):
            path.unlink(missing_ok=True)


def write_segment(folder: Path, new: NewVideos, dtype: str) -> Segment:
    """The rows in files of their own, flushed to the disk; they count once a manifest names them. Raises OSError."""
    name = new_name()
    lines = [json.dumps(list(vars(video).values())).encode() for video in new.videos]
    arrays = {"vectors": new.vectors.astype(np.float32 if dtype == "float32" else np.float16, copy=False),
              "keys": np.array([key_of(video.video_id) for video in new.videos], dtype=np.uint64),
              "offsets": np.cumsum([0, *map(len, lines)], dtype=np.int64)}
    if dtype == "int8":
        arrays["codes"], arrays["scales"] = int8_codes(new.vectors)
    elif dtype == "binary":
        arrays["codes"] = binary_codes(new.vectors)
    files = {what: _write_array(folder / f"{name}.{what}.npy", array) for what, array in arrays.items()}
    files["videos"] = write_file(folder / f"{name}.videos.jsonl", lambda file: file.write(b"".join(lines)))
    return Segment(len(new.videos), files)


def bury(folder: Path, segment: Segment, dead: np.ndarray) -> Segment:
    """The segment with exactly these rows (int64) deleted. Raises OSError."""
    if not len(dead):
        return replace(segment, dead=None, dead_rows=0)
    file = _write_array(folder / f"{new_name()}.dead.npy", np.sort(dead).astype(np.int64))
    return replace(segment, dead=file, dead_rows=len(dead))


def open_array(folder: Path, file: File) -> np.ndarray:
    """Memory-mapped; what is written to it is not written to the disk. Raises StoredDataError, FileNotFoundError."""
    path = folder / file.name
    check_file(folder, file)
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise StoredDataError(f"{path}: is damaged ({error}); make the index again") from error
    return np.asarray(array)  # a plain array on the same pages


def check_file(folder: Path, file: File, *, verify: bool = False) -> None:
    """Raises StoredDataError where the file is not as it was written: by its size, and where it is small enough (or `verify`
    is asked for) by its digest; FileNotFoundError where it is not there."""
    path = folder / file.name
    there = path.stat().st_size
    if there != file.size_bytes:
        raise StoredDataError(f"{path}: is damaged ({there} bytes, {file.size_bytes} were written); make the index again")
    if (verify or there <= _VERIFIED_BYTES) and digest_of_file(path) != file.sha256:
        raise StoredDataError(f"{path}: is damaged (its content changed since it was written); make the index again")


def write_file(path: Path, write: Any) -> File:
    """A file of the index, flushed to the disk. Raises OSError."""
    write_whole(path, write)
    return file_of(path)


def file_of(path: Path) -> File:
    """What is there now, as a manifest names it."""
    return File(path.name, path.stat().st_size, digest_of_file(path))


def new_name() -> str:
    """The beginning of a file name that nothing has yet."""
    return f"{PREFIX}{secrets.token_hex(8)}"


def video_of_line(line: bytes) -> IndexedVideo:
    """The inverse of what `write_segment` writes."""
    return IndexedVideo(*json.loads(line))


def key_of(video_id: str) -> int:
    """64 bits by which a video's row is found without reading every name."""
    return int.from_bytes(hashlib.sha256(video_id.encode(errors="backslashreplace")).digest()[:8], "little")


def _write_array(path: Path, array: np.ndarray) -> File:
    def write(file: BinaryIO) -> None:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)

    return write_file(path, write)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _manifest(content: dict[str, Any]) -> Manifest:
    identity = content["identity"]
    approximate = content["approximate"]
    return Manifest(
        IndexIdentity(**{**identity, "encoder": EncoderIdentity(**identity["encoder"])}), int(content["dim"]),
        content["dtype"], content["structure"], tuple(content["roots"]), tuple(map(_segment, content["segments"])),
        Approximate(**{**approximate, "file": File(**approximate["file"])}) if approximate else None,
        File(**content["checkpoint"]) if content["checkpoint"] else None, int(content["generation"]))


def _segment(said: dict[str, Any]) -> Segment:
    files = {what: File(**file) for what, file in said["files"].items()}
    return Segment(int(said["rows"]), files, File(**said["dead"]) if said["dead"] else None, int(said["dead_rows"]))
