"""Watch in a real browser: what is on screen is read back from the frames themselves."""

import bisect
import io
import json
import re

import numpy as np
import pytest
from clipreel.tests.investigator.coded_videos import copy_later
from PIL import Image


def frame_on_screen(times, seconds):
    return max(0, bisect.bisect_right(times, seconds + 1e-6) - 1)


@pytest.mark.parametrize("name", ["coded.webm", "ntsc.webm", "uneven.webm"])
def test_a_click_anywhere_in_the_plot_shows_the_frame_of_that_time(visit, site, name):
    tab = visit(f"#/watch?v={site.ids[name]}&text0=a+red+circle").ready(1)
    tab.until("/frame 0 of \\d+/.test(document.querySelector('#controls .now').textContent)")
    times = site.times[name]
    end = site.client.get(f"/api/videos/{site.ids[name]}").json["duration_ms"] / 1000
    for share in (0.31, 0.77, 0.052, 0.93):
        x, y = tab.plot_pixel(share * end, 0, end)
        x = round(x)
        tab.page.mouse.click(x, y)
        assert tab.settled_code() == frame_on_screen(times, tab.plot_time(x, 0, end))


@pytest.mark.parametrize("name", ["late.webm", "late.mp4"])
def test_a_file_whose_timestamps_begin_late(visit, site, name):
    copy_later(site.folder / "uneven.webm", site.folder / name, 7.3)
    video, times = site.client.post("/api/videos", {"path": name}).json, site.times["uneven.webm"]
    tab = visit(f"#/watch?v={video['id']}&t=2")
    tab.until("/frame \\d+ of 120/.test(document.querySelector('#controls .now').textContent)")
    assert tab.settled_code() == frame_on_screen(times, 2)
    end = video["duration_ms"] / 1000
    assert times[-1] < end < times[-1] + 0.2
    if name == "late.mp4":  # Chromium goes no further than the length, on a clock that begins at 7.3 s
        tab.until("document.querySelector('#screen-notice').innerText.includes('to its end')")
    else:
        x, y = tab.plot_pixel(0.8 * end, 0, end)
        tab.page.mouse.click(round(x), y)
        assert tab.settled_code() == frame_on_screen(times, tab.plot_time(round(x), 0, end))
    (site.folder / name).unlink()


def test_a_click_in_a_zoomed_plot_after_a_reset_and_after_playing(visit, site):
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&text0=a+red+circle&zoom=6-9").ready(1)
    tab.until("/frame 0 of/.test(document.querySelector('#controls .now').textContent)")
    x, y = tab.plot_pixel(7.3, 6, 9)
    tab.page.mouse.click(round(x), y)
    assert tab.settled_code() == frame_on_screen(site.times["coded.webm"], tab.plot_time(round(x), 6, 9))
    tab.page.get_by_role("button", name="Reset").click()
    assert tab.settled_code() == 0
    tab.ready(2)
    x, y = tab.plot_pixel(13.1, 0, 20)
    tab.page.mouse.click(round(x), y)
    assert tab.settled_code() == frame_on_screen(site.times["coded.webm"], tab.plot_time(round(x), 0, 20))
    tab.page.keyboard.press("k")
    tab.until("document.querySelector('#video').currentTime > 14")
    tab.page.keyboard.press("k")
    tab.until("document.querySelector('#video').paused")
    tab.page.mouse.click(round(x), y)
    assert tab.settled_code() == frame_on_screen(site.times["coded.webm"], tab.plot_time(round(x), 0, 20))


