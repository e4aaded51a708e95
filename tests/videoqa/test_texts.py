"""What is embedded, how it is made to fit, and the cache of it."""

import numpy as np
import pytest
import torch
from clipreel.errors import StoredDataError
from clipreel.models.base import EncoderIdentity
from clipreel.videoqa.dataset import Question
from clipreel.videoqa.text_features import TextFeatures
from clipreel.videoqa.texts import Phrase, fit, phrases_of

QUESTION = Question("1", "t", "Why is it so?", ("A. One.", "B. Two."), "A")
IDENTITY = EncoderIdentity("clip", "a/b", None, "0" * 64, "float32", "center", "tensor")


class Refusing:
    """Takes at most 8 words; counts what it encodes."""

    logit_scale = 50.0

    def __init__(self):
        self.calls = []

    def fits(self, text):
        return len(text.split()) <= 8

    def encode_text(self, texts):
        assert all(map(self.fits, texts))
        self.calls.append(list(texts))
        return torch.tensor([[float(len(text)), 1.0 + text.count("o")] for text in texts])


class Cutting:
    """Reads 10 words, start and end marks included, and cuts the rest off."""

    logit_scale = 100.0
    context_length = 10

    def token_counts(self, texts):
        return [len(text.split()) + 2 for text in texts]

    def encode_text(self, texts):
        return torch.ones(len(texts), 2)


@pytest.mark.parametrize(("text", "strip", "wholes"), [
    ("option", True, ["One.", "Two."]), ("option", False, ["A. One.", "B. Two."]),
    ("question_option", True, ["Why is it so? One.", "Why is it so? Two."]),
    ("option_question", False, ["A. One. Why is it so?", "B. Two. Why is it so?"]),
])
def test_phrases(text, strip, wholes):
    assert [phrase.whole for phrase in phrases_of(QUESTION, text, strip)] == wholes


@pytest.mark.parametrize("encoder", [Refusing(), Cutting()])
@pytest.mark.parametrize("question_first", [True, False])
def test_the_question_is_cut_and_the_options_stay_apart(encoder, question_first):
    question = "w " * 30 + "end"
    said = [fit(Phrase(option, question, question_first), encoder) for option in ("the first one", "the second one")]
    assert all(one.cut and len(one.said.split()) == 8 for one in said)
    assert "the first one" in said[0].said and "the second one" in said[1].said
    only = fit(Phrase("a b c d e f g h", question, question_first), encoder)
    assert (only.said, only.cut) == ("a b c d e f g h", True)


def test_an_option_that_is_too_long_alone():
    long = " ".join(map(str, range(20)))
    assert fit(Phrase(long), Refusing()).said == "0 1 2 3 4 5 6 7"
    assert fit(Phrase(long), Cutting()).said == long  # cut as its original does
    assert fit(Phrase(long), Cutting()).cut
    assert not fit(Phrase("short"), Cutting()).cut


def test_real_tokenizers(tiny):
    question = "what is this thing and why " * 40
    said = [fit(Phrase(option, question, True), tiny) for option in ("a red circle", "a blue ring")]
    assert len({one.said for one in said}) == 2
    features = tiny.encode_text([one.said for one in said])
    assert not torch.allclose(features[0], features[1])
    assert tiny.fits(fit(Phrase("x" * 9000), tiny).said)


def test_each_text_is_encoded_once_and_kept(tmp_path):
    encoder, phrases = Refusing(), [Phrase("one"), Phrase("two"), Phrase("one"), Phrase("too", "q")]
    texts = TextFeatures(tmp_path, IDENTITY)
    assert texts.fill(phrases, lambda: encoder).encoded == 3
    assert encoder.calls == [["one", "two", "too q"]]
    again = TextFeatures(tmp_path, IDENTITY)
    use = again.fill(phrases, lambda: pytest.fail("the model is not needed"))
    assert (use.asked, use.encoded, again.logit_scale) == (3, 0, 50.0)
    assert np.allclose(np.linalg.norm(again.matrix, axis=1), 1)
    assert again.matrix[again.rows(phrases)].tolist() == texts.matrix[texts.rows(phrases)].tolist()
    assert again.fill([*phrases, Phrase("new")], lambda: encoder).encoded == 1
    assert TextFeatures(tmp_path, IDENTITY).lacking([Phrase("new"), Phrase("other")]) == [Phrase("other")]


def test_cut_is_remembered(tmp_path):
    long = Phrase("a " * 20)
    TextFeatures(tmp_path, IDENTITY).fill([long, Phrase("b")], Refusing)
    texts = TextFeatures(tmp_path, IDENTITY)
    assert texts.is_cut(long) and not texts.is_cut(Phrase("b"))


def test_other_weights_share_nothing(tmp_path):
    TextFeatures(tmp_path, IDENTITY).fill([Phrase("one")], Refusing)
    other = EncoderIdentity("clip", "a/b", None, "1" * 64, "float32", "center", "tensor")
    assert TextFeatures(tmp_path, other).lacking([Phrase("one")]) == [Phrase("one")]


def test_a_damaged_file_is_named(tmp_path):
    texts = TextFeatures(tmp_path, IDENTITY)
    texts.fill([Phrase("one")], Refusing)
    (path,) = texts.folder.glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoredDataError, match=path.name):
        TextFeatures(tmp_path, IDENTITY)
    np.savez(path, entries=np.array([{}], dtype=object), features=np.zeros((1, 2), np.float32))  # pickles are not opened
    with pytest.raises(StoredDataError, match=path.name):
        TextFeatures(tmp_path, IDENTITY)
