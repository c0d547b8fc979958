"""Faults that a verb tells at once: PyTorch and transformers take seconds to import."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from onetrunk.data.overview import READERS, first_look
from onetrunk.data.sources import USUAL, Columns
from onetrunk.families import family as family_named


def need_torch() -> None:
    """Raise ModuleNotFoundError if PyTorch is not installed."""
    if find_spec("torch") is None:
        raise ModuleNotFoundError(name="torch")


def look(family: str, files: Mapping[str, str | Path | None], columns: Columns = USUAL) -> None:
    """Read the first rows of some files, each of which is the split that it is given as.

    Raises :class:`UserError` for an unknown family, and for what is wrong with these rows. Those of
    a plug-in's family are read later, all at once.
    """
    family_named(family)
    for split, file in files.items():
        if file is not None and family in READERS:
            first_look(file, family, split, columns)
