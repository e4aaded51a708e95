"""Library and Compare in a real browser, segments that are kept and exported, keys, and how the page speaks to assistive tools."""

import json
import re

import numpy as np
import pytest
from clipreel.tests.investigator.browser import axe_violations, look
from clipreel.tests.investigator.coded_videos import RED, write_coded
from PIL import Image


def test_watch_is_accessible_and_fits_light_and_dark_wide_and_narrow(visit, axe, pictures):
    tab = visit().ready(2)
    tab.page.locator("#segments-body .segment").first.wait_for()
    tab.page.locator("#filmstrip-body .film").wait_for()
    look(tab, pictures, "watch", axe, every=True)


def test_segments_are_kept_rejected_and_exported(visit, site):
    tab = visit().ready(2)
    row = tab.page.locator("#segments-body .segment").first
    row.get_by_role("button", name=re.compile("^Reject")).click()
    tab.until("document.querySelector('#segments-body .segment').dataset.mark === 'reject'")
    row.get_by_role("button", name=re.compile("^Keep")).click()
    tab.until("document.querySelector('#segments-body .segment').dataset.mark === 'keep'")
    tab.until("document.querySelector('#segments-count').textContent.includes('100 % of the judged kept')")
    for label, name, start in (("CSV table", "segments.csv", b"video,"), ("WebVTT cues", "segments.vtt", b"WEBVTT"),
                               ("JSON", "segments.json", b"{"), ("EDL (CMX 3600)", "segments.edl", b"TITLE"),
                               ("All scores as JSON", "scores.json", b"{")):
        tab.page.locator("summary", has_text="Export").click()
        with tab.page.expect_download() as waiting:
            tab.page.get_by_role("button", name=label, exact=True).click()
        data = waiting.value.path().read_bytes()
        assert b"a red circle" in data and data.startswith(start)
        assert waiting.value.suggested_filename == f"coded_{name}"
    tab.page.locator("summary", has_text="Export").click()
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name="The plot as PNG").click()
    plot = np.asarray(Image.open(waiting.value.path()).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(plot, axis=0)) > 50  # two curves, axes and words on a ground
    tab.page.locator("summary", has_text="Export").click()
    tab.page.get_by_role("button", name="Clips, copied from key frames").click()
    tab.page.get_by_role("link", name=re.compile(r"coded_.*\.webm")).wait_for()
    tab.page.reload()
    tab.until("document.querySelector('#segments-body .segment')?.dataset.mark === 'keep'")


def test_a_link_to_this_moment(visit, site):
    tab = visit(f"#/watch?v={site.ids['ntsc.webm']}&t=2.5&text0=a+blue+square",
                permissions=["clipboard-read", "clipboard-write"]).ready(1)
    code = tab.settled_code()
    tab.page.locator("summary", has_text="Export").click()
    tab.page.get_by_role("button", name="Copy a link to this moment").click()
    tab.until("document.querySelector('#announcer').textContent === 'The link is copied.'")
    link = tab.page.evaluate("navigator.clipboard.readText()")
    assert "t=2.5" in link or "t=2.4" in link
    for _ in range(2):  # frames whose times are no round numbers stay where they are
        other = visit(link.removeprefix(site.server.url)).ready(1)
        other.until("document.querySelector('#video').currentTime > 2")
        assert other.settled_code() == code
        link = other.page.evaluate("location.href")


def test_the_threshold_moves_by_key_and_cuts_the_segments_anew(visit, site):
    tab = visit().ready(2)
    tab.page.locator("#segments-body .segment").first.wait_for()
    tab.page.keyboard.press("t")
    for _ in range(22):
        tab.page.keyboard.press("PageDown")
    tab.until("document.querySelector('#segments-count').textContent.includes('20 s')")


def test_not_this_leaves_moments_out(visit, site):
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&text0=a+red+circle&text1=a+blue+square").ready(2)
    tab.page.locator("#segments-body .segment").first.wait_for()
    tab.page.get_by_label("not this").check()
    tab.page.get_by_label("New text to look for").fill("a large red circle")
    tab.page.get_by_label("New text to look for").press("Enter")
    tab.ready(3)
    tab.until("document.querySelectorAll('#segments-body .segment').length === 0")
    tab.until("location.hash.includes('not2=a+large+red+circle')")


