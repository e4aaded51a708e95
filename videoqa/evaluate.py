"""One run of scoring: answers in, figures out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..configs.videoqa_schema import VideoqaEvaluateConfig
from ..errors import ConfigError
from ..extract.stage_files import prepare, write_json, write_text
from ..extract.store.files import write_whole
from . import official, strict
from .cells import Scope
from .chart import draw, require_matplotlib
from .report import console, markdown, record


@dataclass(frozen=True)
class Evaluation:
    """`scopes`: each duration, then all of them; `text` is for the console; `files` were written."""

    scopes: list[Scope]
    text: str
    files: tuple[Path, ...] = ()

    @property
    def accuracy(self) -> float:
        """Overall, in percent."""
        return self.scopes[-1].overall.accuracy


def run(config: VideoqaEvaluateConfig) -> Evaluation:
    """Score, and write `scores_<scoring>.json`, `.md` and `.png` where an output_path is given.

    Raises InputError that names the record, ConfigError, MissingExtraError.
    """
    if config.output_path is not None:
        require_matplotlib()
    if config.scoring == "official":
        scopes = official.scopes_of(official.judge(config), config.durations)
        text = official.lines(scopes, config)
    else:
        scopes = strict.scopes_of(strict.judge(config), config.durations)
        text = console(scopes, config)
    if config.output_path is None:
        return Evaluation(scopes, text)
    folder = Path(config.output_path).expanduser()
    prepare(folder)
    stem = folder / f"scores_{config.scoring}"
    files = tuple(stem.with_suffix(suffix) for suffix in (".json", ".md", ".png"))
    write_json(files[0], record(scopes, config))
    write_text(files[1], markdown(scopes, config))
    try:
        title = f"{Path(config.results_file).name}, {config.scoring} scoring"
        write_whole(files[2], lambda file: draw(scopes[-1], title, file))
    except OSError as error:
        raise ConfigError(f"{files[2]}: cannot be written ({error.strerror}); give another output_path") from error
    return Evaluation(scopes, text, files)
