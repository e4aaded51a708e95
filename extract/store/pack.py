"""`pack FOLDER out.h5`: per-video files of any format into one HDF5, a group a video, one video in memory at a time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ...configs.schema import PackConfig
from ...errors import ConfigError, StoredDataError
from .files import put_in_place, temporary_beside
from .find import StoredVideo, find_stored
from .hdf5 import LIBRARY_VERSIONS, group_name, write_group

log = logging.getLogger("clipreel")


def run(config: PackConfig) -> int:
    """Write the packed file whole or not at all. Raises ConfigError or StoredDataError."""
    import h5py

    folder, output = Path(config.folder).expanduser(), Path(config.output).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"pack: {folder} is no folder")
    if output.is_dir():
        raise ConfigError(f"pack: {output} is a folder; name a file in it")
    if output.exists() and not config.overwrite:
        raise ConfigError(f"pack: {output} is there already; overwrite=true replaces it")
    if not output.parent.is_dir():
        raise ConfigError(f"pack: {output.parent} is no folder; make it first")
    temporary, packed = temporary_beside(output), dict[str, str]()
    try:
        with h5py.File(temporary, "w", libver=LIBRARY_VERSIONS) as file:
            for video in find_stored(folder):
                if output.exists() and video.file.samefile(output):  # an older packed file, about to be replaced
                    continue
                _add(video, file, packed, folder)
        if not packed:
            raise StoredDataError(f"{folder}: holds no stored features")
        put_in_place(temporary, output)
    except (OSError, RuntimeError) as error:  # the HDF5 library's word for a full disk is RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"pack: {output} cannot be written ({reason}); is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)
    log.info("packed %d videos into %s", len(packed), output)
    return 0


def _add(video: StoredVideo, file: Any, packed: dict[str, str], folder: Path) -> None:
    """A group for the video, unless the same features are in already (in another format, say)."""
    features = video.read(True)
    source, settings = features.provenance.source, features.provenance.settings
    made_of, name = f"{settings.fingerprint}{source.content_id}", group_name(video.key)
    if packed.setdefault(name, made_of) != made_of:
        raise StoredDataError(f"{video.place}: another video or other settings under the key {video.key!r} "
                              f"are below {folder} too; pack one folder of one model")
    if name not in file:
        write_group(file.create_group(name), video.key, features)
