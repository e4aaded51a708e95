"""Stage 3: what a model is shown and asked, what becomes of its answers; and what the embedded judge measures."""

import base64
import io
import json
import re
import weakref
from typing import Any

import numpy as np
import pytest
from clipreel.differencing.cache import AnswerCache
from clipreel.differencing.calls import LanguageClient
from clipreel.differencing.judges.clip import ClipJudge
from clipreel.differencing.judges.openai import OpenaiJudge
from clipreel.differencing.matching import opposite_statement
from clipreel.differencing.records import Difference, Pictures, Question
from clipreel.extract.text_features import TextFeatures
from clipreel.tests.differencing.conftest import completion
from clipreel.tests.media import picture, read_code
from PIL import Image

WIDER = Difference("0", "feet", "the feet are wider apart", opposite="the feet are closer together")


def pictures(numbers, width=96, height=64):
    return Pictures(np.stack([picture(number, width, height) for number in numbers]), np.array(numbers) / 8)


def question(a=(1,), b=(2,), difference=WIDER, **size):
    return Question(f"p/{difference.id}", "a person squats", difference, pictures(a, **size), pictures(b, **size))


def shown(body):
    """[(video, label's seconds, number in the picture, detail, size)] in the order of the request."""
    found, label = [], ("", 0.0)
    for part in body["messages"][1]["content"]:
        if part["type"] == "text" and (match := re.match(r"Video ([AB]), frame (\d) of (\d), at ([\d.]+) s", part["text"])):
            label = match[1], float(match[4])
        elif part["type"] == "image_url":
            head, _, data = part["image_url"]["url"].partition(",")
            assert head == "data:image/jpeg;base64"
            image = Image.open(io.BytesIO(base64.b64decode(data)))
            found.append((*label, read_code(np.asarray(image)), part["image_url"]["detail"], image.size))
    return found


def said(answer, why="because"):
    return json.dumps({"explanation": why, "answer": answer})


def judge(server, *questions, cache=None, **options: Any):
    """The verdicts on one pair."""
    (found,) = OpenaiJudge(LanguageClient(cache, base_url=server.url, retries=0), "m", **options).judge([questions])
    assert not isinstance(found, str)
    return found


def test_the_model_is_shown_labelled_frames_and_the_statement_and_nothing_else(serve):
    server = serve(lambda *_: said("a"))
    verdicts = judge(server, question((3, 5, 9), (4, 6, 8)), detail="low")
    assert [(one.difference_id, one.answer, one.explanation) for one in verdicts] == [("0", "a", "because")]
    (body,) = server.requests
    assert [one[:4] for one in shown(body)] == [
        ("A", 0.38, 3, "low"), ("A", 0.62, 5, "low"), ("A", 1.12, 9, "low"),
        ("B", 0.5, 4, "low"), ("B", 0.75, 6, "low"), ("B", 1.0, 8, "low")]
    assert "The statement: the feet are wider apart\n" in body["messages"][1]["content"][-1]["text"]
    text = json.dumps(body["messages"])
    assert "closer together" not in text
    assert "p/0" not in text


def test_large_pictures_are_made_smaller_and_small_ones_are_left(serve):
    server = serve(lambda *_: said("a"))
    judge(server, question(width=640, height=360), size=320)
    judge(server, question(), size=320)
    assert [one[4] for one in shown(server.requests[0])] == [(320, 180)] * 2
    assert [one[4] for one in shown(server.requests[1])] == [(96, 64)] * 2


def test_benchmark_runs_must_name_a_video(serve):
    server = serve(lambda *_: said("none"))
    verdicts = judge(server, question())
    assert verdicts[0].answer == "none"
    verdicts = judge(server, question(), may_abstain=False)
    assert verdicts[0].answer == "invalid"
    assert "none" not in server.requests[1]["messages"][1]["content"][-1]["text"].partition("then answer")[2]


@pytest.mark.parametrize(("first", "second", "answer", "confidence"), [
    ("a", "b", "a", 1.0), ("b", "a", "b", 1.0), ("none", "none", "none", 1.0), ("a", "a", "undecided", 0.0),
    ("b", "b", "undecided", 0.0), ("a", "none", "undecided", 0.0)])
def test_the_swapped_question(serve, first, second, answer, confidence):
    server = serve(lambda body, _: said(first if shown(body)[0][2] == 1 else second))
    verdicts = judge(server, question((1,), (2,)), swap=True)
    assert (verdicts[0].answer, verdicts[0].confidence) == (answer, confidence)
    assert sorted([one[:3] for one in shown(body)] for body in server.requests) == [
        [("A", 0.12, 1), ("B", 0.25, 2)], [("A", 0.25, 2), ("B", 0.12, 1)]]


@pytest.mark.parametrize("unreadable", ["A", said("A"), said("video 1"), "I think B", '{"explanation": "x"}', "[]", "null"])
def test_an_answer_that_cannot_be_read_is_invalid_and_never_a(serve, unreadable):
    server = serve(lambda *_: unreadable)
    verdicts = judge(server, question())
    assert verdicts[0].answer == "invalid"
    assert verdicts[0].explanation
    assert len(server.requests) == 3


def test_a_refusal_is_invalid_too(serve):
    verdicts = judge(serve(lambda *_: (200, {}, completion(None, refusal="no"))), question())
    assert verdicts[0].answer == "invalid"
    assert "refused" in verdicts[0].explanation


@pytest.mark.parametrize("trouble", [(500, {}, b"{}"), (429, {"Retry-After": "0"}, b"{}"),
                                     (400, {}, b'{"error": {"message": "2 images expected"}}')])
