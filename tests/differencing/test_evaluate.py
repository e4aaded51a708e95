"""Scoring: cases counted by hand, the paper's average, and what must hold for any answers."""

from pathlib import Path

import pytest
from clipreel.differencing.evaluate import Prediction, evaluate
from clipreel.differencing.matching import TextMatcher
from clipreel.differencing.metrics import binomial_p, wilson
from clipreel.differencing.records import Clip, Difference, Pair
from clipreel.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st

CLIPS = (Clip(Path("a.mp4")), Clip(Path("b.mp4")))
STATEMENTS = {"0": "the feet are wider apart", "1": "the squat is deeper", "10": "the arms are higher",
              "2": "the knees bend inward"}


def pair(truth, key="p", split="easy", action="act", allowed=None):
    differences = tuple(Difference(name, name, STATEMENTS[name]) for name in truth)
    return Pair(key, action, "a person squats", CLIPS, split=split, differences=differences, truth=truth,
                allowed_differences=allowed)


def said(**answers):
    return {name.lstrip("_"): Prediction(STATEMENTS.get(name.lstrip("_"), name), answer) for name, answer in answers.items()}


def test_closed_counts_only_a_and_b():
    answers = said(_0="a", _1="a", _10="a", _2="b")
    result = evaluate([pair({"0": "a", "1": "b", "10": "c", "2": None})], {"p": answers}, "closed", "compat")
    assert (result.overall.n, result.overall.right, result.overall.flipped) == (2, 0.5, 0.5)
    assert [item.outcome for item in result.items] == ["right", "flipped"]


@pytest.mark.parametrize(("answer", "outcome"), [("c", "neither"), ("none", "neither"), ("undecided", "neither"),
                                                 ("invalid", "invalid"), ("b", "flipped"), ("a", "right")])
def test_every_answer_is_one_outcome(answer, outcome):
    result = evaluate([pair({"0": "a"})], {"p": said(_0=answer)}, "closed", "strict")
    assert result.items[0].outcome == outcome
    assert getattr(result.overall, outcome) == 1


def test_unanswered_is_wrong_and_counted():
    result = evaluate([pair({"0": "a", "1": "b"}), pair({"0": "a"}, "q")], {"p": said(_0="a")}, "closed", "compat")
    assert (result.overall.right, result.overall.unmatched) == pytest.approx((1 / 3, 2 / 3))
    assert result.unanswered_pairs == 1


def test_strangers_are_refused_by_name():
    with pytest.raises(InputError, match=r"'x'.*no pair"):
        evaluate([pair({"0": "a"})], {"x": {}}, "closed", "compat")
    with pytest.raises(InputError, match="difference '7'"):
        evaluate([pair({"0": "a"})], {"p": said(_7="a")}, "closed", "compat")
    with pytest.raises(InputError, match="nothing to score"):
        evaluate([pair({"0": "c"})], {}, "closed", "compat")
    with pytest.raises(InputError, match="matcher"):
        evaluate([pair({"0": "a"})], {"p": said(_0="a")}, "open", "strict")


def test_the_paper_s_average_is_of_the_splits():
    pairs, predictions = [], {}
    for split, right, n in (("easy", 627, 1000), ("medium", 562, 1000), ("hard", 500, 1000)):
        for number in range(n):
            pairs.append(pair({"0": "a"}, f"{split}{number}", split))
            predictions[f"{split}{number}"] = said(_0="a" if number < right else "b")
    result = evaluate(pairs, predictions, "closed", "compat")
    assert round(100 * result.macro, 1) == 56.3
    assert list(result.by_split) == ["easy", "medium", "hard"]


def open_answer(*pairs_):
    return {str(number): Prediction(statement, answer) for number, (statement, answer) in enumerate(pairs_)}


def test_open_matches_and_turns_opposites():
    answers = open_answer(("the person's squat is shallower", "b"), ("the shoes are red", "a"), ("the feet are wider", "b"))
    result = evaluate([pair({"0": "a", "1": "a", "10": "b"})], {"p": answers}, "open", "strict", TextMatcher())
    outcomes = {item.difference_id: item for item in result.items}
    assert outcomes["1"].outcome == "right"
    assert outcomes["1"].is_opposite
    assert outcomes["0"].outcome == "flipped"
    assert outcomes["10"].outcome == "unmatched"
    assert result.excess == 1


class Fixed:
    def __init__(self, matches):
        self.matches = matches

    def match(self, pairs):
        return [self.matches] * len(pairs)

    def opposite(self, pairs):
        return [True] * len(pairs)


def test_compat_and_strict_part_where_the_program_does():
    one = [pair({"0": "a", "1": "a"}, allowed=1)]
    answers = {"p": open_answer(("x", "a"), ("y", "b"))}
    both = Fixed({"0": "1", "1": "1"})  # one prediction for two, and beyond the limit
    compat = evaluate(one, answers, "open", "compat", both)
    assert [item.outcome for item in compat.items] == ["unmatched", "right"]  # the last keeps it, turned
    strict = evaluate(one, answers, "open", "strict", both)
    assert [item.outcome for item in strict.items] == ["unmatched", "unmatched"]  # it was cut off
    assert (compat.over_limit, strict.over_limit) == (1, 1)
    matched = {"p": {"0": Prediction("turned", "b"), "1": Prediction("turned", "b")}}
    assert evaluate(one, matched, "open", "compat", both, already_matched=True).overall.flipped == 1
    assert evaluate(one, matched, "open", "strict", both, already_matched=True).overall.right == 1


@settings(max_examples=100, deadline=None)
@given(labels=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=4, max_size=4),
       answers=st.lists(st.sampled_from(["a", "b", "c", "none", "undecided", "invalid", None]), min_size=4, max_size=4),
       mode=st.sampled_from(["open", "closed"]), scoring=st.sampled_from(["compat", "strict"]))
def test_shares_add_up(labels, answers, mode, scoring):
    truth = dict(zip(STATEMENTS, labels, strict=True))
    given_ = {name: Prediction(STATEMENTS[name], answer) for name, answer in zip(STATEMENTS, answers, strict=True) if answer}
    if not {"a", "b"} & set(labels):
        return
    f = evaluate([pair(truth)], {"p": given_}, mode, scoring, TextMatcher()).overall
    assert f.right + f.flipped + f.neither + f.invalid + f.unmatched == pytest.approx(1)
    assert f.n == sum(label in ("a", "b") for label in labels)
    assert 0 <= f.low <= f.right <= f.high <= 1


def test_intervals_and_chance():
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10)[0] == 0
    assert binomial_p(9, 10) == pytest.approx(22 / 1024)
    assert binomial_p(5, 10) == 1
    assert binomial_p(1254, 2000) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("a", "b", "turned"), [
    ("feet wider apart", "feet narrower apart", True), ("arms higher", "arms are higher", False),
    ("squat deeper", "squat shallower", True), ("a smaller circle", "a bigger circle", True),
    ("knees bend", "knees do not bend", True), ("left arm higher", "right arm lower", False),
])
def test_opposites(a, b, turned):
    assert TextMatcher().opposite([(a, b)]) == [turned]
