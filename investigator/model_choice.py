"""Which models a page may take: none is named by a page itself, so that no path and no address comes from there."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from ..configs.investigator_schema import InvestigatorConfig
from ..configs.load import load_configs
from ..configs.schema import EncoderConfig
from ..models.clip.archives import ARCHIVES


@dataclass(frozen=True)
class ModelChoice:
    """One model by an opaque id. `words` say why it is offered."""

    id: str
    encoder: EncoderConfig
    words: str

    def record(self) -> dict[str, str]:
        return {"id": self.id, "feature_type": self.encoder.feature_type, "model_name": self.encoder.model_name,
                "words": self.words}


def model_choices(config: InvestigatorConfig) -> list[ModelChoice]:
    """Those of the command first, then OpenAI's whose weights are on this computer, then the demonstration model. Raises
    ConfigError for an `encoders=` that is no list of models."""
    from ..models.download import cache_dir

    here = cache_dir()
    named = load_configs(EncoderConfig, {"encoders": config.encoders}, shipped=lambda values: ()) if config.encoders else []
    found = [_choice(config.encoder, "given at the start"), *(_choice(one, "given at the start") for one in named)]
    found += [_choice(_like(config, name), "its weights are here") for name, archive in ARCHIVES.items()
              if (here / archive.file_name).is_file()]
    found.append(_choice(_like(config, "tiny"), "the demonstration: simple shapes only"))
    kept: dict[tuple[str | None, ...], ModelChoice] = {}
    for one in found:
        kept.setdefault((one.encoder.feature_type, one.encoder.model_name, one.encoder.pretrained, one.encoder.checkpoint), one)
    return list(kept.values())


def _like(config: InvestigatorConfig, model_name: str) -> EncoderConfig:
    """A model of clip with the arithmetic and preprocessing of the command."""
    given = config.encoder
    return EncoderConfig("clip", model_name, precision=given.precision, crop=given.crop, preprocess=given.preprocess)


def _choice(encoder: EncoderConfig, words: str) -> ModelChoice:
    said = repr(dataclasses.replace(encoder, token=None)).encode()
    return ModelChoice("m" + hashlib.sha256(b"clipreel model\0" + said).hexdigest()[:12], encoder, words)