def test_an_answer_that_was_not_had_fails_the_pair_and_is_no_answer(serve, trouble):
    """Not one pair's trouble fails the other's."""
    server = serve(lambda body, _: trouble if shown(body)[0][2] == 7 else said("a"))
    asking = OpenaiJudge(LanguageClient(None, base_url=server.url, retries=0), "m")
    more = Difference("1", "n", "the arms are higher")
    first, second = asking.judge([[question(), question((7,), (8,), more)], [question((5,), (6,))]])
    assert isinstance(first, str)
    assert str(trouble[0]) in first
    assert not isinstance(second, str)
    assert [one.answer for one in second] == ["a"]


def test_a_frame_of_several_differences_is_one_picture(serve, tmp_path):
    """And the answers of both are kept apart, by the statement."""
    server = serve(lambda body, _: said("a" if "arms" in body["messages"][1]["content"][-1]["text"] else "b"))
    cache = AnswerCache(tmp_path / "answers.sqlite")
    both = question(), question(difference=Difference("1", "n", "the arms are higher"))
    verdicts = judge(server, *both, cache=cache)
    assert [one.answer for one in verdicts] == ["b", "a"]
    urls = {part["image_url"]["url"] for body in server.requests for part in body["messages"][1]["content"]
            if part["type"] == "image_url"}
    assert len(urls) == 2
    judge(server, *both, cache=cache)
    assert len(server.requests) == 2
    for change in ({"detail": "low"}, {"size": 48}, {"seed": 1}, {"may_abstain": False}):
        asked = len(server.requests)
        judge(server, both[0], cache=cache, **change)
        assert len(server.requests) == asked + 1
    cache.close()


def test_pictures_are_not_held_until_all_is_asked(serve):
    """Those of a whole benchmark would not fit into memory: the last pair's may still be there when the next one's come."""
    held = []

    def pairs():
        for number in range(4):
            assert all(one() is None for one in held[:-1])
            asked = [question((number + 1,), (number + 2,))]
            held.append(weakref.ref(asked[0].a.pixels))
            yield asked
            del asked

    server = serve(lambda *_: said("a"))
    assert len(OpenaiJudge(LanguageClient(None, base_url=server.url), "m").judge(pairs())) == 4


# -- the embedded judge ----------------------------------------------------------------------------------------------------


def drawn(colour):
    """Two frames with a disc of a colour in the middle."""
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 48) ** 2 + (columns - 48) ** 2 < 18**2
    return Pictures(np.where(disc[None, ..., None], np.array(colour, np.uint8), np.uint8(128)).repeat(2, 0), np.array([0.0, 0.5]))


RED, BLUE = (220, 30, 30), (30, 60, 220)


@pytest.fixture
def ask(tiny, tmp_path):
    def ask(a, b, statement="a red circle", opposite="a blue circle", margin=0.01):
        texts = TextFeatures(tmp_path / "texts", tiny.identity)
        difference = Difference("0", "colour", statement, opposite=opposite)
        (found,) = ClipJudge(tiny, texts, margin=margin).judge([[Question("p/0", "act", difference, drawn(a), drawn(b))]])
        assert not isinstance(found, str)
        return found[0]

    return ask


def test_the_embedded_judge_names_the_video_that_the_statement_fits(ask):
    first, second = ask(RED, BLUE), ask(BLUE, RED)
    assert (first.answer, second.answer) == ("a", "b")
    assert first.confidence == pytest.approx(second.confidence)
    assert first.confidence > 0.5
    assert ask(RED, BLUE, "a blue circle", "a red circle").answer == "b"


def test_within_the_margin_there_is_no_clear_difference(ask):
    assert ask(RED, RED).answer == "none"
    assert ask(RED, RED, margin=0.0).answer == "none"  # exactly alike: neither is named even so
    assert ask(RED, BLUE, margin=1.9).answer == "none"
    assert ask(RED, (215, 30, 30), margin=0.0).answer in ("a", "b")


def test_the_opposite_is_the_proposal_s_else_a_template(ask):
    assert "less 'a blue circle'" in ask(RED, BLUE).explanation
    assert "less 'a circle on the right'" in ask(RED, BLUE, "a circle on the left", None).explanation
    assert "less" not in ask(RED, BLUE, "a red circle", None).explanation
    assert "less" not in ask(RED, BLUE, "a red circle", "a red circle").explanation  # it would cancel everything


def test_a_statement_that_the_encoder_cannot_take_fails_its_pair(tiny, tmp_path):
    texts = TextFeatures(tmp_path / "texts", tiny.identity)
    long, short = Difference("0", "n", "a red circle " * 100), Difference("1", "n", "a red circle")
    first, second = ClipJudge(tiny, texts, margin=0.0).judge(
        [[Question("p/0", "act", one, drawn(RED), drawn(BLUE))] for one in (long, short)])
    assert isinstance(first, str)
    assert "77 tokens" in first
    assert not isinstance(second, str)
    assert [one.answer for one in second] == ["a"]


@pytest.mark.parametrize(("statement", "opposite"), [
    ("the feet are wider apart", "the feet are narrower apart"), ("the left arm is higher", "the left arm is lower"),
    ("the upper body leans forward more", "the upper body leans forward less"), ("the squat is faster", "the squat is slower"),
    ("The shape is on the left", "The shape is on the right"), ("the foot lands before the hand", "the foot lands after the hand"),
    ("it is on the left before it is on the right", "it is on the left after it is on the right"),
    ("the arms are up", "the arms are down"), ("a red circle", None)])
def test_one_word_of_a_statement_is_turned(statement, opposite):
    assert opposite_statement(statement) == opposite


def test_equal_questions_of_two_pairs_are_one_call(serve):
    server = serve(lambda *_: said("b"))
    first, second = OpenaiJudge(LanguageClient(None, base_url=server.url), "m").judge([[question()], [question()]])
    assert first == second
    assert len(server.requests) == 1
