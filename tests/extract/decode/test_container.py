"""Opening reaches the named file and nothing else, whatever it is called and whatever it holds."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from clipreel.errors import UnreadableVideoError
from clipreel.extract.decode import container as container_module
from clipreel.extract.decode.container import open_container, video_stream

Zoo = Callable[[str], Path]


def refusal(path: Path) -> str:
    """Opening must fail; does so in a thread, so that a test that hangs ends."""
    said: list[str] = []

    def attempt() -> None:
        try:
            with open_container(path) as container:
                video_stream(container, path)
        except UnreadableVideoError as error:
            said.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert said, f"{path} was opened, or opening it hangs"
    assert said[0].startswith(f"{path}: ")
    return said[0]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert "there is no such file" in refusal(tmp_path / "missing.mp4")
    assert "is a folder" in refusal(tmp_path)
    assert "a pipe, a socket or a device" in refusal(tmp_path / "pipe.mp4")
    assert "a pipe, a socket or a device" in refusal(Path(os.devnull))
    assert "cannot be read" in refusal(tmp_path / "loop.mp4")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300 + ".mp4"))
    assert "cannot be read" in refusal(tmp_path / "zero\0byte.mp4")
    (tmp_path / "file").write_bytes(b"x")
    assert "cannot be read" in refusal(tmp_path / "file" / "clip.mp4")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
def test_a_file_that_may_not_be_read(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    shutil.copy(zoo("h264.mp4"), path)
    path.chmod(0)
    program = ("import os, sys; from pathlib import Path\n"
               "from clipreel.extract.decode.container import open_container\n"
               "import av.error, clipreel.errors\n"
               "if os.geteuid() == 0: os.chdir(sys.argv[2]); os.seteuid(65534)\n"
               "try:\n    with open_container(Path(sys.argv[1])): pass\n"
               "except clipreel.errors.UnreadableVideoError as error: sys.exit(str(error))\n")
    done = subprocess.run([sys.executable, "-c", program, path.name, str(tmp_path)], capture_output=True, text=True,
                          cwd=tmp_path, check=False)
    assert "cannot be read (Permission denied)" in done.stderr
    assert "Traceback" not in done.stderr
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


@pytest.mark.parametrize("name", [
    "a:b.mp4", "%03d.mp4", "-x.mp4", "new\nline.mp4", "file:x.mp4", "http:x.mp4", "concat:a|b.mp4", "ünïcødé 🎞.mp4",
    os.fsdecode(b"not utf-8 \xff\xfe.mp4"), " .mp4", "noextension", "wrong.txt",
])
@pytest.mark.parametrize("relative", [False, True])
def test_any_name_is_only_a_name(name: str, relative: bool, zoo: Zoo, tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(zoo("h264.mp4"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    path = Path(name) if relative else tmp_path / name
    with open_container(path) as container:
        assert video_stream(container, path).width == 96


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/x.mp4", "concat:a.mp4|b.mp4", "pipe:0", "data:video/mp4;base64,AA",
                                  "lavfi:testsrc", "subfile:,,start,0,end,9,,:x.mp4"])
def test_addresses_are_no_files(name: str) -> None:
    assert "there is no such file" in refusal(Path(name))


LISTS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile '{target}'\n",
    "concat.ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "dash.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'><Period><AdaptationSet "
                "mimeType='video/mp4'><Representation id='1'><BaseURL>{target}</BaseURL></Representation>"
                "</AdaptationSet></Period></MPD>",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "meta.mp4": ";FFMETADATA1\ntitle=x\n",
    "frame%03d.png": "not a picture",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_other_files_are_refused_and_their_targets_not_opened(name: str, tmp_path: Path) -> None:
    target = tmp_path / "target.ts"
    os.mkfifo(target)  # whoever opens it waits for ever, which `refusal` notices
    (tmp_path / name).write_text(LISTS[name].format(target=target))
    refusal(tmp_path / name)


def test_a_title_in_an_old_encoding_is_no_reason_to_refuse(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "old.mkv"
    data = zoo("h264.mkv").read_bytes()
    assert b"DURATION" in data
    path.write_bytes(data.replace(b"DURATION", b"D\xdcRATION"))
    with open_container(path) as container:
        assert video_stream(container, path).width == 96


def test_the_film_is_taken_not_its_cover_nor_the_largest(zoo: Zoo) -> None:
    for name in ("cover.mp4", "two_videos.mp4"):
        with open_container(zoo(name)) as container:
            assert video_stream(container, zoo(name)).width == 96


def test_a_file_without_a_film_says_what_it_has(zoo: Zoo) -> None:
    assert "sound only" in refusal(zoo("audio_only.mp4"))
    assert "only a cover picture" in refusal(zoo("cover_only.mp4"))


def test_an_enormous_picture_is_refused_before_it_is_decoded(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_module, "_MAX_PIXELS", 96 * 64 - 1)
    assert "says it is 96x64 pixels; allowed are 6143 in all" in refusal(zoo("h264.mp4"))
