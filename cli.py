"""The command line: words -> a command and its typed config -> the floor that does it -> an exit code.

Exit codes: 0 all done · 1 some videos failed · 2 the command or config is wrong, nothing was started · 130 interrupted.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from .commands import COMMANDS, FEATURE_TYPES, WITH_PRESETS
from .configs.load import file_value, keys_of, load_config, load_configs, nearest, shipped_values
from .configs.presets import preset_files
from .configs.schema import ExtractConfig
from .configs.values import describe, is_boolean_word
from .errors import ClipreelError, ConfigError, UsageError
from .models.registry import ENCODERS

log = logging.getLogger("clipreel")


def run() -> NoReturn:
    """The installed command `clipreel`."""
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # a second one, while the first was being answered
        code = 130
    if code == 130:
        os._exit(code)  # threads may be in the middle of torch's work: leave without waiting for them
    sys.exit(code)


def main(argv: list[str] | None = None) -> int:
    """Do one command; returns its exit code. Errors meant for the user are one message on stderr, no traceback."""
    if sys.stdout is None:  # closed: what is written to this is an error with words, and its number is no other file's
        sys.stdout = open(os.devnull, encoding="utf-8")  # noqa: SIM115  for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text in the terminal's encoding
    with _messages():
        try:
            code = _dispatch(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()  # here, where a reader that went away is no traceback
            return code
        except UsageError as error:
            log.error("error: %s", error)
            return 2
        except ClipreelError as error:
            log.error("error: %s", error)
            return 1
        except KeyboardInterrupt:
            log.error("interrupted; what is finished is kept, the same command goes on from there")
            return 130
        except (BrokenPipeError, io.UnsupportedOperation) as error:
            # The reader of our output (head, say) has enough, or it is closed. Python would complain once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, io.UnsupportedOperation):
                log.error("error: standard output cannot be written (it is closed)")
            elif error.errno is None:  # not that, but a full disk under a redirection
                log.error("error: %s", error)
            return 1
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.error("error: %s", error)  # of standard output, mostly: what fails for a video or a store says so itself
            return 1
        except RuntimeError as error:
            if "home directory" not in str(error):  # as pathlib says it
                raise
            log.error("error: a path begins with ~ and the name of no user here: write it in full, or ./~name for a file")
            return 2


def _dispatch(argv: list[str]) -> int:
    name = "extract"
    if argv and "=" not in argv[0] and not argv[0].startswith("-"):
        name = argv.pop(0)
        if argv and f"{name} {argv[0]}" in COMMANDS:
            name = f"{name} {argv.pop(0)}"
        if name not in COMMANDS:
            group = [command for command in COMMANDS if command.startswith(f"{name} ")]
            if group and argv in (["--help"], ["-h"]):
                sys.stdout.write("".join(f"{command:<22} {COMMANDS[command].summary}\n" for command in group))
                return 0
            said = f"{name} {argv[0]}" if group and argv and argv[0].isidentifier() else name
            meant = "" if group and said == name else nearest(said, COMMANDS)
            raise ConfigError(f"there is no command {said!r}{meant}; "
                              f"allowed is {', '.join(group or [*COMMANDS, 'or key=value for extract'])}")
    elif not argv or argv in (["--help"], ["-h"]):
        sys.stdout.write(_overview())
        return 0 if argv else 2
    command = COMMANDS[name]
    wants_help, given = parse_words(argv, command.schema)
    shipped = _shipped(name, given)
    if name in WITH_PRESETS and not (name == "retrieval evaluate" and file_value(given, "checkpoint")):  # which has its own
        shipped = (*shipped, *preset_files(given))
    if wants_help:
        sys.stdout.write(_help(name, shipped))
        return 0
    if name == "extract":  # for one model, or several
        return command.run(load_configs(ExtractConfig, given, shipped=lambda values: _shipped(name, values)))
    return command.run(load_config(command.schema, given, shipped=shipped))


def _shipped(name: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The shipped files of a command, and of the family of models it names."""
    own = name.partition(" ")[0]
    if name not in FEATURE_TYPES:
        return (own,)
    feature_type = str(file_value(given, "feature_type") or FEATURE_TYPES[name])
    if feature_type not in ENCODERS:
        raise ConfigError(f"feature_type={feature_type}: allowed is {', '.join(ENCODERS)}{nearest(feature_type, ENCODERS)}")
    return (own, feature_type)


def parse_words(words: list[str], schema: type) -> tuple[bool, dict[str, str]]:
    """(--help seen, key -> word) from key=value, --key=value, --key value, --switch and positional words.

    Which dashed key takes the next word is told by its type: a true-or-false key takes one only if it says so.
    """
    keys = {key.name: key for key in keys_of(schema)}
    free = [key.name for key in keys.values() if key.positional]
    given: dict[str, str] = {}
    wants_help, rest = False, list(words)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h"):
            wants_help = True
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            if not equals and name in keys and keys[name].kind is bool:
                value = rest.pop(0) if rest and is_boolean_word(rest[0]) else "true"
            elif not equals:
                if name not in keys and name != "config":
                    raise ConfigError(f"there is no key {name!r}{nearest(name, keys)} (--help lists every key)")
                if not rest or _is_dashed_key(rest[0], keys):
                    raise ConfigError(f"--{name} needs a value: --{name} VALUE or {name}=VALUE")
                value = rest.pop(0)
            given[name] = value
        elif word.partition("=")[0].isidentifier() and "=" in word and not (free and os.path.exists(word)):
            name, _, given[name] = word.partition("=")
        elif free:
            given[free.pop(0)] = word
        else:
            raise ConfigError(f"cannot read the word {word!r}: allowed is key=value, --key value or --switch")
    return wants_help, given


def _is_dashed_key(word: str, keys: Mapping[str, Any]) -> bool:
    return word == "--help" or (word.startswith("--") and word[2:].partition("=")[0].replace("-", "_") in keys)


@contextmanager
def _messages() -> Iterator[None]:
    """Log lines go to stderr as they are, above a progress bar when one is drawn."""
    handler = _BarFriendlyHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _BarFriendlyHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(self.format(record), file=sys.stderr)
        else:
            sys.stderr.write(self.format(record) + "\n")


def _overview() -> str:
    lines = ["clipreel: from video files to stored CLIP features.", "",
             "usage: python main.py feature_type=clip model_name=ViT-B/32 extraction_fps=1 video_paths=\"[a.mp4]\"",
             "       python main.py COMMAND key=value …        (also --key value, --key=value, --switch; config=FILE)",
             "       python main.py COMMAND --help             its keys with their defaults and meanings", "",
             "commands:"]
    lines += [f"  {name:<22} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(lines) + "\n"


def _help(name: str, shipped: tuple[str, ...]) -> str:
    command = COMMANDS[name]
    defaults, keys = shipped_values(command.schema, shipped), keys_of(command.schema)
    words = " ".join([name, *(key.name.upper() for key in keys if key.positional), "key=value …"])
    lines = [command.summary, "", f"usage: python main.py {words}", "", "key = default  (allowed)", "    meaning", ""]
    for key in keys:
        default = defaults.get(key.name, key.default)
        lines += [f"{key.name} = {_shown(default)}  ({describe(key.kind)})", f"    {key.meaning}"]
    lines += ["config = null  (a file)", "    a YAML file of these keys; the command line wins over it"]
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(str(item) for item in default)}]"
    return "(needed)" if default == "" else str(default)
