"""Files at URLs (s3://, https://, … whatever fsspec reaches), for those few places that may name one.

fsspec is imported when the first URL is met. Listings are not cached: other runs write to the same place. What credentials and
endpoints a protocol needs is said where its own package looks for it ($AWS_ACCESS_KEY_ID, $AWS_ENDPOINT_URL, ~/.aws, …).
"""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from ..errors import ConfigError, MissingExtraError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SMALL = 16 << 20  # bytes; metadata, leases and locks have less
_IN_EXTRA = {"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp"}  # protocol -> what the extra s3 brings for it


def is_url(name: str) -> bool:
    """Whether this names something that fsspec is to reach; file:// is no such thing (see `local_name`)."""
    return bool(_URL.match(name)) and not name.lower().startswith("file://")


def local_name(name: str) -> str:
    """file:///a.mp4 as /a.mp4; anything else as it is."""
    return name[len("file://"):] if name.lower().startswith("file://") else name


def path_in(url: str) -> PurePosixPath:
    """What stands for the file's path, for its name and suffix: of https:// without the query, percent signs read."""
    words = urlsplit(url)
    return PurePosixPath(unquote(words.path) if words.scheme in ("http", "https") else url.partition("://")[2])


def without_secrets(url: str) -> str:
    """For what is passed on: https:// without user, password and query, where signatures stand."""
    words = urlsplit(url)
    if words.scheme not in ("http", "https"):
        return url
    return urlunsplit((words.scheme, words.netloc.rpartition("@")[2], words.path, "", ""))


@dataclass(frozen=True)
class RemoteFile:
    """One file at a URL, with the verbs of a Path that its readers use. Each raises OSError."""

    url: str

    def __str__(self) -> str:
        return self.url

    def is_file(self) -> bool:
        with suppress(FileNotFoundError):
            return size(self.url) >= 0
        return False

    def read_text(self, encoding: str) -> str:
        return read_bytes(self.url).decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        write_bytes(self.url, content)


