"""Downloads of weight files into the cache: resumed where they broke off, verified before anyone reads them."""

from __future__ import annotations

import errno
import logging
import os
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock
from tqdm import tqdm

from ..errors import WeightsError
from .weights import sha256_of

_BLOCK_BYTES = 1 << 20
_OK, _PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE, _SERVER_ERRORS = 200, 206, 416, range(500, 600)

logger = logging.getLogger(__name__)


class _BrokenOffError(Exception):
    """The connection failed or ended early; another attempt may go on from there."""


def cache_dir() -> Path:
    """Where downloads are kept: $CLIPREEL_CACHE, by default ~/.cache/clipreel."""
    return Path(os.environ.get("CLIPREEL_CACHE") or "~/.cache/clipreel").expanduser()


def fetch(url: str, sha256: str, *, attempts: int = 4, timeout_seconds: float = 30, pause_seconds: float = 1) -> Path:
    """The file behind an http(s) URL, from the cache or the web; its SHA-256 is verified either way.

    A download that was cut or killed goes on where it stopped. Of several processes one downloads, the others wait.

    Raises:
        WeightsError: no connection, no such file there, no room here, or other content than pinned.
    """
    path = cache_dir() / url.rsplit("/", 1)[-1]
    by_hand = f"you may also download {url} elsewhere and put it at {path}"
    if path.is_file():
        return _verified(path, sha256, url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # released by the system when its process dies
            if path.is_file():
                return _verified(path, sha256, url)
            part = path.with_name(f"{path.name}.part")
            _download(url, part, attempts, timeout_seconds, pause_seconds, by_hand)
            _check_downloaded(part, sha256, url)
            part.replace(path)
    except OSError as error:
        room = "make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
        raise WeightsError(f"cannot keep {url} in the cache folder {path.parent}: {error.strerror or error}; {room} or "
                           f"set CLIPREEL_CACHE to another folder; {by_hand}") from error
    return path


def _verified(path: Path, sha256: str, url: str) -> Path:
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(f"{path} is not the file of {url}: its SHA-256 is {found}, expected is {sha256}. "
                           "Delete it to have it downloaded again, or put the right file there")
    return path


def _check_downloaded(part: Path, sha256: str, url: str) -> None:
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise WeightsError(f"{url} gave a file with SHA-256 {found}, expected is {sha256}; it was deleted from "
                           f"{part.parent}. Try again, or put the right file at {part.with_suffix('')} by hand")


def _download(
    url: str, part: Path, attempts: int, timeout_seconds: float, pause_seconds: float, by_hand: str
) -> None:
    for attempt in range(1, attempts + 1):
        try:
            return _download_once(url, part, timeout_seconds)
        except _BrokenOffError as error:
            if attempt == attempts:
                raise WeightsError(f"cannot download {url} after {attempts} attempts: {error}. Run again to go on "
                                   f"where it stopped (cache folder {part.parent}); {by_hand}") from error
            logger.info("download of %s broke off (%s), attempt %d of %d follows", url, error, attempt + 1, attempts)
            time.sleep(pause_seconds * attempt)
        except HTTPError as error:
            raise WeightsError(f"cannot download {url}: the server answers {error.code} {error.reason} "
                               f"(cache folder {part.parent}); {by_hand}") from error
    return None


def _download_once(url: str, part: Path, timeout_seconds: float) -> None:
    """Appends to `part` what it lacks. Raises _BrokenOffError, HTTPError, and OSError for the disk alone."""
    present_bytes = part.stat().st_size if part.exists() else 0
    response = _open(url, present_bytes, timeout_seconds)
    if response is None:  # nothing lies behind what is present: whole, or longer than the file (the hash will tell)
        return
    with response:
        if response.status != _PARTIAL_CONTENT:  # a server without Range sends all of it
            present_bytes = 0
        missing = response.headers.get("Content-Length")
        total_bytes = present_bytes + int(missing) if missing else None
        with part.open("ab" if present_bytes else "wb") as file, tqdm(
            desc=part.stem, total=total_bytes, initial=present_bytes, unit="B", unit_scale=True, disable=None
        ) as progress:
            for block in _blocks(response):
                file.write(block)
                progress.update(len(block))
            file.flush()
            os.fsync(file.fileno())
            arrived_bytes = file.tell()
    if total_bytes is not None and arrived_bytes < total_bytes:
        raise _BrokenOffError(f"the connection ended after {arrived_bytes} of {total_bytes} bytes")


def _open(url: str, present_bytes: int, timeout_seconds: float) -> HTTPResponse | None:
    headers = {"User-Agent": "clipreel", **({"Range": f"bytes={present_bytes}-"} if present_bytes else {})}
    try:
        return urlopen(Request(url, headers=headers), timeout=timeout_seconds)
    except HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE and present_bytes:
            return None
        if error.code in _SERVER_ERRORS:
            raise _BrokenOffError(f"the server answers {error.code} {error.reason}") from error
        raise
    except URLError as error:
        raise _BrokenOffError(f"no connection ({error.reason})") from error
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(f"no answer ({error or type(error).__name__})") from error


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(_BLOCK_BYTES)
        except (OSError, HTTPException, ssl.SSLError) as error:
            raise _BrokenOffError(f"the connection broke ({error or type(error).__name__})") from error
        if not block:
            return
        yield block
