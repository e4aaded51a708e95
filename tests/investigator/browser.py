"""A real Chromium, driven by Playwright, that notes everything a page must not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from clipreel.tests.investigator.coded_videos import READ_CODE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
# Playing sound needs a device that headless machines have not; the picture's clock must not wait for it.
NO_NETWORK = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
LONG_MS = 60_000  # what is waited for comes in a moment, but for machines that are busy
WIDTHS = ((1440, 900), (390, 844))
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
STILL = "(id) => { const video = document.getElementById(id); return !video.seeking && video.readyState >= 2; }"


def find_browser() -> str:
    """The browser's path; skips with a sentence where there is none, and fails instead where the tests are obligatory."""
    named = os.environ.get("CLIPREEL_BROWSER")
    path = named or next((found for name in NAMES if (found := shutil.which(name))), None)
    if path and Path(path).exists():
        return path
    sentence = ("the page is tested in Chromium, which is not installed here (Debian: apt-get install chromium; or set "
                "CLIPREEL_BROWSER to its path)")
    if os.environ.get("CI") or os.environ.get("CLIPREEL_REQUIRE_BROWSER") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser for which no name but 127.0.0.1 leads anywhere."""
    path = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS + NO_NETWORK)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One tab on the investigator. `complaints` must be empty in the end, but for what a test expects and removes."""

    page: Any
    address: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # "POST /api/queries"

    def __post_init__(self):
        host = urlsplit(self.address).netloc

        def asked(request: Any) -> None:
            parts = urlsplit(request.url)
            self.requests.append(f"{request.method} {parts.path}")
            if parts.scheme not in ("data", "blob") and parts.netloc != host:
                self.complaints.append(f"a request left the host: {request.url}")

        self.page.on("request", asked)
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.set_default_timeout(LONG_MS)

    def open(self, part: str = "") -> Visit:
        self.page.goto(self.address + part)
        self.page.wait_for_function("() => document.querySelector('#live')?.dataset.state === 'live'")
        return self

    def until(self, condition: str, argument: Any = None) -> None:
        """Waits for a JavaScript expression; `argument` is its `x`."""
        self.page.wait_for_function(f"(x) => {condition}", arg=argument)

    def ready(self, curves: int) -> Visit:
        """Waits for the video's picture and for so many curves in the plot."""
        self.until("document.querySelector('#video').readyState >= 2")
        self.until("document.querySelectorAll('#plot .scatterlayer .trace').length === x", curves)
        return self

    def code(self, video: str = "video") -> int:
        """The number in the frame that is on screen."""
        return self.page.evaluate(READ_CODE, video)

    def settled_code(self, video: str = "video") -> int:
        """The same, once no seek is under way and the frame has been presented."""
        self.page.wait_for_function(STILL, arg=video)
        self.page.evaluate(TWO_FRAMES)
        return self.code(video)

    def plot_pixel(self, seconds: float, start: float, end: float) -> tuple[float, float]:
        """Where `seconds` stands on screen in the plot of [start, end], by the page's fixed margins."""
        box = self.page.locator("#plot .hand").bounding_box()
        return box["x"] + 48 + (seconds - start) / (end - start) * (box["width"] - 60), box["y"] + box["height"] / 2

    def plot_time(self, pixel: float, start: float, end: float) -> float:
        """The time under a pixel, the same arithmetic turned round."""
        box = self.page.locator("#plot .hand").bounding_box()
        return start + (pixel - box["x"] - 48) / (box["width"] - 60) * (end - start)

    def count(self, request: str) -> int:
        return sum(one.startswith(request) for one in self.requests)


def axe_violations(page: Any, source: str) -> list[str]:
    """Serious and critical findings of axe-core on the page as it stands, each with the first places."""
    page.evaluate(source)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [f"{one['id']} ({one['impact']}): {one['help']}: " + "; ".join(str(node["target"]) for node in one["nodes"][:3])
            for one in found["violations"] if one["impact"] in ("serious", "critical")]


def look(tab: Visit, folder: Path | None, name: str, axe: str, *, every: bool = False) -> None:
    """The page in light and dark, wide and narrow, never wider than its window; axe on one of them, or on every. With a folder,
    screenshots go there."""
    for width, height in WIDTHS:
        tab.page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            tab.page.evaluate(TWO_FRAMES)
            if folder is not None:
                tab.page.screenshot(path=folder / f"{name}_{scheme}_{width}.png", full_page=True)
            assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is wider than {width}"
            if every or (scheme, width) == ("light", 1440):
                assert axe_violations(tab.page, axe) == [], f"{name}, {scheme}, {width}"
    tab.page.set_viewport_size({"width": WIDTHS[0][0], "height": WIDTHS[0][1]})
