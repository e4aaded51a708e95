"""One bar for the run; without a terminal, a log line a minute."""

from __future__ import annotations

import logging
import sys
import time

log = logging.getLogger("clipreel")
_SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Shows videos done, frames a second, hours of video an hour and the time left."""

    def __init__(self, videos: int, enabled: bool = True):
        from tqdm import tqdm

        self._videos, self._began, self._last_line = videos, time.monotonic(), time.monotonic()
        self._shown, self._enabled = 0, enabled
        self._bar = tqdm(total=videos, unit="video", file=sys.stderr, disable=None if enabled else True)

    def stage(self, what: str) -> None:
        """What is done before the first video, such as compiling; nothing when that is over."""
        self._bar.set_description(what or None)
        if what and self._enabled and self._bar.disable:
            log.info("%s", what)

    def update(self, finished: int, frames: int, video_seconds: float) -> None:
        elapsed = max(time.monotonic() - self._began, 1e-6)
        self._bar.set_postfix_str(f"{frames / elapsed:.1f} frames/s, {video_seconds / elapsed:.1f} h of video/h",
                                  refresh=False)
        self._bar.update(finished - self._shown)
        self._bar.refresh()
        self._shown = finished
        if self._enabled and self._bar.disable and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            left = "time left unknown"
            if finished:
                left = f"{elapsed / finished * (self._videos - finished) / 60:.0f} min left"
            log.info("%d of %d videos, %.1f frames/s, %.1f hours of video an hour, %s", finished, self._videos,
                     frames / elapsed, video_seconds / elapsed, left)

    def close(self) -> None:
        self._bar.close()
