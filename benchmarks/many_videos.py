"""Time and memory over the number of videos: a file a video and files of many, each in a process of its own.

usage: python benchmarks/many_videos.py [--counts 10 100 1000 10000] [--layouts save_numpy save_hdf5/1000 …] [--batch-size 32]
The videos are links to one of five seconds of 426x240 H.264, each with a name of its own, at 1 fps, with the demonstration model.

They are one content: a link has the content id (size and three pieces of the file) of what it links to. Keys come of names, so
every one is read, decoded, encoded and stored for itself, and nothing is taken from another; that the rows are all there is
checked. Only the page cache knows that the bytes are the same, so this measures no disk that reads.

The model is loaded and warmed on 10 of the videos before the clock runs. "beside" is what the peak of memory grew by after that,
"again" a second run, which skips every video: in the same process, after the peak was taken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from videos import make_video

ROWS = 5
CHILD = """
import json, os, resource, sys, time
from clipreel import extract_features, load_encoder
folder, warm, output, layout, batch_size = sys.argv[1:]
form, _, number = layout.partition("/")
encoder = load_encoder("clip", "tiny", device="cpu")
keys = {"encoder": encoder, "extraction_fps": 1, "batch_size": int(batch_size), "on_extraction": form,
        "videos_per_file": int(number) if number else None}
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
extract_features(warm, **keys, output_path=output + "/warm")
before, began = peak(), time.perf_counter()
report = extract_features(folder, **keys, output_path=output + "/out")
seconds, after, began = time.perf_counter() - began, peak(), time.perf_counter()
again = extract_features(folder, **keys, output_path=output + "/out")
files = [os.path.join(at, name) for at, _, names in os.walk(output + "/out/clip") for name in names]
sys.stdout.write(json.dumps({
    "seconds": seconds, "rows": report.frames, "done": len(report.done), "failed": len(report.failed), "peak_mb": after,
    "beside_mb": after - before, "write_seconds": report.write_seconds, "decode_seconds": report.decode_seconds,
    "encode_seconds": report.encode_seconds, "files": len(files), "stored_mb": sum(map(os.path.getsize, files)) / 1e6,
    "again_seconds": time.perf_counter() - began, "skipped": len(again.skipped)}))
"""


def linked(video: Path, folder: Path, count: int) -> Path:
    """A folder of so many names for the video."""
    folder.mkdir()
    for number in range(count):
        os.link(video, folder / f"video {number:06d}.mp4")
    return folder


def measure(videos: Path, warm: Path, output: Path, layout: str, batch_size: int) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", CHILD, str(videos), str(warm), str(output), layout, str(batch_size)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    arguments.add_argument("--layouts", nargs="+", default=["save_numpy", "save_hdf5", "save_hdf5/1000", "save_webdataset/1000"])
    arguments.add_argument("--batch-size", type=int, default=32)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = make_video(folder / "five_seconds_240p.mp4", seconds=5, width=426, height=240)
        warm = linked(video, folder / "warm", 10)
        sys.stdout.write(f"{'layout':>20} {'videos':>7} {'s':>8} {'ms/video':>9} {'peak MB':>8} {'beside':>7} {'files':>6} "
                         f"{'MB':>7} {'again s':>8}\n")
        for layout in options.layouts:
            for count in options.counts:
                place = folder / f"{layout.replace('/', '-')} {count}"
                place.mkdir()
                found = measure(linked(video, place / "videos", count), warm, place / "stored", layout, options.batch_size)
                if (found["done"], found["skipped"], found["rows"]) != (count, count, ROWS * count):
                    raise SystemExit(f"{layout}, {count} videos: {found}")
                sys.stdout.write(
                    f"{layout:>20} {count:>7} {found['seconds']:>8.2f} {1000 * found['seconds'] / count:>9.2f} "
                    f"{found['peak_mb']:>8.0f} {found['beside_mb']:>7.1f} {found['files']:>6.0f} {found['stored_mb']:>7.2f} "
                    f"{found['again_seconds']:>8.2f}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
