"""Pooling and recipes against plain loops."""

import numpy as np
import pytest
import torch
from clipreel.errors import ConfigError
from clipreel.models.base import EncoderIdentity
from clipreel.videoqa.answers import answer
from clipreel.videoqa.dataset import QaVideo, Question
from clipreel.videoqa.pooling import ATTENTION_TEMPERATURE, pooled_scores, unit
from clipreel.videoqa.scoring import Evidence, Recipe, score_options
from clipreel.videoqa.text_features import TextFeatures

GENERATOR = np.random.default_rng(5)
IDENTITY = EncoderIdentity("clip", "m", None, "0" * 64, "float32", "center", "tensor")


class Hashing:
    """A text's feature is drawn from its letters."""

    logit_scale = 100.0

    def encode_text(self, texts):
        return torch.stack([torch.from_numpy(np.random.default_rng(list(text.encode())).standard_normal(6)) for text in texts])


def plain(rows, texts, pooling):
    """[m] for one video, by loops."""
    scores = []
    for text in texts:
        cosines = np.array([float(row @ text) for row in rows])
        if pooling == "max":
            scores.append(cosines.max())
        elif pooling == "attention":
            weights = np.exp(cosines / ATTENTION_TEMPERATURE)
            scores.append(float(weights @ cosines / weights.sum()))
        else:
            mean = rows.mean(axis=0)
            scores.append(float(mean @ text / np.linalg.norm(mean)))
    return np.array(scores)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_pooling(pooling):
    blocks = [unit(GENERATOR.standard_normal((count, 6))) for count in (1, 4, 2)]
    texts = unit(GENERATOR.standard_normal((1100, 6)))
    scores = pooled_scores(np.concatenate(blocks), np.array([0, 1, 5]), texts, pooling)
    assert scores.shape == (3, 1100)
    for row, block in zip(scores, blocks, strict=True):
        assert np.allclose(row, plain(block.astype(np.float64), texts.astype(np.float64), pooling), atol=2e-6)


def test_one_row_is_its_cosine_whatever_the_pooling():
    row, texts = unit(GENERATOR.standard_normal((1, 6))), unit(GENERATOR.standard_normal((3, 6)))
    for pooling in ("mean", "max", "attention"):
        assert np.allclose(pooled_scores(row, np.array([0]), texts, pooling), row @ texts.T, atol=1e-6)


@pytest.fixture
def evidence(tmp_path):
    """Three videos of unequal numbers of windows and of questions, one with subtitles; and the texts."""
    def question(name, options):
        return Question(name, "t", f"q {name}?", tuple(f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=False)),
                        "A")

    videos = [QaVideo(f"00{n}", f"v{n}", "short", "d", "s", tuple(question(f"{n}-{k}", [f"o{n}{k}{o}" for o in range(4 - k)])
                                                                  for k in range(n))) for n in (1, 2, 3)]
    features = {f"v{n}": GENERATOR.standard_normal((n + 1, 6)) for n in (1, 2, 3)}
    made = Evidence.of(videos, features, {"v2": ["line one", "line two"]})
    texts = TextFeatures(tmp_path, IDENTITY)
    for recipe in (Recipe(subtitle_weight=1.0), Recipe(strip_letters=False), Recipe(text="question_option")):
        texts.fill(made.phrases(recipe), Hashing)
    return made, texts, features


def wanted(evidence, recipe):
    """The scores by loops."""
    made, _, features = evidence

    def texts(strings):
        return unit(Hashing().encode_text(strings).numpy()).astype(np.float64)

    found = {}
    for video in made.videos:
        for question in video.questions:
            options = [text[3:] if recipe.strip_letters else text for text in question.options]
            if recipe.text == "question_option":
                options = [f"{question.question} {text}" for text in options]
            by_video = {name: plain(unit(rows).astype(np.float64), texts(options), recipe.pooling)
                        for name, rows in features.items()}
            values = by_video.pop(video.name)
            if recipe.prior_correction:
                values = values - np.mean(list(by_video.values()), axis=0)
            if recipe.subtitle_weight and video.name == "v2":
                values = values + recipe.subtitle_weight * plain(texts(["line one", "line two"]), texts(options), recipe.pooling)
            found[question.question_id] = values
    return found


@pytest.mark.parametrize("recipe", [
    Recipe(), Recipe("max"), Recipe("attention", prior_correction=True), Recipe(prior_correction=True), Recipe(strip_letters=False),
    Recipe("max", "question_option"), Recipe(subtitle_weight=0.5), Recipe("max", prior_correction=True, subtitle_weight=2.0),
])
def test_recipes(evidence, recipe):
    scores = score_options(evidence[0], evidence[1], recipe)
    expected = wanted(evidence, recipe)
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        assert np.allclose(scores[name], values, atol=5e-6), name


def test_permuted_options_permute_scores(evidence):
    made, texts, features = evidence
    turned = [QaVideo(v.video_id, v.name, v.duration, v.domain, v.sub_category, tuple(
        Question(q.question_id, q.task_type, q.question,
                 tuple(f"{letter}. {text[3:]}" for letter, text in zip("ABCD", q.options[::-1], strict=False)), "A")
        for q in v.questions)) for v in made.videos]
    scores, other = (score_options(Evidence.of(v, features, {}), texts, Recipe()) for v in (made.videos, turned))
    assert all(np.allclose(scores[name], other[name][::-1], atol=1e-6) for name in scores)


def test_a_prior_needs_another_video(evidence):
    made, texts, features = evidence
    one = Evidence.of(made.videos[:1], features, {})
    with pytest.raises(ConfigError, match="two videos"):
        score_options(one, texts, Recipe(prior_correction=True))


def test_answers():
    question = Question("1", "t", "?", ("A. x", "B. y", "C. y", "D. z"), "B")
    given = answer(question, np.array([0.1, 0.3, 0.2, 0.0]), 100.0, is_cut=False)
    assert (given.letter, given.response, given.status, given.is_right) == ("B", "B. y", "answered", True)
    assert given.margin == pytest.approx(0.1)
    assert sum(given.probabilities) == pytest.approx(1)
    assert given.probabilities[1] / given.probabilities[2] == pytest.approx(np.exp(10))
    tied = answer(question, np.array([0.1, 0.3, 0.3 + 1e-8, 0.0]), 100.0, is_cut=True)
    assert (tied.letter, tied.status, tied.is_cut) == ("B", "tied", True)
