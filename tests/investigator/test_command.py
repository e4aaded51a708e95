"""The command as words: help, the seed's own file, a server that ends when it is told to."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from clipreel import cli
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.configs.load import keys_of, load_config
from clipreel.configs.schema import EncoderConfig
from clipreel.errors import ConfigError
from clipreel.investigator.model_choice import model_choices
from clipreel.tests.investigator.conftest import SAMPLE

MAIN = Path(__file__).resolve().parents[2] / "main.py"


def test_help(capsys):
    assert cli.main(["investigator", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for key in keys_of(InvestigatorConfig):
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{key.name} = "))
        assert lines[place + 1] == f"    {key.meaning}"


def test_the_seed_s_file_as_it_stands_there(tmp_path):
    """Nothing is filled in yet, and that is no error."""
    file = tmp_path / "config.yaml"
    file.write_text('roboflow_api_key: ""  # Roboflow API key\nvideo_path: ""  # Path to video file\n'
                    "CLIP:\n  - wall\n  - tile wall\n  - large tile wall\n")
    config = load_config(InvestigatorConfig, {"config": str(file)})
    assert config.CLIP == ("wall", "tile wall", "large tile wall")
    assert config.video_path is None and config.roboflow_api_key is None


@pytest.mark.parametrize(("words", "said"), [
    (["investigator", "vidoe_path=x"], "did you mean 'video_path'"), (["investigator", "feature_type=policy"], "no text tower"),
    (["investigator", "port=-1"], "port=-1"), (["investigator", "feature_type=vclip"], "did you mean 'viclip'")])
def test_wrong_words(capsys, words, said):
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_server_with_the_seed_s_file(tmp_path):
    video = SAMPLE / "three_scenes.mp4"
    (tmp_path / "config.yaml").write_text(f"roboflow_api_key: secret-key\nvideo_path: {video}\nCLIP:\n  - a green triangle\n")
    environment = {**os.environ, "BROWSER": "true"}
    with subprocess.Popen([sys.executable, str(MAIN), "investigator", "config=config.yaml", "model_name=tiny", "port=0",
                           "device=cpu", "open_browser=false"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                          env=environment) as process:
        assert process.stderr is not None
        said = []
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/", line := process.stderr.readline())):
                said.append(line)
                assert line, said
            state = json.load(urllib.request.urlopen(f"{found[0]}api/state", timeout=180))
        finally:
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=180)
    assert process.returncode == 0, rest
    assert any("roboflow_api_key is not needed" in line for line in said) and "secret-key" not in "".join(said)
    assert state["texts"] == ["a green triangle"] and state["video"] and state["roots"] == [str(SAMPLE)]
    assert any("roboflow_api_key" in note for note in state["notes"]) and "secret-key" not in json.dumps(state)
    assert "Traceback" not in rest


def test_which_models_are_offered(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPREEL_CACHE", str(tmp_path))
    (tmp_path / "ViT-B-16.pt").touch()
    words = "[{model_name: RN50}, {feature_type: open_clip, model_name: ViT-B-32, pretrained: openai}]"
    offered = model_choices(InvestigatorConfig(encoders=words))
    assert [(one.encoder.feature_type, one.encoder.model_name) for one in offered] == [
        ("clip", "ViT-B/32"), ("clip", "RN50"), ("open_clip", "ViT-B-32"), ("clip", "ViT-B/16"), ("clip", "tiny")]
    assert len({one.id for one in offered}) == 5 and str(tmp_path) not in repr([one.record() for one in offered])
    offered = model_choices(InvestigatorConfig(encoder=EncoderConfig("clip", "tiny")))
    assert [one.encoder.model_name for one in offered] == ["tiny", "ViT-B/16"]
    with pytest.raises(ConfigError, match="allowed is a list of mappings"):
        model_choices(InvestigatorConfig(encoders="[RN50]"))
