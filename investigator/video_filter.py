"""Which videos of the library a page wants to see, by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .refusal import bad_request

GROUPS = {"analysed": ("analysed",), "open": ("new", "coarse", "partial", "changed"), "failed": ("unreadable", "missing")}


@dataclass(frozen=True)
class VideoFilter:
    """None: whatever it is. `folder` with those below it; `failed`: ids of videos whose last analysis failed."""

    group: str | None = None
    folder: str | None = None
    shortest_ms: float | None = None
    longest_ms: float | None = None
    failed: frozenset[str] = frozenset()

    def __post_init__(self):
        if self.group is not None and self.group not in GROUPS:
            raise bad_request(f"state: allowed is {', '.join(GROUPS)}")

    @property
    def needs_headers(self) -> bool:
        """Whether more must be known than the file's name."""
        return self.group is not None or self.shortest_ms is not None or self.longest_ms is not None

    def takes_folder(self, folder: str) -> bool:
        return self.folder is None or folder == self.folder or folder.startswith(f"{self.folder}/")

    def takes(self, record: Mapping[str, Any]) -> bool:
        """A video's record; one whose length is not known has none that is asked for."""
        duration, failed = record["duration_ms"], record["id"] in self.failed and record["state"] != "analysed"
        if self.shortest_ms is not None and not (duration is not None and duration >= self.shortest_ms):
            return False
        if self.longest_ms is not None and not (duration is not None and duration < self.longest_ms):
            return False
        if self.group is None:
            return True
        return failed if failed and self.group == "failed" else record["state"] in GROUPS[self.group]
