"""Text features on disk: a text is encoded once for a model, whatever asks for it later."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from ..errors import StoredDataError
from ..models.base import EncoderIdentity, TextEncoder
from .store.files import write_whole
from .text_fit import start_that_fits

Key = TypeVar("Key", bound=Hashable)

_SHARD_TEXTS = 1024  # after so many new texts a file is written, which a killed run leaves behind
_MODEL_FILE = "model.json"


@dataclass(frozen=True)
class TextUse:
    """What getting texts took in one run."""

    asked: int  # distinct ones
    encoded: int  # distinct texts that went through the network
    seconds: float
    lacked: int = 0  # of those asked, before


class TextFeaturesOf(Generic[Key]):
    """Key -> unit feature, in `folder/<model>-<digest>/`: model.json, and .npz files that are written whole and never
    changed (so that two runs may write at once). Holds no pickles.

    What a key is, how it is written down and what the encoder is given for it, the subclass says.
    """

    def __init__(self, folder: Path, identity: EncoderIdentity):
        said = {name: getattr(identity, name)
                for name in ("feature_type", "model_name", "pretrained", "weights_sha256", "precision")}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = folder / f"{identity.model_name.replace('/', '_')}-{digest}"
        self._said = said
        self._rows: dict[Key, int] = {}
        self._cut: set[Key] = set()
        self._blocks: list[np.ndarray] = []
        self._count = 0
        self.logit_scale: float | None = None
        if self.folder.is_dir():
            self._read()

    @property
    def matrix(self) -> np.ndarray:
        """float32 [m, dim], each row of length 1."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0] if self._blocks else np.empty((0, 0), dtype=np.float32)

    def said(self, key: Key, encoder: TextEncoder) -> tuple[str, bool]:
        """The text that the encoder is given for the key, and whether the model sees less of it than all."""
        raise NotImplementedError

    def entry(self, key: Key) -> dict[str, Any]:
        """The key as it is written down."""
        raise NotImplementedError

    def key_of(self, entry: dict[str, Any]) -> Key:
        """The key that was written down. Raises KeyError, TypeError or ValueError where it is none."""
        raise NotImplementedError

    def lacking(self, keys: Iterable[Key]) -> list[Key]:
        """The distinct ones that are not there, in order."""
        return [key for key in dict.fromkeys(keys) if key not in self._rows]

    def rows(self, keys: Iterable[Key]) -> np.ndarray:
        """int64 [n], places in `matrix`. Raises KeyError for a key that was not filled in."""
        return np.array([self._rows[key] for key in keys], dtype=np.int64)

    def is_cut(self, key: Key) -> bool:
        """Whether the model saw less than the whole text."""
        return key in self._cut

    def fill(self, keys: Iterable[Key], encoder: Callable[[], TextEncoder],
             advance: Callable[[int], object] = lambda stored: None) -> TextUse:
        """Encode what is lacking, each distinct text once and in batches. `encoder` is called only when there is some;
        `advance` with how many keys more are stored now.

        Raises OSError where the folder cannot be written.
        """
        began, distinct = time.perf_counter(), list(dict.fromkeys(keys))
        lacking, encoded = self.lacking(distinct), 0
        if not lacking and (self.logit_scale is not None or not distinct):
            return TextUse(len(distinct), 0, time.perf_counter() - began)
        network = encoder()
        self.logit_scale = float(network.logit_scale)
        self.folder.mkdir(parents=True, exist_ok=True)
        model = json.dumps({**self._said, "logit_scale": self.logit_scale}, indent=1)
        write_whole(self.folder / _MODEL_FILE, lambda file: file.write(model.encode()))
        for begin in range(0, len(lacking), _SHARD_TEXTS):
            some = lacking[begin:begin + _SHARD_TEXTS]
            fitted = [self.said(key, network) for key in some]
            texts = list(dict.fromkeys(text for text, _ in fitted))
            features = network.encode_text(texts).float().cpu().numpy()
            features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
            encoded += len(texts)
            place = {text: row for row, text in enumerate(texts)}
            entries = [{**self.entry(key), "row": place[text], "cut": cut}
                       for key, (text, cut) in zip(some, fitted, strict=True)]
            self._write(entries, features)
            self._add(entries, features)
            advance(len(some))
        return TextUse(len(distinct), encoded, time.perf_counter() - began, len(lacking))

    def _add(self, entries: list[dict], features: np.ndarray) -> None:
        for entry in entries:
            key = self.key_of(entry)
            if not 0 <= int(entry["row"]) < len(features):
                raise ValueError(f"row {entry['row']} of {len(features)}")
            self._rows.setdefault(key, self._count + int(entry["row"]))
            if entry["cut"]:
                self._cut.add(key)
        self._blocks.append(features)
        self._count += len(features)

    def _write(self, entries: list[dict], features: np.ndarray) -> None:
        listed = json.dumps(entries, ensure_ascii=False).encode()
        path = self.folder / f"{hashlib.sha256(listed).hexdigest()[:24]}.npz"
        write_whole(path, lambda file: np.savez(
            file, allow_pickle=False, entries=np.frombuffer(listed, dtype=np.uint8), features=features))

    def _read(self) -> None:
        model = self.folder / _MODEL_FILE
        if not model.is_file():
            return
        path = model
        try:
            self.logit_scale = float(json.loads(model.read_text(encoding="utf-8"))["logit_scale"])
            for path in sorted(self.folder.glob("*.npz")):
                with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
                    features = content["features"]
                    if features.dtype != np.float32 or features.ndim != 2:
                        raise ValueError(f"features are {features.dtype} {list(features.shape)}")
                    self._add(json.loads(content["entries"].tobytes()), features)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise StoredDataError(f"{path}: is no file of text features that can be read ({error}); remove it, and its texts "
                                  "are encoded again") from error


class TextFeatures(TextFeaturesOf[str]):
    """Texts as they are: the encoder's own tokenizer cuts or refuses what is too long."""

    def said(self, key: str, encoder: TextEncoder) -> tuple[str, bool]:
        return key, False

    def entry(self, key: str) -> dict[str, Any]:
        return {"text": key}

    def key_of(self, entry: dict[str, Any]) -> str:
        return str(entry["text"])


class CaptionFeatures(TextFeatures):
    """Texts of any length: of one that is too long for the encoder, the words at its start that fit are encoded."""

    def said(self, key: str, encoder: TextEncoder) -> tuple[str, bool]:
        return start_that_fits(encoder, key)
