"""The published files' layouts, made small by hand, through the command."""

import csv
import json

import pytest
from clipreel.cli import main
from clipreel.retrieval.annotations import read_annotations, texts_of


def prepare(folder, *words):
    return main(["retrieval", "prepare", f"output_path={folder / 'out'}", *map(str, words)])


def read(folder, split):
    return json.loads((folder / "out" / f"{split}.json").read_text())


def put(folder, *names):
    for name in names:
        path = folder / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def msrvtt(folder, name="MSRVTT_data.json"):
    write(folder / name, {
        "info": {}, "videos": [{"video_id": f"video{n}", "category": 1, "url": "u", "start time": n + 0.5, "end time": n + 9.5,
                                "split": "train", "id": n} for n in range(4)],
        "sentences": [{"caption": f"caption {n} of video{n % 4}", "video_id": f"video{n % 4}", "sen_id": n} for n in range(12)]})
    write(folder / "MSRVTT_train.9k.csv", "video_id\nvideo2\nvideo0\n")
    write(folder / "MSRVTT_JSFUSION_test.csv",
          'key,vid_key,video_id,sentence\nret0,msr7,video3,"a man, and a dog"\nret1,msr8,video1,a cat\n')


@pytest.mark.parametrize("name", ["MSRVTT_data.json", "train_val_videodatainfo.json"])
def test_msrvtt_is_split_by_its_lists_and_tested_by_one_caption_a_video(tmp_path, capsys, name):
    msrvtt(tmp_path / "published", name)
    put(tmp_path, "video0.mp4", "sub/video2.webm", "video3.mp4")
    assert prepare(tmp_path, "dataset=msrvtt", f"annotations={tmp_path / 'published'}", f"videos={tmp_path / 'videos'}") == 1
    train, val = read(tmp_path, "train"), read(tmp_path, "val")
    assert list(train) == ["video2", "video0"]
    assert train["video2"] == {"extension": "webm", "timestamps": [[2.5, 11.5]],
                               "sentences": ["caption 2 of video2", "caption 6 of video2", "caption 10 of video2"]}
    assert {name: said["sentences"] for name, said in val.items()} == {"video3": ["a man, and a dog"], "video1": ["a cat"]}
    said = capsys.readouterr()
    assert "train: 2 videos, 6 captions" in said.out
    assert "val: 1 of 2 videos are not in" in said.err and "video1" in said.err
    assert (tmp_path / "out" / "missing.txt").read_text() == "video1\n"
    with open(tmp_path / "out" / "videos.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["video_id"]: row["path"] for row in rows} == {
        name: str(tmp_path / "videos" / path) for name, path in
        (("video2", "sub/video2.webm"), ("video0", "video0.mp4"), ("video3", "video3.mp4"))}


def test_what_is_written_is_read_again(tmp_path):
    msrvtt(tmp_path / "published")
    assert prepare(tmp_path, "dataset=msrvtt", f"annotations={tmp_path / 'published'}") == 0
    videos = read_annotations(tmp_path / "out" / "train.json")
    assert [video.video_id for video in videos] == ["video2", "video0"]
    joined, each = texts_of(videos, "concat"), texts_of(videos, "indep-all")
    assert joined.texts[1] == "caption 0 of video0 caption 4 of video0 caption 8 of video0"
    assert joined.video_of.tolist() == [0, 1]
    assert (len(each), each.video_of.tolist()) == (6, [0, 0, 0, 1, 1, 1])
    assert texts_of(videos, "indep-one").texts == each.texts


def test_didemo_groups_descriptions_by_video_and_follows_the_lists(tmp_path):
    names = ["54@N00_1_a.avi", "12@N01_2_b.mov", "77@N02_3_c.mp4"]
    rows = [{"annotation_id": 1, "video": names[0], "description": "The cat looks up. ", "times": [[0, 0]], "num_segments": 6},
            {"annotation_id": 2, "video": names[1], "description": "a dog", "times": [[1, 1]], "num_segments": 5},
            {"annotation_id": 3, "video": names[0], "description": "the cat leaves", "times": [[4, 5]], "num_segments": 6},
            {"annotation_id": 4, "video": names[2], "description": "a bird", "times": [[4, 5]], "num_segments": 6}]
    for split in ("train", "val", "test"):
        write(tmp_path / "published" / f"{split}_data.json", rows)
    write(tmp_path / "published" / "train_list.txt", f"{names[1]}\n54@N00_1_a\n")
    put(tmp_path, "54@N00_1_a.avi.mp4", "12@N01_2_b.mov", "77@N02_3_c.mp4")
    assert prepare(tmp_path, "dataset=didemo", f"annotations={tmp_path / 'published'}", f"videos={tmp_path / 'videos'}") == 0
    train = read(tmp_path, "train")
    assert list(train) == [names[1], names[0]]
    assert train[names[0]] == {"extension": "mp4", "sentences": ["The cat looks up.", "the cat leaves."]}
    assert list(read(tmp_path, "test")) == names
    with open(tmp_path / "out" / "videos.csv", newline="") as file:
        names = [row["path"].rpartition("/")[2] for row in csv.DictReader(file)]
    assert names == ["12@N01_2_b.mov", "54@N00_1_a.avi.mp4", "77@N02_3_c.mp4"]


