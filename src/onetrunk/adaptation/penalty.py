"""How strong the penalty of a linear head should be, and how good the head is, by the units that
are held out. In numpy alone, as :mod:`onetrunk.adaptation.linear`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from onetrunk.adaptation.linear import (
    EXACT,
    ROUGH,
    LinearHead,
    Problem,
    axes_pay,
    principal_axes,
    scaled,
    standardised,
)
from onetrunk.losses.head import HeadLoss, cross_entropy
from onetrunk.progress import Progress, silent

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
START_PENALTIES = (0.1, 0.03, 0.01, 0.003, 0.001, 3e-4, 1e-4, 3e-5, 1e-5)
"""Those of a head that goes on from another. Its features are scaled to length one, which makes
them look small beside those that are standardised."""
START_PENALTY = 3e-4
"""Of such a head, where the family has a penalty of its own."""
FOLDS = 5
# With more units than this, or more logits, one fold is enough to tell penalties apart.
MANY_UNITS, MANY_LOGITS = 4000, 1_000_000
# The penalty where no fold can be held out.
PENALTY = 0.1


class Judged(NamedTuple):
    """A head, and what heads that have not seen a unit say of it."""

    head: LinearHead
    logits: np.ndarray
    """``(U, C)``, each by a head from the other folds."""
    is_held_out: np.ndarray
    """``(U,)`` bool: whether the unit was in a fold; the other logits are zeros."""


def solve_and_judge(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[int],
    classes: int,
    l2: float,
    loss: HeadLoss = cross_entropy,
    start: LinearHead | None = None,
) -> Judged:
    """:func:`solve_linear`, and the same without each fold of :func:`held_out_folds`.

    The folds share the standardisation of all units, which knows no target, so that they cost
    little beside the head. With ``start`` the penalty is on what differs from that head.
    """
    problem = Problem(features, targets, classes, loss, start=start)
    logits = np.zeros((len(features), classes), features.dtype)
    is_held_out = np.zeros(len(features), bool)
    for held_out in held_out_folds(groups, len(features), classes):
        logits[held_out] = problem.without(held_out, l2)
        is_held_out |= held_out
    return Judged(problem.solve(l2, EXACT), logits, is_held_out)


def choose_penalty(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[int],
    classes: int,
    loss: HeadLoss = cross_entropy,
    penalties: Sequence[float] = PENALTIES,
    progress: Progress = silent,
    start: LinearHead | None = None,
) -> tuple[float, float]:
    """The penalty with the lowest mean loss on held-out units (5 folds), and that loss.

    ``penalties`` are tried in order, from the strongest on, until two in a row are no better. Units
    of one group (all units of one text) are held out together. The best penalty differs a
    hundredfold between tasks, so no default would do. ``start``: see :func:`solve_and_judge`.
    """
    folds = held_out_folds(groups, len(features), classes)
    if not folds:
        return (PENALTY if len(penalties) > 1 else penalties[0]), float("inf")
    units, width = features.shape
    axes = None  # those of all units serve every fold
    if units >= width and axes_pay(units, width, classes, len(folds)):
        axes = principal_axes((standardised if start is None else scaled)(features)[0])
    problems = [
        Problem(features[~held_out], targets[~held_out], classes, loss, axes, start)
        for held_out in folds
    ]
    scored_masks = [_known(targets, held_out) for held_out in folds]
    losses: list[float] = []
    for l2 in penalties:
        progress("choosing the penalty", len(losses), len(penalties))
        heads = [problem.solve(l2, ROUGH) for problem in problems]
        losses.append(
            sum(
                loss(head(features[scored]), targets[scored])[0]
                for head, scored in zip(heads, scored_masks, strict=True)
            )
        )
        if len(losses) - int(np.argmin(losses)) > 2:
            break
    best = int(np.argmin(losses))
    return penalties[best], losses[best] / len(folds)


def _known(targets: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The held-out units ``(U,)`` bool whose class also occurs among the units trained on.

    No penalty helps on the others. With few rows they are many, and would always favour the
    strongest penalty. If no class occurs twice, or targets are not classes, all units count.
    """
    if targets.ndim > 1 or targets.dtype.kind not in "iu":
        return held_out
    known = held_out & np.isin(targets, targets[~held_out])
    return known if known.any() else held_out


def held_out_folds(groups: Sequence[int], units: int, classes: int) -> list[np.ndarray]:
    """Boolean masks ``(U,)`` of units to hold out, those of one group together.

    There is a single mask if there are very many units or logits, and none if there is one group.
    """
    names = sorted(set(groups))
    folds = min(FOLDS, len(names))
    if folds < 2:
        return []
    place = dict(zip(names, np.random.default_rng(0).permutation(len(names)).tolist(), strict=True))
    fold_of_unit = np.array([place[group] % folds for group in groups])
    many = units > MANY_UNITS or units * classes > MANY_LOGITS
    return [fold_of_unit == fold for fold in range(1 if many else folds)]
