"""A process that has imported what a run needs, and forks itself for every run of main.py: a run costs no three seconds of imports.

    python -m clipreel.tests.fault_server

Reads a line of JSON for each run: `argv`, and `step` with `nth`, for at the n-th call of that step it kills itself, or runs
`command`, which does something to the disk. Answers with a line that holds the exit code, minus the signal that ended it, and
what it wrote to standard error. Nothing of torch has run yet when it forks, and main.py runs as it does from a command line.
"""

import builtins
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

IMPORTS = ("av", "clipreel.extract.run", "clipreel.models.clip.family", "clipreel.models.preprocess", "safetensors.torch",
           "torchvision.transforms.v2.functional")
MAIN = Path(__file__).resolve().parent.parent / "main.py"


class FaultServer:
    """The test's side."""

    def __init__(self):
        self._process = subprocess.Popen([sys.executable, "-m", "clipreel.tests.fault_server"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def run(self, argv: list[str], step: str | None = None, nth: int = 1, command: Sequence[str] = ()) -> tuple[int, str]:
        """(exit code, standard error) of main.py."""
        return self.start(argv, step, nth, command)()

    def start(self, argv: list[str], step: str | None = None, nth: int = 1,
              command: Sequence[str] = ()) -> Callable[[], tuple[int, str]]:
        """As `run`, waited for when the result is called; one at a time."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        requests.write(json.dumps({"argv": argv, "step": step, "nth": nth, "command": list(command)}) + "\n")
        requests.flush()

        def ended() -> tuple[int, str]:
            answer = json.loads(answers.readline())
            return answer["code"], answer["err"]

        return ended

    def close(self) -> None:
        self._process.communicate()


class _HalfWritten:
    """A file whose write is cut in its middle by the death."""

    def __init__(self, file, due, die):
        self._file, self._due, self._die = file, due, die

    def write(self, data):
        data = memoryview(data)
        if self._due():
            self._file.write(data[:len(data) // 2])
            self._file.flush()
            self._die()
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def _kill_at(step: str, nth: int, command: list[str]) -> None:
    """Wrap the function that does the step, so that its n-th call is this process's end."""
    import av
    from clipreel.extract.decode.pyav import PyavReader
    from clipreel.extract.store import files
    from clipreel.models.two_towers import TwoTowerEncoder

    count = itertools.count(1)

    def due() -> bool:
        return next(count) == nth

    def die() -> None:
        if command:
            subprocess.run(command, check=True)
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(owner, name, *, after=False, only=lambda *arguments: True):
        real = getattr(owner, name)

        def wrapped(*arguments, **keys):
            hit = only(*arguments) and due()
            if hit and not after:
                die()
            result = real(*arguments, **keys)
            if hit:
                die()
            return result

        setattr(owner, name, wrapped)

    def is_mark(source, target):
        return str(target).endswith(("_meta.json", ".h5"))

    def frames(self, *arguments, real=PyavReader.frames, **keys):
        for batch in real(self, *arguments, **keys):
            if due():
                die()
            yield batch

    def opened(path, mode):
        file = builtins.open(path, mode)  # noqa: SIM115
        return _HalfWritten(file, due, die) if "w" in mode else file

    {"open": lambda: wrap(av, "open"),
     "decode": lambda: setattr(PyavReader, "frames", frames),
     "encode": lambda: wrap(TwoTowerEncoder, "encode"),
     "lease": lambda: wrap(os, "link", after=True),
     "write": lambda: setattr(files, "open", opened),
     "fsync": lambda: wrap(os, "fsync"),
     "rename": lambda: wrap(os, "replace"),
     "renamed": lambda: wrap(os, "replace", after=True),
     "mark": lambda: wrap(os, "replace", only=is_mark),
     "marked": lambda: wrap(os, "replace", after=True, only=is_mark),
     "failures": lambda: wrap(os, "replace", only=lambda source, target: str(target).endswith("failures.jsonl")),
     }[step]()


def _run(order: dict, err: int) -> int:
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(err, 2)
    if order["step"] is not None:
        _kill_at(order["step"], order["nth"], order["command"])
    sys.argv = [str(MAIN), *order["argv"]]
    try:
        runpy.run_path(str(MAIN), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def main() -> None:
    from clipreel.models.clip.architecture import import_clip

    for module in IMPORTS:
        import_module(module)
    import_clip()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                code = 70
                try:
                    code = _run(json.loads(line), err.fileno())
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            err.seek(0)
            sys.stdout.write(json.dumps({"code": code, "err": err.read().decode(errors="replace")}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
