"""Servers of the demonstration model over real HTTP, and pictures to send."""

import numpy as np
import pytest
from clipreel import serve_encoder
from clipreel.tests.serving.calls import Gated


@pytest.fixture(scope="session")
def drawings():
    """Twelve pictures of different sizes."""
    generator = np.random.default_rng(11)
    made = []
    for number in range(12):
        height, width = 70 + 9 * number, 150 - 7 * number
        y, x = np.mgrid[0:height, 0:width]
        waves = np.stack([np.sin(x / (4 + number + c)) * np.cos(y / (6 + c)) for c in range(3)], axis=-1) * 90 + 128
        made.append(np.clip(waves + generator.normal(0, 9, waves.shape), 0, 255).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def server(tiny):
    """One for tests that do not count."""
    with serve_encoder(tiny, port=0) as running:
        yield running


@pytest.fixture
def url(server):
    return server.url


@pytest.fixture
def gated(tiny):
    encoder = Gated(tiny)
    yield encoder
    encoder.open.set()
