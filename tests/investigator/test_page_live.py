"""Losing the socket delays news and nothing else; a server that comes back is found again."""

import time

from clipreel.tests.investigator.coded_videos import scenes_script, write_coded


class Cut:
    """A socket between page and server that can be cut."""

    def __init__(self, page):
        self.open, self.sockets = True, []
        page.route_web_socket("**/ws?**", self.handle)
        page.route_web_socket("**/ws", self.handle)

    def handle(self, socket):
        if not self.open:
            socket.close()
            return
        socket.connect_to_server()
        self.sockets.append(socket)

    def cut(self):
        self.open = False
        for socket in self.sockets:
            socket.close()
        self.sockets.clear()


def test_a_socket_cut_for_five_seconds_is_caught_up(visit, site):
    write_coded(site.folder / "while_cut.webm", scenes_script(1.0))
    video = site.client.post("/api/videos", {"path": "while_cut.webm"}).json["id"]
    tab = visit(opened=False)
    line = Cut(tab.page)
    tab.open(f"#/watch?v={video}&text0=a+red+circle")
    tab.until("document.querySelector('#plot .empty').innerText.includes('Not analysed yet')")
    line.cut()
    begun = time.monotonic()
    tab.until("document.querySelector('#live').innerText.includes('reconnecting')")
    site.client.analyse(video)
    x, y = tab.plot_pixel(2.5, 0, 5)
    tab.page.mouse.click(round(x), y)  # playing and seeking go on
    assert abs(tab.settled_code() - 62) <= 1
    tab.page.wait_for_timeout(max(0, 5000 - 1000 * (time.monotonic() - begun)))
    line.open = True
    tab.page.evaluate("document.querySelector('#live-retry').click()")  # or it has come back by itself just now
    tab.until("document.querySelector('#live').dataset.state === 'live'")
    tab.ready(1)
    tab.until("document.querySelector('#status').innerText.startsWith('Analysed: ')")
    tab.until("document.querySelectorAll('#segments-body .segment').length === 1")
    tab.complaints[:] = [one for one in tab.complaints if "WebSocket" not in one]


def test_a_server_that_went_away_is_said_once_and_found_again(visit, site, start, tmp_path):
    keys = {"video_path": str(site.folder / "coded.webm"), "roots": (str(site.folder),), "CLIP": ("a red circle",),
            "output_path": str(site.folder.parent / "output"), "extraction_fps": 2.0}
    _, server = start(**keys)
    tab = visit(address=server.url).ready(1)
    server.stop()
    tab.until("document.querySelector('#banner').innerText.includes('The server does not answer')")
    tab.page.get_by_label("New text to look for").fill("a blue sq")
    assert tab.page.locator("#banner .notice").count() == 1
    start(**keys, port=server.port)
    tab.page.evaluate("document.querySelector('#banner button')?.click()")  # or it has found the server by itself just now
    tab.until("document.querySelector('#live').dataset.state === 'live'")
    tab.until("document.querySelector('#banner').innerText === ''")
    assert tab.page.get_by_label("New text to look for").input_value() == "a blue sq"
    tab.page.get_by_label("New text to look for").press("Enter")
    tab.ready(2)
    assert all("WebSocket" in one or "ERR_CONNECTION_REFUSED" in one or "ERR_" in one for one in tab.complaints)
    tab.complaints.clear()