def test_the_plot_can_be_used_before_plotly_is_there_and_looks_the_same_after(visit, site):
    tab, held = visit(opened=False), []
    tab.page.route("**/plotly.js*", lambda route: held.append(route))
    with tab.page.expect_request("**/plotly.js*"):
        tab.open(f"#/watch?v={site.ids['coded.webm']}&text0=a+red+circle&text1=a+blue+square&zoom=2-18")
    inks = tab.page.evaluate(INKS)
    assert len(inks) == 2 and min(inks.values()) > 50, inks  # both curves' own colours
    asked = {"GET /api/state": 1, "POST /api/queries": 2, f"GET /api/videos/{site.ids['coded.webm']}/curves": 2}  # raw and baseline
    assert {request: tab.count(request) for request in asked} == asked
    tab.until("document.querySelector('#video').readyState >= 2")
    tab.until("/frame 0 of/.test(document.querySelector('#controls .now').textContent)")
    x, y = tab.plot_pixel(7.3, 2, 18)
    tab.page.mouse.click(round(x), y)
    assert tab.settled_code() == frame_on_screen(site.times["coded.webm"], tab.plot_time(round(x), 2, 18))
    tab.until("document.querySelector('#plot .tip').innerText.includes('a blue square')")
    tab.page.mouse.dblclick(round(x), y)
    tab.until("!location.hash.includes('zoom=')")
    assert tab.page.evaluate("document.querySelector('#plot .scatterlayer') === null && window.Plotly === undefined")
    before = plot_on_screen(tab)
    held[0].continue_()
    tab.ready(2)
    tab.until("document.querySelector('#plot .lines canvas').hidden")
    after = plot_on_screen(tab)
    assert (np.abs(after - before).max(axis=2) > 60).mean() < 0.003
    assert (np.abs(after - before.mean(axis=(0, 1))).max(axis=2) > 60).mean() > 0.01  # there is something to see


# Of the canvas: how many pixels have a query's own colour.
INKS = """() => {
  const canvas = document.querySelector('#plot .lines canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const style = getComputedStyle(document.documentElement);
  const found = {};
  for (let slot = 0; slot < 12; slot += 1) {
    const colour = [1, 3, 5].map((place) => parseInt(style.getPropertyValue(`--query-${slot}`).trim().slice(place, place + 2), 16));
    let count = 0;
    for (let n = 0; n < data.length; n += 4) count += data[n + 3] === 255 && colour.every((one, part) => data[n + part] === one);
    if (count) found[slot] = count;
  }
  return found;
}"""


def plot_on_screen(tab):
    tab.page.mouse.move(1, 1)
    tab.until("document.querySelector('#plot .tip').hidden")
    return np.asarray(Image.open(io.BytesIO(tab.page.locator("#plot").screenshot())).convert("RGB")).astype(int)


def test_playing_moves_the_playhead_with_the_presented_frame(visit, site):
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&text0=a+red+circle").ready(1)
    tab.page.get_by_role("button", name="Start").click()
    tab.until("document.querySelector('#video').currentTime > 2")
    assert tab.page.evaluate("document.querySelector('#video').muted") is False
    tab.page.get_by_role("button", name="Stop").click()
    code = tab.settled_code()
    assert code >= 50
    box, head = (tab.page.locator(f"#plot {one}").bounding_box() for one in (".hand", ".playhead"))
    shown = (head["x"] + 1 - box["x"] - 48) / (box["width"] - 60) * 20
    assert shown == pytest.approx(code / 25, abs=0.04)
    assert f"frame {code} of 500" in tab.page.locator("#controls .now").inner_text()


def test_frames_step_one_by_one_also_where_the_rate_varies(visit, site):
    tab = visit(f"#/watch?v={site.ids['uneven.webm']}&t=2").ready(2)
    tab.until("/frame \\d+ of 120/.test(document.querySelector('#controls .now').textContent)")
    first = tab.settled_code()
    assert first == frame_on_screen(site.times["uneven.webm"], 2)
    for key, expected in ((".", 1), (".", 2), (".", 3), (",", 2)):
        tab.page.keyboard.press(key)
        assert tab.settled_code() == first + expected


def test_speed_sound_and_their_place_in_the_address(visit, site):
    tab = visit().ready(2)
    tab.page.get_by_label("Speed").select_option("2")
    tab.page.keyboard.press("m")
    tab.until("document.querySelector('#video').playbackRate === 2 && document.querySelector('#video').muted")
    tab.until("location.hash.includes('rate=2') && location.hash.includes('muted=1')")


