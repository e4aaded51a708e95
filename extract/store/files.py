"""Writing a file whole or not at all, and telling what was written."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_SUFFIX = ".clipreel-tmp"
_NUMBERS = itertools.count()  # threads of one process do not share temporary files either
_FIRST_NAMESPACE = "4026531836"  # of process numbers: the machine's own
_NO_SUCH_CALL = {errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call `write` on a temporary file beside `path`, then put it in place: readers see the old file or the new one.

    Raises OSError (no space left, no permission) after removing the temporary file.
    """
    temporary = stage(path, write)
    try:
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def stage(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """The written and flushed temporary file that is to become `path`. Raises OSError after removing it."""
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            write(file)
        flush(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def temporary_beside(path: Path) -> Path:
    # Host and process in the name: two runs never share a temporary file, and a later run knows what is stale.
    # The file's own name only as a digest: with it, a long key would go over the 255 bytes of a file name.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".{digest}.{machine()}.{this_process()}-{next(_NUMBERS)}{_SUFFIX}")


def put_in_place(temporary: Path, path: Path) -> None:
    """Flush the file to the disk, rename it, flush the folder: both survive a power cut, in this order."""
    flush(temporary)
    os.replace(temporary, path)
    flush(path.parent)


def remove_stale(folder: Path) -> None:
    """Remove temporary files and folders that runs on this machine left behind when they were killed."""
    for path in folder.glob(f".*{_SUFFIX}"):
        host, _, process = path.name.removesuffix(_SUFFIX)[18:].rpartition(".")  # behind the digest and its dots
        if host != machine() or lives(process.rpartition("-")[0]):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # another run may be at it too
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among the processes and threads that lock this folder."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which lets the lock go


def digest_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def link(source: Path, target: Path) -> bool:
    """The file under another name too, all at once; False when that is taken. On a disk that has no such links (exFAT, many
    that lie behind a network) it is moved there, which two machines may do at once."""
    try:
        os.link(source, target)
    except FileExistsError:
        return source.stat().st_nlink == 2  # NFS: it was made, and the answer was lost
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
        if target.exists():
            return False
        os.replace(source, target)
    return True


def flush(path: Path) -> None:
    """A file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL or not path.is_dir():  # some file systems do that for no folder
            raise
    finally:
        os.close(handle)


def machine() -> str:
    """Within which a number means one process: the host, or in a container also its own processes."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # no Linux
        namespace = _FIRST_NAMESPACE
    return socket.gethostname() if namespace == _FIRST_NAMESPACE else f"{socket.gethostname()}+{namespace}"


def this_process() -> str:
    """Its number and when it began: numbers are given again, in a new container at once."""
    return f"{os.getpid()}-{_began(os.getpid())}"


def lives(name: str) -> bool:
    """Whether the process of this name, or of a bare number, is on this machine. What is no name is nobody's to end."""
    number, _, began = name.partition("-")
    if not (number.isdecimal() and number.isascii()):
        return True
    return is_alive(int(number)) and (not began or began == _began(int(number)))


def _began(process: int) -> str:
    """In ticks since the machine did; empty where that is not told, or it has ended and nobody asked how."""
    try:
        state, *words = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state == "Z" else words[18]


def is_alive(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
