"""Real HTTP to a running server, without a library that would tidy requests up."""

import http.client
import json
import struct
import time
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Every request on a connection of its own. `host`: what the Host header says."""

    def __init__(self, port: int, address: str = "127.0.0.1"):
        self.port, self.address = port, address

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=180)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, None, **headers)

    def post(self, path: str, content: Any = None, **headers: str) -> Answer:
        return self.send("POST", path, json.dumps(content if content is not None else {}).encode(),
                         **{"content-type": "application/json", **headers})

    def text(self, text: str) -> str:
        """A text query's id."""
        answer = self.post("/api/queries", {"text": text})
        assert answer.status == 200, answer.body
        return answer.json["id"]

    def curves(self, video: str, queries: list[str], scale: str = "raw") -> tuple[dict, np.ndarray, np.ndarray]:
        """(header, times [n], scores [m, n])."""
        answer = self.get(f"/api/videos/{video}/curves?q={','.join(queries)}&scale={scale}")
        assert answer.status == 200, answer.body
        (length,) = struct.unpack("<I", answer.body[:4])
        header = json.loads(answer.body[4:4 + length])
        times = np.frombuffer(answer.body, "<f8", header["rows"], 4 + length)
        scores = np.frombuffer(answer.body, "<f4", offset=4 + length + 8 * len(times)).reshape(len(queries), -1)
        return header, times, scores

    def wait(self, job: str, *states: str, seconds: float = 180) -> dict:
        """The job when it is in one of these states (done, failed or cancelled)."""
        until, record = time.monotonic() + seconds, None
        while time.monotonic() < until:
            record = self.get(f"/api/jobs/{job}").json
            if record["state"] in (states or ("done", "failed", "cancelled")):
                return record
            time.sleep(0.02)
        raise AssertionError(f"still {record}")

    def analyse(self, video: str, **content: Any) -> dict:
        answer = self.post(f"/api/videos/{video}/analyse", content)
        assert answer.status == 200, answer.body
        record = answer.json
        if record["state"] != "done":
            record = self.wait(record["id"])
        assert record["state"] == "done", record
        return record
