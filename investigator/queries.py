"""What videos are compared with: texts, frames of videos, pictures. A query's id is a digest of its content."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..configs.investigator_schema import MOST_CHARACTERS
from ..extract.store.files import write_whole
from ..models.base import Encoder
from .model import Model
from .refusal import Refusal, bad_request, not_found
from .scores import unit
from .thumbnails import jpeg

_MOST_KEPT = 500
_MOST_PIXELS = 50_000_000
_PICTURE_SIDE = 320


@dataclass(frozen=True, eq=False)
class Query:
    """A unit feature [dim] with what is shown of it; `encode_ms` is what it cost this time."""

    id: str
    kind: Literal["text", "frame", "image"]
    label: str
    feature: np.ndarray
    text: str | None = None
    video: str | None = None
    time_ms: float | None = None
    picture: bytes | None = None  # JPEG
    encode_ms: float = 0.0
    address: str = ""  # behind that of its picture: whose query it is

    def record(self) -> dict:
        picture = f"/api/queries/{self.id}/picture{self.address}" if self.picture is not None else None
        return {"id": self.id, "kind": self.kind, "text": self.text, "video": self.video, "time_ms": self.time_ms,
                "label": self.label, "picture": picture,
                "encode_ms": round(self.encode_ms, 1)}


class QueryBook:
    """The last few hundred queries. Texts' features are kept on disk by model, pictures by content."""

    def __init__(self, model: Model, pictures_folder: Path, address: str = ""):
        self._model, self._folder, self._address = model, pictures_folder, address
        self._lock = threading.Lock()
        self._queries: OrderedDict[str, Query] = OrderedDict()

    def get(self, query_id: str) -> Query:
        with self._lock:
            query = self._queries.get(query_id)
            if query is None:
                raise Refusal(404, "not_found", f"the query {query_id[:40]!r} is not known here", "send its text or picture again")
            self._queries.move_to_end(query_id)
            return query

    def features(self, query_ids: Sequence[str]) -> np.ndarray:
        """float32 [m, dim]."""
        return np.stack([self.get(query_id).feature for query_id in query_ids])

    def text(self, text: str) -> Query:
        """Raises Refusal for an empty or long one."""
        text = " ".join(text.split())
        if not text or len(text) > MOST_CHARACTERS:
            raise bad_request(f"a text has 1 to {MOST_CHARACTERS} characters, this one {len(text)}")
        features, encode_ms = self._model.texts([text])
        return self._keep(Query(_id("qt", text.encode()), "text", text, features[0], text=text, encode_ms=encode_ms))

    def frame(self, video: str, content_id: str, time_ms: float, picture: np.ndarray, label: str) -> Query:
        """A frame uint8 [h, w, 3] of a video."""
        feature, encode_ms = self._encoded(picture)
        name = _id("qf", f"{content_id} {time_ms:.3f}".encode())
        return self._keep(Query(name, "frame", label, feature, video=video, time_ms=time_ms, picture=_small(picture),
                                encode_ms=encode_ms))

    def upload(self, data: bytes) -> Query:
        """A picture's file. Raises Refusal for what is no JPEG, PNG or WebP of sensible size."""
        picture = read_picture(data)
        name = _id("qi", data)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / f"{name}.picture", lambda file: file.write(data))
        except OSError as error:
            raise Refusal(500, "internal", f"the picture cannot be kept ({error.strerror})", "make room on the disk") from error
        return self._of_picture(name, picture)

    def uploaded(self, query_id: str) -> Query:
        """A picture that was uploaded before, perhaps in an earlier run."""
        with self._lock:
            if query_id in self._queries:
                return self._queries[query_id]
        if not (query_id.startswith("qi") and query_id[2:].isalnum()):
            raise not_found("this picture")
        try:
            data = (self._folder / f"{query_id}.picture").read_bytes()
        except OSError as error:
            raise not_found("this picture") from error
        return self._of_picture(query_id, read_picture(data))

    def _of_picture(self, name: str, picture: np.ndarray) -> Query:
        feature, encode_ms = self._encoded(picture)
        return self._keep(Query(name, "image", "a picture", feature, picture=_small(picture), encode_ms=encode_ms))

    def _encoded(self, picture: np.ndarray) -> tuple[np.ndarray, float]:
        began = time.perf_counter()
        feature = encode_picture(self._model.encoder(), picture)
        return feature, (time.perf_counter() - began) * 1000

    def _keep(self, query: Query) -> Query:
        query = replace(query, address=self._address)
        with self._lock:
            self._queries[query.id] = query
            self._queries.move_to_end(query.id)
            while len(self._queries) > _MOST_KEPT:
                self._queries.popitem(last=False)
        return query


def encode_picture(encoder: Encoder, picture: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] -> unit feature [dim]; an encoder of windows sees it standing still."""
    from ..models.preprocess import preprocess_frames

    crop = preprocess_frames(picture, encoder.preprocess)  # [1, 3, S, S]
    frames = getattr(encoder, "num_frames", None)
    if frames is not None:
        crop = crop[:, None].expand(-1, frames, -1, -1, -1)
    return unit(encoder.encode(crop.contiguous()).float().cpu().numpy())[0]


def read_picture(data: bytes) -> np.ndarray:
    """uint8 RGB [h, w, 3]. Raises Refusal."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise Refusal(413, "too_large", f"a picture of {image.width}x{image.height} pixels is more than {_MOST_PIXELS}",
                              "make it smaller")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise bad_request("this is no JPEG, PNG or WebP picture that can be read", "choose another file") from error


def _id(prefix: str, content: bytes) -> str:
    return prefix + hashlib.sha256(content).hexdigest()[:20]


def _small(picture: np.ndarray) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    return jpeg(np.asarray(image))
