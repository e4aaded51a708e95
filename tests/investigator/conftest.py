"""A running investigator with the demonstration model, and videos to open."""

import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.tests.investigator.browser import Visit, launched
from clipreel.tests.investigator.client import Client
from clipreel.tests.investigator.coded_videos import scenes_script, write_coded

SAMPLE = Path(__file__).resolve().parents[2] / "sample"
NAMES = ("red_circle_then_blue_square.mp4", "three_scenes.mp4", "moving_shapes.webm")


@pytest.fixture(scope="session")
def start(tiny):
    """Start a server: keys of the investigator -> (client, server), with `model` in place of one to load. All are stopped at the
    end."""
    from clipreel.investigator.server import InvestigatorServer

    running = []

    def make(**keys):
        model = keys.pop("model", tiny)
        server = InvestigatorServer(InvestigatorConfig(**{"port": 0, "open_browser": False, "device": "cpu", **keys}), model)
        running.append(server.start())
        return Client(server.port), server

    yield make
    with ThreadPoolExecutor() as together:  # each takes a tenth of a second to see that it is over
        list(together.map(lambda server: server.stop(), running))


@pytest.fixture
def videos(tmp_path):
    """A folder with three of the sample's videos."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(SAMPLE / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def opened(start, tmp_path_factory):
    """(client, server, video id) of one server for a module: the red circle and then the blue square, analysed."""
    folder = tmp_path_factory.mktemp("opened")
    (folder / "videos").mkdir()
    for name in NAMES:
        shutil.copy(SAMPLE / name, folder / "videos" / name)
    client, server = start(video_path=str(folder / "videos" / NAMES[0]), CLIP=("a red circle",),
                           output_path=str(folder / "output"), extraction_fps=4.0)
    video = client.get("/api/state").json["video"]
    client.analyse(video)
    return client, server, video


@pytest.fixture(scope="module")
def chromium():
    """The browser of a module; closed behind it, for while it runs its thread has an event loop, which others start theirs in."""
    with launched() as browser:
        yield browser


@dataclass(frozen=True)
class Site:
    """A server with videos whose frames hold readable numbers; `coded` (20 s, with sound) is analysed at two frames a second."""

    client: Client
    server: Any
    folder: Path
    ids: dict[str, str]  # file name -> video id
    times: dict[str, list[float]]  # file name -> every frame's time in seconds


@pytest.fixture(scope="session")
def site(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "videos"
    folder.mkdir()
    uneven = [round(1000 * (n * 0.05 + 0.018 * math.sin(n))) for n in range(120)]
    times = {
        "coded.webm": write_coded(folder / "coded.webm", scenes_script(), tone=True),
        "ntsc.webm": write_coded(folder / "ntsc.webm", scenes_script(1.2, Fraction(30000, 1001))),
        "uneven.webm": write_coded(folder / "uneven.webm", scenes_script(1.2), ticks_ms=uneven),
    }
    client, server = start(video_path=str(folder / "coded.webm"), roots=(str(folder),), CLIP=("a red circle", "a blue square"),
                           output_path=str(folder.parent / "output"), extraction_fps=2.0)
    ids = {video["name"]: video["id"] for video in client.get("/api/videos?limit=50").json["videos"]}
    for name in times:
        client.analyse(ids[name])
    return Site(client, server, folder, ids, times)


@pytest.fixture
def visit(chromium, site):
    """Open a tab: keys of the browser's context -> Visit. Afterwards nothing may have been complained about."""
    contexts, visits = [], []

    def make(part: str = "", *, address: str | None = None, opened: bool = True, **context: Any) -> Visit:
        contexts.append(chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce", **context}))
        visits.append(Visit(contexts[-1].new_page(), address or site.server.url))
        return visits[-1].open(part) if opened else visits[-1]

    yield make
    for context in contexts:
        context.close()
    assert [one for visit in visits for one in visit.complaints] == []


@pytest.fixture(scope="session")
def pictures():
    """Where screenshots of every state go, to be looked at: CLIPREEL_SCREENSHOTS; None without it."""
    kept = os.environ.get("CLIPREEL_SCREENSHOTS")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
    return Path(kept) if kept else None


@pytest.fixture(scope="session")
def axe():
    """axe-core's own source, as a package of the test extra carries it."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
