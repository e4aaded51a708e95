"""The command line from the user's side: words, help, messages, exit codes. What commands do is tested with them."""

import importlib
import inspect
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clipreel import cli
from clipreel.commands import COMMANDS, Command
from clipreel.configs.load import keys_of
from clipreel.configs.schema import ExtractConfig, InspectConfig, PackConfig
from clipreel.errors import ConfigError, EmptyVideoError, InputError

MAIN = Path(__file__).resolve().parent.parent / "main.py"


@pytest.fixture
def configs(monkeypatch):
    """Commands that only take their config; the list of what they got."""
    got = []

    def take(config):
        got.append(config[0] if isinstance(config, list) else config)  # extract takes one config a model
        return 0

    monkeypatch.setattr(Command, "run", lambda self, config: take(config))
    return got


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_function_of_its_keys(name):
    module, _, function = COMMANDS[name].target.partition(":")
    found = getattr(importlib.import_module(f"clipreel.{module}"), function)
    (config,) = inspect.signature(found).parameters.values()
    assert COMMANDS[name].schema.__name__ in config.annotation
    assert COMMANDS[name].schema in {value for value in vars(sys.modules[found.__module__]).values() if isinstance(value, type)}


# words


@pytest.mark.parametrize("words", [
    ["video_paths=a b.mp4", "extraction_fps=2", "show_pred=true", "pred_texts=['x']"],
    ["--video_paths", "a b.mp4", "--extraction_fps", "2", "--pred_texts", "['x']", "--show_pred"],
    ["--video-paths=a b.mp4", "--extraction-fps=2", "--show-pred", "true", "--pred-texts=['x']"],
    ["--show_pred", "--video_paths=a b.mp4", "extraction_fps=9", "extraction_fps=2", "pred_texts=['x']"],
    ["extract", "--show_pred", "yes", "video_paths=a b.mp4", "pred_texts=['x']", "--extraction_fps", "2"],
    ["feature_type=clip", "--show_pred=on", "video_paths=[a b.mp4]", "--pred_texts=['x']", "--extraction_fps=2.0"],
])
def test_every_way_of_writing_a_key(configs, words):
    assert cli.main(words) == 0
    (config,) = configs
    assert (config.video_paths, config.extraction_fps, config.show_pred, config.pred_texts) == (("a b.mp4",), 2.0, True, ("x",))


@pytest.mark.parametrize(("words", "videos"), [
    (["--video_paths", "a=b.mp4"], ("a=b.mp4",)),
    (["video_paths=a=b.mp4"], ("a=b.mp4",)),
    (["video_paths=[a b.mp4, 'c, d.mp4']"], ("a b.mp4", "c, d.mp4")),
    (["video_paths=${x}"], ("${x}",)),
    (["video_paths=yes"], ("yes",)),
    (["video_paths=a: b"], ("a: b",)),
    (["video_paths=it's [1080p] \"x\".mp4"], ("it's [1080p] \"x\".mp4",)),
    (["video_paths=--odd.mp4"], ("--odd.mp4",)),
    (["--video_paths", "-odd.mp4"], ("-odd.mp4",)),
    (["video_paths=[]"], ()),
    (["video_paths=null"], ()),
])
def test_odd_words(configs, words, videos):
    assert cli.main([*words, "batch_size=1"]) == 0
    assert configs[0].video_paths == videos


def test_a_switch_takes_only_words_that_say_so(configs):
    assert cli.main(["inspect", "x"]) == cli.main(["pack", "a", "b", "--overwrite"]) == 0
    assert cli.main(["pack", "--overwrite", "a", "b"]) == cli.main(["pack", "--overwrite", "no", "a", "b"]) == 0
    assert configs == [InspectConfig("x"), PackConfig("a", "b", True), PackConfig("a", "b", True), PackConfig("a", "b", False)]


