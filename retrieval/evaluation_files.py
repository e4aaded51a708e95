"""Which annotation files an evaluation reads."""

from __future__ import annotations

from pathlib import Path

from ..configs.retrieval_evaluate_schema import RetrievalEvaluateConfig
from ..errors import InputError

TESTS = ("test.json", "val.json")  # the field tests MSR-VTT and ActivityNet on what is called val
ANNOTATIONS = "./output/retrieval"  # where the files of dataset= lie when annotations= is not given


def captions_file(config: RetrievalEvaluateConfig) -> Path:
    """The videos to test on. Raises InputError that lists what is there."""
    base = _base(config)
    if base.is_file():
        return base
    for name in TESTS if config.test_annot is None else (config.test_annot,):
        if (path := _inside(base, name)).is_file():
            return path
    there = ", ".join(sorted(one.name for one in base.glob("*.json"))) if base.is_dir() else "there is no such folder"
    raise InputError(f"annotations={base}: holds no {config.test_annot or TESTS[0]} ({there or 'no JSON file'}); name the file, "
                     "give test_annot=, or make it with `retrieval prepare`")


def training_file(config: RetrievalEvaluateConfig) -> Path | None:
    """The training videos, where they are known and are not the very file that is tested on."""
    base = _base(config)
    path = _inside(base.parent if base.is_file() else base, config.train_annot)
    return path if path.is_file() and not path.samefile(captions_file(config)) else None


def _base(config: RetrievalEvaluateConfig) -> Path:
    return Path(config.annotations or f"{ANNOTATIONS}/{config.dataset}").expanduser()


def _inside(folder: Path, name: str) -> Path:
    inside = folder / Path(name).expanduser()
    return inside if inside.is_file() else Path(name).expanduser()