def test_a_reload_restores_everything(visit, site):
    tab = visit().ready(2)
    page = tab.page
    page.get_by_label("New text to look for").fill("a green triangle")
    page.get_by_label("New text to look for").press("Enter")
    tab.ready(3)
    page.get_by_role("button", name="Show in the plot: a red circle").click()
    tab.ready(2)
    page.get_by_text("Raw cosine").click()
    page.keyboard.press("0")
    x, y = tab.plot_pixel(13, 0, 20)
    page.mouse.click(x, y)
    code = tab.settled_code()
    page.mouse.move(*tab.plot_pixel(11, 0, 20))
    page.mouse.down()
    page.mouse.move(*tab.plot_pixel(17, 0, 20), steps=4)
    page.mouse.up()
    page.locator("#plot .threshold button").focus()
    page.keyboard.press("ArrowUp")
    tab.until("/zoom=1[01]/.test(location.hash) && location.hash.includes('threshold=') && location.hash.includes('scale=raw')")
    tab.until("/[?&]t=1[23]/.test(location.hash)")
    tab.until("(window.seen = window.seen?.hash === location.hash ? seen : { hash: location.hash, since: performance.now() }) "
              "&& performance.now() - seen.since > 1500")  # nothing more is written
    before = page.evaluate(STATE)
    page.reload()
    tab.ready(2)
    assert tab.settled_code() == code
    page.wait_for_function(f"(before) => ({STATE})() === before", arg=before)
    assert "a green triangle" in json.loads(before)["texts"]


# What is on screen, as text.
STATE = """() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  return JSON.stringify({
    hash: location.hash, texts: all('.query .text').map((text) => text.textContent),
    hidden: all('.query[data-hidden] .text').length,
    scale: one('input[name=scale]:checked').value, threshold: one('#plot .threshold').innerText,
    ticks: all('#plot .xtick text').map((text) => text.textContent), lines: all('#plot .scatterlayer .trace').length,
  });
}"""


def test_a_new_text_gives_a_curve_and_reads_no_frame_again(visit, site):
    tab = visit().ready(2)
    rows = site.client.get(f"/api/videos/{site.ids['coded.webm']}").json["rows"]
    tab.requests.clear()
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("a green triangle")
    tab.page.keyboard.press("Enter")
    tab.ready(3)
    assert tab.count("POST /api/queries") == 1
    assert tab.count(f"POST /api/videos/{site.ids['coded.webm']}/analyse") == 0
    assert [job for job in site.client.get("/api/jobs").json["jobs"] if job["state"] in ("queued", "running")] == []
    assert site.client.get(f"/api/videos/{site.ids['coded.webm']}").json["rows"] == rows
    words = tab.page.locator(".query", has_text="a green triangle")
    assert "nothing stands out" in words.inner_text()
    words.get_by_role("button", name="Edit: a green triangle").click()
    tab.page.keyboard.type("a blue square or more")
    tab.page.keyboard.press("Enter")
    tab.until("document.querySelector('#query-list').innerText.includes('a blue square or more')")
    tab.page.get_by_role("button", name="Remove: a blue square or more").click()
    tab.ready(2)


def test_the_best_moment_is_where_the_shape_is(visit, site):
    tab = visit().ready(2)
    rows = tab.page.locator("#segments-body .segment")
    rows.first.wait_for()
    words = re.findall(r"(\d\d):(\d\d\.\d)", rows.first.inner_text())
    begin, end = (60 * int(minutes) + float(seconds) for minutes, seconds in words[:2])
    assert 3.4 <= begin <= 5 and 7.4 <= end <= 8.6
    rows.first.locator(".go").click()
    assert 100 <= tab.settled_code() < 200
    tab.page.keyboard.press("2")
    tab.until("document.querySelector('.query[data-focused] .text').textContent === 'a blue square'")
    tab.until("document.querySelector('#filmstrip-count').textContent.includes('a blue square')")
    tab.page.locator("#filmstrip-body .film button").first.click()
    assert 300 <= tab.settled_code() < 400


def test_text_never_becomes_markup(visit, site):
    tab = visit().ready(2)
    evil = "<img src=x onerror=document.title='pwned'><b>bold</b>&amp;"
    tab.page.get_by_label("New text to look for").fill(evil)
    tab.page.get_by_label("New text to look for").press("Enter")
    tab.ready(3)
    tab.page.mouse.move(*tab.plot_pixel(5, 0, 20))
    tab.until("document.querySelector('#plot .tip').innerText.includes('<b>bold')")
    assert evil in tab.page.locator("#query-list").inner_text()
    assert tab.page.locator("main b, main img[src=x]").count() == 0
    tab.page.reload()
    tab.ready(3)
    assert evil in tab.page.locator("#query-list").inner_text()
    assert "pwned" not in tab.page.title()
