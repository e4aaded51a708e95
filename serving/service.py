"""From what requests hold to features: admitted while there is room, looked up, prepared beside the event loop, batched."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from .. import __version__
from ..errors import ConfigError
from ..models.base import Encoder
from ..models.remote.protocol import Limits, ServerInfo
from .batcher import Batcher, Kind, Rows
from .cache import FeatureCache
from .contents import Contents, Crops, Pictures, Texts
from .pictures import crop_of
from .refusal import Refusal

Made = TypeVar("Made")
_LONGEST_RETRY_SECONDS = 30


@dataclass
class Counters:
    """What was asked since the start. Only the event loop writes here."""

    requests: int = 0
    texts: int = 0
    images: int = 0
    cached: int = 0  # of both
    refused: int = 0


class EncoderService:
    """One model on its devices, for any number of clients. Its methods that are coroutines belong to one event loop."""

    def __init__(self, encoders: Sequence[Encoder], *, limits: Limits, batch_size: int, max_wait_seconds: float,
                 cache_bytes: int, workers: int | None = None):
        encoder = self._encoder = encoders[0]
        if not hasattr(encoder, "encode_text"):
            raise ConfigError(f"feature_type={encoder.identity.feature_type} has no text tower, which an encoder server needs")
        self.info = ServerInfo(__version__, encoder.identity, encoder.preprocess, encoder.dim, float(encoder.logit_scale), limits,
                               getattr(encoder, "num_frames", None), getattr(encoder, "context_length", None))
        self.counters = Counters()
        self._limits, self._batch_size = limits, batch_size
        self._devices = [str(one.device) for one in encoders]
        self._batcher = Batcher(encoders, batch_size, max_wait_seconds)
        self._cache = FeatureCache(cache_bytes)
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="prepare")
        self._waiting, self._began = 0, time.monotonic()
        size, windows = encoder.preprocess.image_size, self.info.num_frames
        self.crop_shapes: tuple[tuple[int, ...], ...] = (
            ((3, size, size),) if windows is None else tuple((length, 3, size, size) for length in sorted({1, windows})))

    @property
    def healthy(self) -> bool:
        return self._batcher.alive

    def start(self) -> None:
        self._batcher.start()

    def stop(self) -> None:
        """Everything that was admitted is answered first."""
        self._batcher.stop()
        self._pool.shutdown()

    def to_json(self) -> dict[str, Any]:
        """What /info says: who the model is, and how it is doing."""
        tally = self._batcher.tally
        counted = {**asdict(self.counters), "batches": tally.batches, "encoded": tally.rows,
                   "encode_seconds": round(tally.seconds, 6), "waiting": self._waiting, "queued": self._batcher.queued,
                   "cache_rows": len(self._cache)}
        return {**self.info.to_json(), "devices": self._devices, "batch_size": self._batch_size,
                "uptime_seconds": round(time.monotonic() - self._began, 3), "counters": counted}

    async def features(self, contents: Contents) -> np.ndarray:
        """float32 [n, dim], not normalised. Raises Refusal."""
        count = len(contents)
        with self._admitted(count):
            self.counters.texts += count if isinstance(contents, Texts) else 0
            self.counters.images += 0 if isinstance(contents, Texts) else count
            digests = await self.aside(contents.digests)
            found = self._cache.known(digests)
            self.counters.cached += sum(digest in found for digest in digests)
            places = {digest: place for place, digest in reversed([*enumerate(digests)]) if digest not in found}
            if places:
                lacking = sorted(places.values())
                kind, rows = await self._prepared(contents, lacking)
                features = await self._encoded(kind, rows)
                found |= (made := {digests[place]: row for place, row in zip(lacking, features, strict=True)})
                self._cache.add(made)
        return np.stack([found[digest] for digest in digests]) if count else np.empty((0, self.info.dim), dtype=np.float32)

    async def fits(self, texts: Sequence[str]) -> dict[str, list]:
        """Which texts the model reads whole; where it cuts them by itself, also how many tokens they have."""
        counting = getattr(self._encoder, "token_counts", None)
        if counting is not None and self.info.context_length is not None:
            counts = await self.aside(lambda: counting(texts))
            return {"fits": [count <= self.info.context_length for count in counts], "token_counts": counts}
        fits = getattr(self._encoder, "fits", None) or (lambda text: True)
        return {"fits": await self.aside(lambda: [fits(text) for text in texts])}

    async def aside(self, work: Callable[[], Made]) -> Made:
        """Done by a thread, so that the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @contextmanager
    def _admitted(self, count: int) -> Iterator[None]:
        """Raises Refusal where the queue would grow beyond its length."""
        if self._waiting and self._waiting + count > self._limits.queue_length:
            tally = self._batcher.tally
            seconds = self._waiting * tally.seconds / tally.rows / len(self._devices) if tally.rows else 1.0
            raise Refusal(429, f"{self._waiting} texts and images are waiting already, and {self._limits.queue_length} may "
                               "(queue_length=): send this again later",
                          retry_after_seconds=min(max(1, math.ceil(seconds)), _LONGEST_RETRY_SECONDS))
        self._waiting += count
        try:
            yield
        finally:
            self._waiting -= count

    async def _prepared(self, contents: Contents, places: Sequence[int]) -> tuple[Kind, Rows]:
        if isinstance(contents, Texts):
            return "texts", [contents.texts[place] for place in places]
        if isinstance(contents, Crops):
            whole = len(places) == len(contents)
            rows = contents.pixels if whole else await self.aside(lambda: contents.pixels[list(places)])
            return rows.shape[1:], rows
        pictures = contents
        made = await asyncio.gather(*(self.aside(lambda place=place: self._crop(pictures, place)) for place in places))
        rows = np.stack(made)  # [n, 3, S, S]
        rows = rows if self.info.num_frames is None else rows[:, None]  # windows: a still picture is one of a frame
        return rows.shape[1:], rows

    def _crop(self, contents: Pictures, place: int) -> np.ndarray:
        name = "the image" if len(contents) == 1 else f"image {place} of {len(contents)}"
        return crop_of(contents.files[place], self.info.preprocess, self._limits.image_pixels, name)

    async def _encoded(self, kind: Kind, rows: Rows) -> np.ndarray:
        try:
            return await asyncio.wrap_future(self._batcher.submit(kind, rows))
        except ConfigError as error:  # a text that the model does not read
            raise Refusal(422, str(error)) from error
