"""``onetrunk``, and ``python -m onetrunk``: the form that launchers of several processes take."""

import sys

from onetrunk.errors import extra_of

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ends."""


def main() -> None:
    """Run the command line, if what it needs is installed."""
    try:
        from onetrunk.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"the command line needs {error.name}: pip install '{extra_of(error.name)}'")
    except KeyboardInterrupt:  # while modules load
        sys.exit(INTERRUPTED)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
