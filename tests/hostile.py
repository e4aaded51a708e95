"""Media files harmed from a seed, and a child process that extracts features of them, watched from outside.

    python -m clipreel.tests.hostile --count 2000 --seed 1

The child does file after file through the whole chain with the demonstration model. The parent kills it when a file takes
longer than its limit, and begins again behind it; a death, a hang, memory beyond the bound, and any opening of a file that was
not named are problems.
"""

import argparse
import ctypes
import json
import os
import random
import re
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 30.0  # a file, on a busy machine; whole ones of the zoo take a tenth of one
MEGABYTES = 1200  # of the child at its height; 450 of them are torch and the model
CHILD = "from clipreel.tests.hostile import child; child()"
BASES = ("h264.mp4", "fragmented.mp4", "edit_list.mp4", "hevc.mp4", "vp9.webm", "av1.mp4", "mpeg4.avi", "mpeg2.ts", "h264.ts",
         "h264.mkv", "palette.gif", "raw.h264")
ATOMS = (b"mvhd", b"tkhd", b"mdhd", b"stts", b"stsz", b"stsc", b"stco", b"ctts", b"elst", b"avcC", b"hvcC", b"avc1", b"stss",
         b"trex", b"hdlr", b"moov", b"mdat", b"strh", b"strf", b"avih", b"idx1", b"\x2a\xd7\xb1", b"\x44\x89", b"\xb0\x82")
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutants(bases: list[Path], canary: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(file name, content): each a base harmed in one of the ways, or a playlist that names the canary."""
    contents = [(path.suffix, path.read_bytes()) for path in bases]
    for number in range(count):
        dice = random.Random(f"{seed}/{number}")
        suffix, data = dice.choice(contents)
        way = dice.choice((_bits, _bits, _cut, _splice, _numbers, _numbers, _moved, None))
        if way is None:
            yield f"{number}_playlist{dice.choice(('.m3u8', '.mp4', '.ffconcat', '.sdp', '.mpd', '.mkv'))}", _playlist(dice, canary)
            continue
        other = dice.choice(contents)[1]
        yield f"{number}{way.__name__}{suffix}", way(dice, bytearray(data), other)


def _bits(dice: random.Random, data: bytearray, other: bytes) -> bytes:
    reach = len(data) if dice.random() < 0.5 else min(len(data), 2000)
    for _ in range(dice.choice((1, 4, 32, 256))):
        data[dice.randrange(reach)] ^= 1 << dice.randrange(8)
    return bytes(data)


def _cut(dice: random.Random, data: bytearray, other: bytes) -> bytes:
    return bytes(data[:dice.randrange(len(data))])


def _splice(dice: random.Random, data: bytearray, other: bytes) -> bytes:
    return bytes(data[:dice.randrange(len(data))]) + other[dice.randrange(len(other)):]


def _numbers(dice: random.Random, data: bytearray, other: bytes) -> bytes:
    """Giant or senseless sizes, counts, durations and dimensions where headers have theirs."""
    for _ in range(dice.choice((1, 2, 4))):
        places = [place for atom in ATOMS if (place := data.find(atom)) >= 0]
        start = dice.choice(places) + 4 if places else 0
        offset, width = start + dice.randrange(90), dice.choice((1, 2, 4))
        if offset + width <= len(data):
            value = dice.choice(NUMBERS) & ((1 << 8 * width) - 1)
            data[offset:offset + width] = struct.pack(">Q", value)[8 - width:]
    return bytes(data)


def _moved(dice: random.Random, data: bytearray, other: bytes) -> bytes:
    begin, length, target = dice.randrange(len(data)), dice.randrange(1, 400), dice.randrange(len(data))
    part = data[begin:begin + length]
    if dice.random() < 0.5:
        del data[begin:begin + length]
    data[target:target] = part * dice.choice((1, 2, 20))
    return bytes(data)


def _playlist(dice: random.Random, canary: Path) -> bytes:
    target = dice.choice((str(canary), canary.name, f"file:{canary}", canary.as_uri(), f"concat:{canary}|{canary}",
                          f"subfile,,start,0,end,0,,:{canary}", f"crypto:{canary}", "http://127.0.0.1:9/x.ts"))
    return dice.choice((
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n",
        '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:4,\n{}\n', "ffconcat version 1.0\nfile '{}'\n", "file '{}'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet>'
        "</Period></MPD>", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=control:{}\n",
    )).replace("{}", target).encode()


class Opened:
    """Whether anything opened a file, by the kernel's word (inotify)."""

    def __init__(self, path: Path):
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK)
        if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, os.fsencode(path), 0x20) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def __bool__(self) -> bool:
        try:
            return bool(os.read(self._descriptor, 4096))
        except BlockingIOError:
            return False