def test_this_frame_as_the_query(visit, site):
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&t=14&none=1")
    tab.until("document.querySelector('#video').readyState >= 2 && !document.querySelector('#video').seeking")
    tab.page.get_by_role("button", name="This frame").click()
    tab.ready(1)
    tab.page.locator("#filmstrip-body .film button").first.click()
    assert 300 <= tab.settled_code() < 400
    tab.until("/frame0=[a-z0-9_-]+~14/.test(decodeURIComponent(location.hash))")


def test_a_picture_file_as_the_query(visit, site, tmp_path):
    frame = site.client.get(f"/api/videos/{site.ids['coded.webm']}/frame?time_ms=6000&width=320")
    (tmp_path / "red.jpg").write_bytes(frame.body)
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&none=1")
    tab.page.get_by_label("Picture to look for").set_input_files(tmp_path / "red.jpg")
    tab.ready(1)
    tab.page.locator("#filmstrip-body .film button").first.click()
    assert 100 <= tab.settled_code() < 200
    tab.page.reload()
    tab.ready(1)


def test_the_keys_and_their_sheet(visit, site):
    tab = visit().ready(2)
    page = tab.page
    page.keyboard.press("?")
    assert page.locator("#help-dialog").is_visible()
    assert "next segment" in page.locator("#help-dialog").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#help-dialog").is_visible()
    for key, frame in (("l", 125), ("ArrowRight", 150), ("j", 25), ("n", 100), (".", 101), (",", 100), ("Home", 0)):
        page.keyboard.press(key)
        assert tab.settled_code() == frame, key
    page.keyboard.press("2")
    tab.until("document.querySelector('.query[data-focused] .text').textContent === 'a blue square'")
    page.keyboard.press("h")
    tab.ready(1)
    page.keyboard.press("s")
    tab.ready(1)
    page.keyboard.press("+")
    tab.until("location.hash.includes('zoom=')")
    page.keyboard.press("0")
    tab.until("!location.hash.includes('zoom=')")
    page.keyboard.press("/")
    page.keyboard.type("jk?")  # keys rest while one types
    assert page.get_by_label("New text to look for").input_value() == "jk?"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Add"


def test_library_searches_all_and_leads_to_the_moment(visit, site, axe, pictures):
    tab = visit("#/library")
    tab.until("document.querySelectorAll('.virtual-row .video-name').length >= 3")
    tab.page.get_by_label("Text to look for in all videos").fill("a blue square")
    tab.page.keyboard.press("Enter")
    tab.page.locator(".result").first.wait_for()
    result = tab.page.locator(".result", has_text="coded.webm")
    assert "strong" in result.inner_text()
    look(tab, pictures, "library", axe, every=True)
    result.locator(".moments button").first.click()
    tab.ready(1)
    assert 300 <= tab.settled_code() < 400
    assert "text0=a+blue+square" in tab.page.evaluate("location.hash")
    tab.page.go_back()
    tab.until("!document.querySelector('#library').hidden && document.querySelectorAll('.result').length > 0")


