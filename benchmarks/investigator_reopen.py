"""Re-opening an analysed two-hour video (7,200 rows at 1 fps), and adding texts to it, over HTTP.

usage: python benchmarks/investigator_reopen.py [--rounds N]
The features are stored by the command line's extractor beforehand. `open`: a new server's first answers to what a page asks:
its state, the video's record, 12 texts that are known on the disk, and their curves on the baseline scale. `text`: a new
text, and its curve.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from clipreel import extract_features, load_encoder
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.investigator.server import InvestigatorServer
from investigator_curve import asked, header_of
from videos import loop_packets, make_video

COLOURS, FORMS = ("red", "green", "blue"), ("circle", "square", "triangle", "ring")
TEXTS = [f"a {colour} {form}" for colour in COLOURS for form in FORMS]


def two_hours(folder: Path) -> Path:
    """A file of two hours, of 320x180."""
    video = folder / "clipreel_180p_two_hours.mp4"
    if not video.exists():
        short = make_video(folder / "clipreel_180p.mp4", width=320, height=180, seconds=60)
        loop_packets(short, video, 7200)
    return video


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    video, output = two_hours(folder), folder / "clipreel_two_hours_output"
    encoder = load_encoder("clip", "tiny", device="cpu")
    report = extract_features(video, encoder=encoder, extraction_fps=1, on_extraction="save_numpy", output_path=str(output),
                              batch_size=32)
    rows = len(next(iter(report.features.values())))
    opened, texts = [], []
    for number in range(options.rounds + 1):  # the first one stores the 12 texts
        config = InvestigatorConfig(video_path=str(video), output_path=str(output), port=0, device="cpu")
        server = InvestigatorServer(config, encoder).start()
        port = server.port
        began = time.perf_counter()
        name = json.loads(asked(port, "GET", "/api/state"))["video"]
        asked(port, "GET", f"/api/videos/{name}")
        ids = [json.loads(asked(port, "POST", "/api/queries", {"text": text}))["id"] for text in TEXTS]
        header = header_of(port, name, ",".join(ids) + "&scale=baseline")
        seconds = time.perf_counter() - began
        assert header["rows"] == rows == 7200
        if number:
            opened.append(seconds)
            for place in range(20):
                began = time.perf_counter()
                query = json.loads(asked(port, "POST", "/api/queries", {"text": f"shape {time.time_ns()} {place}"}))["id"]
                header_of(port, name, f"{query}&scale=baseline")
                texts.append(1000 * (time.perf_counter() - began))
        server.stop()
    texts.sort()
    late = texts[int(0.95 * len(texts))]
    sys.stdout.write(f"open: median {statistics.median(opened):.3f} s, worst {max(opened):.3f} s of {len(opened)}\n"
                     f"a new text and its curve: median {statistics.median(texts):.1f} ms, p95 {late:.1f} ms of {len(texts)}\n")


if __name__ == "__main__":
    main()
