"""The keys of `investigator`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigError
from .schema import EncoderConfig, key

SHORTEST_TOKEN = 16
MOST_TEXTS, MOST_CHARACTERS = 12, 300


@dataclass(frozen=True)
class InvestigatorConfig:
    """`python main.py investigator video_path=… CLIP="[…]"`: where in a video do sentences match? In the browser."""

    video_path: str | None = key(None, "the video to open first", positional=True, may_be_empty=True)
    CLIP: tuple[str, ...] = key((), "texts to begin with, at most 12", may_be_empty=True)
    roots: tuple[str, ...] = key((), "folders whose videos may be opened; []: that of video_path, else the sample's")
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    encoders: str | None = key(None, "further models that pages may choose, such as \"[{model_name: ViT-L/14}, {feature_type: "
                                     "open_clip, model_name: ViT-B-32, pretrained: laion2b_s34b_b79k}]\"")
    extraction_fps: float = key(1.0, "frames a second that are analysed, where nothing is stored yet")
    sampling: Literal["played_at", "video_features"] = key("played_at", "as for extract")
    window_seconds: float | None = key(None, "viclip: a feature for every so many seconds; null: 2")
    stride_seconds: float | None = key(None, "viclip: seconds from one window's start to the next; null: window_seconds")
    output_path: str = key("./output", "features go where extract puts them; thumbnails and copies to output_path/investigator")
    batch_size: int = key(16, "frames a forward pass")
    device: str | None = key(None, "cuda:0, cpu; null: the first CUDA device, else the CPU")
    workers: int | None = key(None, "decode threads; null: one a core")
    reader: Literal["auto", "pyav", "decord"] = key("auto", "what decodes")
    host: str = key("127.0.0.1", "address to listen on; elsewhere than on loopback a token is asked for")
    port: int = key(5000, "port to listen on; 0 takes a free one")
    access_token: str | None = key(None, "what browsers must know when host is not loopback; null: a new one at each start")
    allowed_hosts: tuple[str, ...] = key((), "further names by which browsers may call this server")
    open_browser: bool = key(True, "open the page in the default browser")
    roboflow_api_key: str | None = key(None, "accepted, not needed: nothing is sent anywhere", may_be_empty=True)

    def __post_init__(self):
        if not (math.isfinite(self.extraction_fps) and self.extraction_fps > 0):
            raise ConfigError(f"extraction_fps={self.extraction_fps}: allowed is a number above 0")
        for name in ("window_seconds", "stride_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name}={value}: allowed is a number of seconds above 0")
        for name in ("batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}: allowed is a whole number above 0")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port={self.port}: allowed is a number from 0 (any that is free) to 65535")
        if len(self.CLIP) > MOST_TEXTS:
            raise ConfigError(f"CLIP has {len(self.CLIP)} texts: allowed are {MOST_TEXTS} at once")
        for text in self.CLIP:
            if not text.strip() or len(text) > MOST_CHARACTERS:
                raise ConfigError(f"CLIP: allowed are texts of 1 to {MOST_CHARACTERS} characters, not {text[:80]!r}")
        if self.access_token is not None and not re.fullmatch(rf"[A-Za-z0-9._~-]{{{SHORTEST_TOKEN},}}", self.access_token):
            raise ConfigError(f"access_token=: allowed are {SHORTEST_TOKEN} letters, digits and . _ ~ - or more")
        for name in self.allowed_hosts:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
                raise ConfigError(f"allowed_hosts: {name!r} is no name; allowed are names such as desk.lan, without a port")
        if self.encoder.feature_type == "policy":
            raise ConfigError("feature_type=policy has no text tower, and the investigator compares with texts: "
                              "use feature_type=clip, open_clip or viclip")
