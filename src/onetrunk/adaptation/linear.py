"""The best linear head on fixed features, and how strongly to hold it back."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits ``(U, C)`` against targets ``(U, …)``, convex in the logits."""

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
# With more units than this, or more logits, one fold is enough to tell penalties apart.
MANY_UNITS, MANY_LOGITS = 4000, 1_000_000
# Where no fold can be held out.
PENALTY = 0.1
# The fall of the loss in a step of L-BFGS that ends it, in parts of the loss without features.
# Rough: the predictions are there already (held-out losses within 1 % on four tasks' features), for
# a third of the time.
EXACT, ROUGH = 1e-9, 2e-6
# Features are turned to their principal axes where there are at least (features / this) classes:
# turning costs as much as (features / classes) steps.
WORTH_TURNING = 4
# Steps that L-BFGS remembers: with a million weights more of them cost more than the loss does, and
# on principal axes more are not needed.
HISTORY, LONG_HISTORY = 10, 100


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
    for held_out in held_out_folds(groups, len(features), classes):
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


def held_out_folds(groups: Sequence[int], units: int, classes: int) -> list[Tensor]:
    """Masks ``(U,)`` of units to hold out, those of one group together: one mask of very many
    units or classes, none of a single group."""
    names = sorted(set(groups))
    folds = min(FOLDS, len(names))
    if folds < 2:
        return []
    place = dict(zip(names, np.random.default_rng(0).permutation(len(names)).tolist(), strict=True))
    fold = torch.tensor([place[group] % folds for group in groups])
    many = units > MANY_UNITS or units * classes > MANY_LOGITS
    return [fold == k for k in range(1 if many else folds)]


class _Solver:
    """One problem, solved for a penalty after another.

    L-BFGS starts from the best bias without features, which for a rare label is far from zero. Of
    very many classes, weights are sought along the features' principal axes, each in units of
    1 / sqrt(curvature there): spreads along the axes and the classes' frequencies differ by orders
    of magnitude. Neither moves the optimum.
    """

    def __init__(self, features: Tensor, targets: Tensor, classes: int, loss: Loss) -> None:
        self.mean, self.std = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
        self.x, self.targets, self.loss = (features - self.mean) / self.std, targets, loss
        self.bias = torch.zeros(classes)
        _minimise(lambda bias: self._loss_of(bias), [self.bias], ROUGH, HISTORY)
        self.size = max(float(self._loss_of(self.bias)), 1e-3)
        units, width = self.x.shape
        self.many = classes * WORTH_TURNING >= width
        self.axes: Tensor | None = None
        if self.many:
            self.axes, spread = _principal_axes(self.x)
            self.curvature = self._gradients().square().mean(0)[:, None] * spread
        elif units < width:
            self.axes = _span(self.x)
        if self.axes is not None:
            self.x = self.x @ self.axes
        self.weight = torch.zeros(classes, self.x.shape[1])

    def solve(self, l2: float, tolerance: float) -> nn.Linear:
        """The optimum, sought from the last one."""
        unit = (self.curvature + l2).clamp_min(1e-8).rsqrt() if self.many else 1.0
        scaled = self.weight / unit

        def objective(scaled: Tensor, bias: Tensor) -> Tensor:
            weight = scaled * unit
            logits = self.x @ weight.T + bias
            return self.loss(logits, self.targets) + 0.5 * l2 * weight.square().sum()

        history = HISTORY if self.many else LONG_HISTORY
        _minimise(objective, [scaled, self.bias], tolerance * self.size, history)
        self.weight = scaled * unit
        head = nn.Linear(len(self.mean), len(self.bias))
        with torch.no_grad():
            full = self.weight if self.axes is None else self.weight @ self.axes.T
            head.weight.copy_(full / self.std)
            head.bias.copy_(self.bias - head.weight @ self.mean)
        return head.requires_grad_(False)

    def _loss_of(self, bias: Tensor) -> Tensor:
        return self.loss(bias.expand(len(self.x), -1), self.targets)

    @torch.enable_grad()
    def _gradients(self) -> Tensor:
        """Of each unit's own loss by its logits ``(U, C)``, with the bias alone. For cross-entropy,
        of one class or of each, their mean square is the loss's second derivative."""
        logits = self.bias.expand(len(self.x), -1).clone().requires_grad_()
        (gradients,) = torch.autograd.grad(self.loss(logits, self.targets), logits)
        return gradients * len(self.x)


def _span(x: Tensor) -> Tensor:
    """Orthonormal axes ``(D, r)`` of what rows ``(U, D)`` span, r the lesser of U and D. The
    optimum lies there: with fewer units than features the problem is as small as they are few."""
    return torch.linalg.qr(x.T)[0]


def _principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Principal axes ``(D, r)`` of the span of rows ``(U, D)``, and the rows' mean square along
    each, ``(r,)``."""
    span = _span(x) if x.shape[0] < x.shape[1] else None
    x = x if span is None else x @ span
    spread, axes = torch.linalg.eigh(x.T @ x / len(x))
    return (axes if span is None else span @ axes), spread.clamp_min(0)


@torch.enable_grad()
def _minimise(
    value: Callable[..., Tensor], at: Sequence[Tensor], tolerance: float, history: int
) -> None:
    """L-BFGS on ``value(*at)`` from where the tensors are; they are changed in place."""
    sought = [tensor.detach().requires_grad_() for tensor in at]  # the same memory
    optimizer = torch.optim.LBFGS(
        sought, max_iter=200, history_size=history, line_search_fn="strong_wolfe",
        tolerance_change=tolerance,
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = value(*sought)
        found.backward()
        return found

    optimizer.step(closure)
