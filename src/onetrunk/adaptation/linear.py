"""The best linear head on fixed features, and how strong its penalty should be.

It needs numpy alone, so that a device without PyTorch can solve the same problem.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from onetrunk.losses.head import HeadLoss, cross_entropy

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
# With more units than this, or more logits, one fold is enough to tell penalties apart.
MANY_UNITS, MANY_LOGITS = 4000, 1_000_000
# The penalty where no fold can be held out.
PENALTY = 0.1

# A solve ends when the next step would lower the loss by less than this share of the loss that a
# head of zeros has. EXACT leaves errors of about 1e-3 in the logits of the hardest problems, and
# 1e-4 in others. ROUGH is enough to compare penalties, and to start a training.
EXACT, ROUGH = 1e-11, 1e-6
# The curvature at zero is a poor guide later on, so it is measured again at this tolerance.
COARSE = 1e-3
# Steps that L-BFGS remembers, and limits that only a problem without an optimum meets.
HISTORY, STEPS, TRIALS = 10, 500, 20
# Keeps the step along the biases finite where all units have one label.
BIAS_L2 = 1e-9
# A step along a line ends where the slope is between these shares of the first slope's size.
STEEPEST_DESCENT, STEEPEST_ASCENT = 0.7, 0.5
# Rounding may raise the loss by this share.
NOISE = 1e-7


class LinearHead(NamedTuple):
    """``features @ weight.T + bias``."""

    weight: np.ndarray
    """``(C, D)``"""
    bias: np.ndarray
    """``(C,)``"""

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features ``(U, D)`` -> logits ``(U, C)``."""
        return features @ self.weight.T + self.bias


def solve_linear(
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    l2: float,
    loss: HeadLoss = cross_entropy,
    tolerance: float = EXACT,
) -> LinearHead:
    """The head that minimises mean loss + l2/2 · |W|² over standardised features ``(U, D)``.

    The bias has no penalty. Standardisation makes one ``l2`` mean the same on every encoder; it is
    folded into the weights. Features are float32, or float64 for a more exact result.
    """
    return _Problem(features, targets, classes, loss).solve(l2, tolerance)


def choose_penalty(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[int],
    classes: int,
    loss: HeadLoss = cross_entropy,
    penalties: Sequence[float] = PENALTIES,
) -> tuple[float, float]:
    """The penalty with the lowest mean loss on held-out units (5 folds), and that loss.

    ``penalties`` are tried from the first, the strongest, until two in a row are no better. Units
    of one group (the windows of a text) are held out together. The best penalty differs a
    hundredfold between tasks, so no default would do.
    """
    folds = held_out_folds(groups, len(features), classes)
    if not folds:
        return (PENALTY if len(penalties) > 1 else penalties[0]), float("inf")
    axes: Axes | None = None
    units, width = features.shape
    if units >= width and _pays(units, width, classes, len(folds)):
        axes = _principal_axes(_standardised(features)[0])
    problems = [
        _Problem(features[~held_out], targets[~held_out], classes, loss, axes) for held_out in folds
    ]
    losses: list[float] = []
    for l2 in penalties:
        heads = [problem.solve(l2, ROUGH) for problem in problems]
        losses.append(
            sum(
                loss(head(features[held_out]), targets[held_out])[0]
                for head, held_out in zip(heads, folds, strict=True)
            )
        )
        if len(losses) - int(np.argmin(losses)) > 2:
            break
    best = int(np.argmin(losses))
    return penalties[best], losses[best] / len(folds)


def held_out_folds(groups: Sequence[int], units: int, classes: int) -> list[np.ndarray]:
    """Masks ``(U,)`` of units to hold out, those of one group together.

    There is one mask of very many units or logits, and none of a single group.
    """
    names = sorted(set(groups))
    folds = min(FOLDS, len(names))
    if folds < 2:
        return []
    place = dict(zip(names, np.random.default_rng(0).permutation(len(names)).tolist(), strict=True))
    fold = np.array([place[group] % folds for group in groups])
    many = units > MANY_UNITS or units * classes > MANY_LOGITS
    return [fold == number for number in range(1 if many else folds)]


