"""From default, shipped YAML, the user's file and the command line to one typed config.

The only file that knows OmegaConf: it reads the YAML. Values are never interpolated.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..errors import ConfigError
from .values import convert

Schema = TypeVar("Schema")
SHIPPED = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Key:
    """One key as the user gives it, wherever in the nested dataclasses it lives."""

    name: str
    kind: Any
    default: Any
    meaning: str
    positional: bool
    texts_file: bool


def load_config(schema: type[Schema], given: Mapping[str, Any], *, shipped: str | None = None) -> Schema:
    """The config: defaults < configs/<shipped>.yml < the file that `given["config"]` names < `given`.

    Raises ConfigError for an unknown key (with the nearest name), a wrong value, or an unreadable file.
    """
    given = dict(given)
    file = given.pop("config", None)
    values: dict[str, Any] = {}
    if shipped is not None and (SHIPPED / f"{shipped}.yml").is_file():
        values |= read_yaml(SHIPPED / f"{shipped}.yml")
    if file is not None:
        values |= read_yaml(Path(file))
    values |= given
    known = {key.name: key for key in keys_of(schema)}
    for name in values:
        if name not in known:
            raise ConfigError(f"there is no key {name!r}{nearest(name, known)} (--help lists every key)")
    typed = {name: convert(name, value, known[name].kind, texts_file=known[name].texts_file)
             for name, value in values.items()}
    return _build(schema, typed)


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


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's keys and values as written. Raises ConfigError when it cannot be read or holds no mapping."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config={path}: cannot be read ({error})") from error
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"config={path}: is not valid YAML ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"config={path}: allowed is a mapping of keys to values, such as `batch_size: 32`")
    return {str(name): value for name, value in content.items()}


def _build(schema: type[Schema], typed: Mapping[str, Any]) -> Schema:
    hints, arguments = get_type_hints(schema), {}
    for field in dataclasses.fields(schema):  # pyright: ignore[reportArgumentType]
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], typed)
        elif field.name in typed:
            arguments[field.name] = typed[field.name]
    return schema(**arguments)
