"""`texts captions.csv …`: text features into the store, where every stage finds them."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from pathlib import Path

from ..configs.texts_schema import TextsConfig
from ..errors import ConfigError
from ..models.base import Encoder
from ..models.registry import identify, load_encoder
from .devices import resolve_devices
from .store.files import remove_stale
from .text_features import CaptionFeatures, TextUse
from .text_file import read_texts

log = logging.getLogger("clipreel")
FOLDER = "texts"  # below output_path


def run(config: TextsConfig) -> int:
    """The command. Returns the exit code, 0."""
    use, features = fill_store(config)
    sys.stdout.write(f"{use.asked} texts: {use.encoded} encoded, {use.asked - use.lacked} there already "
                     f"({use.seconds:.1f} s)\n{features.folder}\n")
    return 0


def fill_store(config: TextsConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> tuple[TextUse, CaptionFeatures]:
    """Fill the store with the file's texts. What it holds already is not encoded again, and then no network is loaded; a
    killed run leaves what it had written.

    Raises UsageError before anything is started.
    """
    from tqdm import tqdm

    listed = read_texts(config.path, column=config.column, joined=config.concat_captions == "concat")
    device = resolve_devices(None, config.device)[0] if encoder is None else str(encoder.device)
    identity = encoder.identity if encoder is not None else identify(**asdict(config.encoder), device=device)
    features = CaptionFeatures(Path(config.output_path).expanduser() / FOLDER, identity)
    lacking = features.lacking(listed.texts)
    if listed.empty:
        log.warning("%s: %d entries hold no text and are left out", config.path, listed.empty)
    with tqdm(total=len(lacking), unit="text", file=sys.stderr, disable=True if quiet or not lacking else None) as bar:
        try:
            if features.folder.is_dir():
                remove_stale(features.folder)
            use = features.fill(listed.texts, lambda: encoder or load_encoder(**asdict(config.encoder), device=device), bar.update)
        except OSError as error:
            raise ConfigError(f"output_path={config.output_path}: cannot be written ({error.strerror}); give a folder that can"
                              ) from error
    if cut := sum(features.is_cut(text) for text in dict.fromkeys(listed.texts)):
        log.warning("%d texts are too long for %s: of those only the beginning counts", cut, identity.model_name)
    return use, features
