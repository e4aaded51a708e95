"""The page's own files, kept in memory. All of them carry one version in their address, so that browsers keep them for good, and an
updated page never meets an old script."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).resolve().parent / "static"
_IMPORTED = re.compile(r'from "\./([a-z_]+\.js)"')
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FIRST_MODULES = ("first.js", "main.js")


@dataclass(frozen=True, eq=False)
class Asset:
    content: bytes
    media_type: str


@dataclass(frozen=True, eq=False)
class Assets:
    """The files as they were when `version` was made of them."""

    version: str
    files: dict[str, Asset]  # name -> file
    page: str


class AssetShelf:
    """Reads the files again when one of them has changed."""

    def __init__(self, folder: Path = STATIC):
        self._folder = folder
        self._assets: Assets | None = None

    def newest(self) -> Assets:
        files = sorted(path for path in self._folder.iterdir() if path.is_file())
        seen = [(path.name, (status := path.stat()).st_size, status.st_mtime_ns) for path in files]
        version = hashlib.sha256(repr(seen).encode()).hexdigest()[:12]
        if self._assets is None or self._assets.version != version:
            found = {path.name: Asset(path.read_bytes(), _TYPES[path.suffix]) for path in files if path.suffix in _TYPES}
            self._assets = Assets(version, found, _page(found, version))
        return self._assets

    def get(self, version: str | None, name: str) -> tuple[Asset | None, bool]:
        """(the file, whether it is for good): only under the version of the page that was asked for last."""
        assets = self._assets if self._assets is not None and version == self._assets.version else self.newest()
        return assets.files.get(name), version == assets.version


def modules(files: dict[str, Asset]) -> list[str]:
    """All modules of the page; first what the first needs."""
    found: list[str] = []
    for first in _FIRST_MODULES:
        waiting = [first]
        for name in waiting:
            if name not in found:
                found.append(name)
                waiting += _IMPORTED.findall(files[name].content.decode())
    return found


def _page(files: dict[str, Asset], version: str) -> str:
    """The page names every module at once: else a browser would learn of each only from the one that imports it."""
    ahead = "".join(f'  <link rel="modulepreload" href="static/{name}">\n' for name in modules(files))
    page = files["index.html"].content.decode().replace("</head>", f"{ahead}</head>", 1)
    return page.replace('"static/', f'"static/{version}/')
