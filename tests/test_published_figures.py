"""Opt-in: the published figures of OpenAI's ViT-B/32, for people who have the weights and the original sample videos.

CLIPREEL_MEDIA=FOLDER (with v_GGSY1Qvo990.mp4 and v_ZNVhz7ctTq0.mp4) pytest tests/test_published_figures.py
Without the weights in the cache they are downloaded.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from clipreel import extract_features, load_encoder

pytestmark = [
    pytest.mark.needs_weights,
    pytest.mark.skipif("CLIPREEL_MEDIA" not in os.environ, reason="opt-in: set CLIPREEL_MEDIA to the sample videos' folder"),
]


@pytest.fixture(scope="module")
def media():
    return Path(os.environ["CLIPREEL_MEDIA"])


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("clip", "ViT-B/32", preprocess="pil")


def test_every_frame(encoder, media):
    """The original's reference tensors at native fps (float16 on a GPU; another build of the decoder)."""
    features = extract_features(media / "v_GGSY1Qvo990.mp4", encoder=encoder, batch_size=32).features["v_GGSY1Qvo990"]
    assert features.features.shape == (355, 512)
    assert features.fps == pytest.approx(19.62, abs=0.01)
    assert features.features[0, :4] == pytest.approx([-0.04538, 0.25464, 0.34521, 0.33911], abs=0.02)
    assert float(np.linalg.norm(features.features, axis=1).mean()) == pytest.approx(10.28, abs=0.02)


def test_probabilities(encoder, media):
    """The probabilities that the original's documentation prints, made from re-encoded frames: two digits hold."""
    names = ["v_ZNVhz7ctTq0", "v_GGSY1Qvo990"]
    report = extract_features([media / f"{name}.mp4" for name in names], encoder=encoder, batch_size=32, extraction_fps=1,
                              sampling="video_features", show_pred=True, pred_texts=["a dog smiles", "a man is lifting"])
    dog, lifting = (report.probabilities[name] for name in names)
    assert dog[:5, 0] == pytest.approx([0.98779, 0.98962, 0.99067, 0.98627, 0.98352], abs=0.02)
    assert (lifting[:5, 1] > 0.999).all()