def test_texts_are_moved_an_analysis_is_forgotten_and_the_library_filters(visit, start, site, tmp_path, axe):
    client, server = start(roots=(str(site.folder),), output_path=str(tmp_path / "output"))
    client.analyse(site.ids["ntsc.webm"])
    tab = visit(f"#/watch?v={site.ids['ntsc.webm']}&text0=a+red+circle&text1=a+blue+square", address=server.url).ready(2)
    page = tab.page
    page.get_by_role("button", name="Move up: a blue square").click()
    tab.until("/text1=.*text0=/.test(location.hash)")
    assert page.locator(".query .text").all_inner_texts() == ["a blue square", "a red circle"]
    page.locator(".query .words").first.press("Shift+ArrowDown")
    tab.until("/text0=.*text1=/.test(location.hash)")
    for wanted in ("Keep it", "Remove the analysis"):
        page.get_by_role("button", name="Forget analysis…").click()
        assert "stored features of ntsc.webm by tiny" in page.locator("dialog.confirm").inner_text()
        page.keyboard.press("k")  # keys rest while it asks
        page.get_by_role("button", name=wanted).click()
        tab.until("!document.querySelector('dialog.confirm')")
        if wanted == "Keep it":
            assert client.get(f"/api/videos/{site.ids['ntsc.webm']}").json["state"] == "analysed"
    tab.until("document.querySelector('#plot .empty').innerText.includes('Not analysed yet')")
    assert client.get(f"/api/videos/{site.ids['ntsc.webm']}").json["rows"] == 0
    assert not list((tmp_path / "output" / "clip").rglob("ntsc*"))
    client.analyse(site.ids["uneven.webm"])
    page.locator("#mode-library").click()
    page.get_by_label("Which state").select_option("analysed")
    tab.until("document.querySelector('.library-all').innerText.includes('1 shown')")
    assert page.locator(".virtual-row .video-name a").all_inner_texts() == ["uneven.webm"]
    page.get_by_label("Which length").select_option("hours")
    tab.until("document.querySelector('.library-all').innerText.includes('No video is like that')")
    assert axe_violations(page, axe) == []
    page.reload()
    page.get_by_role("button", name="Show all").click()
    tab.until("document.querySelectorAll('.virtual-row .video-name').length >= 3 && !location.hash.includes('group')")


def test_the_queue_lists_what_failed_until_it_is_done(visit, start, videos, tmp_path, axe, pictures):
    blocked = tmp_path / "output" / "clip"
    blocked.parent.mkdir()
    blocked.write_text("a file where a folder should be")
    _, server = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    tab = visit("#/library", address=server.url)
    tab.page.get_by_role("button", name="Analyse all 3").click()
    tab.until("document.querySelector('.queue').innerText.includes('3 failed')")
    look(tab, pictures, "queue_failed", axe)
    blocked.unlink()
    for left in (2, 1):
        tab.page.get_by_role("button", name="Try again").first.click()
        tab.until("document.querySelector('.queue .count').textContent === `${x} failed`", left)
    tab.page.get_by_role("button", name="Try again").click()
    tab.until("document.querySelector('.queue').hidden")
    tab.until("document.querySelector('.library-all .count').textContent === '3 · 3 analysed'")
    tab.page.reload()
    tab.until("document.querySelectorAll('.virtual-row .tag.good').length === 3")
    tab.until("document.querySelector('.queue').hidden")


def test_a_library_of_a_thousand_videos_has_few_rows(visit, site):
    tab = visit(opened=False)
    some = site.client.get(f"/api/videos/{site.ids['coded.webm']}").json

    def many(route):
        asked = dict(part.split("=") for part in route.request.url.split("?")[1].split("&"))
        offset, limit = int(asked["offset"]), int(asked["limit"])
        rows = [{**some, "name": f"video {n:04}.webm", "state": "missing"} for n in range(offset, min(1000, offset + limit))]
        route.fulfill(json={"total": 1000, "offset": offset, "videos": rows})

    tab.page.route(re.compile(r"/api/videos\?"), many)
    tab.open("#/library")
    tab.until("document.querySelector('.virtual-row')?.innerText.includes('video 0000')")
    tab.page.locator(".virtual").evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    tab.until("document.querySelector('.virtual').innerText.includes('video 0999')")
    assert tab.page.locator(".virtual-row").count() < 40
    assert tab.count("GET /api/videos?") <= 20