Axes = tuple[np.ndarray, np.ndarray]
"""Principal axes ``(D, r)`` of features, and the mean square along each, ``(r,)``."""


class _Problem:
    """One problem, solved for one penalty after another, each from the last optimum on.

    L-BFGS (Nocedal & Wright 2006, algorithm 7.5), in coordinates in which the loss curves about
    equally in every direction: a class's weights along the principal axes of the features, each
    in units of 1 / sqrt(curvature there). The spread along the axes and the frequency of the
    classes differ by orders of magnitude, and steps in plain weights would have to learn that.
    The optimum is the same.
    """

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        classes: int,
        loss: HeadLoss,
        axes: Axes | None = None,
    ) -> None:
        self.x, self.mean, self.std = _standardised(features)
        self.targets, self.loss = targets, loss
        units, width = features.shape
        if axes is None and _pays(units, width, classes, 1):
            axes = _principal_axes(self.x)
        self.axes: np.ndarray | None = None
        self.spread = np.ones(width, features.dtype)
        if axes is not None:
            self.axes, self.spread = axes
        # Of many classes it is cheaper to turn the features once than the weights at each step.
        self.turned = self.axes is not None and (units < width or units < 200 * classes)
        if self.turned:
            self.x = self.x @ self.axes
        # Weights along the axes and, in the last column, the bias.
        self.point = np.zeros((classes, len(self.spread) + 1), features.dtype)
        self.scale = loss(np.zeros((units, classes), features.dtype), targets)[0]

    def solve(self, l2: float, tolerance: float) -> LinearHead:
        """The head with the least loss + l2/2 · |W|²."""
        for limit in (max(COARSE, tolerance), tolerance):
            self._descend(l2, limit * self.scale)
        weight, bias = self.point[:, :-1], self.point[:, -1]
        weight = (weight if self.axes is None else weight @ self.axes.T) / self.std
        return LinearHead(weight, bias - weight @ self.mean)

    def _descend(self, l2: float, tolerance: float) -> None:
        """Move ``point`` to where the next step promises to gain less than ``tolerance``."""
        ridge = np.append(np.full_like(self.spread, l2), self.spread.dtype.type(BIAS_L2))
        self.logits = self._logits(self.point)
        self.value, by_logits = self.loss(self.logits, self.targets)
        unit = 1 / np.sqrt(self._curvature(by_logits) + ridge)
        gradient = self._gradient(by_logits, ridge) * unit
        history: History = deque(maxlen=HISTORY)
        best, since = np.inf, 0
        for _ in range(STEPS):
            direction = -_times_inverse_hessian(gradient, history)
            slope = _dot(direction, gradient)
            since = 0 if -slope < best or best > NOISE * self.scale else since + 1
            best = min(best, -slope)
            if -slope <= tolerance or since > 4 * HISTORY:
                return
            step = direction * unit
            pull, bend = _dot(self.point * ridge, step), _dot(step * ridge, step)
            length, by_logits = self._search(self._logits(step), slope, pull, bend)
            if not length:
                return
            self.point = self.point + length * step
            last, gradient = gradient, self._gradient(by_logits, ridge) * unit
            history.append((length * direction, gradient - last))

    def _search(
        self, along: np.ndarray, slope: float, pull: float, bend: float
    ) -> tuple[float, np.ndarray]:
        """Move ``logits`` on by a multiple of ``along``; that multiple, and the new gradient.

        ``slope`` is the objective's, ``pull`` and ``bend`` are the first and second derivative of
        the penalty. Logits are linear in the weights, so a trial costs no product of matrices. The
        conditions are the approximate Wolfe conditions (Hager & Zhang 2005, SIAM J. Optim. 16),
        which hold up where a difference of two losses is lost in rounding. The multiple is 0 if
        rounding leaves nothing to gain.
        """
        length, low, high = 1.0, (0.0, slope), None
        for _ in range(TRIALS):
            logits = self.logits + length * along
            value, by_logits = self.loss(logits, self.targets)
            steepness = _dot(by_logits, along) + pull + length * bend
            rise = value - self.value + length * (pull + 0.5 * length * bend)
            if steepness > -STEEPEST_ASCENT * slope or rise > NOISE * self.scale:
                high = length, steepness
            elif steepness < STEEPEST_DESCENT * slope:
                low = length, steepness
            else:
                self.logits, self.value = logits, self.value - rise if False else value
                return length, by_logits
            length = 4 * length if high is None else _between(low, high)
        return 0.0, by_logits

    def _curvature(self, by_logits: np.ndarray) -> np.ndarray:
        """The second derivative by each weight and bias, roughly, ``(C, r + 1)``.

        Random signs times the change of the gradient that they cause have the diagonal of the
        second derivative as their mean (Bekas et al. 2007, Appl. Numer. Math. 57).
        """
        signs = np.random.default_rng(0).integers(0, 2, self.logits.shape, np.int8) * 2 - 1
        change = (0.01 * signs).astype(self.logits.dtype)
        response = self.loss(self.logits + change, self.targets)[1] - by_logits
        of_class = np.maximum(np.einsum("uc,uc->c", response, change) / 1e-4, 1e-8)
        return of_class[:, None] * np.append(self.spread, self.spread.dtype.type(1))

    def _logits(self, point: np.ndarray) -> np.ndarray:
        weight = point[:, :-1]
        if self.axes is not None and not self.turned:
            weight = weight @ self.axes.T
        logits = self.x @ weight.T
        logits += point[:, -1]
        return logits

    def _gradient(self, by_logits: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        by_weight = by_logits.T @ self.x
        if self.axes is not None and not self.turned:
            by_weight = by_weight @ self.axes
        return np.column_stack([by_weight, by_logits.sum(0)]) + self.point * ridge


History = deque[tuple[np.ndarray, np.ndarray]]
"""The last steps of L-BFGS, and the change of the gradient over each."""


def _times_inverse_hessian(gradient: np.ndarray, history: History) -> np.ndarray:
    """The two-loop recursion (Nocedal & Wright 2006, algorithm 7.4)."""
    product, shares = gradient.copy(), []
    for step, change in reversed(history):
        shares.append(_dot(step, product) / _dot(step, change))
        product -= shares[-1] * change
    if history:
        step, change = history[-1]
        product *= _dot(step, change) / _dot(change, change)
    for (step, change), share in zip(history, reversed(shares), strict=True):
        product += (share - _dot(change, product) / _dot(step, change)) * step
    return product


def _between(low: tuple[float, float], high: tuple[float, float]) -> float:
    """Where the slope is about zero, from two (place, slope); not too close to either."""
    width = high[0] - low[0]
    share = -low[1] / (high[1] - low[1]) if high[1] > low[1] else 0.0
    return low[0] + width * min(max(share, 0.1), 0.5)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))


def _standardised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of mean 0 and variance 1, their mean and standard deviation before."""
    units = len(features)
    mean = np.full(units, 1 / units, features.dtype) @ features
    x = features - mean
    std = np.maximum(np.sqrt(np.einsum("ud,ud->d", x, x) / units), 1e-6)
    x /= std
    return x, mean, std


def _pays(units: int, width: int, classes: int, solves: int) -> bool:
    """Whether principal axes save more time than they cost: about forty steps in a solve.

    The numbers are of a processor with two cores; few classes are bound by memory.
    """
    return min(units, width) ** 3 < 50 * solves * units * width * max(classes, 12)


def _principal_axes(x: np.ndarray) -> Axes:
    """Of what the rows ``(U, D)`` span: r is the lesser of U and D. The optimum lies there."""
    span = np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else None
    x = x if span is None else x @ span
    spread, axes = np.linalg.eigh(x.T @ x / len(x))
    return (axes if span is None else span @ axes), np.maximum(spread, 0)
