"""`pack FOLDER out.h5`: per-video files of any format into one HDF5, a group a video, one video in memory at a time."""

from __future__ import annotations

import logging
from pathlib import Path

from ...configs.schema import PackConfig
from ...errors import ConfigError, StoredDataError
from .files import put_in_place, temporary_beside
from .find import find_stored
from .hdf5 import LIBRARY_VERSIONS, write_group

log = logging.getLogger("clipreel")


def run(config: PackConfig) -> int:
    """Write the packed file whole or not at all. Raises ConfigError or StoredDataError."""
    import h5py

    folder, output = Path(config.folder), Path(config.output)
    if not folder.is_dir():
        raise ConfigError(f"pack: {folder} is no folder")
    if output.exists() and not config.overwrite:
        raise ConfigError(f"pack: {output} is there already; overwrite=true replaces it")
    if not output.parent.is_dir():
        raise ConfigError(f"pack: {output.parent} is no folder; make it first")
    temporary, packed = temporary_beside(output), dict[str, str]()
    try:
        with h5py.File(temporary, "w", libver=LIBRARY_VERSIONS) as file:
            for video in find_stored(folder):
                if video.place.startswith(f"{output}:"):  # an older packed file, about to be replaced
                    continue
                features = video.read(True)
                fingerprint = f"{features.provenance.settings.fingerprint}{features.provenance.source.content_id}"
                if packed.setdefault(video.key, fingerprint) != fingerprint:
                    raise StoredDataError(f"{video.place}: another video or other settings under the key {video.key!r} "
                                          f"are below {folder} too; pack one folder of one model")
                if video.key not in file:
                    write_group(file.create_group(video.key), video.key, features)
        if not packed:
            raise StoredDataError(f"{folder}: holds no stored features")
        put_in_place(temporary, output)
    except OSError as error:
        raise ConfigError(f"pack: {output} cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
    log.info("packed %d videos into %s", len(packed), output)
    return 0
