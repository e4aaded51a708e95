"""What a request holds, read from its body: texts, picture files, or crops as the encoder takes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ..models.remote.protocol import MOST_CHARACTERS, RAW, SHAPE_HEADER, Limits
from .refusal import Refusal

NO_PATHS = ("this server opens no files by name: send the picture's bytes to POST /embed, as the body (Content-Type: image/jpeg) "
            "or as multipart parts named image")
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Texts:
    """Sentences."""

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def digests(self) -> list[bytes]:
        return [_digest(b"text", text.encode("utf-8", "surrogatepass")) for text in self.texts]


@dataclass(frozen=True)
class Pictures:
    """Picture files' bytes."""

    files: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.files)

    def digests(self) -> list[bytes]:
        return [_digest(b"file", file) for file in self.files]


@dataclass(frozen=True, eq=False)
class Crops:
    """uint8 RGB [n, 3, S, S], or windows [n, T, 3, S, S]: nothing is left to prepare."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def digests(self) -> list[bytes]:
        shape = str(self.pixels.shape[1:]).encode()
        return [_digest(b"crop", shape, row.data) for row in self.pixels]


Contents = Texts | Pictures | Crops


async def read_contents(request: Request, limits: Limits, crop_shapes: tuple[tuple[int, ...], ...]) -> Contents:
    """Raises Refusal. `crop_shapes`: those of a row that the encoder takes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _bounded(_json_texts(await request.body()), limits)
    if kind in _FORMS:
        return _bounded(await _form(request, limits), limits)
    if kind == RAW:
        return _bounded(_crops(await request.body(), request.headers.get(SHAPE_HEADER, ""), crop_shapes), limits)
    if kind.startswith("image/"):
        return Pictures((await request.body(),))
    raise Refusal(415, f"Content-Type {kind or '(none)'}: allowed are application/json with texts, image/* with one picture, "
                       f"multipart/form-data with parts image or text, and {RAW} with crops")


async def read_seed_form(request: Request, limits: Limits) -> Texts:
    """The form of the published CLIP server: `text`, a JSON list. Raises Refusal."""
    if not request.headers.get("content-type", "").startswith(_FORMS):
        raise Refusal(415, "allowed is a form with the field text, a JSON list of sentences; POST /embed takes other kinds")
    contents = await _form(request, limits)
    if isinstance(contents, Pictures):
        raise Refusal(415, "pictures are taken by POST /embed")
    _bounded(contents, limits)
    return contents


async def read_texts(request: Request, limits: Limits) -> Texts:
    """`{"texts": […]}`. Raises Refusal."""
    texts = _json_texts(await request.body())
    _bounded(texts, limits)
    return texts


async def _form(request: Request, limits: Limits) -> Texts | Pictures:
    try:
        form = await request.form(max_files=limits.images, max_fields=limits.images, max_part_size=limits.body_bytes)
    except HTTPException as error:
        too_many = "too many" in error.detail.lower()
        raise Refusal(413 if too_many else 400, f"the form cannot be read: {error.detail}") from error
    try:
        return await _form_contents(form)
    finally:
        await form.close()


async def _form_contents(form: FormData) -> Texts | Pictures:
    images, texts = form.getlist("image"), form.getlist("text")
    unknown = sorted(set(form) - {"image", "text"})
    if unknown:
        raise Refusal(400, f"the form's field {unknown[0]!r} is unknown: allowed are image (files) and text (a JSON list)")
    files = [image for image in images if isinstance(image, UploadFile)]
    if len(files) < len(images):
        raise Refusal(400, f"image: {NO_PATHS}")
    if bool(files) == bool(texts) or len(texts) > 1 or isinstance(texts[0] if texts else "", UploadFile):
        raise Refusal(400, "a form holds either image (files) or one text (a JSON list of sentences)")
    if files:
        return Pictures(tuple([await file.read() for file in files]))
    return _texts(_parsed(str(texts[0])))


def _parsed(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"this is no JSON: {error}") from error


def _json_texts(body: bytes) -> Texts:
    content = _parsed(body)
    if isinstance(content, dict) and {"image", "images"} & content.keys():
        raise Refusal(400, f"images: {NO_PATHS}")
    if not isinstance(content, dict) or set(content) != {"texts"}:
        raise Refusal(400, 'allowed is {"texts": ["a sentence", …]} and nothing else')
    return _texts(content["texts"])


def _texts(texts: Any) -> Texts:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "allowed is a list of sentences")
    for place, text in enumerate(texts):
        if len(text) > MOST_CHARACTERS:
            raise Refusal(422, f"text {place} has {len(text)} characters; allowed are {MOST_CHARACTERS}")
    return Texts(tuple(texts))


def _crops(body: bytes, said: str, shapes: tuple[tuple[int, ...], ...]) -> Crops:
    words = said.split(",")
    shape = tuple(int(word) for word in words) if all(word.strip().isdecimal() and len(word) < 10 for word in words) else ()
    wanted = " or ".join(f"n,{','.join(map(str, row))}" for row in shapes)
    if not shape or shape[1:] not in shapes:
        raise Refusal(400, f"{SHAPE_HEADER}: {said or '(none)'}: allowed is {wanted}, of uint8 RGB crops")
    if np.prod(shape, dtype=object) != len(body):
        raise Refusal(400, f"{SHAPE_HEADER}: {said} is {np.prod(shape, dtype=object)} bytes, and {len(body)} came")
    return Crops(np.frombuffer(body, dtype=np.uint8).reshape(shape))


def _bounded(contents: Contents, limits: Limits) -> Contents:
    most, name = (limits.texts, "texts") if isinstance(contents, Texts) else (limits.images, "images")
    if len(contents) > most:
        raise Refusal(413, f"{len(contents)} {name} in one request; allowed are {most} (max_{name}=)")
    return contents


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
