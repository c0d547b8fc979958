"""Which rows of a training file an app learns from; kept as row ids beside the app."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.data.sampling import FRACTIONS, k_shot, load_subset, nested_subsets
from onetrunk.errors import UserError
from onetrunk.families.base import Family


@dataclass(frozen=True)
class Draw:
    """How rows are drawn. Set one field at most; if all are None, every row is taken."""

    rows: int | None = None
    """So many, at random. A smaller number gives the first of a larger one."""
    fraction: float | None = None
    """A share, stratified by label. Of 1, 5, 10, 25 and 50 %, each lies within the next."""
    shots: int | None = None
    """So many rows a label; for NER, so many mentions a type at least."""
    subset: str | Path | None = None
    """The rows of an earlier draw, from its ``rows.json``."""

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for what is no number."""
        for name, kind in (("rows", int), ("fraction", float | int), ("shots", int)):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, kind | None):
                what = "a whole number" if kind is int else "a number"
                raise UserError(f"{name} {number!r}: must be {what}")
        if not isinstance(self.subset, str | Path | None):
            raise UserError(f"subset {self.subset!r}: must be the path of a rows.json")

    def what(self) -> dict[str, Any]:
        """The choice that was made, for the record."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def record(self, seed: int) -> dict[str, Any]:
        """The choice and its seed as JSON."""
        choice = {name: str(v) if isinstance(v, Path) else v for name, v in self.what().items()}
        return {**choice, "seed": seed}


def draw_rows(
    every: Sequence[Any],
    family: Family[Any, Any],
    draw: Draw,
    seed: int,
    sha256: str,
    notes: Notes | None = None,
) -> list[int]:
    """Row ids of ``every`` row of a file (with this hash) that ``draw`` asks for.

    Raises :class:`UserError` for two ways of drawing at once, more rows than there are, or the
    subset of another file.
    """
    if len(draw.what()) > 1:
        raise UserError(
            f"{' and '.join(draw.what())} exclude each other: rows are drawn in one way"
        )
    if draw.subset is not None:
        ids = load_subset(Path(draw.subset), sha256)
        if ids and max(ids) >= len(every):
            raise UserError(f"{draw.subset}: row {max(ids)} of a file with {len(every)} rows")
        return ids
    if draw.rows is not None:
        if not 0 < draw.rows <= len(every):
            raise UserError(
                f"rows {draw.rows}: the training file has {len(every)} rows; choose 1 to "
                f"{len(every)}, or leave rows out for all of them"
            )
        return np.random.default_rng(seed).permutation(len(every))[: draw.rows].tolist()
    labels = [list(family.labels_of(row)) for row in every]
    if draw.fraction is not None:
        return nested_subsets(labels, [*FRACTIONS, draw.fraction], seed)[draw.fraction]
    if draw.shots is not None:
        return k_shot(labels, draw.shots, seed, notes)
    return list(range(len(every)))
