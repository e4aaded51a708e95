"""What tests of several folders share: the demonstration model, loaded once, and the sample videos."""

import signal
from pathlib import Path

import pytest
from clipreel import load_encoder

SAMPLE = Path(__file__).resolve().parent.parent / "sample"


def pytest_configure():
    """In the background of a shell this process ignores interrupts, and so would those that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny():
    """The demonstration model on the CPU."""
    return load_encoder("clip", "tiny", device="cpu")


@pytest.fixture(scope="session")
def sample_videos():
    """The repository's own videos."""
    videos = sorted([*SAMPLE.glob("*.mp4"), *SAMPLE.glob("*.webm")])
    assert len(videos) >= 3
    return videos


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Path of a clip of tests/media.py's zoo, made when first asked for."""
    from clipreel.tests.media import make_clip

    folder = tmp_path_factory.mktemp("zoo")
    return lambda name: make_clip(name, folder)


def pytest_collection_modifyitems(items):
    import torch

    for item in items:
        if item.get_closest_marker("needs_cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