def test_a_config_file_on_every_command(configs, tmp_path):
    (tmp_path / "e.yml").write_text("feature_type: open_clip\nbatch_size: 8\noutput_path: ${x}\n")
    (tmp_path / "i.yml").write_text("path: yes\n")
    (tmp_path / "p.yml").write_text("folder: a\noutput: b\n")
    assert cli.main([f"config={tmp_path}/e.yml"]) == cli.main(["--config", f"{tmp_path}/e.yml", "batch_size=4"]) == 0
    assert cli.main(["inspect", f"config={tmp_path}/i.yml"]) == cli.main(["pack", f"--config={tmp_path}/p.yml", "c"]) == 0
    first, second, inspected, packed = configs
    assert (first.encoder.feature_type, first.encoder.model_name, first.batch_size) == ("open_clip", "ViT-B-32", 8)
    assert (first.output_path, second.batch_size) == ("${x}", 4)
    assert (inspected, packed) == (InspectConfig("yes"), PackConfig("c", "b"))


@pytest.mark.parametrize(("words", "parts"), [
    (["inspct"], ["no command 'inspct'", "did you mean 'inspect'"]),
    (["videoqa"], ["no command 'videoqa'; allowed is videoqa answer, videoqa evaluate"]),
    (["videoqa", "answr"], ["no command 'videoqa answr'; did you mean 'videoqa answer'?"]),
    (["video.mp4"], ["no command 'video.mp4'", "extract, inspect, pack", "key=value"]),
    (["feature_type=clpi"], ["feature_type=clpi", "did you mean 'clip'"]),
    (["feature_type=../configs/clip"], ["feature_type=", "clip, open_clip"]),
    (["feature_type="], ["feature_type= is empty"]),
    (["extraction_fbs=1"], ["'extraction_fbs'", "did you mean 'extraction_fps'"]),
    (["--extraction_fbs", "1"], ["'extraction_fbs'", "did you mean 'extraction_fps'"]),
    (["batch_size=1", "word"], ["'word'", "key=value"]),
    (["batch_size=1", "-v"], ["'-v'"]),
    (["batch_size=1", "=x"], ["'=x'"]),
    (["--batch_size"], ["--batch_size needs a value"]),
    (["--video_paths", "--show_pred"], ["--video_paths needs a value"]),
    (["--show_pred", "maybe"], ["'maybe'"]),
    (["--show_pred=maybe"], ["show_pred=maybe", "true or false"]),
    (["batch_size="], ["batch_size=", "a whole number"]),
    (["video_paths="], ["video_paths= is empty"]),
    (["video_paths=['a]"], ["does not close"]),
    (["show_pred=true"], ["pred_texts"]),
    (["on_extraction=prnt"], ["on_extraction=prnt", "print | save_numpy"]),
    (["config=none.yml"], ["config=none.yml", "cannot be read"]),
    (["config="], ["config=", "cannot be read"]),
    (["inspect", "feature_type=clip"], ["'feature_type'"]),
])
def test_wrong_words_are_exit_2_and_one_message(configs, capsys, words, parts):
    assert cli.main(words) == 2
    assert configs == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_no_video_is_exit_2(capsys, tmp_path):
    for words in (["model_name=tiny"], ["video_paths=[]"], [f"video_paths={tmp_path}"], [f"video_paths={tmp_path}/*.mp4"],
                  ["file_with_video_paths=none.txt"]):
        assert cli.main(["device=cpu", *words]) == 2
        assert capsys.readouterr().err.startswith("error: ")


# devices


@pytest.mark.parametrize(("words", "devices"), [
    (["device_ids=0"], ("0",)), (["device_ids=[0,2]"], ("0", "2")), (["device_ids=cpu"], ("cpu",)),
    (["device_ids=[cpu, cpu]"], ("cpu", "cpu")), ([], None), (["device_ids=null"], None),
])
def test_device_ids(configs, words, devices):
    assert cli.main(["batch_size=1", *words]) == 0
    assert configs[0].device_ids == devices


@pytest.mark.parametrize("word", ["device_ids=7", "device_ids=[cpu, 7]", "device=cuda:7", "device_ids=[]", "device_ids=gpu"])
def test_absent_devices_list_the_present(capsys, word):
    video = MAIN.parent / "sample" / "three_scenes.mp4"
    assert cli.main(["model_name=tiny", f"video_paths={video}", word]) == 2
    assert "present are" in (error := capsys.readouterr().err)
    assert "cpu" in error


