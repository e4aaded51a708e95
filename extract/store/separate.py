"""Formats of separate files: `<key>_<name>.npy` or `.pkl` an array; `<key>_meta.json`, written last, is the mark."""

from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import StoredDataError
from ..features import Features, provenance_from_json, provenance_to_json
from .base import MARK, SCHEMA_VERSION, Mark
from .files import digest_of_file, write_whole

META_SUFFIX = "_meta.json"


class SeparateFiles:
    """Arrays in files of their own; the suffix and two functions make the format."""

    def __init__(self, suffix: str, save: Callable[[BinaryIO, np.ndarray], Any], load: Callable[[BinaryIO], Any]):
        self.suffix, self._save, self._load = suffix, save, load

    def write(self, folder: Path, key: str, features: Features) -> None:
        """Write all files, the mark last. Raises OSError; then the key is absent or half written, never wrong."""
        meta = folder / f"{key}{META_SUFFIX}"
        meta.unlink(missing_ok=True)  # from here until the new mark stands, the key is half written
        contents = {}
        for name, array in features.arrays().items():
            path = folder / f"{key}_{name}{self.suffix}"
            write_whole(path, lambda file, array=array: self._save(file, array))
            contents[path.name] = {"size_bytes": path.stat().st_size, "sha256": digest_of_file(path)}
        text = json.dumps(mark_to_json(key, features, contents), indent=1, sort_keys=True, ensure_ascii=False)
        # backslashreplace: a path that is no UTF-8 is written as JSON's own escapes
        write_whole(meta, lambda file: file.write(text.encode(errors="backslashreplace")))

    def mark(self, folder: Path, key: str) -> Mark | None:
        try:
            mark = mark_from_json(read_json(folder / f"{key}{META_SUFFIX}"))
            wanted = {f"{key}_{name}{self.suffix}" for name in array_names(mark)}
            whole = all((folder / name).stat().st_size == said["size_bytes"] for name, said in mark.contents.items())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, *NOT_A_MARK):
            return None
        return mark if whole and wanted <= mark.contents.keys() <= wanted | {f"{key}_intervals_ms{self.suffix}"} else None

    def read(self, folder: Path, key: str, *, verify: bool = False) -> Features:
        mark = self.mark(folder, key)
        if mark is None:
            raise StoredDataError(f"{folder / key}: no whole features with this key as {self.suffix} files "
                                  "(run the extraction again: it redoes what is half written)")
        arrays = {}
        for name, said in mark.contents.items():
            path = folder / name
            if verify and digest_of_file(path) != said["sha256"]:
                raise StoredDataError(f"{path}: its content changed since it was written (SHA-256 differs); "
                                      "remove it and run the extraction again")
            with open(path, "rb") as file:
                arrays[name.removeprefix(f"{key}_").removesuffix(self.suffix)] = self._load(file)
        return features_of(mark, arrays)


def mark_to_json(key: str, features: Features, contents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    times = features.timestamps_ms
    return {"format": MARK, "schema_version": SCHEMA_VERSION, "key": key,
            "shape": list(features.features.shape), "dtype": features.features.dtype.name,
            "fps": None if math.isnan(features.fps) else features.fps,
            "time_range_ms": [float(times[0]), float(times[-1])], "contents": contents,
            **provenance_to_json(features.provenance)}


def mark_from_json(content: dict[str, Any]) -> Mark:
    """Raises ValueError, KeyError or TypeError when the content is not a mark of ours."""
    if content["format"] != MARK or content["schema_version"] != SCHEMA_VERSION:
        raise ValueError("not a mark of this version")
    rows, dim = content["shape"]
    first, last = content["time_range_ms"]
    return Mark(content["key"], provenance_from_json(content), (rows, dim), content["dtype"],
                math.nan if content["fps"] is None else content["fps"], (first, last), content["contents"])


def features_of(mark: Mark, arrays: dict[str, np.ndarray]) -> Features:
    try:
        return Features(arrays[mark.provenance.settings.encoder.feature_type], arrays["timestamps_ms"],
                        float(arrays["fps"]), mark.provenance, arrays.get("intervals_ms"))
    except (KeyError, ValueError, TypeError) as error:
        raise StoredDataError(f"{mark.key}: the stored arrays do not belong together ({error})") from error


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled arrays and nothing else: a feature file must not be able to run code."""

    _ALLOWED = frozenset({("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
                          ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
                          ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise StoredDataError(f"a pickle that asks for {module}.{name} is refused: only plain arrays are read")
        return super().find_class(module, name)


def _load_numpy(file: BinaryIO) -> np.ndarray:
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise StoredDataError(f"{file.name}: is not a NumPy array file ({error})") from error


def _load_pickle(file: BinaryIO) -> np.ndarray:
    try:
        array = _ArraysOnly(io.BytesIO(file.read())).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, ValueError, TypeError) as error:
        raise StoredDataError(f"{file.name}: is not a pickled array ({error})") from error
    if not isinstance(array, np.ndarray):
        raise StoredDataError(f"{file.name}: holds a {type(array).__name__}, not an array")
    return array


NUMPY = SeparateFiles(".npy", lambda file, array: np.save(file, array, allow_pickle=False), _load_numpy)
PICKLE = SeparateFiles(".pkl", lambda file, array: pickle.dump(array, file, protocol=4), _load_pickle)
