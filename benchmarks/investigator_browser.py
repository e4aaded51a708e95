"""The investigator in Chromium: re-opening a two-hour video, 12 curves of 7,200 points under the pointer, clicks to shown frames.

usage: python benchmarks/investigator_browser.py [--browser PATH] [--clicks N]
`open`: from the navigation to 12 drawn curves, server running, everything stored: the plot's pixels are read back until every one
of the 12 colours is among them and there is ink in nearly every column, and then the next frame is awaited; in one browser again
and again, and in new contexts with nothing kept. What draws them first is the page's own canvas; `plotly` is until Plotly's drawing
has taken its place. `answers`: a click at the moment in which the curves are there, until the page shows where it goes.
`pointer`: the pointer crosses the plot with all values shown; `window`: the zoom window is dragged along the video, so that all
curves are drawn anew. Frames a second are counted where something moved. `click`: from the mouse button to the presented frame,
paused, 720p H.264 with a key frame every two seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from clipreel import extract_features, load_encoder
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.investigator.server import InvestigatorServer
from investigator_curve import asked
from investigator_reopen import TEXTS, two_hours
from playwright.sync_api import sync_playwright
from videos import make_video

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SECONDS = 4.0
# Counts the animation frames at which an element had moved.
COUNT = """(selector) => {
  const frames = window.frames_seen = { times: [], moved: 0, last: '' };
  const look = (now) => {
    const style = document.querySelector(selector)?.getAttribute('style') ?? '';
    if (style !== frames.last) { frames.moved += 1; frames.last = style; frames.times.push(now); }
    if (!frames.stop) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
# Whether the plot's pixels hold every one of `count` colours and ink from left to right; looked at ten times a second at most.
PAINTED = """(count) => new Promise((done) => {
  const whole = () => {
    if (document.querySelectorAll('#plot .sheet:not([data-behind]) .scatterlayer .trace').length === count) return true;
    const canvas = document.querySelector('#plot .lines canvas');
    if (!canvas?.width || canvas.hidden || document.querySelectorAll('.query').length !== count) return false;
    const { width, height } = canvas;
    const data = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, width, height).data.buffer);
    const style = getComputedStyle(document.documentElement);
    const wanted = new Map(Array.from({ length: count }, (_, slot) => {
      const colour = parseInt(style.getPropertyValue(`--query-${slot}`).trim().slice(1), 16);
      return [(0xff000000 | (colour & 255) << 16 | colour & 0xff00 | colour >> 16) >>> 0, 0];
    }));
    const columns = new Set();
    data.forEach((pixel, place) => {
      if (wanted.has(pixel)) wanted.set(pixel, wanted.get(pixel) + 1);
      const [red, green, blue] = [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
      if (pixel >>> 24 > 128 && Math.max(red, green, blue) - Math.min(red, green, blue) > 80) columns.add(place % width);
    });
    return [...wanted.values()].every((pixels) => pixels >= 20) && columns.size > 0.9 * (width - 60);
  };
  const look = () => (whole() ? requestAnimationFrame(() => setTimeout(done)) : setTimeout(look, 50));
  look();
})"""
GOING = """() => new Promise((done) => {
  const begun = performance.now();
  const look = () => (document.querySelector('#plot .target').hidden && !document.querySelector('#video').seeking
    ? requestAnimationFrame(look) : done(performance.now() - begun));
  look();
})"""
CLICKED = """() => {
  const video = document.querySelector('#video');
  window.clicked = new Promise((done) => {
    document.addEventListener('pointerup', (event) => {
      const begun = performance.now();
      video.requestVideoFrameCallback(() => done(performance.now() - begun));
    }, { capture: true, once: true });
  });
}"""


def moved_per_second(page: Any, selector: str, move: Any) -> float:
    """Animation frames a second in which the element moved while `move(share)` is called from 0 to 1 for some seconds."""
    page.evaluate(COUNT, selector)
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < SECONDS:
        move(passed / SECONDS)
    return page.evaluate("() => { frames_seen.stop = true; const { times } = frames_seen; "
                         "return times.length > 1 ? (times.length - 1) / (times.at(-1) - times[0]) * 1000 : 0; }")


def opened_in(page: Any, address: str) -> float:
    """Seconds from the navigation to 12 curves in the plot's pixels."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.evaluate(PAINTED, 12)
    return time.perf_counter() - began


def box_of(page, selector: str):
    """Where it is on screen: x, y, width and height in pixels."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    if box is None:
        raise SystemExit(f"{selector} is not on the page")
    return box


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    arguments.add_argument("--clicks", type=int, default=50)
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    encoder = load_encoder("clip", "tiny", device="cpu")
    long, output = two_hours(folder), folder / "clipreel_two_hours_output"
    extract_features(long, encoder=encoder, extraction_fps=1, on_extraction="save_numpy", output_path=str(output), batch_size=32)
    (folder / "clipreel_seek").mkdir(exist_ok=True)  # a root of its own: the library looks through all of it
    short = make_video(folder / "clipreel_seek" / "gop60.mp4", options={"g": "60"})
    extract_features(short, encoder=encoder, extraction_fps=1, on_extraction="save_numpy", output_path=str(output), batch_size=32)
    config = InvestigatorConfig(video_path=str(long), roots=(str(short.parent),), output_path=str(output), port=0, device="cpu")
    server = InvestigatorServer(config, encoder).start()
    for video in (server.workbench.first_video, server.workbench.library.open_path(str(short)).id):
        while not json.loads(asked(server.port, "GET", f"/api/videos/{video}/sprites"))["complete"]:
            time.sleep(0.5)  # thumbnails are made when it is opened for the first time
    texts = urlencode({f"text{number}": text for number, text in enumerate(TEXTS)})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        name = server.workbench.first_video
        address = f"{server.url}#/watch?v={name}&{texts}"
        opened, taken, answers, news = [], [], [], []
        for _ in range(6):
            opened.append(opened_in(page, address))
            began = time.perf_counter()
            box = box_of(page, "#plot .hand")
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.evaluate(GOING)
            answers.append(time.perf_counter() - began)
            page.wait_for_function("() => document.querySelector('#plot .lines canvas').hidden", timeout=60_000)
            taken.append(opened[-1] + time.perf_counter() - began)
            page.wait_for_timeout(1500)  # what it still fetches shall not be the next one's burden
        for _ in range(4):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            news.append(opened_in(context.new_page(), address))
            context.close()
        sys.stdout.write(f"open: first {opened[0]:.2f} s, then median {statistics.median(opened[1:]):.2f} s, worst "
                         f"{max(opened[1:]):.2f} s; nothing kept by the browser: median {statistics.median(news):.2f} s\n"
                         f"plotly: median {statistics.median(taken[1:]):.2f} s · answers: median "
                         f"{1000 * statistics.median(answers):.0f} ms\n")
        box = box_of(page, "#plot .hand")
        middle = box["y"] + box["height"] / 2
        rate = moved_per_second(page, "#plot .hover", lambda share: page.mouse.move(
            box["x"] + 50 + share * (box["width"] - 70), middle))
        sys.stdout.write(f"pointer over 12 curves of 7,200 points: {rate:.0f} frames/s\n")
        strip = box_of(page, "#overview")
        level = strip["y"] + strip["height"] / 2
        page.mouse.move(strip["x"] + 0.1 * strip["width"], level)
        page.mouse.down()
        page.mouse.move(strip["x"] + 0.2 * strip["width"], level, steps=5)
        page.mouse.up()
        page.mouse.move(strip["x"] + 0.15 * strip["width"], level)
        page.mouse.down()
        rate = moved_per_second(page, "#overview .window", lambda share: page.mouse.move(
            strip["x"] + (0.15 + 0.7 * share) * strip["width"], level))
        page.mouse.up()
        sys.stdout.write(f"window over 12 curves of 7,200 points: {rate:.0f} frames/s\n")
        page.goto("about:blank")
        name = server.workbench.library.open_path(str(short)).id
        page.goto(f"{server.url}#/watch?v={name}&text0=a+red+circle")
        page.wait_for_function("() => document.querySelectorAll('#plot .scatterlayer .trace').length === 1 "
                               "&& document.querySelector('#video').readyState >= 2", timeout=60_000)
        box, chance, shown = box_of(page, "#plot .hand"), random.Random(0), []
        for _ in range(options.clicks):
            page.evaluate(CLICKED)
            page.mouse.click(box["x"] + 50 + chance.random() * (box["width"] - 70), box["y"] + box["height"] / 2)
            shown.append(page.evaluate("() => window.clicked"))
            page.wait_for_timeout(120)
        browser.close()
    server.stop()
    shown.sort()
    late = shown[int(0.95 * len(shown))]
    sys.stdout.write(f"click to shown frame: median {statistics.median(shown):.0f} ms, p95 {late:.0f} ms of {len(shown)}\n")


if __name__ == "__main__":
    main()
