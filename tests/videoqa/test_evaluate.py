"""Scoring: the official program's own output, strict scoring by hand, files, and errors that name the record."""

import json
import math
from pathlib import Path

import pytest
from clipreel import cli, evaluate_answers
from clipreel.errors import ConfigError, InputError, MissingExtraError
from clipreel.videoqa.official import extract_letter
from clipreel.videoqa.strict import chosen_letter

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
RESULTS = GOLDEN / "videomme_results_1.json"
FLAGS = {"return_categories_accuracy": True, "return_sub_categories_accuracy": True, "return_task_types_accuracy": True}


def test_the_official_output_line_by_line():
    expected = (GOLDEN / "videomme_expected_1.txt").read_text()
    evaluation = evaluate_answers(RESULTS, output_path=None, **FLAGS)
    assert evaluation.text.splitlines() == expected.splitlines()
    assert evaluation.text == expected


def test_the_seed_s_command(capsys, monkeypatch, tmp_path):
    expected = (GOLDEN / "videomme_expected_1.txt").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "viclip_output_test.json").write_bytes(RESULTS.read_bytes())
    for words in (["--results_file", "viclip_output_test.json", "--video_duration_type", "short,medium,long",
                   "--return_categories_accuracy", "--return_sub_categories_accuracy", "--return_task_types_accuracy"],
                  ["results_file=viclip_output_test.json", "video_duration_type=short,medium,long",
                   *(f"{name}=true" for name in FLAGS)]):
        assert cli.main(["videoqa", "evaluate", *words]) == 0
        assert capsys.readouterr().out == expected
    assert sorted(path.name for path in (tmp_path / "output" / "videoqa").iterdir()) == [
        "scores_official.json", "scores_official.md", "scores_official.png"]
    assert cli.main(["videoqa", "evaluate", "results_file=viclip_output_test.json", "video_duration_type=short",
                     "--return_task_types_accuracy", "output_path=null"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "Video Categories" not in out and "Task Categories" in out
    assert out[-1] == "Overall:  52.1%"
    assert out.count("Overall:  52.1%") == 2


@pytest.mark.parametrize(("response", "letter"), [
    ("C", "C"), ("C.", "C"), ("(C)", "C"), ("Answer: C", "C"), ("The best option is C", "C"), ("Best answer: C", "B"),
    ("Best option: C", "B"), ("Correct answer: D", "C"), ("Based on the video, C", "B"), ("According to the video ... D", "A"),
    ("Apples.", "A"), ("c", ""), ("(c)", ""), ("4.", ""), ("ERROR", ""), ("UNKNOWN", ""), ("", ""), ("The answer is D", "D"),
    ("none of these options seem to match what the video shows at all in my view", ""),
    ("I think the option C is right because it shows a person who is walking", "C"),
])
def test_the_official_letter(response, letter):
    # ERROR and UNKNOWN hold none of A, B, C, D
    assert extract_letter(response) == letter


@pytest.mark.parametrize(("response", "letter"), [
    ("C", "C"), ("C.", "C"), ("(C)", "C"), ("C) sun", "C"), ("C. anything", "C"), ("A. rain", "A"), ("rain", "A"), ("E", ""),
    ("c", ""), ("Apples.", ""), ("The answer is C", ""), ("Best answer: C", ""), ("", ""), ("A dog", ""), ("snow", ""),
])
def test_the_strict_letter(response, letter):
    assert chosen_letter(response, ["A. rain", "B. snow", "C. sun", "D. snow"]) == letter


def video(number, answers, duration="short", **more):
    return {"video_id": f"{number:03d}", "duration": duration, "domain": "Knowledge", "sub_category": "Law", "missing": False,
            "questions": [{"question_id": f"{number:03d}-{place}", "task_type": "OCR Problems", "question": "?",
                           "options": ["A. long text", "B. b", "C. c", "D. d"], "answer": right, "response": given,
                           **({"status": "tied"} if given == "D" else {})}
                          for place, (right, given) in enumerate(answers, start=1)], **more}


VIDEOS = [video(1, [("A", "A. long text"), ("B", "C"), ("B", "")]), video(2, [("A", "a"), ("B", "B"), ("D", "D")])]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(VIDEOS))
    (tmp_path / "d.json").write_text(json.dumps([{**one, "videoID": f"v{one['video_id']}"} for one in VIDEOS]))
    return tmp_path


def test_strict_by_hand(files):
    evaluation = evaluate_answers(files / "r.json", scoring="strict", dataset=files / "d.json", video_duration_type="short",
                                  output_path=files / "out", **FLAGS)
    (scope,) = evaluation.scopes
    cell = scope.overall
    assert (cell.n, cell.right, cell.missing, cell.invalid, cell.tied, cell.videos) == (6, 3, 1, 1, 1, 2)
    # 1 of 3 and 2 of 3 right: deviations -0.5 and +0.5 from half of three, two clusters
    assert cell.standard_error == pytest.approx(100 * math.sqrt(2 * (0.25 + 0.25)) / 6)
    assert (scope.majority_letter, cell.majority, cell.uniform) == ("B", 50.0, 25.0)
    assert cell.longest == pytest.approx(100 * 2 / 6)
    assert "OCR Problems" in evaluation.text
    content = json.loads((files / "out" / "scores_strict.json").read_text())
    assert content["scopes"][0]["overall"]["right"] == 3
    assert "| OCR Problems | 50.0 |" in (files / "out" / "scores_strict.md").read_text()
    assert (files / "out" / "scores_strict.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_official_on_the_same(files):
    evaluation = evaluate_answers(files / "r.json", video_duration_type="short", expect_videos=None, output_path=None)
    cell = evaluation.scopes[0].overall
    assert (cell.n, cell.right, cell.invalid) == (4, 3, 2)  # without a letter it leaves the denominator
    assert evaluation.text.splitlines()[-1] == "Overall:  75.0%"


def test_what_is_not_in_the_results_is_missing(files):
    (files / "r.json").write_text(json.dumps(VIDEOS[:1]))
    strict = {"scoring": "strict", "dataset": files / "d.json", "video_duration_type": "short", "output_path": None}
    assert evaluate_answers(files / "r.json", **strict).scopes[0].overall.missing == 4
    flat = [{**question, "video_id": "v"} for one in VIDEOS for question in one["questions"]]
    (files / "flat.json").write_text(json.dumps(flat))
    assert evaluate_answers(files / "flat.json", **strict).scopes[0].overall.right == 3
    flat[0]["question_id"] = "x"
    (files / "flat.json").write_text(json.dumps(flat))
    with pytest.raises(InputError, match="question_id x"):
        evaluate_answers(files / "flat.json", **strict)


def test_skip_missing(files):
    (files / "r.json").write_text(json.dumps([VIDEOS[0], {**VIDEOS[1], "missing": True}]))
    evaluation = evaluate_answers(files / "r.json", video_duration_type="short", skip_missing=True, output_path=None)
    assert evaluation.scopes[0].overall.videos == 1


def test_old_names_of_fields(files):
    names = {"duration": "duration_category", "domain": "video_category", "sub_category": "video_subcategory"}
    (files / "r.json").write_text(json.dumps([{names.get(key, key): value for key, value in one.items()} for one in VIDEOS]))
    keys = {"video_duration_type": "short", "expect_videos": None, "output_path": None}
    assert evaluate_answers(files / "r.json", **keys).scopes[0].overall.n == 4


def changed(**change):
    """The second video's second question, otherwise."""
    videos = json.loads(json.dumps(VIDEOS))
    for name, value in change.items():
        target = videos[1] if name in videos[1] else videos[1]["questions"][1]
        target[name] = value
    return videos


@pytest.mark.parametrize(("content", "parts"), [
    ("[", ["r.json", "no JSON"]), ("{}", ["r.json", "no JSON list"]), ("[]", ["r.json", "no JSON list"]),
    ([3], ["record 1", "not a mapping"]), ([{"video_id": "7"}], ["record 1", "video_id 7", "questions"]),
    ([{"question_id": "1"}], ["record 1", "schema"]), (changed(questions=3), ["record 2", "002", "questions"]),
    (changed(response=None), ["002-2", "response"]), (changed(answer=3), ["002-2", "answer"]),
    (changed(task_type="Cooking"), ["002-2", "Cooking", "OCR Problems"]), (changed(domain="Law"), ["002", "domain 'Law'"]),
])
def test_wrong_files_name_the_record(files, content, parts):
    (files / "r.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as caught:
        evaluate_answers(files / "r.json", video_duration_type="short", expect_videos=None, output_path=None)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(("keys", "said"), [
    ({}, "has 2 short videos.*300"), ({"video_duration_type": "long", "expect_videos": None}, "no video of duration long"),
    ({"your_answer_key": "reply", "expect_videos": None}, "reply is not there"),
    ({"gt_answer_key": "truth", "expect_videos": None}, "truth is not there"),
    ({"results_file": "none.json"}, "no such file"),
])
def test_wrong_wishes(files, keys, said):
    keys = {"results_file": files / "r.json", "video_duration_type": "short", "output_path": None, **keys}
    with pytest.raises(InputError, match=said):
        evaluate_answers(**keys)


@pytest.mark.parametrize(("keys", "said"), [
    ({"video_duration_type": "shrt"}, "short, medium, long"), ({"video_duration_type": "short,short"}, "at most once"),
    ({"scoring": "strict"}, "dataset="), ({"dataset": "d.json"}, "scoring=strict"), ({"expect_videos": 0}, "expect_videos=0"),
    ({"scoring": "strict", "dataset": "d", "skip_missing": True}, "skip_missing"),
    ({"scoring": "lenient"}, "official | strict"), ({"result_file": "x"}, "results_file"),
])
def test_wrong_keys(keys, said):
    with pytest.raises(ConfigError) as caught:
        evaluate_answers("r.json", **keys)
    assert said in str(caught.value)


def test_without_matplotlib(files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    keys = {"video_duration_type": "short", "expect_videos": None}
    with pytest.raises(MissingExtraError, match=r"clipreel\[videoqa\]"):
        evaluate_answers(files / "r.json", output_path=files / "out", **keys)
    assert evaluate_answers(files / "r.json", output_path=None, **keys).accuracy == 75


def test_answers_are_what_evaluate_reads(answered_few, few):
    official = evaluate_answers(answered_few.folder / "viclip_output_test.json", expect_videos=None, output_path=None,
                                video_duration_type=",".join(dict.fromkeys(row.duration for row in few.rows)))
    assert official.accuracy == pytest.approx(answered_few.accuracy)
    for name in ("viclip_output_test.json", "viclip_predictions.json"):
        strict = evaluate_answers(answered_few.folder / name, scoring="strict", dataset=few.dataset, output_path=None,
                                  video_duration_type=",".join(dict.fromkeys(row.duration for row in few.rows)))
        assert strict.accuracy == pytest.approx(answered_few.accuracy)
