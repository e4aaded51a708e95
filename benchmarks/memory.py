"""Peak memory of a two-hour video at 1 fps, beside the model: a child process loads the model, then extracts.

usage: python benchmarks/memory.py [--hours 2] [--model tiny]
The video is one short 720p clip whose packets are muxed again and again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from videos import loop_packets, make_video

CHILD = """
import resource, sys
from clipreel import extract_features, load_encoder
encoder = load_encoder("clip", sys.argv[2], device="cpu")
extract_features(sys.argv[3], encoder=encoder, extraction_total=64, batch_size=32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = extract_features(sys.argv[1], encoder=encoder, extraction_fps=1, batch_size=32, on_extraction="save_numpy",
                          output_path=sys.argv[4])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.stdout.write(f"{report.frames} rows in {report.wall_seconds:.0f} s; peak {after / 1024:.0f} MB, "
                 f"{(after - before) / 1024:.0f} MB of them beside the loaded and warmed model\\n")
"""


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--hours", type=float, default=2.0)
    arguments.add_argument("--model", default="tiny")
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    clip = make_video(folder / "clipreel_720p_10s.mp4", seconds=10)
    with tempfile.TemporaryDirectory() as output:
        long = Path(output) / "long.mp4"
        loop_packets(clip, long, options.hours * 3600)
        sys.stdout.write(f"{options.hours:g} hours of 720p, {long.stat().st_size / 1e9:.2f} GB\n")
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", CHILD, str(long), options.model, str(clip), output], check=True)


if __name__ == "__main__":
    main()
