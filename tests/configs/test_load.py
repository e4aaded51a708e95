"""default < shipped YAML < the user's file < the command line; files are read word by word."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from clipreel.configs.load import SHIPPED, file_value, keys_of, load_config, load_configs, read_yaml
from clipreel.configs.schema import ExtractConfig, InspectConfig, PackConfig
from clipreel.configs.videoqa_schema import VideoqaAnswerConfig, VideoqaEvaluateConfig
from clipreel.errors import ConfigError
from clipreel.models.registry import ENCODERS


def yaml(folder: Path, text: str) -> Path:
    path = folder / "job.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_layers(tmp_path):
    file = yaml(tmp_path, "model_name: RN50\nbatch_size: 8\nextraction_fps: 2\n")
    assert load_config(ExtractConfig, {}).encoder.model_name == "ViT-B/32"  # the default
    assert load_config(ExtractConfig, {}, shipped="open_clip").encoder.model_name == "ViT-B-32"
    assert load_config(ExtractConfig, {"config": str(file)}, shipped="open_clip").encoder.model_name == "RN50"
    config = load_config(ExtractConfig, {"config": str(file), "batch_size": "16"}, shipped="clip")
    assert (config.encoder.model_name, config.batch_size, config.extraction_fps) == ("RN50", 16, 2.0)
    assert config.encoder.feature_type == "clip"


VERBATIM = ["yes", "on", "No", "007", "0x10", "1_000", "1e3", "1:30", "2020-01-01", ".inf", "${x}", "${", "${a:b", "$${",
            "${oc.env:HOME}", "a ${b} c", "???", "ViT-B/32", "it's", 'say "hi"', "a#b", "true", "Null", "ü 录像",
            "=", "[x", "a: b"]
PLAIN = [word for word in VERBATIM if word not in ("[x", "a: b", "Null")]


@pytest.mark.parametrize("word", VERBATIM)
def test_words_of_a_file_are_verbatim(tmp_path, word):
    quoted = "'" + word.replace("'", "''") + "'"
    forms = [f"model_name: {quoted}", f"model_name: |-\n  {word}"] + [f"model_name: {word}"] * (word in PLAIN)
    for form in forms:
        file = yaml(tmp_path, f"# {word} ${{\n{form}\nbatch_size: 2\n")
        config = load_config(ExtractConfig, {"config": file})
        assert config.encoder.model_name == word, form
        assert config.batch_size == 2


def test_lists_and_nulls_of_a_file(tmp_path):
    file = yaml(tmp_path, "pred_texts: [a dog, 'yes, really', no, \"${x}\"]\nvideo_paths:\n- a.mp4\n- 007\n- ${y}.mp4\n"
                          "checkpoint:\ncrop: ~\ndevice_ids: null\nfile_with_video_paths: null\nshow_pred: yes\n")
    config = load_config(ExtractConfig, {"config": file})
    assert config.pred_texts == ("a dog", "yes, really", "no", "${x}")
    assert config.video_paths == ("a.mp4", "007", "${y}.mp4")
    assert (config.encoder.checkpoint, config.encoder.crop, config.device_ids) == (None, None, None)
    assert config.show_pred
    assert load_config(ExtractConfig, {"config": yaml(tmp_path, "video_paths: null\n")}).video_paths == ()
    assert load_config(ExtractConfig, {"config": yaml(tmp_path, "device_ids: [0, 2]\n")}).device_ids == ("0", "2")


def test_yaml_s_own_devices_still_work(tmp_path):
    file = yaml(tmp_path, "base: &base\n  a: x\nuse:\n  <<: *base\n  b: long\n    text\n\n    more\nlist: [&w yes, *w]\n")
    assert read_yaml(file) == {"base": {"a": "x"}, "use": {"a": "x", "b": "long text\nmore"}, "list": ["yes", "yes"]}


def test_a_bom_an_empty_file_and_a_home_folder(tmp_path, monkeypatch):
    assert read_yaml(yaml(tmp_path, "")) == {}
    assert read_yaml(yaml(tmp_path, "# nothing\n")) == {}
    path = yaml(tmp_path, "\ufeffbatch_size: 4\r\n")
    assert read_yaml(path) == {"batch_size": "4"}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config(ExtractConfig, {"config": "~/job.yml"}).batch_size == 4


@pytest.mark.parametrize(("text", "part"), [
    ("a: b: c\n", "not valid YAML"), ("[1, 2]\n", "allowed is a mapping"),
    ("a: 1\na: 2\n", "not valid YAML"), ("a: [1\n", "not valid YAML"), ("a: !!python/name:os.system\n", "not valid YAML"),
    ("null: 3\n", "not valid YAML"), ("a: *b\n", "not valid YAML"), (f"a: {'[' * 2000}{']' * 2000}\n", "not valid YAML"),
])
def test_files_that_are_no_config(tmp_path, text, part):
    with pytest.raises(ConfigError, match=part) as caught:
        read_yaml(yaml(tmp_path, text))
    assert "job.yml" in str(caught.value)


def test_keys_of_encoders_that_are_no_words():
    with pytest.raises(ConfigError, match="1 cannot differ"):
        load_configs(ExtractConfig, {"encoders": [{1: 2}]}, shipped=lambda _: ())


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin").write_bytes("a: é".encode("latin-1"))
    for path in (tmp_path / "none.yml", tmp_path, tmp_path / "latin", Path("~nobody-here/x.yml")):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_yaml(path)


@pytest.mark.parametrize(("name", "near"), [("extraction_fbs", "extraction_fps"), ("model", "model_name"),
                                            ("video_path", "video_paths")])
def test_unknown_keys_name_the_nearest(tmp_path, name, near):
    for given in ({name: "1"}, {"config": yaml(tmp_path, f"{name}: 1\n")}):
        with pytest.raises(ConfigError, match=f"no key '{name}'; did you mean '{near}'"):
            load_config(ExtractConfig, given)
    with pytest.raises(ConfigError, match=r"no key 'zzz' \(--help"):
        load_config(ExtractConfig, {"zzz": "1"})


def test_every_command_takes_a_file(tmp_path):
    assert load_config(InspectConfig, {"config": yaml(tmp_path, "path: 007\n")}).path == "007"
    config = load_config(PackConfig, {"config": yaml(tmp_path, "folder: x\noutput: y\noverwrite: on\n")})
    assert (config.folder, config.output, config.overwrite) == ("x", "y", True)


def test_a_value_before_typing(tmp_path):
    file = yaml(tmp_path, "feature_type: open_clip\n")
    assert file_value({"feature_type": "clip", "config": file}, "feature_type") == "clip"
    assert file_value({"config": file}, "feature_type") == "open_clip"
    assert file_value({}, "feature_type") is None


def test_keys_are_flat_distinct_and_explained():
    for schema in (ExtractConfig, InspectConfig, PackConfig):
        keys = keys_of(schema)
        names = [key.name for key in keys]
        assert len(names) == len(set(names))
        assert all(key.meaning for key in keys)
        assert "config" not in names
    assert "model_name" in [key.name for key in keys_of(ExtractConfig)]


def test_configs_are_frozen():
    config: Any = load_config(ExtractConfig, {})
    for one in (config, config.encoder):
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.batch_size = 3


@pytest.mark.parametrize("shipped", sorted(ENCODERS))
def test_shipped_files_are_valid(shipped):
    assert load_config(ExtractConfig, {}, shipped=shipped).encoder.feature_type == shipped
    assert set(read_yaml(SHIPPED / f"{shipped}.yml")) <= {key.name for key in keys_of(ExtractConfig)}


def test_of_several_shipped_files_the_later_wins_and_strange_keys_are_left_out():
    config = load_config(VideoqaAnswerConfig, {"dataset": "x", "features": "y"}, shipped=("videoqa", "open_clip"))
    assert (config.encoder.feature_type, config.encoder.model_name) == ("open_clip", "ViT-B-32")
    assert load_config(VideoqaEvaluateConfig, {"results_file": "x"}, shipped=("videoqa",)).results_file == "x"
