"""Where ViCLIP weights come from: a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from ...errors import ConfigError, WeightsError

HUB_PREFIX = "hf-hub:"
PUBLISHED = f"{HUB_PREFIX}OpenGVLab/ViCLIP"
_SUFFIXES = ((".safetensors",), (".pth", ".pt", ".bin"))  # the first kind that a repository has


def find_weights(model_name: str, checkpoint: str | None) -> Path:
    """The weight file; fetches it when `checkpoint` names a repository.

    Raises:
        ConfigError: no checkpoint is named, or the name of the repository is none.
        WeightsError: the hub cannot be reached, or holds no weights or several there.
    """
    if checkpoint is None:
        raise ConfigError(f"feature_type=viclip needs weights: give checkpoint=<file>, or checkpoint={PUBLISHED} to have "
                          f"them fetched")
    if not checkpoint.startswith(HUB_PREFIX):
        return Path(checkpoint).expanduser()
    parts = checkpoint.removeprefix(HUB_PREFIX).split("/", 2)
    if len(parts) < 2 or not all(parts):
        raise ConfigError(f"checkpoint={checkpoint}: allowed is {HUB_PREFIX}<org>/<repository>, or that with /<file>")
    repository = "/".join(parts[:2])
    name = parts[2] if len(parts) == 3 else choose_file(list_files(repository), model_name, checkpoint)
    return fetch(repository, name)


def choose_file(names: list[str], model_name: str, checkpoint: str) -> str:
    """The one weight file among a repository's. Raises WeightsError where there is none or the choice is not clear."""
    for suffixes in _SUFFIXES:
        files = [name for name in names if name.endswith(suffixes)]
        # one repository holds both sizes, named by them
        files = [name for name in files if model_name.lower() in name.lower()] or files
        if len(files) == 1:
            return files[0]
        if files:
            raise WeightsError(f"checkpoint={checkpoint} holds several weight files ({', '.join(files)}): name one of "
                               f"them, as in checkpoint={HUB_PREFIX}<org>/<repository>/{files[0]}")
    raise WeightsError(f"checkpoint={checkpoint} holds no weight file (found: {', '.join(names) or 'nothing'})")


def list_files(repository: str) -> list[str]:
    """The repository's files, from the hub; where it is out of reach, those that were fetched before."""
    import huggingface_hub

    try:
        return huggingface_hub.list_repo_files(repository)
    except (OSError, RuntimeError, ValueError) as error:
        try:
            folder = Path(huggingface_hub.snapshot_download(repository, local_files_only=True))
        except (OSError, RuntimeError, ValueError):
            raise _unreachable(repository, error) from error
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def fetch(repository: str, name: str) -> Path:
    """One file of a repository, from the hub's cache or the hub."""
    import huggingface_hub

    try:
        return Path(huggingface_hub.hf_hub_download(repository, name))
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(f"{repository}/{name}", error) from error


def _unreachable(what: str, error: Exception) -> WeightsError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return WeightsError(f"cannot get {what} from the Hugging Face hub ({reason}): check the name and the connection; a "
                        "private or gated repository needs HF_TOKEN; or download the file elsewhere and give "
                        "checkpoint=<file>")
