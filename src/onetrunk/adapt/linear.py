"""The best linear head on fixed features, and how strongly to hold it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits ``(U, C)`` against targets ``(U, …)``, convex in the logits."""

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
# With more units than this one fold is enough to tell penalties apart.
MANY_UNITS = 4000
# Where no fold can be held out.
PENALTY = 0.1
# The fall of the loss in a step of L-BFGS that ends it. Rough: the predictions are there already
# (held-out losses within 1 % on four tasks' features), for a third of the time.
EXACT, ROUGH = 1e-9, 1e-5


def solve_linear(
    features: Tensor,
    targets: Tensor,
    classes: int,
    l2: float,
    loss: Loss = F.cross_entropy,
    tolerance: float = EXACT,
) -> nn.Linear:
    """The head that minimises mean loss + l2/2 · |W|² over standardised features ``(U, D)``.

    Solved by L-BFGS from zero: the result depends on nothing but the arguments. Standardisation
    makes one ``l2`` mean the same on every encoder; it is folded into the weights.
    """
    return _Solver(features, targets, classes, loss).solve(l2, tolerance)


def choose_penalty(
    features: Tensor,
    targets: Tensor,
    groups: Sequence[int],
    classes: int,
    loss: Loss = F.cross_entropy,
    penalties: Sequence[float] = PENALTIES,
) -> tuple[float, float]:
    """Of penalties, from the strongest on, the one with the lowest loss on held-out units (5
    folds), and that loss.

    Units of one group (a text's windows) are held out together. The right penalty differs a
    hundredfold between tasks, so no default would do.
    """
    parts = []
    for held_out in held_out_folds(groups, len(features)):
        kept = _Solver(features[~held_out], targets[~held_out], classes, loss)
        parts.append((kept, features[held_out], targets[held_out]))
    if not parts:
        return (PENALTY if len(penalties) > 1 else penalties[0]), float("inf")
    losses: list[float] = []
    for l2 in penalties:  # from the strongest on, each from where the last one ended
        with torch.no_grad():
            heads = [(kept.solve(l2, ROUGH), x, y) for kept, x, y in parts]
            losses.append(sum(float(loss(head(x), y)) for head, x, y in heads))
        if len(losses) - int(np.argmin(losses)) > 2:  # twice no better: it only gets worse
            break
    best = int(np.argmin(losses))
    return penalties[best], losses[best] / len(parts)


def held_out_folds(groups: Sequence[int], units: int) -> list[Tensor]:
    """Masks ``(U,)`` of units to hold out, those of one group together: one mask of very many
    units, none of a single group."""
    names = sorted(set(groups))
    folds = min(FOLDS, len(names))
    if folds < 2:
        return []
    place = dict(zip(names, np.random.default_rng(0).permutation(len(names)).tolist(), strict=True))
    fold = torch.tensor([place[group] % folds for group in groups])
    return [fold == k for k in range(folds if units <= MANY_UNITS else 1)]


class _Solver:
    """One problem, solved for a penalty after another."""

    def __init__(self, features: Tensor, targets: Tensor, classes: int, loss: Loss) -> None:
        self.mean, self.std = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
        self.x, self.targets, self.loss = (features - self.mean) / self.std, targets, loss
        # The optimum lies in the span of the units: with fewer of them than features, the same
        # problem in their own coordinates is smaller.
        self.basis: Tensor | None = None
        if self.x.shape[0] < self.x.shape[1]:
            self.basis, coordinates = torch.linalg.qr(self.x.T)
            self.x = coordinates.T.contiguous()
        self.weight = torch.zeros(classes, self.x.shape[1], requires_grad=True)
        self.bias = torch.zeros(classes, requires_grad=True)

    @torch.enable_grad()
    def solve(self, l2: float, tolerance: float) -> nn.Linear:
        """The optimum, sought from the last one."""
        weight, bias = self.weight, self.bias
        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=200, tolerance_change=tolerance, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            logits = self.x @ weight.T + bias
            value = self.loss(logits, self.targets) + 0.5 * l2 * weight.square().sum()
            value.backward()
            return value

        optimizer.step(closure)
        head = nn.Linear(len(self.mean), len(bias))
        with torch.no_grad():
            full = weight if self.basis is None else weight @ self.basis.T
            head.weight.copy_(full / self.std)
            head.bias.copy_(bias - head.weight @ self.mean)
        return head.requires_grad_(False)
