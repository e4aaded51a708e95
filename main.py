"""`python main.py feature_type=clip …` from a checkout: the same as the installed command `clipreel …`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    try:
        import clipreel
    except ModuleNotFoundError as error:
        if error.name != "clipreel":
            raise
        sys.stderr.write(f"clipreel is not installed in this Python ({sys.executable}): pip install -e {HERE}\n")
        return 2
    installed = Path(clipreel.__file__).resolve().parent
    if installed != HERE:
        sys.stderr.write(f"note: this runs the clipreel installed from {installed}, not the checkout at {HERE} "
                         f"(pip install -e {HERE} changes that)\n")
    from clipreel import cli

    return cli.run()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while it was being imported
        sys.exit(130)
