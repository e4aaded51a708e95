"""Reading questions: every format, both kinds of options, and errors that name the record."""

import csv
import json
from dataclasses import asdict

import pytest
from clipreel.errors import InputError, MissingExtraError
from clipreel.videoqa.dataset import QaVideo, Question, option_text, read_dataset

ROW = {"video_id": "001", "duration": "short", "domain": "Knowledge", "sub_category": "Law", "url": "", "videoID": "a-B_1",
       "question_id": "001-1", "task_type": "OCR Problems", "question": "Why?", "options": ["A. x", "B. y"], "answer": "B"}
VIDEO = QaVideo("001", "a-B_1", "short", "Knowledge", "Law", (Question("001-1", "OCR Problems", "Why?", ("A. x", "B. y"), "B"),))


def written(folder, rows, name="q.json"):
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return str(folder / name)


def test_parquet(few):
    videos = read_dataset(str(few.dataset))
    assert [video.name for video in videos] == [f"drawn{seed}" for seed in range(710_000, 710_004)]
    given = [asdict(row) for row in few.rows]
    read = [(question.question_id, list(question.options), question.answer) for video in videos for question in video.questions]
    assert read == [(row["question_id"], row["options"], row["answer"]) for row in given]


def test_every_other_format(tmp_path):
    grouped = {name: value for name, value in ROW.items() if name in ("video_id", "duration", "domain", "sub_category", "videoID")}
    grouped["questions"] = [{name: value for name, value in ROW.items() if name not in grouped}]
    old = {{"duration": "duration_category", "domain": "video_category", "sub_category": "video_subcategory"}.get(name, name): value
           for name, value in ROW.items()}
    for rows in ([ROW], [grouped], [old]):
        assert read_dataset(written(tmp_path, rows)) == [VIDEO]
    (tmp_path / "q.jsonl").write_text(json.dumps(ROW) + "\n\n")
    assert read_dataset(str(tmp_path / "q.jsonl")) == [VIDEO]
    with open(tmp_path / "q.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ROW)
        table.writeheader()
        table.writerow(ROW)
    assert read_dataset(str(tmp_path / "q.csv")) == [VIDEO]


@pytest.mark.parametrize("options", ["['A. x', 'B. y']", "['A. x\0', \0'B. y']\0", '["A. x", "B. y"]', ("A. x", "B. y")])
def test_options_as_a_list_or_as_the_text_of_one(tmp_path, options):
    assert read_dataset(written(tmp_path, [{**ROW, "options": options}])) == [VIDEO]


@pytest.mark.parametrize(("change", "said"), [
    ({"options": "__import__('os').system('true')"}, "no list of texts"), ({"options": "['A. x' 'B. y']"}, "has 1 options"),
    ({"options": ["A. x"]}, "has 1 options"), ({"options": [1, 2]}, "no list of texts"), ({"options": "[" * 5000}, "no list"),
    ({"answer": "C"}, "answer 'C' is none of A, B"), ({"answer": "b"}, "answer 'b'"), ({"videoID": "../x"}, "cannot name a file"),
    ({"videoID": ".."}, "cannot name a file"), ({"question": None}, "has no question"), ({"duration": ""}, "has no duration"),
    ({"question_id": "001-1"}, "001-1 is there twice"), ({"domain": "Law"}, "of which an earlier record says"),
])
def test_wrong_records_are_named(tmp_path, change, said):
    row = {**ROW, "question_id": "001-2", **change}
    with pytest.raises(InputError, match="record 2") as caught:
        read_dataset(written(tmp_path, [ROW, row]))
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "content"), [("q.json", b"{"), ("q.json", b"{}"), ("q.json", b"[]"), ("q.json", b"[3]"),
                                               ("q.json", b"\xff\xfe\xff"), ("q.parquet", b"PAR1"), ("q.txt", b"x"),
                                               ("q.csv", b"video_id\n1\n")])
def test_files_that_are_none(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_dataset(str(tmp_path / name))
    with pytest.raises(InputError, match="no such file"):
        read_dataset(str(tmp_path / "none.json"))


def test_without_pyarrow(few, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"clipreel\[videoqa\]"):
        read_dataset(str(few.dataset))


@pytest.mark.parametrize(("option", "place", "text"), [
    ("A. Apples.", 0, "Apples."), ("(B) x", 1, "x"), ("C: x", 2, "x"), ("B. x", 0, "B. x"), ("Apples.", 0, "Apples."),
    ("A. ", 0, "A. "), ("D.N.A.", 3, "N.A."), ("A dog.", 0, "A dog."),
])
def test_letters(option, place, text):
    assert option_text(option, place) == text
