"""What tests of retrieval share."""

import pytest
from clipreel.retrieval.api import train_retrieval
from clipreel.tests.retrieval.frames_world import make_frames_world
from clipreel.tests.retrieval.training_world import EPOCHS, make_training_world


@pytest.fixture(scope="session")
def training_world(tmp_path_factory, tiny):
    """A small drawn world with features of the demonstration model."""
    return make_training_world(tmp_path_factory.mktemp("training_world"), tiny)


@pytest.fixture(scope="session")
def trained(training_world, tmp_path_factory):
    """A training in that world, not to be written to."""
    return train_retrieval(**training_world.keys(tmp_path_factory.mktemp("trained") / "run", num_epochs=EPOCHS))


@pytest.fixture(scope="session")
def frames_world(tmp_path_factory):
    """A smaller one with folders of JPEGs."""
    return make_frames_world(tmp_path_factory.mktemp("frames_world"))
