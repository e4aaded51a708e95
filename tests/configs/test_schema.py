"""Bounds, and keys that exclude or need each other: refused before anything starts, each with what to do."""

import pytest
from clipreel.configs.load import load_config
from clipreel.configs.schema import ExtractConfig, InspectConfig, PackConfig
from clipreel.errors import ConfigError


@pytest.mark.parametrize(("given", "parts"), [
    ({"extraction_fps": "0"}, ["extraction_fps=0", "above 0"]),
    ({"extraction_fps": "-1"}, ["extraction_fps=-1"]),
    ({"extraction_fps": "nan"}, ["extraction_fps=nan"]),
    ({"extraction_fps": "inf"}, ["extraction_fps=inf"]),
    ({"extraction_total": "0"}, ["extraction_total=0"]),
    ({"batch_size": "0"}, ["batch_size=0", "whole number above 0"]),
    ({"workers": "-2"}, ["workers=-2"]),
    ({"fps": "0"}, ["fps=0"]),
    ({"start": "-1"}, ["start=-1", "from 0 up"]),
    ({"start": "nan"}, ["start=nan"]),
    ({"end": "inf"}, ["end=inf"]),
    ({"start": "5", "end": "5"}, ["end=5", "start=5"]),
    ({"start": "5", "end": "4"}, ["end=4", "start=5"]),
    ({"extraction_fps": "1", "extraction_total": "8"}, ["extraction_fps=1", "extraction_total=8", "one of them"]),
    ({"show_pred": "true"}, ["show_pred=true", "pred_texts"]),
    ({"show_pred": "true", "pred_texts": "[]"}, ["pred_texts"]),
    ({"pred_texts": "['a', '  ']"}, ["pred_texts", "empty"]),
    ({"device": "cpu", "device_ids": "[cpu]"}, ["device=cpu", "device_ids"]),
    ({"video_paths": "a.mp4", "file_with_video_paths": "b.txt"}, ["video_paths", "file_with_video_paths"]),
    ({"on_extraction": "save_nump"}, ["on_extraction=save_nump", "save_numpy"]),
    ({"reader": "opencv"}, ["reader=opencv", "pyav"]),
    ({"dtype": "int8"}, ["dtype=int8", "float16"]),
    ({"precision": "half"}, ["precision=half", "bfloat16"]),
    ({"output_path": ""}, ["output_path="]),
    ({"video_paths": ""}, ["video_paths="]),
])
def test_refused(given, parts):
    with pytest.raises(ConfigError) as caught:
        load_config(ExtractConfig, given)
    for part in parts:
        assert part in str(caught.value)


def test_allowed():
    config = load_config(ExtractConfig, {"start": "0", "end": "0.5", "extraction_total": "1", "show_pred": "yes",
                                         "pred_texts": "['a']", "on_extraction": "save_h5", "extraction_fps": "null"})
    assert (config.start, config.end, config.extraction_fps, config.pred_texts) == (0.0, 0.5, None, ("a",))


@pytest.mark.parametrize(("schema", "given", "part"), [
    (InspectConfig, {}, "inspect needs a path"), (PackConfig, {}, "pack needs a folder"),
    (PackConfig, {"folder": "x"}, "pack needs a folder and an output"),
])
def test_commands_need_their_paths(schema, given, part):
    with pytest.raises(ConfigError, match=part):
        load_config(schema, given)