def connect(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the name there. Raises MissingExtraError, ConfigError."""
    protocol = url.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("fsspec", "s3", url) from error
    options: dict[str, Any] = {"use_listings_cache": False}
    try:
        if protocol in ("http", "https"):
            from aiohttp import ClientTimeout

            # aiohttp would give a download five minutes in all; and a video is not to come compressed
            options |= {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=30, sock_read=60)},
                        "headers": {"Accept-Encoding": "identity"}}
        return url_to_fs(url, **options)
    except ImportError as error:
        if protocol in _IN_EXTRA:
            raise MissingExtraError(_IN_EXTRA[protocol], "s3", url) from error
        raise ConfigError(f"{url}: {error}") from error  # fsspec's own words name the package
    except ValueError as error:  # an unknown protocol, or a name that it cannot have
        raise ConfigError(f"{url}: is no URL that fsspec reaches ({error})") from error


@contextmanager
def os_errors(url: str) -> Iterator[None]:
    """Whatever the package behind a protocol raises, as an OSError that names the URL."""
    try:
        yield
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        # fsspec says so too of a server that did not answer
        cause = f" ({error.__cause__})" if error.__cause__ is not None and not isinstance(error.__cause__, KeyError) else ""
        raise FileNotFoundError(errno.ENOENT, f"there is nothing there{cause}", url) from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error) or type(error).__name__, url) from error
    except Exception as error:  # each protocol has errors of its own
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", url) from error


@contextmanager
def opened(url: str, *, ahead: int = 0) -> Iterator[tuple[BinaryIO, int]]:
    """A file to seek and read in, by requests for ranges (which bring so many bytes more, for what is read next), and its size in
    bytes. Raises OSError; io.UnsupportedOperation where the server gives whole files only."""
    fs, path = connect(url)
    how: dict[str, Any] = {"cache_type": "readahead", "block_size": ahead} if ahead else {"cache_type": "none"}
    try:
        with os_errors(url), fs.open(path, "rb", **how) as file:
            if not file.seekable() or getattr(file, "size", None) is None:
                raise io.UnsupportedOperation
            yield file, int(file.size)
    except OSError as error:
        if isinstance(error.__cause__, (ValueError, io.UnsupportedOperation)):
            raise io.UnsupportedOperation(f"{url}: is given as a whole only") from error
        raise


def fetch(url: str, path: str) -> None:
    """The file at the URL as a local one. Raises OSError."""
    fs, name = connect(url)
    with os_errors(url):
        fs.get_file(name, path)


def read_bytes(url: str) -> bytes:
    """Raises OSError."""
    fs, name = connect(url)
    with os_errors(url):
        return fs.cat_file(name)


def write_bytes(url: str, content: bytes) -> None:
    """One request, after which the whole content is there. Raises OSError."""
    fs, name = connect(url)
    with os_errors(url):
        fs.pipe_file(name, content)


def send(files: Sequence[tuple[str, str]]) -> None:
    """Local files to URLs of one place, side by side, each there whole or not at all. Raises OSError."""
    if not files:
        return
    fs, _ = connect(files[0][1])
    with os_errors(files[0][1].rpartition("/")[0]):
        fs.put([path for path, _ in files], [connect(url)[1] for _, url in files])


def names_below(url: str) -> list[str]:
    """The URLs of all files below a folder; none where there is no such folder. Raises OSError."""
    fs, path = connect(url)
    try:
        with os_errors(url):
            return [fs.unstrip_protocol(name) for name in fs.find(path) if name.strip("/") != path.strip("/")]
    except FileNotFoundError:
        return []


def files_at(url: str) -> dict[str, dict[str, Any]]:
    """name -> what the server says of it, of the files that a pattern matches, in the folder before its last slash. Raises
    OSError."""
    fs, path = connect(url)
    try:
        with os_errors(url):
            found = fs.glob(path, detail=True)
    except FileNotFoundError:
        return {}
    return {name.rpartition("/")[2]: details for name, details in found.items() if details["type"] == "file"}


def find_videos_at(url: str, suffixes: set[str]) -> list[str]:
    """The URLs behind one: of a pattern with * its matches, below a folder the files of these suffixes, else itself. Https has
    neither. Raises OSError."""
    if url.partition("://")[0].lower() in ("http", "https") or ("*" not in url and path_in(url).suffix.lower() in suffixes):
        return [url]
    fs, path = connect(url)
    with os_errors(url):
        if "*" in url:
            found = sorted(fs.glob(path))
        elif fs.isdir(path):
            found = sorted(name for name in fs.find(path) if "/." not in name)
        else:
            return [url]
    return [fs.unstrip_protocol(name) for name in found if PurePosixPath(name).suffix.lower() in suffixes]


def create(url: str, content: bytes) -> bool:
    """Make this file, of content that nobody else writes, whole if there is none; whether it was made. Raises OSError."""
    fs, name = connect(url)
    try:
        with os_errors(url):
            fs.pipe_file(name, content, mode="create")
    except FileExistsError:
        return False
    except OSError:  # of two at once S3 may tell one of a conflict; and an answer may be lost
        there = read_if_there(url, whole=True)
        if there is None:
            raise
        return there == content
    return True


def remove(url: str) -> None:
    """Where it is there. Raises OSError."""
    fs, name = connect(url)
    with suppress(FileNotFoundError), os_errors(url):
        fs.rm_file(name)


def size(url: str) -> int:
    """In bytes. Raises OSError."""
    fs, name = connect(url)
    with os_errors(url):
        return int(fs.size(name))


def read_if_there(url: str, *, whole: bool = False) -> bytes | None:
    """A file's content, in one request; of more than 16 MiB the beginning alone, unless `whole`. Raises OSError."""
    fs, name = connect(url)
    try:
        try:
            with os_errors(url):
                return fs.cat_file(name) if whole else fs.cat_file(name, start=0, end=_SMALL)
        except FileNotFoundError:
            raise
        except OSError:
            if whole:
                raise
            return read_bytes(url)  # of an empty file S3 gives no range
    except FileNotFoundError:
        return None


def modified(url: str) -> datetime | None:
    """By the server's clock; None where nothing is there. Raises OSError."""
    fs, name = connect(url)
    try:
        with os_errors(url):
            return fs.modified(name)
    except FileNotFoundError:
        return None