@pytest.fixture(scope="module")
def compared(site):
    """A result of differencing over two coded videos, made by the command itself."""
    from clipreel.cli import main
    from clipreel.sample.scene import Shape, VideoScript

    folder = site.folder / "pair"
    folder.mkdir()
    yellow = Shape("yellow", "circle", "large", "middle")
    square = Shape("blue", "square", "large", "middle")
    for name, parts in (("first", ((RED, 2.0), (square, 1.0))), ("second", ((yellow, 1.0), (square, 2.0)))):
        write_coded(folder / f"{name}.webm", VideoScript.of([(*part, "still") for part in parts], seed=5))
    proposals = {"first-second": {"action": "a circle, then a square", "differences": [
        {"id": "0", "name": "colour", "statement": "a yellow circle", "span": "frame", "opposite": "a red circle", "query": None}],
        "stages": [
            {"id": "0", "name": "circle", "description": "the circle", "retrieval_strings": ["a circle"], "difference_ids": ["0"]},
            {"id": "1", "name": "square", "description": "the square", "retrieval_strings": ["a square"], "difference_ids": []}]}}
    (folder / "proposals.json").write_text(json.dumps(proposals))
    done = main(["differencing", f"videos=[{folder / 'first.webm'}, {folder / 'second.webm'}]", "action=a circle, then a square",
                 f"proposals={folder / 'proposals.json'}", "judge=clip", "model_name=tiny", "device=cpu", "extraction_fps=4",
                 f"output_path={site.folder.parent / 'output' / 'differencing'}"])
    assert done == 0
    return site.client.get("/api/differences").json["results"][0]["id"]


def test_compare_plays_both_by_stage_and_a_corrected_frame_makes_the_verdict_stale(visit, site, compared, axe, pictures):
    tab = visit(f"#/compare?result={compared}")
    page = tab.page
    tab.until("document.querySelectorAll('.difference').length === 1 && document.querySelectorAll('.stage').length === 4")
    tab.until("['video-a', 'video-b'].every((id) => document.getElementById(id).readyState >= 2)")
    assert "applies more to B" in page.locator(".difference").inner_text()
    look(tab, pictures, "compare", axe, every=True)
    page.locator('.ribbon[data-side="a"] .stage', has_text="square").click()
    codes = [tab.settled_code(f"video-{side}") for side in "ab"]
    spans = site.client.get(f"/api/differences/{compared}").json["stages"][1]
    assert [code / 25 for code in codes] == [pytest.approx(spans[side][0] / 1000, abs=0.041) for side in "ab"]
    page.get_by_label("wipe").check()
    screens = [page.locator(f".side:has(#video-{side}) .screen") for side in "ab"]
    tab.until("(([a, b]) => JSON.stringify(a) === JSON.stringify(b))(['a', 'b'].map((side) => "
              "document.querySelector(`.side:has(#video-${side}) .screen`).getBoundingClientRect()))")
    box = screens[0].bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 9)
    assert "0px 0px 0px 25%" in screens[1].evaluate("(one) => getComputedStyle(one).clipPath")
    page.keyboard.press("o")
    tab.until("location.hash.includes('view=blend')")
    page.get_by_label("side by side").check()
    page.locator(".difference .frames").nth(1).locator("figure button").first.click()
    tab.settled_code("video-b")
    page.get_by_role("button", name="B: one frame on").click()
    code = tab.settled_code("video-b")
    page.get_by_role("button", name="Use the frame on screen").click()
    tab.until("document.querySelector('.difference').innerText.includes('frames edited, verdict stale')")
    assert site.client.get(f"/api/differences/{compared}").json["differences"][0]["b_ms"][0] == pytest.approx(code * 40, abs=1)
    page.get_by_role("button", name="Judge again").click()
    tab.until("!document.querySelector('.difference').innerText.includes('stale')")
    assert "applies more to B" in page.locator(".difference").inner_text()


def test_two_plain_videos_keep_their_offset_while_playing(visit, site):
    tab = visit(f"#/compare?a={site.ids['coded.webm']}&b={site.ids['coded.webm']}&offset=2")
    tab.until("['video-a', 'video-b'].every((id) => document.getElementById(id).readyState >= 2)")
    tab.page.locator("#compare").get_by_role("button", name="Start").click()
    tab.until("document.getElementById('video-a').currentTime > 1.5")
    tab.page.locator("#compare").get_by_role("button", name="Stop").click()
    codes = [tab.settled_code(f"video-{side}") for side in "ab"]
    assert codes[1] - codes[0] == pytest.approx(50, abs=1)
