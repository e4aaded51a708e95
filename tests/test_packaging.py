"""What gets installed: one package, everything it needs in it, working from a wheel in an empty folder."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_PACKAGES = {"tests", "benchmarks", "docs", "build", "dist", "output"}
DATA_SUFFIXES = {".yml", ".safetensors", ".mp4", ".webm", ".txt"}


@pytest.fixture(scope="module")
def config():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def folders():
    """Every folder with an __init__.py that is part of the package, the root included."""
    for path in sorted(ROOT.rglob("__init__.py")):
        parts = path.parent.relative_to(ROOT).parts
        if not parts or (parts[0] not in NOT_PACKAGES and not any(part.startswith(".") for part in parts)):
            yield path.parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git would give, without what building leaves."""
    copy = tmp_path_factory.mktemp("checkout") / "repository"
    skipped = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "docs", "tests", "benchmarks", "*.pth")
    shutil.copytree(ROOT, copy, ignore=skipped, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout):
    out = checkout.parent / "wheel"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet",
                    "--disable-pip-version-check", "--wheel-dir", str(out), str(checkout)], check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel):
    target = wheel.parent.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(folder, *words, path):
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=120, check=False)


def test_the_list_of_packages_is_the_folders(config):
    listed = config["options"]["packages"].split()
    assert listed == [".".join(["clipreel", *folder.relative_to(ROOT).parts]) for folder in folders()]


def test_package_data_covers_the_files(config):
    for folder in folders():
        name = ".".join(["clipreel", *folder.relative_to(ROOT).parts])
        covered = {pattern.strip() for pattern in config["options.package_data"].get(name, "").split(",")}
        for path in folder.iterdir():
            if path.suffix in DATA_SUFFIXES and folder != ROOT:
                assert f"*{path.suffix}" in covered, f"{path.relative_to(ROOT)} would not be installed"


def test_the_console_script_resolves(config):
    name, target = (word.strip() for word in config["options.entry_points"]["console_scripts"].strip().split("="))
    module, _, function = target.partition(":")
    assert name == "clipreel"
    assert callable(getattr(import_module(module), function))


def test_the_wheel_holds_one_package_and_all_of_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {"clipreel", f"clipreel-{wheel.name.split('-')[1]}.dist-info"}
    for folder in folders():
        for path in folder.iterdir():
            if path.suffix in DATA_SUFFIXES | {".py"} and path.name != "main.py" and (folder != ROOT or path.suffix == ".py"):
                assert f"clipreel/{path.relative_to(ROOT)}" in names
    page = ROOT / "investigator" / "static"
    assert {f"clipreel/{path.relative_to(ROOT)}" for path in page.iterdir()} <= names
    assert not [name for name in names if "/tests/" in name or "/benchmarks/" in name or "/output/" in name]


def test_a_wheel_works_from_an_empty_folder(installed, tmp_path):
    help_ = run(tmp_path, "-m", "clipreel", "feature_type=clip", "--help", path=installed)
    assert (help_.returncode, help_.stderr) == (0, "")
    assert "model_name = ViT-B/32" in help_.stdout
    video = installed / "clipreel" / "sample" / "red_circle_then_blue_square.mp4"
    done = run(tmp_path, "-m", "clipreel", "feature_type=clip", "model_name=tiny", "extraction_fps=1", "device=cpu",
               f"video_paths={video}", "--show_pred", "--pred_texts", "['a red circle', 'a blue square']", path=installed)
    assert done.returncode == 0, done.stderr
    assert "frame 7: [" in done.stdout
    assert "timestamps_ms" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_main_py_says_when_another_clipreel_runs(checkout, installed, tmp_path):
    said = run(tmp_path, checkout / "main.py", "--help", path=installed)
    assert said.returncode == 0
    assert "usage:" in said.stdout
    assert f"note: this runs the clipreel installed from {installed / 'clipreel'}, not the checkout at {checkout}" in said.stderr


def test_main_py_says_how_to_install(monkeypatch, capsys):
    specification = spec_from_file_location("main_of_the_checkout", ROOT / "main.py")
    assert specification is not None and specification.loader is not None
    specification.loader.exec_module(main := module_from_spec(specification))
    monkeypatch.setitem(sys.modules, "clipreel", None)  # as where it is not installed
    assert main.main() == 2
    assert f"pip install -e {ROOT}" in capsys.readouterr().err
