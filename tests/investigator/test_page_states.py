"""Every state of the page has words and a way on, and is looked at in light and dark, wide and narrow."""

import shutil

import av
import pytest
from clipreel.configs.schema import EncoderConfig
from clipreel.models.clip.family import TINY_PATH
from clipreel.sample.draw import draw_frames
from clipreel.tests.investigator.browser import axe_violations, look
from clipreel.tests.investigator.coded_videos import scenes_script
from clipreel.tests.investigator.counting_encoder import CountingEncoder


def altered(tab, change):
    """Lets the page see the server's state changed by `change(state)`."""
    def answer(route):
        state = route.fetch().json()
        change(state)
        route.fulfill(json=state)

    tab.page.route("**/api/state", answer)


def words(tab, selector="main"):
    return tab.page.locator(selector).inner_text()


def test_first_start_without_a_video(visit, site, axe, pictures):
    tab = visit(opened=False)
    altered(tab, lambda state: state.update(video=None))
    tab.open("#/watch")
    tab.until("document.querySelector('#watch-notice').innerText.includes('See where a sentence matches')")
    look(tab, pictures, "first_start", axe)
    tab.page.get_by_label("Path of a video in these folders").fill("../../etc/passwd")
    tab.page.get_by_role("button", name="Open this path").click()
    tab.until("document.querySelector('#watch-notice [role=alert]').textContent.length > 10")
    tab.page.get_by_label("Path of a video in these folders").fill("ntsc.webm")
    tab.page.get_by_role("button", name="Open this path").click()
    tab.until("document.querySelector('#bar-title').textContent === 'ntsc.webm'")
    tab.complaints[:] = [one for one in tab.complaints if "404" not in one]  # the browser notes the refused path


def test_not_analysed_then_analysing_paused_cancelled_and_complete(visit, site, start, tiny, tmp_path, axe, pictures):
    slow = CountingEncoder(tiny, slow=0.4)
    client, server = start(model=slow, roots=(str(site.folder),), output_path=str(tmp_path / "output"), extraction_fps=4.0,
                           batch_size=2)
    video = site.ids["coded.webm"]
    tab = visit(f"#/watch?v={video}&text0=a+red+circle", address=server.url)
    tab.until("document.querySelector('#plot .empty').innerText.includes('Not analysed yet')")
    look(tab, pictures, "not_analysed", axe)
    tab.page.get_by_role("button", name="Analyse this video").click()
    tab.ready(1)  # a curve of key frames
    if pictures is not None:
        tab.page.screenshot(path=pictures / "analysing_dark_1440.png", full_page=True)
    tab.page.get_by_role("button", name="Pause", exact=True).click()
    tab.until("document.querySelector('#status').innerText.includes('paused')")
    look(tab, pictures, "paused", axe)
    done = slow.frames
    tab.page.get_by_role("button", name="Go on", exact=True).click()
    tab.until("/frames · .* left/.test(document.querySelector('#status').innerText)")
    tab.page.get_by_role("button", name="Cancel", exact=True).click()
    tab.until("document.querySelector('#status').innerText.startsWith('Analysed in part: ')")
    look(tab, pictures, "cancelled", axe)
    assert slow.frames > done
    slow.slow = 0.0
    tab.page.get_by_role("button", name="Go on with the analysis").click()
    tab.until("document.querySelector('#status').innerText.startsWith('Analysed: 80 frames')")
    assert slow.frames < 80 + 30  # key frames, and what was on its way when it was held
    tab.until("document.querySelectorAll('#segments-body .segment').length === 1")
    assert client.get(f"/api/videos/{video}").json["rows"] == 80


def test_no_text(visit, site, axe, pictures):
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&none=1&scale=mood&rate=99&volume=7")  # which is left out
    tab.until("document.querySelector('#plot .empty').innerText.includes('Type what to look for')")
    look(tab, pictures, "no_text", axe)
    for label, words in (("CSV table", "There is no text yet"), ("Clips, cut exactly", "There is no such segment")):
        tab.page.locator("summary", has_text="Export").click()
        tab.page.get_by_role("button", name=label).click()
        tab.until("document.querySelector('#watch-notice').innerText.includes(x)", words)
    tab.page.locator("#plot .empty button").first.click()
    tab.ready(1)


