"""From default, shipped YAML, the user's file and the command line to one typed config.

The only file that knows OmegaConf: it reads the YAML. Values are never interpolated, and words stay words.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..errors import ConfigError
from .schema import EncoderConfig, ExtractConfig
from .values import convert

Schema = TypeVar("Schema")
SHIPPED = Path(__file__).resolve().parent
# Stands between the $ and the { of a file's `${` while OmegaConf reads it: a private character of Unicode.
_NOT_INTERPOLATED = "$\ue000{"
# What each of several encoders may have for itself: its model, and which frames it sees.
OWN_KEYS = (*(field.name for field in dataclasses.fields(EncoderConfig)), "batch_size", "extraction_fps", "extraction_total",
            "sampling", "window_seconds", "stride_seconds", "normalize", "dtype", "output_path")
_YAML_NULLS = {"null", "Null", "NULL", "~"}


@dataclasses.dataclass(frozen=True)
class Key:
    """One key as the user gives it, wherever in the nested dataclasses it lives."""

    name: str
    kind: Any
    default: Any
    meaning: str
    positional: bool
    texts_file: bool
    may_be_empty: bool


def load_config(schema: type[Schema], given: Mapping[str, Any], *, shipped: str | tuple[str, ...] | None = None) -> Schema:
    """The config: defaults < configs/<shipped>.yml < the file that `given["config"]` names < `given`.

    Of several shipped files the later wins; what a shipped file has for other commands is left out.
    Raises ConfigError for an unknown key (with the nearest name), a wrong value, or an unreadable file.
    """
    given = dict(given)
    file = given.pop("config", None)
    known = {key.name: key for key in keys_of(schema)}
    values = shipped_values(schema, shipped)
    if file is not None:
        values |= read_yaml(Path(file))
    values |= given
    values = {name: value for name, value in values.items() if value != "" or name not in known or not known[name].may_be_empty}
    for name in values:
        if name not in known:
            raise ConfigError(f"there is no key {name!r}{nearest(name, known)} (--help lists every key)")
        if name == "output_path" and schema.__name__ != ExtractConfig.__name__ and "://" in str(values[name]):
            raise ConfigError(f"output_path={values[name]}: this command writes to folders only, extraction alone to URLs as well")
    typed = {name: convert(name, value, known[name].kind, texts_file=known[name].texts_file)
             for name, value in values.items()}
    return _build(schema, typed)


def shipped_values(schema: type, shipped: str | tuple[str, ...] | None) -> dict[str, Any]:
    """The schema's keys as configs/<shipped>.yml has them, where there is such a file."""
    known, values = {key.name for key in keys_of(schema)}, dict[str, Any]()
    for name in (shipped,) if isinstance(shipped, str) else shipped or ():
        if (SHIPPED / f"{name}.yml").is_file():
            values |= {key: value for key, value in read_yaml(SHIPPED / f"{name}.yml").items() if key in known}
    return values


def file_value(given: Mapping[str, Any], name: str) -> Any:
    """A key's word before anything is typed: from the command line, else from the user's file, else None."""
    if name in given:
        return given[name]
    return read_yaml(Path(given["config"])).get(name) if given.get("config") is not None else None


@cache
def keys_of(schema: type) -> tuple[Key, ...]:
    """The keys of a schema in order, those of nested dataclasses flat among them."""
    hints, keys = get_type_hints(schema), []
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[field.name]):
            keys.extend(keys_of(hints[field.name]))
        else:
            keys.append(Key(field.name, hints[field.name], field.default, **field.metadata))
    return tuple(keys)


def nearest(name: str, known: Any) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def load_configs(schema: type[Schema], given: Mapping[str, Any], *, shipped: Callable[[Mapping[str, Any]], tuple[str, ...]]
                 ) -> list[Schema]:
    """As `load_config`, one for each of `encoders=`; the only one where that is not given. `shipped`: the shipped files' names by
    what is given. Raises ConfigError where the list is none, or an entry has keys that all must share."""
    listed = file_value(given, "encoders")
    if listed is None:
        return [load_config(schema, given, shipped=shipped(given))]
    if isinstance(listed, str):
        listed = _yaml("encoders", f"encoders: {listed}").get("encoders")
    if not isinstance(listed, (list, tuple)) or not listed or not all(isinstance(one, Mapping) and one for one in listed):
        raise ConfigError(f"encoders={listed}: allowed is a list of mappings, such as [{{model_name: ViT-B/32}}, "
                          "{model_name: RN50}]")
    values = (read_yaml(Path(given["config"])) if given.get("config") is not None else {}) | dict(given)
    rest = {name: value for name, value in values.items() if name not in ("config", "encoders")}
    shared = sorted({str(name) for one in listed for name in one} - set(OWN_KEYS))
    if shared:
        raise ConfigError(f"encoders: {', '.join(shared)} cannot differ between encoders that share one decoding: give it once, "
                          f"outside; each may have its own {', '.join(OWN_KEYS)}")
    return [load_config(schema, {**rest, **one}, shipped=shipped({**rest, **one})) for one in listed]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's keys and words as written. Raises ConfigError when it cannot be read or holds no mapping."""
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: ~nobody
        raise ConfigError(f"config={path}: cannot be read ({error})") from error
    return _yaml(f"config={path}", text)


def _yaml(place: str, text: str) -> dict[str, Any]:
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        content = OmegaConf.to_container(OmegaConf.load(io.StringIO(_verbatim(text))), resolve=False)
    except OSError as error:  # what OmegaConf makes of a text without a key
        raise ConfigError(f"{place}: cannot be read ({error})") from error
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:  # the last of lists within lists within lists
        raise ConfigError(f"{place}: is not valid YAML ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: allowed is a mapping of keys to values, such as `batch_size: 32`")
    return {str(name): _shown_again(value) for name, value in content.items()}


def _verbatim(text: str) -> str:
    """The YAML with its plain words quoted: YAML would read `yes` as true and 007 as 7, before any key's type is asked.
    Only null stays what it is. `${` is hidden, for OmegaConf would interpolate it or fail on it."""
    import yaml

    pieces, position = [], 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value not in _YAML_NULLS | {"<<"}:
            word = token.value.replace("'", "''").replace("\n", "\n\n")
            pieces += [text[position:token.start_mark.index], f"'{word}'"]
            position = token.end_mark.index
    return "".join([*pieces, text[position:]]).replace("${", _NOT_INTERPOLATED)


def _shown_again(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_NOT_INTERPOLATED, "${")
    if isinstance(value, list):
        return [_shown_again(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _shown_again(item) for name, item in value.items()}
    return value


def _build(schema: type[Schema], typed: Mapping[str, Any]) -> Schema:
    hints, arguments = get_type_hints(schema), {}
    for field in dataclasses.fields(schema):  # pyright: ignore[reportArgumentType]
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], typed)
        elif field.name in typed:
            arguments[field.name] = typed[field.name]
    return schema(**arguments)
