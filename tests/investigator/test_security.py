"""A hostile page in the same browser, hostile names and files, the curious on the network."""

import base64
import os
import socket
import struct
import sys
from urllib.parse import urlsplit

import pytest
from clipreel import cli
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.errors import ConfigError
from clipreel.investigator.app import POLICY
from clipreel.investigator.library import Library, video_id
from clipreel.investigator.refusal import Refusal


def handshake(port, **headers):
    """The status of a WebSocket handshake with these headers in place of the usual ones."""
    sent = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **{name.replace("_", "-"): value for name, value in headers.items()}}
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        connection.sendall(f"GET /ws HTTP/1.1\r\n{lines}\r\n".encode())
        return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "",
                                  "a b"])
def test_another_host_s_name_is_refused(opened, host):
    client, server, video = opened
    for path in ("/", "/api/state", f"/media/{video}"):
        assert client.get(path, Host=host).status in (400, 403)
    assert handshake(server.port, Host=host or "x y") in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_own_names_are_served(opened, host):
    client, server, _ = opened
    assert client.get("/api/state", Host=f"{host}:{server.port}").status == 200
    assert handshake(server.port, Host=f"{host}:{server.port}") == 101


def test_other_pages_cannot_act(opened):
    client, server, video = opened
    own = f"http://127.0.0.1:{server.port}"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"{own}1"}, {"Sec_Fetch_Site": "cross-site"},
                    {"Sec_Fetch_Site": "same-site"}):
        assert client.post("/api/queries", {"text": "a"}, **headers).status == 403
        assert client.post(f"/api/videos/{video}/analyse", {}, **headers).status == 403
        assert handshake(server.port, **headers) == 403
    assert client.post("/api/queries", {"text": "a"}, Origin=own, Sec_Fetch_Site="same-origin").status == 200
    assert handshake(server.port, Origin=own) == 101
    # what a form of another page can send without asking first
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert client.send("POST", "/api/queries", b'{"text": "a"}', content_type=kind).status == 415
    assert client.get("/api/queries").status == 405
    said = client.get("/api/state", Origin="http://evil.example").headers
    assert not [name for name in said if name.startswith("access-control")]


def test_every_answer_carries_the_policy(opened):
    client, _, video = opened
    for answer in (client.get("/"), client.get("/api/state"), client.get("/nowhere"), client.get(f"/media/{video}"),
                   client.get("/plotly.js"), client.get("/", Host="evil.example")):
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY


def test_only_videos_below_the_roots(start, videos, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes((videos / "three_scenes.mp4").read_bytes())
    (videos / "notes.txt").write_text("words")
    (videos / "way.mp4").symlink_to(secret)
    (videos / "folder").symlink_to(tmp_path)
    (videos / "again.mp4").symlink_to(videos / "three_scenes.mp4")
    client, server = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    listed = {video["name"] for video in client.get("/api/videos").json["videos"]}
    assert listed == {"moving_shapes.webm", "red_circle_then_blue_square.mp4", "three_scenes.mp4"}
    inside = client.post("/api/videos", {"path": str(videos / "again.mp4")})
    assert inside.status == 200 and inside.json["name"] == "three_scenes.mp4"
    answers = {client.post("/api/videos", {"path": path}).body.replace(os.path.basename(path).encode(), b"NAME") for path in (
        str(secret), str(videos / "way.mp4"), f"{videos}/../secret.mp4", str(videos / "folder" / "secret.mp4"),
        str(tmp_path / "nothing.mp4"), "/proc/self/environ.mp4")}
    assert len(answers) == 1 and b"not_found" in answers.pop()  # the same words for what is there and what is not
    for path in ("/etc/passwd", str(videos / "notes.txt"), str(videos), "", "a\0.mp4", "~nobody/x.mp4", "http://127.0.0.1/x.mp4"):
        assert client.post("/api/videos", {"path": path}).status == 404, path
    for path in (f"/media/{video_id(secret)}", "/media/..%2f..%2fsecret.mp4", "/static/../app.py", "/static/..%2fapp.py",
                 "/static/%2e%2e/app.py", f"/static/{videos}", "/media//etc/passwd"):
        assert client.get(path).status in (400, 404), path
    # a link that is put in the place of a listed video does not lead out
    video = next(one for one in client.get("/api/videos").json["videos"] if one["name"] == "moving_shapes.webm")
    (videos / "moving_shapes.webm").unlink()
    (videos / "moving_shapes.webm").symlink_to(secret)
    assert client.get(f"/media/{video['id']}").status == 410
    assert str(videos) not in video["id"] and server.workbench.library.roots == [videos]


def test_a_list_of_other_files_is_no_video(start, videos, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (videos / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.txt\n")
    (videos / "concat.mkv").write_text(f"ffconcat version 1.0\nfile {videos}/three_scenes.mp4\n")
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    for name in ("list.mp4", "concat.mkv"):
        assert client.post("/api/videos", {"path": str(videos / name)}).status == 404
        video = next(one for one in client.get("/api/videos").json["videos"] if one["name"] == name)
        assert video["state"] == "unreadable"
        assert client.get(f"/api/videos/{video['id']}/frame?time_ms=0").status == 422
        assert client.wait(client.post(f"/api/videos/{video['id']}/proxy").json["id"])["state"] == "failed"


def test_names_are_only_ever_text(start, videos, tmp_path):
    name = '-i "; touch x; <img src=x onerror=alert(1)>=cmd.mp4'
    (videos / name).write_bytes((videos / "three_scenes.mp4").read_bytes())
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    video = next(one for one in client.get("/api/videos").json["videos"] if one["name"] == name)
    client.analyse(video["id"])
    red = client.text("=HYPERLINK(1)<script>")
    wanted = {"queries": [{"query": red, "threshold": -1}]}
    table = client.post(f"/api/videos/{video['id']}/export", {"format": "csv", **wanted})
    assert table.headers["content-disposition"] == 'attachment; filename="i_touch_x_img_src_x_onerror_alert_1_cmd_segments.csv"'
    assert ",'=HYPERLINK(1)<script>," in table.body.decode()
    assert "<script>" not in client.post(f"/api/videos/{video['id']}/export", {"format": "vtt", **wanted}).body.decode()
    clips = {"segments": [{"begin_ms": 0, "end_ms": 500}]}
    clip = client.wait(client.post(f"/api/videos/{video['id']}/clips", clips).json["id"])["result"]["clips"][0]
    assert clip["name"].startswith("i_touch_x_")
    assert "<" not in clip["name"] and '"' not in clip["name"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_a_name_that_is_no_text(start, videos, tmp_path):
    (videos / os.fsdecode(b"caf\xe9.mp4")).write_bytes((videos / "three_scenes.mp4").read_bytes())
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    listed = {video["name"]: video["id"] for video in client.get("/api/videos").json["videos"]}
    assert "three_scenes.mp4" in listed
    video = listed["caf\N{REPLACEMENT CHARACTER}.mp4"]
    client.analyse(video)
    wanted = {"queries": [{"query": client.text("a dog"), "threshold": -1}], "format": "json"}
    assert client.post(f"/api/videos/{video}/export", wanted).json["video"] == "caf\N{REPLACEMENT CHARACTER}.mp4"


def test_limits(start, videos, tmp_path):
    client, server = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    big = b"\xff\xd8" + bytes(client.get("/api/state").json["limits"]["upload_bytes"])
    assert client.send("POST", "/api/queries/image", big, content_type="image/jpeg").status == 413
    assert client.post("/api/analyse", {"videos": [f"v{n}" for n in range(150)]}).status == 400
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60000, 60000, 8, 2, 0, 0, 0) + b"\0\0\0\0"
    assert client.send("POST", "/api/queries/image", bomb, content_type="image/png").status in (400, 413)
    assert client.get("/api/videos?limit=100000").json["total"] == 3
    for asked in ("limit=x", "offset=nan", "sort=up"):
        assert client.get(f"/api/videos?{asked}").status == 400
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{server.port}/ws") as page:
        page.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            list(iter(lambda: page.recv(timeout=60), None))


def test_elsewhere_a_token_is_asked_for(start, videos, tmp_path):
    client, server = start(roots=(str(videos),), output_path=str(tmp_path / "output"), host="0.0.0.0", port=0)
    assert server.token is not None and server.token in server.url and len(server.token) >= 16
    assert client.get("/api/state").status == 401 and client.get("/").status == 401
    assert client.get("/healthz").status == 200
    assert client.get("/?token=wrong").status == 401
    printed = urlsplit(server.url)  # what a person opens is answered
    assert client.get(f"/?{printed.query}", Host=printed.netloc).status == 303
    assert "?token=" in client.get("/", Host=printed.netloc).json["error"]
    assert handshake(server.port) in (401, 403)
    exchanged = client.get(f"/?token={server.token}&x=1")
    assert exchanged.status == 303 and exchanged.headers["location"] == "/?x=1"
    said = exchanged.headers["set-cookie"]
    assert "HttpOnly" in said and "SameSite=Strict" in said
    cookie = said.partition(";")[0]
    assert client.get("/api/state", Cookie=cookie).status == 200
    assert handshake(server.port, Cookie=cookie) == 101
    assert client.get("/api/state", Cookie=cookie, Host="evil.example").status == 403
    assert client.get("/api/state", Authorization=f"Bearer {server.token}").status == 200


def test_by_default_nothing_but_loopback(opened):
    _, server, _ = opened
    assert server.token is None
    assert server.url.startswith("http://127.0.0.1:")
    assert InvestigatorConfig().host == "127.0.0.1"


@pytest.mark.parametrize(("keys", "said"), [
    ({"access_token": "short"}, "access_token="), ({"port": 70000}, "port=70000"), ({"allowed_hosts": ("a b",)}, "allowed_hosts"),
    ({"CLIP": ("",)}, "CLIP"), ({"CLIP": tuple("abcdefghijklm")}, "13 texts"), ({"extraction_fps": 0.0}, "extraction_fps")])
def test_wrong_keys(keys, said):
    with pytest.raises(ConfigError, match=said):
        InvestigatorConfig(**keys)


def test_a_taken_port_is_exit_2(opened, capsys):
    _, server, _ = opened
    assert cli.main(["investigator", f"port={server.port}", "model_name=tiny", "open_browser=false"]) == 2
    assert "give another port" in capsys.readouterr().err


def test_ids_tell_nothing_and_last(videos):
    library = Library([videos])
    first = [video.id for video in library.videos()]
    assert first == [video.id for video in Library([videos]).videos()]
    assert all("mp4" not in one and "/" not in one for one in first)
    with pytest.raises(Refusal):
        library.get("v0")