def test_nothing_stands_out(visit, site, axe, pictures):
    tab = visit(f"#/watch?v={site.ids['coded.webm']}&text0=a+purple+ring").ready(1)
    tab.until("document.querySelector('#filmstrip-body').innerText.includes('No moment stands out')")
    look(tab, pictures, "nothing_stands_out", axe)
    assert tab.page.locator("#filmstrip-body .film").count() == 0
    tab.page.get_by_role("button", name="Show the best guesses anyway").click()
    tab.page.locator("#filmstrip-body .film button").first.wait_for()
    tab.page.locator("#filmstrip-body .notice button").first.click()
    tab.ready(2)


def test_a_missing_file_and_one_that_is_no_video(visit, site, axe, pictures):
    shutil.copy(site.folder / "ntsc.webm", site.folder / "going.webm")
    (site.folder / "broken.webm").write_bytes(b"this is no video" * 100)
    going = site.client.post("/api/videos", {"path": "going.webm"}).json["id"]
    (site.folder / "going.webm").unlink()
    tab = visit(f"#/watch?v={going}")
    tab.until("document.querySelector('#watch-notice .notice') !== null")
    look(tab, pictures, "missing", axe)
    assert tab.page.get_by_role("button", name="To the library").is_visible()
    listed = {video["name"]: video["id"] for video in site.client.get("/api/videos?limit=200").json["videos"]}
    tab.page.evaluate("(id) => { location.hash = `#/watch?v=${id}`; }", listed["broken.webm"])
    tab.until("document.querySelector('#watch-notice').innerText.includes('cannot be')")
    assert "broken.webm" in words(tab, "#watch-notice") and "going.webm" not in words(tab, "#watch-notice")
    assert not tab.page.get_by_role("button", name="Analyse this video").is_visible()
    look(tab, pictures, "unreadable", axe)
    tab.page.get_by_role("button", name="To the library").first.click()
    tab.until("!document.querySelector('#library').hidden")
    tab.complaints[:] = [one for one in tab.complaints if "the server responded with a status of 4" not in one]


def test_a_file_that_is_replaced_under_the_page(visit, site):
    path = site.folder / "swapped.webm"
    shutil.copy(site.folder / "ntsc.webm", path)
    video = site.client.post("/api/videos", {"path": path.name}).json["id"]
    site.client.analyse(video)
    tab = visit(f"#/watch?v={video}&text0=a+red+circle").ready(1)
    shutil.copy(site.folder / "uneven.webm", path)
    tab.page.get_by_label("New text to look for").fill("a ring")
    tab.page.get_by_label("New text to look for").press("Enter")
    tab.page.get_by_role("button", name="Analyse it again").click()
    tab.ready(2)
    tab.until("/frame \\d+ of 120/.test(document.querySelector('#controls .now').textContent)")
    tab.page.keyboard.press("End")
    assert tab.settled_code() == 119
    path.unlink()


