"""``python -m onetrunk``: the form that launchers of several processes take."""

from onetrunk.cli import main

if __name__ == "__main__":
    main()
