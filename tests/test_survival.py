"""A run that is interrupted or killed, for real: what was finished is kept, and a rerun ends as a clean run does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from clipreel import extract_features
from clipreel.tests.media import Recipe

MAIN = Path(__file__).resolve().parent.parent / "main.py"
VIDEOS = 40


@pytest.fixture(scope="module")
def many_videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for number in range(4):
        Recipe(frames=75, size=(192, 128), first_number=number).write(folder / f"{number:02}.mp4")
    for number in range(4, VIDEOS):
        shutil.copy(folder / f"{number % 4:02}.mp4", folder / f"{number:02}.mp4")
    return folder


@pytest.fixture(scope="module")
def clean(many_videos, tiny, tmp_path_factory):
    """A run that nothing happened to, and its folder."""
    folder = tmp_path_factory.mktemp("clean")
    return extract_features(many_videos, encoder=tiny, **settings(folder)), folder


def settings(output):
    return {"on_extraction": "save_numpy", "output_path": str(output), "batch_size": 8, "extraction_fps": 5}


def answer_interrupts():
    """A shell's background jobs, and so perhaps this whole test run, are born deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(videos, output, *words):
    return subprocess.Popen([sys.executable, str(MAIN), f"video_paths={videos}", "model_name=tiny", "workers=2", *words,
                             *(f"{key}={value}" for key, value in settings(output).items())],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=answer_interrupts)


def wait_for_marks(process, output, count):
    deadline = time.monotonic() + 120
    while len(list(output.glob("clip/tiny/*_meta.json"))) < count:
        assert process.poll() is None, f"the run ended too early: {process.stderr.read()}"
        assert time.monotonic() < deadline, "no video was done in two minutes"
        time.sleep(0.005)


def contents(output):
    """Everything but what depends on how frames fell into batches: file names, keys, times, metadata."""
    found = {}
    for path in sorted(output.rglob("*")):
        if path.name.endswith("_meta.json"):
            mark = json.loads(path.read_text())
            mark["contents"][f"{mark['key']}_clip.npy"].pop("sha256")
            found[path.name] = mark
        elif path.is_file() and not path.name.endswith("_clip.npy"):
            found[path.name] = path.read_bytes()
        elif path.is_file():
            found[path.name] = path.stat().st_size
    return found


@pytest.mark.parametrize(("signal_sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_rerun_equals_a_clean_run(many_videos, clean, tiny, tmp_path, signal_sent, code):
    process = start(many_videos, tmp_path / "out")
    wait_for_marks(process, tmp_path / "out", 3)
    os.kill(process.pid, signal_sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    kept = len(list((tmp_path / "out").glob("clip/tiny/*_meta.json")))
    assert 3 <= kept < VIDEOS
    rerun, (whole, folder) = extract_features(many_videos, encoder=tiny, **settings(tmp_path / "out")), clean
    assert len(rerun.skipped) == kept
    assert len(rerun.done) == VIDEOS - kept
    assert contents(tmp_path / "out") == contents(folder)
    for key, features in whole.features.items():
        a, b = features.features, rerun.features[key].features
        assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() >= 0.999999
