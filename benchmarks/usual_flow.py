"""The usual flow, timed, as the yardstick of the other benchmarks.

ffmpeg re-encodes the video at FPS without sound, OpenCV reads it, PIL prepares, CLIP encodes in batches of 32,
with inference_mode and the same number of threads as ours. Prints its parts, without imports and model loading.
DEVICE=cuda in the environment: the network is there, its features come back to the host.
usage: usual_flow.py CHECKPOINT FPS VIDEO...     needs ffmpeg on the path, opencv-python-headless, clip
"""

import os
import subprocess
import sys
import tempfile
import time

import cv2  # pyright: ignore[reportMissingImports]
import torch
from clip.model import build_model
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

checkpoint, fps, *videos = sys.argv[1:]
device = os.environ.get("DEVICE", "cpu")
model = build_model(dict(torch.load(checkpoint, weights_only=True))).float().eval().to(device)
size = model.visual.input_resolution
prepare = Compose([
    Resize(size, InterpolationMode.BICUBIC), CenterCrop(size), ToTensor(),
    Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
])
seconds = {"reencode": 0.0, "read_and_prepare": 0.0, "encode": 0.0}
rows = 0
with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
    for video in videos:
        t = time.perf_counter()
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", video, "-an", "-filter:v", f"fps=fps={fps}",
                        f"{folder}/a.mp4"], check=True)
        seconds["reencode"] += time.perf_counter() - t
        capture, batch, more = cv2.VideoCapture(f"{folder}/a.mp4"), [], True
        while more:
            t = time.perf_counter()
            more, frame = capture.read()
            if more:
                batch.append(prepare(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))))
            seconds["read_and_prepare"] += time.perf_counter() - t
            if batch and (len(batch) == 32 or not more):
                t = time.perf_counter()
                rows += len(model.encode_image(torch.stack(batch).to(device)).cpu())
                batch = []
                seconds["encode"] += time.perf_counter() - t
parts = ", ".join(f"{name} {spent:.2f}" for name, spent in seconds.items())
sys.stdout.write(f"{sum(seconds.values()):.2f} s, {rows} rows, {parts}\n")
