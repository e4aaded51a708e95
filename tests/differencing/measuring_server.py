"""A model with eyes for tests: a process that is sent pictures and a question over HTTP, and measures the pictures.

It speaks OpenAI's chat completions. Nothing reaches it but what the request holds: the colour, kind, size and place of the one
saturated blob in each picture, and the times in the labels, decide the answer.

usage: python measuring_server.py        prints its port
"""

from __future__ import annotations

import base64
import colorsys
import io
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

HUES = {"red": 0, "yellow": 54, "green": 124, "cyan": 184, "blue": 228, "purple": 288}
LABEL = re.compile(r"Video ([AB]), frame \d+ of \d+, at ([\d.]+) s")


def measure(picture):
    """uint8 RGB [h, w, 3] -> hue in degrees, area, centre x and y (0 to 1), kind; None where nothing is coloured."""
    pixels = picture.astype(float)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    mask = spread > 60
    if mask.sum() < 12:
        return None
    rows, columns = np.nonzero(mask)
    hue = colorsys.rgb_to_hsv(*(np.median(pixels[mask], axis=0) / 255))[0] * 360
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    box = (bottom - top + 1) * (right - left + 1)
    middle = mask[(top + bottom) // 2 - 1:(top + bottom) // 2 + 2, (left + right) // 2 - 1:(left + right) // 2 + 2].mean()
    fill = mask.sum() / box
    kind = "ring" if middle < 0.5 else "triangle" if fill < 0.65 else "circle" if fill < 0.83 else "square"
    return {"hue": hue, "area": mask.sum() / mask.size, "x": columns.mean() / mask.shape[1], "y": rows.mean() / mask.shape[0],
            "kind": kind}


def degree(statement, seen):
    """How true the statement is of one video's frames [(seconds, measure)], a number."""
    seen = [(seconds, one) for seconds, one in seen if one is not None]
    if not seen:
        return 0.0
    first, last = seen[0], seen[-1]
    if "before" in statement:
        return (last[1]["x"] - first[1]["x"]) * (1 if re.search(r"left before", statement) else -1)
    if "crosses" in statement:
        speed = abs(last[1]["x"] - first[1]["x"]) / max(last[0] - first[0], 1e-6)
        return -speed if "slowly" in statement else speed
    middle = seen[len(seen) // 2][1]
    if "large" in statement or "small" in statement:
        return middle["area"] * (1 if "large" in statement else -1)
    if "left" in statement or "right" in statement:
        return middle["x"] * (1 if "right" in statement else -1)
    if "top" in statement or "bottom" in statement:
        return middle["y"] * (1 if "bottom" in statement else -1)
    colour = next((hue for name, hue in HUES.items() if name in statement), None)
    if colour is not None:
        away = abs(middle["hue"] - colour) % 360
        return -min(away, 360 - away)
    return float(middle["kind"] in statement)


def answer(content):
    video, seconds, seen, statement = "", 0.0, {"A": [], "B": []}, ""
    for part in content:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            seen[video].append((seconds, measure(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))))
        elif LABEL.match(part["text"]):
            label = LABEL.match(part["text"])
            assert label is not None
            video, seconds = label[1], float(label[2])
        else:
            found = re.search(r"The statement: (.*)", part["text"])
            statement = found[1] if found else ""
    a, b = degree(statement, seen["A"]), degree(statement, seen["B"])
    return {"explanation": f"A {a:.3f}, B {b:.3f}", "answer": "a" if a >= b else "b"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: two would wait for each other, 40 ms

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(answer(request["messages"][-1]["content"]))
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": request["model"], "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
