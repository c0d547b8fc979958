"""What all figures share: their colours, and how their files are written."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from onetrunk.storage import atomic_file

# Okabe and Ito's, which people who do not see red or green tell apart, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all. The ending of the file's name is its format."""
    kind = path.suffix.removeprefix(".")
    # The same figure gives the same bytes: an SVG without a date and without random names.
    metadata = {"Date": None} if kind == "svg" else None
    with atomic_file(path) as beside, rc_context({"svg.hashsalt": "onetrunk"}):
        figure.savefig(beside, dpi=120, format=kind, metadata=metadata)