@dataclass(frozen=True)
class Outcome:
    """How the files ended, and what must not be. `problems`: (file, what)."""

    reasons: Counter[str]
    problems: list[tuple[str, str]]
    megabytes: float


def run(bases: list[Path], folder: Path, count: int, seed: int) -> Outcome:
    """Writes the mutants into `folder` and has children extract them."""
    canary = folder / "canary.ts"
    canary.write_bytes(bases[0].read_bytes())
    paths = []
    for name, content in mutants(bases, canary, count, seed):
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    opened, reasons, problems, height, next_one = Opened(canary), Counter[str](), [], 0.0, 0
    while next_one < len(paths):
        with _Child(paths[next_one:]) as child:
            while next_one < len(paths):
                said = child.line(SECONDS if child.began else SECONDS + 60)
                if said is None:
                    problems.append((paths[next_one].name, child.ended()))
                    next_one += 1
                    break
                height = max(height, said["megabytes"])
                if opened:
                    problems.append((paths[next_one].name, "opened another file"))
                if said["megabytes"] > MEGABYTES:
                    problems.append((paths[next_one].name, f"took {said['megabytes']:.0f} MB"))
                reasons[said["outcome"]] += 1
                next_one += 1
    return Outcome(reasons, problems, height)


class _Child:
    """A process that does files and says a line of JSON after each."""

    def __init__(self, paths: list[Path]):
        self._process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.DEVNULL)
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(map(str, paths)).encode())
        self._process.stdin.close()
        self._rest, self.began = b"", False

    def line(self, seconds: float):
        """None: it died, or said nothing for so long."""
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            if not select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            block = os.read(self._process.stdout.fileno(), 65536)
            if not block:
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        self.began = True
        return json.loads(line)

    def ended(self) -> str:
        try:
            return f"died with {self._process.wait(1)}"
        except subprocess.TimeoutExpired:
            return f"hung for {SECONDS:g} s"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def child() -> None:
    """Extracts the files that standard input lists."""
    from clipreel import extract_features, load_encoder

    encoder = load_encoder("clip", "tiny", device="cpu")
    for path in sys.stdin.read().split("\n"):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        report = extract_features(path, encoder=encoder, extraction_fps=2, fps=None)
        outcome = "done"
        if report.failed:
            outcome = re.sub(r"\d+", "N", report.failed[0].reason.replace(path, "FILE"))[:60]
        peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        sys.stdout.write(json.dumps({"outcome": outcome, "megabytes": peak / 1024}) + "\n")
        sys.stdout.flush()


def bases_in(folder: Path) -> list[Path]:
    """The whole files that mutants are made of."""
    from clipreel.tests.media import make_clip

    folder.mkdir(exist_ok=True)
    return [make_clip(name, folder) for name in BASES]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        outcome = run(bases_in(Path(folder, "bases")), Path(folder), options.count, options.seed)
    for reason, times in outcome.reasons.most_common(25):
        sys.stdout.write(f"{times:5} {reason}\n")
    for name, problem in outcome.problems:
        sys.stdout.write(f"PROBLEM {name}: {problem}\n")
    sys.stdout.write(f"{options.count} files in {time.perf_counter() - began:.0f} s, at most {outcome.megabytes:.0f} MB, "
                     f"{len(outcome.problems)} problems\n")
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
