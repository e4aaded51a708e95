"""Formats of separate files: `<key>_<name>.npy` or `.pkl` an array; `<key>_meta.json`, written last, is the mark."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from ...errors import StoredDataError
from ..features import Features
from .base import Mark
from .files import digest_of_file, put_in_place, stage
from .marks import NOT_A_MARK, features_of, mark_from_json, mark_to_json, names_arrays

META_SUFFIX = "_meta.json"


class SeparateFiles:
    """Arrays in files of their own; the suffix and two functions make the format."""

    def __init__(self, suffix: str, save: Callable[[BinaryIO, np.ndarray], Any], load: Callable[[BinaryIO], Any]):
        self.suffix, self._save, self._load = suffix, save, load

    def write(self, folder: Path, key: str, features: Features) -> None:
        """Write all files, the mark last. Raises OSError; then what stood there stands (a full disk shows before anything
        is replaced), or, after a crash between two renames, the key is half written, never wrong."""
        meta = folder / f"{key}{META_SUFFIX}"
        staged: dict[Path, Path] = {}
        contents = {}
        try:
            for name, array in features.arrays().items():
                path = folder / f"{key}_{name}{self.suffix}"
                staged[path] = stage(path, lambda file, array=array: self._save(file, array))
                contents[path.name] = {"size_bytes": staged[path].stat().st_size, "sha256": digest_of_file(staged[path])}
            text = json.dumps(mark_to_json(key, features, contents), indent=1, sort_keys=True, ensure_ascii=False)
            # backslashreplace: bytes of a path that are no UTF-8 become JSON's own escapes
            staged[meta] = stage(meta, lambda file: file.write(text.encode(errors="backslashreplace")))
            meta.unlink(missing_ok=True)  # from here until the new mark stands, the key is half written
            for path, temporary in staged.items():
                put_in_place(temporary, path)
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)

    def mark(self, folder: Path, key: str) -> Mark | None:
        mark = mark_of_file(folder, key)
        if mark is None or not names_arrays(mark, {self._name(key, file) for file in mark.contents}):
            return None
        try:
            right = all((folder / file).stat().st_size == said["size_bytes"] for file, said in mark.contents.items())
        except FileNotFoundError:
            return None
        return mark if right else None

    def read(self, folder: Path, key: str, *, verify: bool = False) -> Features:
        mark = self.mark(folder, key)
        if mark is None:
            raise StoredDataError(f"{folder / key}: no whole features with this key as {self.suffix} files "
                                  "(run the extraction again: it redoes what is half written)")
        arrays = {}
        for file, said in mark.contents.items():
            path = folder / file
            if verify and digest_of_file(path) != said["sha256"]:
                raise StoredDataError(f"{path}: its content changed since it was written (SHA-256 differs); "
                                      "remove it and run the extraction again")
            with open(path, "rb") as stream:
                arrays[self._name(key, file)] = self._load(stream)
        return features_of(mark, arrays)

    def _name(self, key: str, file: str) -> str:
        """The array's name; the whole file name where it is no file of this key and format."""
        ours = file.startswith(f"{key}_") and file.endswith(self.suffix) and "/" not in file
        return file[len(key) + 1:-len(self.suffix)] if ours else file


def mark_of_file(folder: Path, key: str) -> Mark | None:
    """What `<key>_meta.json` says, of whichever format and whether or not its files are there; None where it is none
    of ours. Raises OSError where it cannot be read, StoredDataError for another version's."""
    try:
        return mark_from_json(json.loads((folder / f"{key}{META_SUFFIX}").read_text(encoding="utf-8")))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, *NOT_A_MARK):
        return None


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled arrays and nothing else: a feature file must not be able to run code."""

    _ALLOWED = frozenset({("numpy", "ndarray"), ("numpy", "dtype"),  # NumPy 1 and 2 name the third in two ways
                          ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only plain arrays are read")
        return super().find_class(module, name)


def _save_numpy(file: BinaryIO, array: np.ndarray) -> None:
    # By way of memory: NumPy says of a full disk only how many items it wrote to a file, not why.
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    file.write(buffer.getbuffer())


def load_numpy(file: BinaryIO, place: str | None = None) -> np.ndarray:
    """The array of a .npy file, `place` where it has no name. Raises StoredDataError."""
    try:
        # not np.load, which opens archives too
        return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, TypeError, EOFError, SyntaxError, TokenError, MemoryError, OverflowError) as error:
        raise StoredDataError(f"{place or file.name}: is not a NumPy array file ({error})") from error


def _save_pickle(file: BinaryIO, array: np.ndarray) -> None:
    pickle.dump(array, file, protocol=4)


def _load_pickle(file: BinaryIO) -> np.ndarray:
    try:
        array = _ArraysOnly(io.BytesIO(file.read())).load()
    except (pickle.UnpicklingError, EOFError, ImportError, LookupError, AttributeError, ValueError, TypeError,
            OverflowError, MemoryError, RecursionError) as error:
        raise StoredDataError(f"{file.name}: is not a pickled array ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise StoredDataError(f"{file.name}: holds a {type(array).__name__} of objects, not an array of numbers")
    return array


NUMPY = SeparateFiles(".npy", _save_numpy, load_numpy)
PICKLE = SeparateFiles(".pkl", _save_pickle, _load_pickle)
