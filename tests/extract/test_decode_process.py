"""The process that decodes, as one that takes too much memory or was taken over."""

import threading

import pytest
from clipreel import extract_features
from clipreel.extract import decode_process
from clipreel.extract.decode_process import DecodeProcesses
from clipreel.extract.isolated_decode import IsolatedReader
from PIL import Image


def test_an_answer_that_is_no_array_of_numbers_is_refused(zoo, monkeypatch):
    """A child that was taken over cannot send objects."""
    code = """import struct, sys
for said in (b'{{"ready": true}}', b'{{"arrays": [["object", [1]]]}}'):
    sys.stdout.buffer.write(struct.pack("<I", len(said)) + said)
sys.stdout.buffer.flush()
sys.stdin.read()"""
    monkeypatch.setattr(decode_process, "_CHILD", code)
    processes = DecodeProcesses(threading.Event())
    with pytest.raises(ValueError, match="not in tuple"):
        IsolatedReader(processes, "auto", None, None).index(zoo("h264.mp4"))
    processes.close()


def test_a_video_that_takes_too_much_memory_is_a_failure(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(decode_process, "_CHILD", decode_process._CHILD.replace(
        "serve; serve()", "serve; import {package}.decode_child as child; child.MEMORY_BYTES = 200 << 20; serve()"))
    Image.new("L", (9000, 8000)).save(tmp_path / "a.mp4", "JPEG")
    (failure,) = extract_features(tmp_path / "a.mp4", encoder=tiny, isolate=True).failed
    assert "Cannot allocate memory" in failure.reason
