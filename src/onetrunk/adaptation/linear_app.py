"""An app that is a linear head alone: what can be learnt, which states it reads, how strong its
penalty is. A device decides this as :func:`onetrunk.adapt` does; nothing here imports PyTorch.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from onetrunk.adaptation.linear import LinearHead
from onetrunk.adaptation.penalty import PENALTIES, START_PENALTIES, START_PENALTY, choose_penalty
from onetrunk.apps.windows import Examples
from onetrunk.data.oddities import one_answer
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.progress import Progress, silent

logger = logging.getLogger("onetrunk")

# Two special tokens and a few others: shorter windows read next to nothing.
SHORTEST_WINDOW = 8
MAX_LENGTH = 128
"""Tokens of a window, if nothing else is asked for."""


class Units(NamedTuple):
    """All units of some labelled rows, those of a row one after the other."""

    features: np.ndarray
    """``(U, n D)`` float32: n states side by side, the last one at the end."""
    targets: np.ndarray
    """``(U, …)``, in the form of :attr:`Family.head_loss`."""
    row_of: list[int]
    """``(U,)``: the row that each is of, counted from zero."""


class HeadChoice(NamedTuple):
    """What a linear head reads, and its penalty, as :func:`choose_head` settles them."""

    head_layers: int
    """The head reads the states of so many layers, counted from the last."""
    l2: float


def check_learnable(family: Family[Any, Any], labels: Sequence[str], rows: Sequence[Any]) -> None:
    """Raise :class:`UserError` if there is nothing to learn from these rows."""
    if not rows:
        raise UserError("there are no training rows")
    if not family.learnable(labels, rows):
        raise UserError(one_answer([*dict.fromkeys(labels)]))


def note_shorter(wanted: int, longest: int) -> None:
    """Log it if windows are shorter than was asked for: ``longest`` tokens are all that the encoder
    reads at once."""
    if longest < wanted != MAX_LENGTH:  # which nobody asked for
        logger.warning(
            f"max_length {wanted:,}: the encoder reads {longest:,} tokens at most, so longer texts "
            f"are read in windows of {longest:,}"
        )


def targets_by_window(
    family: Family[Any, Any], examples: Examples, labels: Sequence[str]
) -> list[np.ndarray]:
    """What each window is to answer ``(u, …)``, from the labels of its example."""
    return examples.by_window(
        [
            np.asarray(family.targets(row, units, labels))
            for row, units in zip(examples.rows, examples.units, strict=True)
        ]
    )


def check_entities(examples: Examples) -> None:
    """Raise :class:`UserError` if entities are to be learned, and no answer can be right about any
    of them."""
    entities = sum(len(getattr(row, "entities", ())) for row in examples.rows)
    cut = examples.cut_entities
    if entities and len(cut) == entities:
        row, (start, end) = cut[0]
        text = examples.rows[row].text
        unit = next((u for u in examples.units[row] if u[0] < end and start < u[1]), (start, end))
        raise UserError(
            f"no entity can be learned: each of the {entities} begins or ends inside a unit, as "
            f"{text[start:end]!r} does in {text[slice(*unit)]!r}; mark whole units, or write a "
            "space where an entity ends"
        )


def check_targets(targets: Sequence[Any]) -> None:
    """Raise :class:`UserError` if no window has a unit."""
    if not sum(map(len, targets)):
        raise UserError("the tokenizer leaves nothing of the training texts to learn from")


def rows_of_units(examples: Examples, targets: Sequence[Any]) -> list[int]:
    """``(U,)``: by unit, which example it is of."""
    windows = zip(examples.example_of, targets, strict=True)
    return [example for example, of_window in windows for _ in of_window]


def head_layer_choices(family: Family[Any, Any], k: int) -> list[int]:
    """How many states a head alone may read, the fewest first, above a top of ``k`` layers."""
    if (deep := family.deep_head) is not None:
        return [k + 1 if deep else 1]
    return [1, k + 1]


def choose_head(
    family: Family[Any, Any],
    units: Units,
    classes: int,
    choices: Sequence[int],
    width: int,
    l2: float | None = None,
    progress: Progress = silent,
    start: LinearHead | None = None,
) -> HeadChoice:
    """The number of states that a head reads, one of ``choices``, and its ridge penalty.

    The penalty is ``l2`` or the family's; what neither says is chosen by the lowest loss in
    cross-validation. States have size ``width``. ``start`` is the head to go on from, if there is
    one: the penalty is then on what differs from it.

    Raises :class:`UserError` for states that hold NaN or infinity.
    """
    features, targets, row_of = units
    if not np.isfinite(features).all():
        raise UserError("the encoder's states hold NaN or infinity: its weights are damaged")
    if l2 is None:
        l2 = family.penalty if start is None or family.penalty is None else START_PENALTY
    if l2 is not None and len(choices) == 1:
        return HeadChoice(choices[0], l2)
    several = PENALTIES if start is None else START_PENALTIES
    penalties = several if l2 is None else (l2,)
    judged = {
        count: choose_penalty(
            features[:, -count * width :], targets, row_of, classes, family.head_loss, penalties,
            progress, start,
        )
        for count in choices
    }  # fmt: skip
    # The fewest layers, if several have the same loss.
    head_layers = min(judged, key=lambda count: judged[count][1])
    return HeadChoice(head_layers, judged[head_layers][0])
