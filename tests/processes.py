"""The processes of tests: which they have started, and the priority of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def children() -> set[int]:
    """Those that this process has started and that are still there."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended meanwhile
            found.update(map(int, path.read_text().split()))
    return found


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """SVT-AV1, when root calls it, makes the calling thread a real-time one: a long test run would starve the machine."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def at_work(process: int) -> bool:
    """Whether it is there, and has not ended with nobody to ask how."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
