"""The first curve of a 10-minute 720p video: from the HTTP request to the coarse and to the whole curve, against the command line.

usage: python benchmarks/investigator_curve.py [--rounds N] [--minutes M]
The demonstration model, 1 fps, encoder loaded, nothing stored. `coarse`: a curve of keyframes, each at its true time, can be
fetched; `whole`: the curve of the plan is complete and stored. Beside it extract_features with the same loaded encoder, and the
whole command (Python's and torch's start-up included).
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clipreel import extract_features, load_encoder
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.extract.decode.index import index_video
from clipreel.investigator.passes import keyframes
from clipreel.investigator.server import InvestigatorServer
from videos import loop_packets, make_video

MAIN = Path(__file__).resolve().parents[1] / "main.py"


def asked(port: int, method: str, path: str, content: Any = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps(content).encode() if content is not None else None
    connection.request(method, path, body, {"content-type": "application/json"} if body is not None else {})
    answer = connection.getresponse().read()
    connection.close()
    return answer


def header_of(port: int, video: str, queries: str) -> dict[str, Any]:
    data = asked(port, "GET", f"/api/videos/{video}/curves?q={queries}")
    (length,) = struct.unpack("<I", data[:4])
    return json.loads(data[4:4 + length])


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--minutes", type=float, default=10)
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    short = make_video(folder / "clipreel_720p_default.mp4")
    video = folder / f"clipreel_720p_{options.minutes:g}_minutes.mp4"
    if not video.exists():
        loop_packets(short, video, math.ceil(options.minutes * 60 / 90) * 90)  # whole turns of 90 s: not less
    wanted = len(keyframes(index_video(video)))
    encoder = load_encoder("clip", "tiny", device="cpu")
    rows: dict[str, list[float]] = {"coarse": [], "whole": [], "extract_features": [], "command": []}
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as output:
            config = InvestigatorConfig(video_path=str(video), output_path=output, port=0, device="cpu")
            server = InvestigatorServer(config, encoder).start()
            state = json.loads(asked(server.port, "GET", "/api/state"))
            query = json.loads(asked(server.port, "POST", "/api/queries", {"text": "a red circle"}))["id"]
            asked(server.port, "GET", f"/api/videos/{state['video']}")
            began = time.perf_counter()
            asked(server.port, "POST", f"/api/videos/{state['video']}/analyse", {})
            while header_of(server.port, state["video"], query)["rows"] < wanted:
                time.sleep(0.05)
            rows["coarse"].append(time.perf_counter() - began)
            while not header_of(server.port, state["video"], query)["complete"]:
                time.sleep(0.25)
            rows["whole"].append(time.perf_counter() - began)
            server.stop()
        with tempfile.TemporaryDirectory() as output:
            began = time.perf_counter()
            extract_features(video, encoder=encoder, extraction_fps=1, batch_size=16, on_extraction="save_numpy",
                             output_path=output)
            rows["extract_features"].append(time.perf_counter() - began)
        with tempfile.TemporaryDirectory() as output:
            began = time.perf_counter()
            subprocess.run([sys.executable, str(MAIN), "feature_type=clip", "model_name=tiny", "extraction_fps=1", "batch_size=16",
                            f"video_paths={video}", "on_extraction=save_numpy", f"output_path={output}", "device=cpu"],
                           check=True, capture_output=True)
            rows["command"].append(time.perf_counter() - began)
        sys.stdout.write(f"round {number}: " + ", ".join(f"{name} {values[-1]:.2f} s" for name, values in rows.items()) + "\n")
    middle = {name: statistics.median(values) for name, values in rows.items()}
    sys.stdout.write(f"{wanted} keyframes; medians: " + ", ".join(f"{name} {value:.2f} s" for name, value in middle.items())
                     + f"; whole / extract_features {middle['whole'] / middle['extract_features']:.2f}, whole / command "
                       f"{middle['whole'] / middle['command']:.2f}\n")


if __name__ == "__main__":
    main()
