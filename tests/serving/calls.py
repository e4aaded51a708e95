"""What tests say to an encoder server over real HTTP, and a gate before the encoder."""

import base64
import http.client
import io
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from clipreel.models.preprocess import preprocess_frames
from PIL import Image


@dataclass(frozen=True)
class Answer:
    """What came back. The headers' names are in small letters."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    @property
    def rows(self):
        """The features, whichever way they were sent."""
        if self.headers["content-type"] == "application/octet-stream":
            shape = [int(word) for word in self.headers["clipreel-shape"].split(",")]
            return np.frombuffer(self.body, dtype=self.headers["clipreel-dtype"]).reshape(shape)
        said = self.json
        if isinstance(said["embeddings"], str):
            return np.frombuffer(base64.b64decode(said["embeddings"]), dtype=said["dtype"]).reshape(said["shape"])
        return np.array(said["embeddings"])


def call(url, method="GET", path="/health", body=None, kind=None, **headers):
    """One request on a connection of its own. Underscores in headers' names stand for dashes."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {**sent, **({"Content-Type": kind} if kind else {})})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, response.read())
    finally:
        connection.close()


def texts(url, sentences, query="", **headers):
    return call(url, "POST", f"/embed{query}", json.dumps({"texts": sentences}), "application/json", **headers)


def form(*parts):
    """(body, Content-Type) of a multipart form: (name, file name or None, bytes) each."""
    body = b""
    for name, file, data in parts:
        named = f'; filename="{file}"' if file else ""
        body += f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + data + b"\r\n"
    return body + b"--x--\r\n", "multipart/form-data; boundary=x"


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def encoded(encoder, pictures):
    """The encoder's own features of pictures of any sizes, float32 [n, dim]."""
    return np.concatenate([encoder.encode(preprocess_frames(picture, encoder.preprocess)).numpy() for picture in pictures])


def file_of(picture, form="PNG", **options):
    written = io.BytesIO()
    Image.fromarray(picture).save(written, form, **options)
    return written.getvalue()


class Gated:
    """A real encoder behind a gate, so that tests decide what is waiting when; keeps the sizes of what went through."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.open, self.arrived, self.sizes = threading.Event(), threading.Semaphore(0), []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def shut(self):
        """As new."""
        self.open.clear()
        self.arrived, self.sizes = threading.Semaphore(0), []

    def encode(self, frames):
        self._pass(len(frames))
        return self._encoder.encode(frames)

    def encode_text(self, texts):
        self._pass(len(texts))
        return self._encoder.encode_text(texts)

    def _pass(self, size):
        self.sizes.append(size)
        self.arrived.release()
        assert self.open.wait(60)


@contextmanager
def at_once(*calls):
    """The calls in threads of their own; the list of their answers is full when the block is left."""
    answers: list[Any] = [None] * len(calls)

    def one(place):
        answers[place] = calls[place]()

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        for thread in threads:
            thread.join(60)
