"""Drawn questions of seeds that nothing else uses, and answers to them by the demonstration model."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from clipreel import answer_questions
from clipreel.sample.questions import PARQUET, QuestionRow, make_questions


@dataclass(frozen=True)
class Drawn:
    """A folder of drawn videos and the rows of its dataset."""

    folder: Path
    rows: list[QuestionRow]

    @property
    def dataset(self) -> Path:
        return self.folder / PARQUET


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """70 videos, 210 questions, as files with .srt."""
    folder = tmp_path_factory.mktemp("drawn")
    return Drawn(folder, make_questions(folder, 70, 700_000))


@pytest.fixture(scope="session")
def few(tmp_path_factory):
    """4 videos, 12 questions, as files with .srt."""
    folder = tmp_path_factory.mktemp("few")
    return Drawn(folder, make_questions(folder, 4, 710_000))


@pytest.fixture(scope="session")
def few_frames(tmp_path_factory):
    """The same 4 videos as folders of frames."""
    folder = tmp_path_factory.mktemp("few_frames")
    return Drawn(folder, make_questions(folder, 4, 710_000, "frames"))


@pytest.fixture(scope="session")
def answered_few(few, tiny, tmp_path_factory):
    """A run on `few`; copied by those who write into it."""
    return answer_questions(few.dataset, video_root=few.folder, encoder=tiny, output_path=tmp_path_factory.mktemp("answered"))


@pytest.fixture
def stored(answered_few, tmp_path):
    """A copy of that run's folder: features, texts, answers."""
    return Path(shutil.copytree(answered_few.folder, tmp_path / "run"))
