"""The published settings of three datasets, by the name of a preset or of its dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .load import file_value, nearest

# From the original's configs and commands: dataset -> preset, which is configs/<preset>.yml.
PRESETS = {"msrvtt": "msrvtt-jsfusion", "didemo": "didemo", "activitynet": "activitynet"}


def preset_files(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The shipped file to read before the user's own keys: that of preset=, else that of dataset=, if there is one.

    Raises ConfigError for a preset that there is none of, and for the original's name of one in place of ours.
    """
    config = Path(str(given.get("config", "")))
    if config.stem in PRESETS.values() and not config.expanduser().is_file():
        raise ConfigError(f"config={config}: there is no such file; preset={config.stem} is clipreel's own of that name")
    preset = file_value(given, "preset")
    if preset is None or preset == "null":
        dataset = file_value(given, "dataset")
        return (PRESETS[dataset],) if dataset in PRESETS else ()
    if preset not in PRESETS.values():
        raise ConfigError(f"preset={preset}: allowed is {', '.join(PRESETS.values())}{nearest(str(preset), PRESETS.values())}")
    return (str(preset),)
