"""Features of a pair of videos: through our store, against the published program's way.

That way: every frame is decoded, every step-th kept, all kept bytes hashed, each frame written as a PNG file, the files' paths
posted to a server, which opens and prepares them one by one, encodes batches of 100, and answers floats as JSON, kept twice as
JSON texts in a database. Its PNG files are written by OpenCV, which is the faster one, and not counted as disk. Both sides have
the same encoder of 1280 numbers, which costs next to nothing (it returns pixels), so that what is timed is all the rest.

usage: python benchmarks/differencing_features.py [--seconds 10] [--rounds 3]      needs opencv-python-headless
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import cv2  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from clipreel import extract_features
from free_encoder import MEAN, STD, Pixels, free_encoder
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor
from videos import make_video

FPS, BATCH = 8, 100
TIME_GOAL, DISK_GOAL = 0.3, 1 / 8

ENCODER = free_encoder()


class Server(BaseHTTPRequestHandler):
    prepare = Compose([Resize(224, InterpolationMode.BICUBIC), CenterCrop(224), ToTensor(), Normalize(MEAN, STD)])

    @torch.inference_mode()
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        pictures = [torch.as_tensor(self.prepare(Image.open(path))) for path in json.loads(form["image"][0])]
        rows = torch.cat([Pixels().encode_image(torch.stack(pictures[begin:begin + BATCH]))
                          for begin in range(0, len(pictures), BATCH)])
        rows /= rows.norm(dim=1, keepdim=True)
        body = json.dumps({"embeddings": rows.tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def published_way(videos: list[Path], folder: Path, url: str) -> int:
    """Rows of all videos; leaves `embeddings.db` in `folder`."""
    database, rows = sqlite3.connect(folder / "embeddings.db"), 0
    database.execute("CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT)")
    for video in videos:
        with av.open(str(video)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        kept = np.stack(frames[::int(30 / FPS)])
        digest = hashlib.sha256(kept.tobytes()).hexdigest()
        paths = [str(folder / f"arr_{digest}_frame_{number}.png") for number in range(len(kept))]
        for path, frame in zip(paths, kept, strict=True):
            cv2.imwrite(path, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        form = urllib.parse.urlencode({"image": json.dumps(paths)}).encode()
        with urllib.request.urlopen(url, form) as answer:
            embeddings = json.load(answer)["embeddings"]
        with database:
            database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)",
                                 [(path, json.dumps(row)) for path, row in zip(paths, embeddings, strict=True)])
            database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (digest, json.dumps(embeddings)))
        rows += len(embeddings)
    database.close()
    return rows


def ours(videos: list[Path], folder: Path) -> int:
    report = extract_features(videos, encoder=ENCODER, extraction_fps=FPS, dtype="float16", on_extraction="save_numpy",
                              output_path=str(folder))
    if report.failed:
        raise SystemExit(report.failed)
    return sum(len(report.features[key]) for key in report.features)


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    cache = Path(tempfile.gettempdir())
    videos = [make_video(cache / f"clipreel_pair_{side}_{options.seconds:g}.mp4", seconds=options.seconds, seed=side)
              for side in (1, 2)]
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, shares, disks = f"http://127.0.0.1:{server.server_port}/", [], []
    said = io.StringIO()
    for number in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as theirs, tempfile.TemporaryDirectory() as own:
            began = time.perf_counter()
            their_rows = published_way(videos, Path(theirs), url)
            between = time.perf_counter()
            our_rows = ours(videos, Path(own))
            ended = time.perf_counter()
            if number == 0:
                continue  # both sides warm
            their_row, our_row = (between - began) / their_rows, (ended - between) / our_rows
            shares.append(our_row / their_row)
            disks.append(bytes_below(Path(own)) / our_rows / (bytes_below(Path(theirs)) / their_rows))
            said.write(f"published {between - began:.2f} s, {their_rows} rows, {bytes_below(Path(theirs)) / 1e3:.0f} kB; "
                       f"ours {ended - between:.2f} s, {our_rows} rows, {bytes_below(Path(own)) / 1e3:.0f} kB\n")
    server.shutdown()
    sys.stdout.write(f"{said.getvalue()}a row, medians: time {statistics.median(shares):.3f} (goal {TIME_GOAL}), disk "
                     f"{statistics.median(disks):.4f} (goal {DISK_GOAL})\n")


if __name__ == "__main__":
    main()
