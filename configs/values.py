"""From a word (of the command line, a YAML file or a Python call) to a value of a key's type.

A string key takes its word verbatim: no YAML, no interpolation. Only `[…]` is a list.
"""

from __future__ import annotations

import os
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from ..errors import ConfigError

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def is_boolean_word(word: str) -> bool:
    return word.lower() in _TRUE | _FALSE


def convert(name: str, value: Any, kind: Any, *, texts_file: bool = False) -> Any:
    """`value` as the annotated type `kind`; ConfigError names the key, the value and what is allowed."""
    if get_origin(kind) in (Union, types.UnionType):
        if (value is None or value in ("null", "~")) and type(None) in get_args(kind):
            return None
        words = [word for member in get_args(kind) if get_origin(member) is Literal for word in get_args(member)]
        numbers = [member for member in get_args(kind) if member is not type(None) and get_origin(member) is not Literal]
        if words and value in words:
            return value
        if words and numbers:  # a number, or one of some words
            try:
                return convert(name, value, numbers[0])
            except ConfigError as error:
                raise ConfigError(f"{name}={value}: allowed is {describe(kind)}") from error
        (kind,) = (member for member in get_args(kind) if member is not type(None))
    if get_origin(kind) is tuple and (value is None or value == "null"):
        return ()
    if value is None:
        raise ConfigError(f"{name}=null: this key cannot be empty; allowed is {describe(kind)}")
    if get_origin(kind) is tuple:
        if texts_file and isinstance(value, (str, Path)) and not _is_list(str(value)):
            return _read_lines(name, Path(value))
        return tuple(convert(name, item, get_args(kind)[0]) for item in _items(name, value))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{name}={value}: allowed is {describe(kind)}")
        return value
    return _scalar(name, value, kind)


def describe(kind: Any) -> str:
    """A type in words, for messages and `--help`."""
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join("null" if member is type(None) else describe(member) for member in get_args(kind))
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "one or a […] list"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]


def split_list(word: str) -> list[str]:
    """The items of `[a, 'b, c', "d"]`. Quotes group; a backslash inside them escapes a quote or a backslash;
    brackets and quotes inside an item are plain characters, so paths survive.

    >>> split_list("[a[1].mp4, 'it, too', it's.mp4]")
    ['a[1].mp4', 'it, too', "it's.mp4"]
    """
    inside, items, position = word.strip()[1:-1], [], 0
    while position < len(inside):
        while position < len(inside) and inside[position].isspace():
            position += 1
        if position < len(inside) and inside[position] in "'\"":
            item, position = _quoted(inside, position, word)
        else:
            comma = inside.find(",", position)
            comma = len(inside) if comma < 0 else comma
            item, position = inside[position:comma].strip(), comma
            if not item and not (comma == len(inside)):
                raise ConfigError(f"the list {word} has an empty item: remove the extra comma")
            if not item:
                break
        items.append(item)
        position += 1  # the comma
    return items


def _quoted(inside: str, position: int, word: str) -> tuple[str, int]:
    quote, letters = inside[position], []
    position += 1
    while position < len(inside) and inside[position] != quote:
        if inside[position] == "\\" and inside[position + 1:position + 2] in ("'", '"', "\\"):
            position += 1
        letters.append(inside[position])
        position += 1
    if position >= len(inside):
        raise ConfigError(f"the list {word} has a quote that does not close: add the missing {quote}")
    position += 1
    while position < len(inside) and inside[position].isspace():
        position += 1
    if position < len(inside) and inside[position] != ",":
        raise ConfigError(f"the list {word} has {inside[position:]!r} after a closing quote: put a comma between "
                          "items, or the whole item in the other kind of quotes")
    return "".join(letters), position


def _is_list(word: str) -> bool:
    # A file whose name looks like a list is still a file.
    return word.strip().startswith("[") and word.strip().endswith("]") and not os.path.exists(word)


def _items(name: str, value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, str) and _is_list(value):
        return split_list(value)
    if isinstance(value, dict):
        raise ConfigError(f"{name}={value}: allowed is one value or a list of them")
    return [value]


def _read_lines(name: str, path: Path) -> tuple[str, ...]:
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: ~nobody
        raise ConfigError(f"{name}={path}: neither a list such as ['a dog', 'a cat'] nor a readable text file "
                          f"({error})") from error
    return tuple(line.strip() for line in lines if line.strip())


def _scalar(name: str, value: Any, kind: type) -> Any:
    allowed = ConfigError(f"{name}={value}: allowed is {describe(kind)}")
    if getattr(value, "shape", None) == ():  # a number of NumPy's
        value = value.item()
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and is_boolean_word(value):
            return value.lower() in _TRUE
        raise allowed
    if isinstance(value, bool):  # from Python: an int to isinstance, but not meant as one
        raise allowed
    if kind is str:
        if not isinstance(value, (str, os.PathLike, int, float)):
            raise allowed
        text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        if not text:  # an unset variable of the shell, say; an empty path would be the working folder
            raise ConfigError(f"{name}= is empty: allowed is {describe(kind)}, or leave the key out")
        return text
    try:
        number = float(value) if kind is float else int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise allowed from error
    if kind is int and isinstance(value, float) and value != number:
        raise allowed
    return number
