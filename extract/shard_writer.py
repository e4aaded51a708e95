"""The one writer of files of many videos: videos wait here until there are enough for a file, which is then written whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import ClipreelError, ElsewhereError, OutputError
from .features import Features
from .job import Job
from .keys import key_candidates
from .store.base import Mark
from .store.sharded import BYTES_PER_FILE, ShardedStore, slot_of


@dataclass(frozen=True, eq=False)
class Waiting:
    """A video that is done but for its place in a file."""

    job: Job
    features: Features
    duration_seconds: float


@dataclass(frozen=True)
class Commit:
    """What became of the videos that waited: stored under keys, or not, and why."""

    stored: dict[str, Waiting] = field(default_factory=dict)
    failed: list[tuple[Waiting, ClipreelError]] = field(default_factory=list)


class ShardWriter:
    """Collects videos, and commits them as one file. One thread at a time."""

    def __init__(self, store: ShardedStore):
        self._store = store
        self._waiting: list[Waiting] = []
        self._bytes = 0

    def add(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        self._bytes += sum(array.nbytes for array in waiting.features.arrays().values())

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= self._store.videos_per_file or self._bytes >= BYTES_PER_FILE

    def commit(self, is_done: Callable[[Job, Mark | None], bool]) -> Commit:
        """Write what waits as one file, or, where that cannot be, nothing of it. `is_done`: whether what other runs have stored
        meanwhile, which holds its key, makes a job needless."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return Commit()
        commit, named, slots = Commit(), dict[str, Waiting](), dict[str, str]()
        try:
            with self._store.locked():
                self._store.refresh()
                for one in waiting:
                    try:
                        if is_done(one.job, self._store.mark(one.job.key)):
                            raise ElsewhereError(f"{one.job.item}: another run has done it")
                        key = self._free_key(one.job, slots)
                    except ClipreelError as error:
                        commit.failed.append((one, error))
                        continue
                    named[key] = one
                    slots[slot_of(key)] = one.job.content_id
                if named:
                    self._store.write_many({key: one.features for key, one in named.items()})
        except (OSError, ClipreelError) as error:
            reason = error if isinstance(error, ClipreelError) else error.strerror or error
            settled = {id(one) for one, _ in commit.failed}
            return Commit({}, [*commit.failed, *(
                (one, OutputError(f"{one.job.item}: its features cannot be written to {self._store.place} ({reason})"))
                for one in waiting if id(one) not in settled)])
        commit.stored.update(named)
        return commit

    def _free_key(self, job: Job, slots: dict[str, str]) -> str:
        """The job's key, or a longer one where another video of this file, or of one that came meanwhile, has it."""
        for key in dict.fromkeys((job.key, *key_candidates(job.item.name, job.content_id))):
            mark = self._store.mark(key)
            owner = slots.get(slot_of(key)) or (mark.provenance.source.content_id if mark is not None else None)
            if owner in (None, job.content_id):
                return key
        raise OutputError(f"{job.item.path}: other videos own every key for it; rename it, or give another output_path")
