"""What tests of retrieval share."""

import pytest
from clipreel.tests.retrieval.training_world import make_training_world


@pytest.fixture(scope="session")
def training_world(tmp_path_factory, tiny):
    """A small drawn world with features of the demonstration model."""
    return make_training_world(tmp_path_factory.mktemp("training_world"), tiny)