def test_activitynet_takes_val_1_and_keeps_times(tmp_path):
    said = {"duration": 55.15, "timestamps": [[0.28, 55.15], [13.79, 54.32]], "sentences": ["A woman.", "  She walks."]}
    write(tmp_path / "published" / "train.json", {"v_a": said, "v_b": said})
    write(tmp_path / "published" / "val_1.json", {"v_c": said})
    write(tmp_path / "published" / "val_2.json", {"v_d": said})
    put(tmp_path, "v_a.mkv")
    (tmp_path / "videos" / "v_c").mkdir()
    (tmp_path / "videos" / "v_c" / "image_00001.jpg").write_bytes(b"picture")
    assert prepare(tmp_path, "dataset=activitynet", f"annotations={tmp_path / 'published'}", f"videos={tmp_path / 'videos'}") == 1
    assert list(read(tmp_path, "train")) == ["v_a", "v_b"]  # v_b is missing and stays
    assert read(tmp_path, "train")["v_a"] == {**said, "extension": "mkv"}
    assert list(read(tmp_path, "val")) == ["v_c"]
    assert (tmp_path / "out" / "missing.txt").read_text() == "v_b\n"


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("a.csv", "path,caption,split\nx/one.mp4,first,train\nx/one.mp4,\"second, too\",train\ntwo.mp4,third,test\n",
     {"train": {"one": ["first", "second, too"]}, "test": {"two": ["third"]}}),
    ("a.csv", "video_id,sentence\none.mp4,first\n", {"all": {"one.mp4": ["first"]}}),
    ("a.json", [{"video_id": "one", "text": "first"}, {"id": "two", "description": "second", "split": "val"}],
     {"all": {"one": ["first"]}, "val": {"two": ["second"]}}),
    ("a.json", {"one": "first", "two": ["second", " "], "three": {"sentences": ["third"]}},
     {"all": {"one": ["first"], "two": ["second"], "three": ["third"]}}),
])
def test_any_csv_or_json(tmp_path, name, content, expected):
    write(tmp_path / name, content)
    assert prepare(tmp_path, f"dataset={name[2:]}", f"annotations={tmp_path / name}") == 0
    for split, videos in expected.items():
        assert {video: said["sentences"] for video, said in read(tmp_path, split).items()} == videos


@pytest.mark.parametrize(("words", "said"), [
    (["dataset=msrvtt"], "MSRVTT_data.json"),
    (["dataset=didemo"], "train_data.json"),
    (["dataset=activitynet"], "train.json"),
    (["dataset=csv", "annotations=EMPTY.csv"], "no captions"),
    (["dataset=json", "annotations=bad.json"], "is no JSON"),
    (["dataset=csv", "annotations=odd.csv"], "needs a video"),
    (["dataset=msrvtt", "annotations=gone"], "no such file or folder"),
    (["dataset=json", "annotations=good.json", "videos=gone"], "no such folder"),
])
def test_what_is_not_there_or_not_the_published_file_is_said(tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    for name, content in (("EMPTY.csv", "video_id,caption\n"), ("bad.json", "{"), ("odd.csv", "a,b\n1,2\n"),
                          ("good.json", {"a": "b"})):
        write(tmp_path / name, content)
    assert main(["retrieval", "prepare", f"annotations={tmp_path}", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(("content", "said"), [
    ("[]", "object"), ("{}", "object"), ("{", "no JSON"), ('{"a": {"sentences": []}}', "'a'"),
    ('{"a": {"sentences": ["  "]}}', "'a'"), ('{"a": ["b"]}', "'a'"),
    ('{"a": {"sentences": ["b"]}, "a": {"sentences": ["c"]}}', "twice"),
])
def test_annotations_that_are_not_ours_are_refused(tmp_path, content, said):
    from clipreel.errors import InputError

    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=said):
        read_annotations(tmp_path / "a.json")
