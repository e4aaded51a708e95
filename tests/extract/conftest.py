"""What tests of `extract` share: the clips of the zoo, each made once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from clipreel.tests.media import make_clip, plain_decode

Zoo = Callable[[str], Path]
Plain = Callable[[str], list[np.ndarray]]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """From the name of a clip to its file."""
    folder = tmp_path_factory.mktemp("zoo")
    return lambda name: make_clip(name, folder)


@pytest.fixture(scope="session")
def plain(zoo: Zoo) -> Plain:
    """From the name of a clip to its upright pictures by a plain decode."""
    return cache(lambda name: [rgb for _, rgb in plain_decode(zoo(name), upright=True)])