# exit codes


@pytest.mark.parametrize(("raised", "code", "shown"), [
    (ConfigError("wrong"), 2, "error: wrong\n"), (InputError("none"), 2, "error: none\n"),
    (EmptyVideoError("no frame"), 1, "error: no frame\n"), (KeyboardInterrupt(), 130, "interrupted"),
])
def test_exit_codes(monkeypatch, capsys, raised, code, shown):
    def fail(self, config):
        raise raised

    monkeypatch.setattr(Command, "run", fail)
    assert cli.main(["inspect", "x"]) == code
    assert capsys.readouterr().err.startswith(shown)


def test_a_bug_is_not_hidden(monkeypatch):
    monkeypatch.setattr(Command, "run", lambda self, config: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["inspect", "x"])


def test_a_reader_that_goes_away_is_no_traceback(monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(os.fdopen(writing, "wb")) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert cli.main(["--help"]) == 1
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_names_that_the_terminal_cannot_show(monkeypatch, tmp_path):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert cli.main(["--help"]) == 0
    assert b"\\u2026" in stdout.buffer.getvalue()  # type: ignore[attr-defined]


# help


def test_overview(capsys):
    assert cli.main(["--help"]) == cli.main(["-h"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("extract", "inspect", "pack", "usage:", "config=FILE"))
    assert cli.main([]) == 2
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "schema"), [
    (["feature_type=clip", "--help"], ExtractConfig), (["--help", "feature_type=open_clip", "show_pred=true"], ExtractConfig),
    (["extract", "-h"], ExtractConfig), (["inspect", "--help"], InspectConfig), (["pack", "a", "--help"], PackConfig),
])
def test_help_lists_every_key_with_default_and_meaning(capsys, words, schema):
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    for key in keys_of(schema):
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{key.name} = "))
        assert lines[place + 1] == f"    {key.meaning}"
    assert any(line.startswith("config = null") for line in lines)


def test_help_of_a_stage_lists_its_commands(capsys):
    assert cli.main(["videoqa", "--help"]) == cli.main(["retrieval", "-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:22].rstrip() for line in lines] == [name for name in COMMANDS if name.startswith(("videoqa ", "retrieval "))]


def test_help_shows_the_feature_type_s_own_defaults(capsys):
    cli.main(["feature_type=open_clip", "--help"])
    out = capsys.readouterr().out
    assert "model_name = ViT-B-32  (a text)" in out
    assert "show_pred = false  (true or false)" in out
    assert "video_paths = []  (one or a […] list)" in out


def test_help_says_which_words_need_no_key_and_what_must_be_given(capsys):
    cli.main(["pack", "--help"])
    out = capsys.readouterr().out
    assert "usage: python main.py pack FOLDER OUTPUT key=value …" in out
    assert "folder = (needed)  (a text)" in out
    cli.main(["retrieval", "train", "--help"])
    assert "betas = [0.9, 0.98]  " in capsys.readouterr().out


def test_an_interrupt_while_it_is_imported(tmp_path):
    (tmp_path / "clipreel.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run([sys.executable, str(MAIN), "--help"], env={**os.environ, "PYTHONPATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_help_is_quick_and_imports_nothing_heavy():
    """Under a second, and the reason why: three runs of main.py, the quickest counts."""
    seconds, times = [], ""
    for words in (["--help"], ["feature_type=clip", "--help"], ["inspect", "--help"]):
        began = time.monotonic()
        run = subprocess.run([sys.executable, "-X", "importtime", str(MAIN), *words], capture_output=True, text=True, check=True)
        seconds.append(time.monotonic() - began)
        times += run.stderr
        assert "config" in run.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in times.splitlines()}
    assert "clipreel" in imported
    assert not imported & {"torch", "torchvision", "av", "h5py", "numpy", "PIL", "decord", "open_clip", "clip", "tqdm", "scipy"}
    assert min(seconds) < 1.0, seconds
