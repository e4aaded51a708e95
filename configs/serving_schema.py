"""The keys of `serve`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from ..errors import ConfigError
from .schema import EncoderConfig, key

_BYTES = 1_000_000
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServeConfig:
    """`python main.py serve feature_type=… port=8090`: an encoder, loaded once, for other programs."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    host: str = key("127.0.0.1", "address to listen on; another than loopback's needs a token=")
    port: int = key(8090, "port to listen on; 0 takes a free one")
    allowed_hosts: tuple[str, ...] = key((), "further names by which clients may call this server (addresses always may)")
    batch_size: int = key(32, "texts or images a forward pass, filled across requests")
    max_wait_ms: float = key(5.0, "how long a batch of several clients' requests waits for them to come back; a lone client never")
    queue_length: int = key(4096, "texts and images that may wait; beyond it clients are told to come later (429)")
    max_images: int = key(256, "images a request")
    max_texts: int = key(1024, "texts a request")
    max_body_megabytes: float = key(64.0, "size of a request; four times as much may be under way at once")
    max_image_megapixels: float = key(50.0, "pixels of a picture")
    cache_megabytes: float = key(256.0, "features that are kept for contents that come again; 0 keeps none")
    device_ids: tuple[str, ...] | None = key(None, "CUDA devices, or cpu; null: every CUDA device, else the CPU")
    device: str | None = key(None, "the same for one device in torch's words: cuda:0, cpu")
    workers: int | None = key(None, "threads that read pictures; null: one a core")

    def __post_init__(self):
        if self.encoder.feature_type == "remote" or self.encoder.url is not None:
            raise ConfigError("serve loads a model itself: give a feature_type other than remote, and no url=")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port={self.port}: allowed is a number from 0 (any that is free) to 65535")
        for name in ("batch_size", "queue_length", "max_images", "max_texts", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}: allowed is a whole number above 0")
        for name in ("max_body_megabytes", "max_image_megapixels", "max_wait_ms", "cache_megabytes"):
            value, least = getattr(self, name), 0 if name in ("max_wait_ms", "cache_megabytes") else 1e-6
            if not (math.isfinite(value) and value >= least):
                raise ConfigError(f"{name}={value}: allowed is a number {'from 0 up' if not least else 'above 0'}")
        if self.queue_length < max(self.max_images, self.max_texts):
            raise ConfigError(f"queue_length={self.queue_length} is shorter than one request may be (max_images={self.max_images}, "
                              f"max_texts={self.max_texts}): make it longer, or those smaller")
        if self.device is not None and self.device_ids is not None:
            raise ConfigError(f"device={self.device} and device_ids={list(self.device_ids)} say the same: give one")
        for name in self.allowed_hosts:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
                raise ConfigError(f"allowed_hosts: {name!r} is no name; allowed are names such as gpu-box.lan, without a port")

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_megabytes * _BYTES)

    @property
    def max_image_pixels(self) -> int:
        return int(self.max_image_megapixels * _BYTES)

    @property
    def cache_bytes(self) -> int:
        return int(self.cache_megabytes * _BYTES)
