"""Whether an app asks its labelled neighbours, how many, and how much their votes count.

The head's answer is interpolated with the votes of the nearest training texts (Khandelwal et al.
2020, arXiv 1911.00172, section 2). It pays where there are many labels and few rows of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from onetrunk.adaptation.linear import solve_linear
from onetrunk.adaptation.penalty import held_out_folds
from onetrunk.apps.neighbours import Neighbours
from onetrunk.families.base import Family
from onetrunk.model.heads import linear_head

COUNTS = (4, 16, 64)
TEMPERATURES = (0.02, 0.05, 0.1, 0.2)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CHUNK_UNITS = 1024


class Judge(NamedTuple):
    """Labelled units that neither the head nor the neighbours were made from."""

    logits: Tensor
    """``(U, C)``, by the head"""
    cosines: np.ndarray
    """``(U, K)``, of the nearest neighbours, the nearest first"""
    indices: np.ndarray
    """``(U, K)``"""
    targets: Tensor
    """``(U, …)``"""


def cross_judges(
    family: Family[Any, Any],
    features: Tensor,
    targets: Tensor,
    groups: Sequence[int],
    classes: int,
    l2: float,
) -> list[Judge]:
    """Training units ``(U, D)``, each judged by a head and neighbours from the other folds."""
    everyone = Neighbours.of(features, family.soft_targets(targets, classes), max(COUNTS), 1.0, 0.5)
    judges = []
    for mask in held_out_folds(groups, len(features), classes):
        solved = solve_linear(
            features.numpy()[~mask], targets.numpy()[~mask], classes, l2, family.head_loss
        )
        head, held_out = linear_head(*map(torch.from_numpy, solved)), torch.from_numpy(mask)
        judges.append(
            judge(head, everyone, features[held_out], targets[held_out], without=held_out)
        )
    return judges


@torch.no_grad()
def judge(
    head: Callable[[Tensor], Tensor],
    neighbours: Neighbours,
    features: Tensor,
    targets: Tensor,
    without: Tensor | None = None,
) -> Judge:
    """Units ``(U, D)`` with a head's logits and their nearest neighbours.

    ``without``: ``(N,)`` bool, the neighbours that may not vote.
    """
    chunks = [
        neighbours.nearest(chunk, max(COUNTS), without) for chunk in features.split(CHUNK_UNITS)
    ]
    cosines, indices = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return Judge(head(features), cosines, indices, targets)


def choose(
    family: Family[Any, Any], neighbours: Neighbours, judges: Sequence[Judge]
) -> Neighbours | None:
    """The blend with the lowest loss; None if no blend has a lower loss than the head alone."""
    lowest = sum(float(family.loss(units.logits, units.targets)) for units in judges)
    chosen = None
    for count in COUNTS:
        for temperature in TEMPERATURES:
            votes = [
                torch.from_numpy(
                    neighbours.weighted(
                        units.cosines[:, :count], units.indices[:, :count], temperature
                    )
                )
                for units in judges
            ]
            for share in SHARES:
                loss = sum(
                    float(family.loss(family.blend(units.logits, of_units, share), units.targets))
                    for units, of_units in zip(judges, votes, strict=True)
                )
                if loss < lowest:
                    lowest, chosen = loss, (count, temperature, share)
    if chosen is None:
        return None
    count, temperature, share = chosen
    return replace(neighbours, count=count, temperature=temperature, share=share)
