"""A folder of features in one format: what is done, what is another video's, what was made with other settings."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from ...errors import StoreConflictError
from ..features import Features, Settings
from .base import FeatureFormat, Mark
from .files import locked, remove_stale, write_whole
from .hdf5 import HDF5, SUFFIX
from .separate import META_SUFFIX, NUMPY, PICKLE


class FeatureStore:
    """The same verbs for every format: write, read, has, keys."""

    def __init__(self, folder: Path, format_name: str):
        self.folder, self.format = folder, FORMATS[format_name]
        self.place = str(folder)  # for messages; where it is no folder (`object_store`), all there is

    def prepare(self) -> None:
        """Make the folder and clear what killed runs left. Raises OSError where the folder cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_stale(self.folder)
        probe = self.folder / ".clipreel-write-test"
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may have been quicker

    def locked(self, name: str = "") -> AbstractContextManager[None]:
        """Alone among the processes and threads that write to this folder (or, at a URL, videos of this name)."""
        return locked(self.folder)

    def write(self, key: str, features: Features) -> None:
        self.format.write(self.folder, key, features)

    def write_beside(self, name: str, content: bytes) -> None:
        """A file that is no features, whole. Raises OSError."""
        write_whole(self.folder / name, lambda file: file.write(content))

    def read(self, key: str, *, verify: bool = False) -> Features:
        return self.format.read(self.folder, key, verify=verify)

    def has(self, key: str, fingerprint: str) -> bool:
        """Done: a commit mark with this run's fingerprint, and everything it names is there in the right size."""
        mark = self.mark(key)
        return mark is not None and mark.provenance.settings.fingerprint == fingerprint

    def mark(self, key: str) -> Mark | None:
        return self.format.mark(self.folder, key)

    def holds(self, key: str, mark: Mark) -> bool:
        """Whether what occupies the key is of this store's format."""
        return self.mark(key) is not None

    def occupant(self, key: str) -> Mark | None:
        """Whose whole features writing this key would destroy: this format's, or those of the other format of separate
        files, whose metadata has the same name."""
        rivals = (HDF5,) if self.format is HDF5 else (self.format, NUMPY, PICKLE)
        return next((mark for one in rivals if (mark := one.mark(self.folder, key)) is not None), None)

    def keys(self) -> list[str]:
        """The keys that are whole, sorted."""
        suffix = SUFFIX if self.format is HDF5 else META_SUFFIX
        found = sorted(path.name.removesuffix(suffix) for path in self.folder.glob(f"*{suffix}"))
        return [key for key in found if self.mark(key) is not None]


def refuse_other_settings(key: str, mark: Mark, settings: Settings, folder: Path | str) -> None:
    """Raises StoreConflictError that names every setting in which the stored features and this run differ."""
    stored, wanted = mark.provenance.settings.flat(), settings.flat()
    differing = [f"{name}: {stored.get(name)} there, {wanted.get(name)} now"
                 for name in wanted if stored.get(name) != wanted.get(name)]
    if differing:
        raise StoreConflictError(f"{folder} holds features of {key!r} made with other settings "
                                 f"({'; '.join(differing)}). Give overwrite=true to replace them, or another output_path")


FORMATS: dict[str, FeatureFormat] = {
    "save_numpy": NUMPY,
    "save_pickle": PICKLE,
    "save_hdf5": HDF5,
    "save_h5": HDF5,
}
