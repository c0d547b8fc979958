"""Whether an app should ask its labelled neighbours, how many, and how much their votes count.

The head's answer is interpolated with the votes of the nearest training texts (Khandelwal et al.
2020, arXiv 1911.00172, section 2). It pays where labels are many and rows a label few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from onetrunk.adaptation.linear import held_out_folds, solve_linear
from onetrunk.apps.neighbours import Neighbours, count_votes
from onetrunk.families.base import Family

COUNTS = (4, 16, 64)
TEMPERATURES = (0.02, 0.05, 0.1, 0.2)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Judge = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of units that neither head nor neighbours were made from: logits ``(U, C)``, cosines and indices
``(U, K)`` of their neighbours, targets ``(U, …)``."""


def cross_judges(
    family: Family[Any, Any],
    features: Tensor,
    targets: Tensor,
    groups: Sequence[int],
    classes: int,
    l2: float,
) -> list[Judge]:
    """Training units ``(U, D)``, judged by heads and neighbours of other folds."""
    everyone = Neighbours.of(features, family.soft_targets(targets, classes), max(COUNTS), 1.0, 0.5)
    judges = []
    for held_out in held_out_folds(groups, len(features), classes):
        head = solve_linear(features[~held_out], targets[~held_out], classes, l2, family.loss)
        judges.append(
            judge(head, everyone, features[held_out], targets[held_out], without=held_out)
        )
    return judges


def judge(
    head: Callable[[Tensor], Tensor],
    neighbours: Neighbours,
    features: Tensor,
    targets: Tensor,
    without: Tensor | None = None,
) -> Judge:
    """Units ``(U, D)`` with the logits of a head and their neighbours; ``without``: ``(N,)`` bool,
    those that may not be asked."""
    parts = []
    for chunk in features.split(1024):
        cosines = neighbours.similarities(chunk)
        if without is not None:
            cosines[:, without] = -torch.inf
        parts.append(cosines.topk(min(max(COUNTS), len(neighbours.keys))))
    cosines, nearest = (torch.cat(found) for found in zip(*parts, strict=True))
    with torch.no_grad():
        return head(features), cosines, nearest, targets


def choose(
    family: Family[Any, Any], neighbours: Neighbours, judges: Sequence[Judge]
) -> Neighbours | None:
    """The blend with the lowest loss; None if the head alone has it."""
    best = sum(float(family.loss(logits, targets)) for logits, _, _, targets in judges)
    chosen = None
    for count in COUNTS:
        for temperature in TEMPERATURES:
            votes = [
                count_votes(
                    neighbours.soft_targets, cosines[:, :count], nearest[:, :count], temperature
                )
                for _, cosines, nearest, _ in judges
            ]
            for share in SHARES:
                loss = sum(
                    float(family.loss(family.blend(logits, own, share), targets))
                    for (logits, _, _, targets), own in zip(judges, votes, strict=True)
                )
                if loss < best:
                    best, chosen = loss, (count, temperature, share)
    if chosen is None:
        return None
    count, temperature, share = chosen
    return replace(neighbours, count=count, temperature=temperature, share=share)
