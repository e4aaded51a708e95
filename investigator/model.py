"""The one model of an investigator: known at once, loaded behind, and its texts encoded once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..configs.schema import EncoderConfig
from ..errors import ClipreelError
from ..extract.devices import resolve_devices
from ..extract.text_features import CaptionFeatures
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import identify, load_encoder
from .neutral_texts import neutral_texts
from .refusal import Refusal

log = logging.getLogger("clipreel")
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class ModelState:
    """What the page shows of the model."""

    feature_type: str
    model_name: str
    state: Literal["loading", "ready", "failed"]
    error: str | None = None
    do: str | None = None


class Model:
    """Loaded in a thread of its own. What needs only its name (stored features and texts) does not wait for its weights."""

    def __init__(self, config: EncoderConfig, device: str | None, texts_folder: Path, encoder: Encoder | None = None,
                 changed: Callable[[ModelState], object] = lambda state: None):
        self._config, self._device, self._folder, self._changed = config, device, texts_folder, changed
        self._known, self._ready = threading.Event(), threading.Event()
        self._identity: EncoderIdentity | None = None
        self._encoder, self._texts = encoder, None
        self._failure: str | None = None
        self._lock = threading.Lock()  # of texts: their store is one thread's at a time

    def start(self) -> None:
        threading.Thread(target=self._load, name="model", daemon=True).start()

    def retry(self) -> None:
        """Load again what could not be loaded: its cause may be gone."""
        if self._failure is None:
            return
        self._failure = None
        self._known.clear()
        self._ready.clear()
        self._changed(self.state)
        self.start()

    @property
    def state(self) -> ModelState:
        name = self._identity.model_name if self._identity is not None else self._config.model_name
        kind = self._identity.feature_type if self._identity is not None else self._config.feature_type
        if self._failure is not None:
            return ModelState(kind, name, "failed", self._failure, "choose another model, or start again with one that is here: "
                              "feature_type=clip model_name=tiny (the demonstration), or checkpoint=FILE")
        return ModelState(kind, name, "ready" if self._ready.is_set() else "loading")

    @property
    def known_identity(self) -> EncoderIdentity | None:
        """Without waiting."""
        return self._identity

    def identity(self) -> EncoderIdentity:
        """Raises Refusal when the model cannot be had."""
        self._wait(self._known)
        assert self._identity is not None
        return self._identity

    def encoder(self) -> Encoder:
        """Waits until it is loaded. Raises Refusal when it cannot be had."""
        self._wait(self._ready)
        assert self._encoder is not None
        return self._encoder

    def texts(self, texts: Sequence[str]) -> tuple[np.ndarray, float]:
        """Unit features [m, dim], and the milliseconds it took to encode those that were not known."""
        self.identity()
        with self._lock:
            lacking = self._store().lacking(texts)
        if lacking:
            self.encoder()  # waited for here, where those whose texts are known do not wait too
        with self._lock:
            store = self._store()
            began = time.perf_counter()
            use = store.fill(texts, self.encoder)
            features = store.matrix[store.rows(texts)]
            return features, (time.perf_counter() - began) * 1000 if use.encoded else 0.0

    def neutral(self) -> np.ndarray:
        """Unit features [b, dim] of the neutral texts."""
        return self.texts(neutral_texts(self.identity()))[0]

    @property
    def logit_scale(self) -> float:
        self.identity()
        with self._lock:
            known = self._store().logit_scale
        return known if known is not None else float(self.encoder().logit_scale)

    def _store(self) -> CaptionFeatures:
        if self._texts is None:
            self._texts = CaptionFeatures(self._folder, self.identity())
        return self._texts

    def _wait(self, event: threading.Event) -> None:
        if not event.wait(_PATIENCE_SECONDS) or self._failure is not None:
            raise Refusal(503, "model_failed", self._failure or "the model is still being loaded", self.state.do)

    def _load(self) -> None:
        try:
            device = resolve_devices(None, self._device)[0]
            if self._encoder is None:
                self._identity = identify(**asdict(self._config), device=device)
                self._known.set()
                self._encoder = load_encoder(**asdict(self._config), device=device)
            self._identity = self._encoder.identity
        except ClipreelError as error:
            self._failure = str(error)
        except Exception as error:  # a page that says why is better than a thread that died
            log.error("the model could not be loaded", exc_info=error)
            self._failure = f"the model could not be loaded ({error or type(error).__name__})"
        self._known.set()
        self._ready.set()
        self._changed(self.state)
