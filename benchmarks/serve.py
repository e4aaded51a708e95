"""The encoder server against the encoder in process: ViT-B/32 with random weights, 16 clients, and one alone.

usage: python benchmarks/serve.py [--precision float32|bfloat16] [--batch-size 16] [--seconds 15] [--rounds 3]
The server is a process of its own (`python main.py serve`, cache off, so that every image is encoded); clients are threads of
this process on connections that stay open, each sending the next image when its last is answered. Two kinds of image are sent:
the 224x224 uint8 crop as it lies in memory (150,528 bytes; what feature_type=remote sends), and a 640x360 JPEG, which the server
decodes and resizes. In process: the same crops in batches of the same size; for JPEGs the same decoding in as many threads as
cores, while the batch before is encoded. Rounds alternate, and medians count.

Measured on 2 cores of an Intel Xeon (AMX), clients on the same 2 cores, torch 2.15, November 2026; batch size 16, and the server's
batches were of 8 on average. float32, three runs: 16 clients reach 0.75, 0.89, 0.94 of in process with crops (25 to 29 images/s;
p95 of a request 0.60 to 0.82 s) and 0.73, 0.84, 0.92 with JPEGs (22 to 27 images/s; p95 0.69 to 1.18 s); one client's median is
0.6 to 3.0 ms (crops: 56 to 58 ms, p95 64 to 66) and 1.4 to 4.4 ms (JPEGs: 64 to 65 ms, p95 72 to 74) above in process. bfloat16,
one run: 0.85 and 0.88 (80 and 62 images/s, p95 0.25 and 0.28 s), +3.4 and +3.5 ms (29 and 33 ms, p95 37 and 42).
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from clipreel import load_encoder
from clipreel.models.base import Encoder
from clipreel.serving.pictures import crop_of
from PIL import Image
from whole_run import random_checkpoint

CLIENTS = 16
PATH = "/embed?format=raw"
CROP_HEADERS = {"Content-Type": "application/octet-stream", "Clipreel-Shape": "1,3,224,224"}
JPEG_HEADERS = {"Content-Type": "image/jpeg"}


def pictures(count: int) -> tuple[list[bytes], list[bytes]]:
    """(JPEGs, crops' bytes) of textured pictures."""
    generator, jpegs = np.random.default_rng(0), []
    for _ in range(count):
        coarse = generator.integers(0, 256, (46, 81, 3), dtype=np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((640, 360), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = np.clip(pixels + generator.integers(-8, 9, pixels.shape), 0, 255).astype(np.uint8)
        written = io.BytesIO()
        Image.fromarray(noisy).save(written, "JPEG", quality=90)
        jpegs.append(written.getvalue())
    crops = [generator.integers(0, 256, (3, 224, 224), dtype=np.uint8).tobytes() for _ in range(count)]
    return jpegs, crops


def ask(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> float:
    """Seconds of one request."""
    began = time.perf_counter()
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {content.decode()}")
    assert len(content) == 4 * 512
    return time.perf_counter() - began


def clients(url: str, bodies: list[bytes], headers: dict[str, str], count: int, seconds: float) -> tuple[float, list[float]]:
    """(images a second, seconds of every request) of `count` clients at once."""
    parts, latencies, stop = urlsplit(url), list[float](), time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        place = number
        while time.perf_counter() < stop:
            latencies.append(ask(connection, bodies[place % len(bodies)], headers))
            place += count
        connection.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(latencies) / (time.perf_counter() - began), latencies


def counters(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/info") as answer:
        return json.loads(answer.read())["counters"]


def in_process_crops(encoder: Encoder, crops: list[bytes], batch_size: int, seconds: float) -> float:
    """Images a second."""
    rows = np.stack([np.frombuffer(crop, dtype=np.uint8).reshape(3, 224, 224) for crop in crops])
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        batch = rows[(done + np.arange(batch_size)) % len(rows)]
        encoder.encode(torch.from_numpy(batch)).numpy()
        done += batch_size
    return done / (time.perf_counter() - began)


def in_process_jpegs(encoder: Encoder, jpegs: list[bytes], batch_size: int, seconds: float) -> float:
    """Images a second; the next batch is decoded while this one is encoded."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        def decode(first: int) -> list:
            return [pool.submit(crop_of, jpegs[(first + place) % len(jpegs)], encoder.preprocess, 10**8, "")
                    for place in range(batch_size)]

        began, done, coming = time.perf_counter(), 0, decode(0)
        while time.perf_counter() - began < seconds:
            crops, coming = np.stack([future.result() for future in coming]), decode(done + batch_size)
            encoder.encode(torch.from_numpy(crops)).numpy()
            done += batch_size
        took = time.perf_counter() - began
    return done / took


def alone_in_process(encode_one: Callable[[bytes], object], bodies: list[bytes], count: int) -> list[float]:
    taken = []
    for place in range(count):
        began = time.perf_counter()
        encode_one(bodies[place % len(bodies)])
        taken.append(time.perf_counter() - began)
    return taken


def percentile(seconds: list[float], percent: float) -> float:
    return 1000 * float(np.percentile(seconds, percent))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--precision", default="float32")
    arguments.add_argument("--batch-size", type=int, default=CLIENTS)
    arguments.add_argument("--seconds", type=float, default=15.0)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    checkpoint = random_checkpoint(Path(tempfile.gettempdir()) / "clipreel_vit_b_32_random.pt")
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    encoder = load_encoder("clip", "custom", checkpoint=str(checkpoint), precision=options.precision, device=device)
    jpegs, crops = pictures(64)

    def encode_crop(body: bytes) -> np.ndarray:
        return encoder.encode(torch.frombuffer(bytearray(body), dtype=torch.uint8).view(1, 3, 224, 224)).cpu().numpy()

    def encode_jpeg(body: bytes) -> np.ndarray:
        return encoder.encode(torch.from_numpy(crop_of(body, encoder.preprocess, 10**8, "")[None])).cpu().numpy()

    kinds = {"crop": (crops, CROP_HEADERS, in_process_crops, encode_crop),
             "jpeg": (jpegs, JPEG_HEADERS, in_process_jpegs, encode_jpeg)}
    main_py = Path(__file__).resolve().parents[1] / "main.py"
    server = subprocess.Popen(
        [sys.executable, str(main_py), "serve", "feature_type=clip", "model_name=custom", f"checkpoint={checkpoint}", "port=0",
         f"precision={options.precision}", f"batch_size={options.batch_size}", "cache_megabytes=0", f"device={device}"],
        stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = re.search(r"at (http://\S+);", line := server.stderr.readline())
        if found is None:
            raise RuntimeError(line + server.stderr.read())
        sys.stdout.write(f"{options.precision}, batch size {options.batch_size}, {os.cpu_count()} cores, "
                         f"JPEG {len(jpegs[0])} bytes\n")
        for name, (bodies, headers, in_process, encode_one) in kinds.items():
            rates: dict[str, list[float]] = {"in process": [], "served": []}
            latencies: dict[str, list[float]] = {"in process": [], "served": [], "16 clients": []}
            batches: list[float] = []
            in_process(encoder, bodies, options.batch_size, 1.0)
            clients(found[1], bodies, headers, CLIENTS, 1.0)
            for _ in range(options.rounds):
                rates["in process"].append(in_process(encoder, bodies, options.batch_size, options.seconds))
                before = counters(found[1])
                rate, seconds = clients(found[1], bodies, headers, CLIENTS, options.seconds)
                after = counters(found[1])
                rates["served"].append(rate)
                batches.append((after["encoded"] - before["encoded"]) / (after["batches"] - before["batches"]))
                latencies["16 clients"] += seconds
                alone_in_process(encode_one, bodies, 2)
                latencies["in process"] += alone_in_process(encode_one, bodies, 30)
                clients(found[1], bodies, headers, 1, 0.2)
                latencies["served"] += clients(found[1], bodies, headers, 1, options.seconds / 4)[1]
            here, there = (statistics.median(rates[key]) for key in ("in process", "served"))
            alone, served = (percentile(latencies[key], 50) for key in ("in process", "served"))
            sys.stdout.write(
                f"{name}: {CLIENTS} clients {there:.1f} images/s, in process {here:.1f}: {there / here:.2f} (goal 0.70), "
                f"batches of {statistics.mean(batches):.1f}; latency p50 {percentile(latencies['16 clients'], 50):.0f} ms, "
                f"p95 {percentile(latencies['16 clients'], 95):.0f} ms\n"
                f"{name}: one client p50 {served:.1f} ms, in process {alone:.1f}: {served - alone:+.1f} ms (goal +5); "
                f"p95 {percentile(latencies['served'], 95):.1f} ms, in process {percentile(latencies['in process'], 95):.1f} ms\n")
            sys.stdout.flush()
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
