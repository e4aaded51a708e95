"""`doctor` says what is wrong and what to do about it."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from clipreel import cli
from clipreel.configs.doctor_schema import DoctorConfig
from clipreel.extract import doctor


def finding(name, **keys):
    (found,) = [one for one in doctor.examine(DoctorConfig(**{"self_test": False, **keys})) if one.name == name]
    return found


def test_a_sound_installation(capsys, tmp_path):
    assert cli.main(["doctor", f"output_path={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "8 frames of a sample video decoded and encoded" in said
    assert said.endswith("all is well\n")
    assert "torch " in said
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_NEEDED", ("numpy", "no-such-package"))
    assert cli.main(["doctor", "self_test=false"]) == 1
    said = capsys.readouterr().out
    assert "no-such-package not installed" in said
    assert "-> pip install no-such-package" in said
    assert said.endswith("1 fault\n")


def test_a_package_that_cannot_be_imported(tmp_path):
    """As a torch that lacks a library, and an av.py of one's own. Of its own process, for here they are imported already."""
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    (tmp_path / "av.py").touch()
    main = Path(doctor.__file__).parent.parent / "main.py"
    done = subprocess.run([sys.executable, str(main), "doctor"], env={**os.environ, "PYTHONPATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "torch            cannot be imported (OSError: libcudart.so.13: cannot open" in done.stdout
    assert f"av               is hidden by {tmp_path / 'av.py'}" in done.stdout
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert finding("output_path", output_path=str(tmp_path / "file" / "below")).state == "fault"
    assert finding("output_path", output_path=str(tmp_path / "new" / "below")).state == "ok"
    assert [finding("output_path", output_path=name).state for name in ("~nobody-here/x", "x" * 5000)] == ["fault", "fault"]


def test_little_room(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 10**9, 10**9))
    found = finding("output_path", output_path=str(tmp_path))
    assert (found.state, found.text.endswith("1.0 GB free")) == ("note", True)
    assert found.advice
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 0))
    assert finding("output_path", output_path=str(tmp_path)).state == "fault"


def test_a_sample_that_is_damaged(tmp_path, monkeypatch):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    monkeypatch.setattr(doctor, "_SAMPLE", broken)
    found = finding("self-test", self_test=True)
    assert found.state == "fault"
    assert found.advice


@pytest.mark.needs_cuda
def test_every_gpu_is_named():
    assert finding("cuda:0").state == "ok"
    tests = [one for one in doctor.examine(DoctorConfig(self_test=True)) if one.name == "self-test"]
    assert [one.text.partition(":")[0] for one in tests] == ["cpu", *["cuda"] * torch.cuda.device_count()]
    assert {one.state for one in tests} == {"ok"}
