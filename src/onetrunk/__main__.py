"""``onetrunk``, and ``python -m onetrunk``: the form that launchers of several processes take."""

import sys


def main() -> None:
    """Run the command line, if what it needs is installed."""
    try:
        from onetrunk.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"the command line needs {error.name}: pip install 'onetrunk[train]'")
    run()


if __name__ == "__main__":
    main()
