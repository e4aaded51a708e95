"""The encoder that stands in for a server's: frames go there as cropped bytes, so nothing is lost or prepared twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...errors import EncoderServerError
from ..viclip.recipes import RECIPES
from .client import Client
from .protocol import EMBED, MODEL_HEADER, MOST_CHARACTERS, RAW, SHAPE_HEADER, TOKENS, ServerInfo

_QUERY = "?format=raw&dtype=float32&normalize=false"


class RemoteEncoder:
    """Fulfils `base.Encoder`. The identity is the server's model's; every answer is checked to come from that model."""

    def __init__(self, client: Client, info: ServerInfo):
        self.identity = info.identity
        self.preprocess = info.preprocess
        self.dim = info.dim
        self.logit_scale = info.logit_scale
        self.device = torch.device("cpu")  # where the features come out
        self._client, self._info = client, info

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [n, 3, S, S] (windows: [n, T, 3, S, S]) -> float32 [n, dim] on the CPU, not normalised.

        Raises:
            ValueError: the frames are not as `preprocess_frames` makes them.
            EncoderServerError: the server went away, or has another model.
        """
        size, windows = self.preprocess.image_size, self._info.num_frames
        if frames.dtype != torch.uint8 or tuple(frames.shape[-3:]) != (3, size, size) \
                or frames.ndim != (4 if windows is None else 5) or (windows and frames.shape[1] not in (1, windows)):
            wanted = f"[n, 3, {size}, {size}]" if windows is None else f"[n, {windows}, 3, {size}, {size}]"
            raise ValueError(f"{self.identity.model_name} encodes uint8 RGB frames {wanted}, not {frames.dtype} "
                             f"{list(frames.shape)}: pass them through preprocess_frames first")
        rows, limits = frames.cpu().numpy(), self._info.limits
        at_once = max(1, min(limits.images, limits.body_bytes // max(1, rows[:1].nbytes)))
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        for begin in range(0, len(rows), at_once):
            some = np.ascontiguousarray(rows[begin:begin + at_once])
            shape = ",".join(map(str, some.shape))
            parts.append(self._features(some.data.cast("B"), {"Content-Type": RAW, SHAPE_HEADER: shape}, len(some)))
        return torch.from_numpy(np.concatenate(parts))  # [n, dim]

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """m sentences -> float32 [m, dim], not normalised. Raises ConfigError for one that the model refuses."""
        if isinstance(texts, str):
            raise ValueError("encode_text takes a list of sentences; for one sentence, a list of one")
        parts = [self._features(_json(some), {"Content-Type": "application/json"}, len(some)) for some in self._portions(texts)]
        return torch.from_numpy(np.concatenate([np.empty((0, self.dim), dtype=np.float32), *parts]))  # [m, dim]

    def fits(self, text: str) -> bool:
        """Whether `encode_text` takes the whole sentence."""
        return len(text) <= MOST_CHARACTERS and bool(self._tokens([text], "fits")[0])

    def _portions(self, texts: Sequence[str]) -> list[list[str]]:
        at_once = self._info.limits.texts
        return [list(texts[begin:begin + at_once]) for begin in range(0, len(texts), at_once)]

    def _features(self, body: bytes | memoryview, headers: dict[str, str], count: int) -> np.ndarray:
        expected = {MODEL_HEADER: self._info.fingerprint}
        reply = self._client.request("POST", EMBED + _QUERY, body, {**headers, **expected})
        if reply.headers.get(MODEL_HEADER.lower()) != self._info.fingerprint or len(reply.body) != 4 * count * self.dim:
            raise EncoderServerError(f"url={self._client.url}: {len(reply.body)} bytes came back for {count} features of "
                                     f"{self.identity.model_name}, or of another model: is it still the same server?")
        return np.frombuffer(reply.body, dtype="<f4").reshape(count, self.dim)

    def _tokens(self, texts: Sequence[str], name: str) -> list[Any]:
        found: list[Any] = []
        for some in self._portions(texts):
            reply = self._client.request("POST", TOKENS, _json(some), {"Content-Type": "application/json",
                                                                       MODEL_HEADER: self._info.fingerprint})
            try:
                said = json.loads(reply.body)[name]
                if len(said) != len(some):
                    raise ValueError(f"{len(said)} for {len(some)} texts")
            except (ValueError, KeyError, TypeError) as error:
                raise EncoderServerError(f"url={self._client.url}: what it says of texts' lengths cannot be read "
                                         f"({error})") from error
            found += said
        return found


class RemoteWindowEncoder(RemoteEncoder):
    """Fulfils `base.WindowEncoder`: ViCLIP's, whose recipe says which frames it sees."""

    def __init__(self, client: Client, info: ServerInfo, num_frames: int, context_length: int):
        super().__init__(client, info)
        self.num_frames, self.context_length = num_frames, context_length
        self._recipe = RECIPES[str(info.identity.recipe)]

    def choose_frames(self, count: int) -> np.ndarray:
        """See `base.WindowEncoder`."""
        return self._recipe.choose_frames(count, self.num_frames)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each has, start and end marks included; those above context_length are cut."""
        return [int(count) for count in self._tokens(texts, "token_counts")]


def _json(texts: Sequence[str]) -> bytes:
    return json.dumps({"texts": list(texts)}).encode()
