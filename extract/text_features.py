"""Text features on disk: a text is encoded once for a model, whatever asks for it later."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import StoredDataError
from ..models.base import EncoderIdentity, TextEncoder
from .store.files import write_whole

_SHARD_TEXTS = 1024  # after so many new texts a file is written, which a killed run leaves behind
_MODEL_FILE = "model.json"


class TextFeatures:
    """Text -> unit feature, in `folder/<model>-<digest>/`: model.json, and .npz files that are written whole and never
    changed (so that two runs may write at once). Holds no pickles."""

    def __init__(self, folder: Path, identity: EncoderIdentity):
        said = {name: getattr(identity, name)
                for name in ("feature_type", "model_name", "pretrained", "weights_sha256", "precision")}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = folder / f"{identity.model_name.replace('/', '_')}-{digest}"
        self._said = said
        self._rows: dict[str, int] = {}
        self._blocks: list[np.ndarray] = []
        self._count = 0
        self.logit_scale: float | None = None
        if self.folder.is_dir():
            self._read()

    def __contains__(self, text: str) -> bool:
        return text in self._rows

    def lacking(self, texts: Iterable[str]) -> list[str]:
        """The distinct texts that are not there, in order."""
        return [text for text in dict.fromkeys(texts) if text not in self._rows]

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [m, dim], each row of length 1. Raises KeyError for a text that was not filled in."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        matrix = self._blocks[0] if self._blocks else np.empty((0, 0), dtype=np.float32)
        return matrix[[self._rows[text] for text in texts]]

    def fill(self, texts: Iterable[str], encoder: Callable[[], TextEncoder]) -> int:
        """Encode what is lacking, each distinct text once and in batches; returns how many that were.

        `encoder` is called only when there is something to do. Raises OSError where the folder cannot be written.
        """
        lacking = self.lacking(texts)
        if not lacking:
            return 0
        network = encoder()
        self.logit_scale = float(network.logit_scale)
        self.folder.mkdir(parents=True, exist_ok=True)
        model = json.dumps({**self._said, "logit_scale": self.logit_scale}, indent=1)
        write_whole(self.folder / _MODEL_FILE, lambda file: file.write(model.encode()))
        for begin in range(0, len(lacking), _SHARD_TEXTS):
            some = lacking[begin:begin + _SHARD_TEXTS]
            features = network.encode_text(some).float().cpu().numpy()  # [m, dim]
            features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
            self._write(some, features)
            self._add(some, features)
        return len(lacking)

    def _add(self, texts: Sequence[str], features: np.ndarray) -> None:
        if len(texts) != len(features):
            raise ValueError(f"{len(texts)} texts, {len(features)} features")
        for row, text in enumerate(texts, start=self._count):
            self._rows.setdefault(text, row)
        self._blocks.append(features)
        self._count += len(features)

    def _write(self, texts: Sequence[str], features: np.ndarray) -> None:
        listed = json.dumps(texts, ensure_ascii=False).encode(errors="surrogatepass")
        path = self.folder / f"{hashlib.sha256(listed).hexdigest()[:24]}.npz"
        write_whole(path, lambda file: np.savez(
            file, allow_pickle=False, texts=np.frombuffer(listed, dtype=np.uint8), features=features))

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
                    self._add(json.loads(content["texts"].tobytes().decode(errors="surrogatepass")), features)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise StoredDataError(f"{path}: is no file of text features that can be read ({error}); remove it, and its texts "
                                  "are encoded again") from error