def test_a_codec_that_the_browser_cannot_play_gets_a_playable_copy(visit, site, axe, pictures):
    script = scenes_script(1.0)
    with av.open(str(site.folder / "old.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = script.width, script.height, "yuv420p"
        for picture in draw_frames(script):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    video = site.client.post("/api/videos", {"path": "old.mp4"}).json["id"]
    tab = visit(f"#/watch?v={video}")
    tab.until("document.querySelector('#screen-notice').innerText.includes('cannot play')")
    assert "mpeg4" in words(tab, "#screen-notice")
    look(tab, pictures, "unplayable", axe)
    tab.page.get_by_role("button", name="Make a playable copy").click()
    tab.until("document.querySelector('#video').readyState >= 2")
    assert tab.page.locator("#screen-notice .notice").count() == 0


@pytest.mark.parametrize("state", ["failed", "loading"])
def test_a_model_that_is_not_there_leaves_playing_and_what_is_stored(visit, site, axe, pictures, state):
    tab = visit(opened=False)
    told = {"error": "its weights are not on this computer", "do": "python main.py feature_type=clip model_name=ViT-B/32 …"}
    altered(tab, lambda answer: answer["model"].update(state=state, **(told if state == "failed" else {})))
    tab.open().ready(2)
    if state == "failed":
        said = words(tab, "#watch-notice")
        assert "Its weights are not on this computer." in said and told["do"] in said
    assert state in words(tab, "#model-words")
    look(tab, pictures, f"model_{state}", axe)
    tab.page.get_by_role("button", name="Start").click()
    tab.until("document.querySelector('#video').currentTime > 0.3")


def test_a_model_that_is_not_here_leads_to_the_demonstration_one(visit, start, site, tmp_path, axe):
    """The command's model has no weights; the page says so and goes on with another, and other pages are left alone."""
    client, server = start(model=None, encoder=EncoderConfig("clip", "custom", checkpoint=str(tmp_path / "none.pt")),
                           roots=(str(site.folder),), output_path=str(site.folder.parent / "output"), extraction_fps=2.0)
    address = f"#/watch?v={site.ids['coded.webm']}&t=14&text0=a+blue+square&scale=raw"
    tab = visit(address, address=server.url)
    tab.until("document.querySelector('#watch-notice').innerText.includes('custom could not be loaded')")
    assert "none.pt" in tab.page.locator("#watch-notice").inner_text()
    (tmp_path / "none.pt").write_bytes(b"no weights")
    tab.page.get_by_role("button", name="Load it again").click()
    tab.until("/none.pt.*is no/s.test(document.querySelector('#watch-notice').innerText)")
    tab.page.get_by_role("button", name="Use the demonstration model").click()
    tab.ready(1)  # what an earlier command stored by this model
    assert 300 <= tab.settled_code() < 400 and "model=m" in tab.page.evaluate("location.hash")
    assert tab.page.locator("#watch-notice .notice").count() == 0
    tab.page.locator("#model-menu summary").click()
    tab.page.locator("#model-menu button", has_text="custom").wait_for()
    assert axe_violations(tab.page, axe) == []
    tab.page.get_by_role("button", name="This frame").click()
    tab.ready(2)
    tab.until("document.querySelector('#model-words').innerText === 'tiny'")
    tab.until("document.querySelector('.query img')?.naturalWidth > 0")  # its picture is asked for without a header
    other = visit(address, address=server.url)
    other.until("document.querySelector('#model-words').innerText === 'custom failed'")
    shutil.copy(TINY_PATH, tmp_path / "none.pt")
    other.page.get_by_role("button", name="Load it again").click()
    other.until("document.querySelector('.query .best').innerText === 'no score yet'")  # its text was refused before
    other.until("document.querySelector('#plot .empty').innerText.includes('Not analysed yet')")
    assert other.page.locator("#watch-notice .notice").count() == 0
    other.complaints[:] = [one for one in other.complaints if "503" not in one]
    tab.complaints[:] = [one for one in tab.complaints if "503" not in one]
    refused = client.get("/api/state", x_clipreel_model="m000000000000")
    assert refused.status == 404 and refused.json["error"]["code"] == "no_model"


def test_an_empty_library(visit, start, tmp_path, axe, pictures):
    (tmp_path / "none").mkdir()
    _, server = start(roots=(str(tmp_path / "none"),), output_path=str(tmp_path / "output"))
    tab = visit("#/library", address=server.url)
    tab.until("document.querySelector('#library').innerText.includes('No video here yet')")
    assert "roots=" in words(tab, "#library")
    look(tab, pictures, "empty_library", axe)


def test_compare_with_nothing_chosen(visit, start, site, tmp_path, axe, pictures):
    _, server = start(roots=(str(site.folder),), output_path=str(tmp_path / "output"))
    tab = visit("#/compare", address=server.url)
    tab.until("document.querySelector('#compare').innerText.includes('Two videos on one clock')")
    look(tab, pictures, "compare_empty", axe)


def test_the_server_is_away_at_the_start(visit, site, axe, pictures):
    tab = visit(opened=False)
    away = [True]
    tab.page.route("**/api/state", lambda route: route.abort() if away[0] else route.continue_())
    tab.page.goto(tab.address)
    tab.until("document.querySelector('#watch-notice').innerText.includes('The server does not answer')")
    look(tab, pictures, "server_away", axe)
    away[0] = False
    tab.page.get_by_role("button", name="Try again").click()
    tab.ready(2)
    tab.complaints[:] = [one for one in tab.complaints if "ERR_FAILED" not in one]
