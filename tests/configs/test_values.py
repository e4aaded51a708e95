"""Words to values: strings verbatim, lists only from […], messages that name key, value and what is allowed."""

from pathlib import Path
from typing import Literal

import pytest
from clipreel.configs.values import convert, describe, split_list
from clipreel.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

ODD_WORDS = ["yes", "on", "007", "null-ish", "a: b", "${x}", "${", "a,b", "{a}", "'", '"', "it's", "a=b", " a ", "#1",
             "a[1].mp4", "?", "1e3", "Ünïcode 录像", "\\", "-", "True", "a\nb"]


@pytest.mark.parametrize("word", ODD_WORDS)
def test_a_text_is_taken_verbatim(word):
    assert convert("query", word, str) == word
    assert convert("query", word, str | None) == word
    assert convert("video_paths", word, tuple[str, ...]) == (word,)


@pytest.mark.parametrize(("word", "items"), [
    ("[]", []),
    ("[ ]", []),
    ("[a]", ["a"]),
    ("[a,]", ["a"]),
    ("[a b.mp4, 'c, d.mp4']", ["a b.mp4", "c, d.mp4"]),
    ('["a", \'b\']', ["a", "b"]),
    ("[a[1].mp4,b]", ["a[1].mp4", "b"]),
    ("[it's.mp4, b]", ["it's.mp4", "b"]),
    (r"['it\'s', \d]", ["it's", r"\d"]),
    (r"['a\b\\']", [r"a\b" + "\\"]),
    ("  [a ,  b ]  ", ["a", "b"]),
    ("[${x}, $y]", ["${x}", "$y"]),
    ("['  a  ']", ["  a  "]),
    ("[yes, 007]", ["yes", "007"]),
])
def test_lists(word, items):
    assert split_list(word) == items
    assert convert("video_paths", word, tuple[str, ...]) == tuple(items)


@pytest.mark.parametrize(("word", "part"), [
    ("[a,,b]", "empty item"), ("[,a]", "empty item"), ("['a, b]", "does not close"), ("['a' b]", "after a closing quote"),
    ("['it''s']", "after a closing quote"),
])
def test_malformed_lists_say_what_is_wrong(word, part):
    with pytest.raises(ConfigError, match=part):
        split_list(word)


@given(st.lists(st.text(min_size=1)))
def test_quoted_lists_hold_any_text(items):
    def quoted(item):
        return "'" + item.replace("\\", "\\\\").replace("'", "\\'") + "'"

    assert split_list("[" + ", ".join(quoted(item) for item in items) + "]") == items


def test_a_file_that_looks_like_a_list_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("[a, b]").touch()
    assert convert("video_paths", "[a, b]", tuple[str, ...]) == ("[a, b]",)


@pytest.mark.parametrize("value", ["null", None])
def test_null(value):
    assert convert("checkpoint", value, str | None) is None
    assert convert("device_ids", value, tuple[str, ...] | None) is None
    assert convert("video_paths", value, tuple[str, ...]) == ()


@pytest.mark.parametrize(("word", "value"), [("true", True), ("Yes", True), ("on", True), ("1", True), (True, True),
                                             ("false", False), ("NO", False), ("off", False), ("0", False)])
def test_switches(word, value):
    assert convert("show_pred", word, bool) is value


@pytest.mark.parametrize(("value", "kind", "allowed"), [
    ("maybe", bool, "true or false"),
    (1, bool, "true or false"),
    ("1.5", int, "a whole number"),
    (1.5, int, "a whole number"),
    (float("inf"), int, "a whole number"),
    (True, int, "a whole number"),
    ("two", int, "a whole number"),
    ("", int, "a whole number"),
    (None, int, "a whole number"),
    ("fast", float | None, "a number"),
    ("", float | None, "a number"),
    ([1], float, "a number"),
    (False, float, "a number"),
    (["a"], str, "a text"),
    ({"a": 1}, str, "a text"),
    (True, str, "a text"),
    ("", str, "a text"),
    ("", str | None, "a text"),
    (["a", ""], tuple[str, ...], "a text"),
    ({"a": 1}, tuple[str, ...], "a list"),
    ("png", Literal["jpg", "gif"], "jpg | gif"),
    (None, Literal["jpg", "gif"], "jpg | gif"),
    ("", Literal["jpg", "gif"] | None, "jpg | gif"),
])
def test_a_wrong_value_names_key_value_and_what_is_allowed(value, kind, allowed):
    with pytest.raises(ConfigError) as caught:
        convert("some_key", value, kind)
    message = str(caught.value)
    assert "some_key" in message
    assert allowed in message
    if value not in (None, "") and not isinstance(value, (list, dict)):
        assert str(value) in message


def test_numbers():
    assert convert("n", "32", int) == convert("n", 32.0, int) == 32
    assert convert("n", "0.5", float) == convert("n", ".5", float | None) == 0.5
    assert convert("n", 2, float) == 2.0
    assert isinstance(convert("n", "2", float), float)


def test_paths_and_numbers_from_python_are_texts():
    assert convert("path", Path("a") / "b", str) == "a/b"
    assert convert("device_ids", 0, tuple[str, ...] | None) == ("0",)
    assert convert("device_ids", [0, 2], tuple[str, ...] | None) == ("0", "2")
    assert convert("video_paths", Path("[a]"), tuple[str, ...]) == ("[a]",)


def test_texts_from_a_file(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa dog\r\n\r\n  a cat, asleep\u2028still \r\n".encode())
    assert convert("pred_texts", str(file), tuple[str, ...] | None, texts_file=True) == ("a dog", "a cat, asleep\u2028still")
    assert convert("pred_texts", "['a dog']", tuple[str, ...] | None, texts_file=True) == ("a dog",)
    for word in (str(tmp_path / "none.txt"), str(tmp_path), "a dog", "~nobody-here/texts.txt"):
        with pytest.raises(ConfigError, match="nor a readable text file"):
            convert("pred_texts", word, tuple[str, ...], texts_file=True)
    file.write_bytes("é".encode("latin-1"))
    with pytest.raises(ConfigError, match="nor a readable text file"):
        convert("pred_texts", str(file), tuple[str, ...], texts_file=True)


def test_kinds_in_words():
    assert describe(int | None) == "a whole number or null"
    assert describe(Literal["a", "b"] | None) == "a | b or null"
    assert describe(tuple[str, ...]) == "one or a […] list"
