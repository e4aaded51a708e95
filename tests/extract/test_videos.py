"""What the user names -> which videos: paths, folders, globs, lists, CSVs, as people really write them."""

import os
import time
from pathlib import Path

import pytest
from clipreel.errors import ConfigError, InputError, UnreadableVideoError
from clipreel.extract.videos import VideoItem, content_id, find_videos, read_list, size_bytes


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and files made in it by name."""
    monkeypatch.chdir(tmp_path)

    def make(*names, content=b"x"):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path

    return make


def paths(items):
    return [str(item.path) for item in items]


# paths, folders, globs


def test_a_path_is_one_item_even_when_it_is_not_there(here):
    here("a b.mp4", "ü 录像.webm", "no_suffix", "x_meta.mp4", "[a].mp4", "what?.mp4", "st*r.mp4")
    names = ["a b.mp4", "ü 录像.webm", "no_suffix", "x_meta.mp4", "[a].mp4", "what?.mp4", "st*r.mp4", "none.mp4",
             "none [1080p].mp4", "why?.mp4", "~nobody-here/x.mp4", "n" * 300 + ".mp4", "nul\0.mp4"]
    items = find_videos(names)
    assert paths(items) == names
    assert [item.name for item in items[:4]] == ["a b", "ü 录像", "no_suffix", "x_meta"]


def test_a_folder_is_searched_to_its_bottom_in_order(here):
    here("v/b.mp4", "v/a.MKV", "v/c/d.webm", "v/c/.hidden.mp4", "v/.cache/e.mp4", "v/notes.txt", "v/poster.jpg", "v/x.csv")
    assert paths(find_videos(["v"])) == ["v/a.MKV", "v/b.mp4", "v/c/d.webm"]
    assert paths(find_videos([Path("v/c")])) == ["v/c/d.webm"]


def test_a_named_hidden_file_is_taken(here):
    here(".hidden.mp4")
    assert find_videos([".hidden.mp4"]) == [VideoItem(".hidden.mp4", ".hidden")]


def test_links(here):
    root = here("v/a.mp4", "other/b.mp4")
    (root / "v/back").symlink_to(root / "v")  # a loop
    (root / "v/self").symlink_to("self")  # a link to itself
    (root / "v/other").symlink_to(root / "other")
    (root / "v/dead.mp4").symlink_to("gone.mp4")
    assert paths(find_videos(["v"])) == ["v/a.mp4", "v/dead.mp4", "v/other/b.mp4"]
    with pytest.raises(UnreadableVideoError, match="no such file"):
        content_id(VideoItem("v/dead.mp4", "dead"))


def test_a_folder_of_only_pictures_is_one_video(here):
    here("v/frames/1.jpg", "v/frames/2.PNG", "v/frames/.DS_Store", "v/mixed/1.jpg", "v/mixed/readme.md", "v/film/1.jpg",
         "v/film/a.mp4", "v/posters/1.jpg", "v/posters/sub/b.mp4")
    assert paths(find_videos(["v"])) == ["v/film/a.mp4", "v/frames", "v/posters/sub/b.mp4"]
    assert find_videos(["v/frames"])[0].name == "frames"
    os.chdir("v/frames")
    assert find_videos(["."])[0].name == "frames"


def test_globs(here):
    here("a1.mp4", "a2.mp4", "b.mkv", "a3.json", "deep/er/a4.mp4", "list.txt", "data.bin", "[a].mp4", content=b"a1.mp4\n")
    assert paths(find_videos(["a*.mp4"])) == ["a1.mp4", "a2.mp4"]
    assert paths(find_videos(["a?.mp4"])) == ["a1.mp4", "a2.mp4"]
    assert paths(find_videos(["a[2-9].mp4"])) == ["a2.mp4"]
    assert paths(find_videos(["[a].mp4"])) == ["[a].mp4"]  # a file of that name goes before
    # a pattern that leaves the suffix open means videos, not the lists and notes beside them
    assert paths(find_videos(["*"])) == ["[a].mp4", "a1.mp4", "a2.mp4", "b.mkv", "deep/er/a4.mp4"]
    assert paths(find_videos(["**/*.mp4"])) == ["[a].mp4", "a1.mp4", "a2.mp4", "deep/er/a4.mp4"]
    assert sorted(paths(find_videos(["**"]))) == ["[a].mp4", "a1.mp4", "a2.mp4", "b.mkv", "deep/er/a4.mp4"]
    assert paths(find_videos(["*.bin"])) == ["data.bin"]  # a suffix that is named is meant
    assert paths(find_videos(["*.txt"])) == ["a1.mp4"]


@pytest.mark.parametrize("name", ["none/*.mp4", "empty", "*.webm", "notes*"])
def test_no_video_there_is_said_with_the_name(here, name):
    here("notes.md")
    Path("empty").mkdir()
    with pytest.raises(InputError, match="no video in it") as caught:
        find_videos([name])
    assert name in str(caught.value)
    Path("list.txt").write_text(f"here.mp4\n{name}\n")
    with pytest.raises(InputError, match="no video in it"):  # in a list it does not vanish either
        find_videos(["list.txt"])


def test_nothing_named(here):
    here()
    with pytest.raises(InputError, match="no video is named"):
        find_videos([])


def test_a_video_named_twice_is_once_where_it_was_first(here):
    root = here("a.mp4", "b.mp4", "x/a.mp4")
    assert paths(find_videos(["a.mp4", "b.mp4", "./a.mp4", str(root / "a.mp4"), "x/a.mp4"])) == ["a.mp4", "b.mp4", "x/a.mp4"]
    assert paths(find_videos(["b.mp4", "*.mp4"])) == ["b.mp4", "a.mp4"]


def test_a_folder_that_cannot_be_searched_is_said(here, monkeypatch, caplog):
    here("v/a.mp4", "v/locked/b.mp4")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert paths(find_videos(["v"])) == ["v/a.mp4"]
    assert "v/locked" in caplog.text


def test_home_folder(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here("a.mp4")))
    assert find_videos(["~/a.mp4"])[0].path.is_file()
    Path("list.txt").write_text("~/a.mp4\n")
    assert read_list("~/list.txt")[0].path.is_file()


# lists


def test_a_text_list(here):
    here("lists/near.mp4", "far.mp4", "lists/v/c.mp4", "lists/g1.mp4", "lists/g2.mp4")
    text = "\ufeff# comment\r\n\r\n  near.mp4  \r\nfar.mp4\r\nnone.mp4\r\nv\r\n   # more\r\ng*.mp4\r\nline\u2028sep.mp4\r\nnear.mp4"
    Path("lists/l.TXT").write_bytes(text.encode())
    wanted = ["lists/near.mp4", "far.mp4", "none.mp4", "lists/v/c.mp4", "lists/g1.mp4", "lists/g2.mp4", "line\u2028sep.mp4"]
    assert paths(read_list("lists/l.TXT")) == wanted
    assert paths(find_videos(["lists/l.TXT"])) == wanted
    Path("list_without_suffix").write_text("far.mp4\n")
    assert paths(read_list("list_without_suffix")) == ["far.mp4"]


def test_a_list_from_a_pipe(here):
    here("a.mp4")
    reading, writing = os.pipe()
    os.write(writing, b"a.mp4\n")
    os.close(writing)
    assert paths(read_list(f"/dev/fd/{reading}")) == ["a.mp4"]
    os.close(reading)


@pytest.mark.parametrize(("content", "part"), [
    (b"", "names no video"), (b"# only this\n\n", "names no video"), ("é.mp4".encode("latin-1"), "no readable list"),
    ("a.mp4\n".encode("utf-16"), "UTF-8"), (b"a.mp4\nother.txt\n", "names another list, other.txt"),
    (b"list.txt\n", "names another list"), (b"x.csv\n", "names another list"),
])
def test_bad_text_lists(here, content, part):
    here("list.txt", content=content)
    for look in (lambda: read_list("list.txt"), lambda: find_videos(["list.txt"])):
        with pytest.raises(InputError, match=part):
            look()


def test_no_such_list(here):
    here()
    Path("folder").mkdir()
    for name in ("none.txt", "folder"):
        with pytest.raises(InputError, match=f"file_with_video_paths={name}: there is no such file"):
            read_list(name)


# CSV


def test_csv(here):
    here("lists/a.mp4", "lists/b, c.mp4", "lists/v/d.mp4")
    text = ("\ufeffid, Path ,start,end,label\r\nfirst/part,a.mp4,0,1.5,\"one, two\"\r\n,\"b, c.mp4\",,,\"say \"\"hi\"\"\"\r\n"
            "\r\n late ,a.mp4,1.5,,\"two\nlines\"\r\n,v\r\n")
    Path("lists/l.csv").write_bytes(text.encode())
    items = find_videos(["lists/l.csv"])
    assert items == read_list("lists/l.csv") == [
        VideoItem("lists/a.mp4", "first_part", 0.0, 1.5, {"label": "one, two"}),
        VideoItem("lists/b, c.mp4", "b, c", None, None, {"label": 'say "hi"'}),
        VideoItem("lists/a.mp4", "late", 1.5, None, {"label": "two\nlines"}),
        VideoItem("lists/v/d.mp4", "d", None, None, {"label": ""}),
    ]


@pytest.mark.parametrize("column", ["path", "video_path", "VIDEO"])
def test_csv_path_columns(here, column):
    here("l.csv", content=f"{column}\na.mp4\n".encode())
    assert paths(read_list("l.csv")) == ["a.mp4"]


@pytest.mark.parametrize(("text", "parts"), [
    ("file\na.mp4\n", ["no path column", "file", "video_path"]),
    ("path;id\na.mp4;x\n", ["no path column", "path;id", "commas"]),
    ("", ["no path column"]),
    ("path,id\n,x\n", ["line 2", "no path"]),
    ("path\na.mp4\nb, c.mp4\n", ["line 3", "more fields", "quotes"]),
    ("path,start\na.mp4,soon\n", ["line 2", "start=soon"]),
    ("path,start\na.mp4,-1\n", ["start=-1", "from 0 up"]),
    ("path,start\na.mp4,nan\n", ["start=nan"]),
    ("path,end\na.mp4,inf\n", ["end=inf"]),
    ("path,start,end\na.mp4,3,2\n", ["line 2", "end=2", "start=3"]),
    ("path\n" + "a" * 200_000 + "\n", ["no CSV after line 1"]),
])
def test_bad_csv(here, text, parts):
    here("l.csv", content=text.encode())
    with pytest.raises(ConfigError) as caught:
        find_videos(["l.csv"])
    for part in ("l.csv", *parts):
        assert part in str(caught.value)


def test_an_id_never_leads_elsewhere(here):
    here("l.csv", content=b'path,id\na.mp4,../x\nb.mp4,"c\0d"\n')
    assert [item.name for item in read_list("l.csv")] == [".._x", "c_d"]


def test_a_csv_does_not_name_lists(here):
    here("l.csv", content=b"path\nl.csv\n")
    with pytest.raises(InputError, match="names another list"):
        find_videos(["l.csv"])
    here("l.csv", content=b"path,id\n")
    with pytest.raises(InputError, match="names no video"):
        find_videos(["l.csv"])


# many


def test_ten_thousand_videos_are_planned_quickly(here):
    names = [f"v/{number // 1000}/{number}.mp4" for number in range(10_000)]
    root = here(*names)
    Path("list.txt").write_text("".join(f"{name}\n" for name in names))
    for given in (["v"], ["list.txt"], ["v/**/*.mp4"], [str(root / name) for name in names]):
        began = time.process_time()
        assert len(find_videos(given)) == 10_000
        assert time.process_time() - began < 3


# content ids


def test_content_ids(here):
    here("a.mp4", "copy/a.mp4", content=b"a" * 300_000)
    one = content_id(VideoItem("a.mp4", "a"))
    assert len(one) == 32
    assert content_id(VideoItem("copy/a.mp4", "other")) == one
    seen = {one, content_id(VideoItem("a.mp4", "a", 0.0)), content_id(VideoItem("a.mp4", "a", None, 0.0)),
            content_id(VideoItem("a.mp4", "a", 0.0, 1.0))}
    for place in (0, 150_000, 299_999):
        content = bytearray(b"a" * 300_000)
        content[place] = 0
        here("changed.mp4", content=content)
        seen.add(content_id(VideoItem("changed.mp4", "a")))
    here("changed.mp4", content=b"a" * 300_001)
    seen.add(content_id(VideoItem("changed.mp4", "a")))
    assert len(seen) == 8


def test_content_ids_of_pictures(here):
    here("f/1.jpg", "f/2.jpg", "f/odd\udcff.jpg")
    one = content_id(VideoItem("f", "f"))
    here("f/._1.jpg")
    assert content_id(VideoItem("f", "f")) == one
    here("f/3.jpg")
    assert content_id(VideoItem("f", "f")) != one
    assert size_bytes(Path("f/1.jpg")) == 1


@pytest.mark.parametrize(("name", "part"), [("none.mp4", "no such file"), ("a.mp4/x.mp4", "cannot be read"),
                                            ("n" * 300, "cannot be read"), ("nul\0", "cannot be read"), ("pipe", "pipe")])
def test_what_cannot_be_identified_is_one_video_s_error(here, name, part):
    here("a.mp4")
    os.mkfifo("pipe")
    with pytest.raises(UnreadableVideoError, match=part):
        content_id(VideoItem(name, "x"))
