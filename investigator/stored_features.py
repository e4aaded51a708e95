"""What is stored already of a video by the model of this investigator, whatever made it."""

from __future__ import annotations

from pathlib import Path

from ..extract.features import Features
from ..extract.keys import key_candidates
from ..extract.store.base import Mark
from ..extract.store.hdf5 import HDF5
from ..extract.store.separate import NUMPY
from ..models.base import EncoderIdentity

_FORMATS = (NUMPY, HDF5)  # no pickles


def find_mark(folder: Path, name: str, content_id: str, identity: EncoderIdentity) -> tuple[int, str, Mark] | None:
    """(format, key, mark) of the whole features of this content by this model, of whatever sampling; None where there are none.

    args: `name` is the file's stem, by which it would be stored.
    """
    for key in key_candidates(name, content_id):
        for number, form in enumerate(_FORMATS):
            mark = form.mark(folder, key)
            if mark is None:
                continue
            source = mark.provenance.source
            if source.content_id == content_id and mark.provenance.settings.encoder == identity:
                return number, key, mark
    return None


def read_stored(folder: Path, name: str, content_id: str, identity: EncoderIdentity) -> Features | None:
    """Raises StoredDataError where they are damaged."""
    found = find_mark(folder, name, content_id, identity)
    return _FORMATS[found[0]].read(folder, found[1]) if found is not None else None
