"""Where ViCLIP weights come from: a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from ...errors import ConfigError, WeightsError

HUB_PREFIX = "hf-hub:"
PUBLISHED = f"{HUB_PREFIX}OpenGVLab/ViCLIP"
_SUFFIXES = ((".safetensors",), (".pth", ".pt", ".bin"))  # the first kind that a repository has

Answer = TypeVar("Answer")


def find_weights(model_name: str, checkpoint: str | None) -> Path:
    """The weight file; fetches it when `checkpoint` names a repository (or a file in one).

    Raises:
        ConfigError: no checkpoint is named, or the name of the repository is none.
        WeightsError: the hub cannot be reached, or holds no weights or several there.
    """
    if checkpoint is None:
        raise ConfigError(f"feature_type=viclip needs weights: give checkpoint=<file>, or checkpoint={PUBLISHED} to have "
                          "them fetched")
    if not checkpoint.startswith(HUB_PREFIX):
        return Path(checkpoint).expanduser()
    parts = checkpoint.removeprefix(HUB_PREFIX).split("/", 2)
    if len(parts) < 2 or not all(parts):
        raise ConfigError(f"checkpoint={checkpoint}: allowed is {HUB_PREFIX}<org>/<repository>, or that with /<file>")
    repository = "/".join(parts[:2])
    return _fetch(repository, parts[2] if len(parts) == 3 else None, model_name)


def choose_file(names: list[str], model_name: str, repository: str) -> str:
    """The one weight file among a repository's. Raises WeightsError where there is none or the choice is not clear."""
    for suffixes in _SUFFIXES:
        files = sorted(name for name in names if name.endswith(suffixes))
        # one repository holds both sizes, named by them
        files = [name for name in files if model_name.lower() in name.lower()] or files
        if len(files) == 1:
            return files[0]
        if files:
            raise WeightsError(f"{repository} on the Hugging Face hub holds several weight files ({', '.join(files)}): name "
                               f"one, as in checkpoint={HUB_PREFIX}{repository}/{files[0]}")
    raise WeightsError(f"{repository} on the Hugging Face hub holds no weight file (found: {', '.join(names) or 'nothing'})")


@cache  # asked for twice a run, to know the weights and to load them
def _fetch(repository: str, name: str | None, model_name: str) -> Path:
    import huggingface_hub

    chosen = name or choose_file(_list(repository), model_name, repository)
    return Path(_ask(f"{repository}/{chosen}", lambda: huggingface_hub.hf_hub_download(repository, chosen)))


def _list(repository: str) -> list[str]:
    """The repository's files, from the hub; where that is out of reach, those that were fetched before."""
    import huggingface_hub

    try:
        return _ask(repository, lambda: huggingface_hub.list_repo_files(repository))
    except WeightsError:
        try:
            folder = Path(huggingface_hub.snapshot_download(repository, local_files_only=True))
        except (OSError, ValueError):
            folder = None
        if folder is None:
            raise
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _ask(what: str, call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"cannot get {what} from the Hugging Face hub ({reason}): check the name and the connection; a "
                           "gated repository needs HF_TOKEN; without a connection HF_HUB_OFFLINE=1 takes what was fetched "
                           "before; or download the file elsewhere and give checkpoint=<file>") from error
