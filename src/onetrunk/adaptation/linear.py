"""The best linear head on fixed features.

This needs numpy alone, so that a device without PyTorch can solve the same problem.
"""

from collections import deque
from copy import copy
from typing import NamedTuple

import numpy as np

from onetrunk.losses.head import HeadLoss, cross_entropy

# A solve ends when the next step promises to lower the objective by less than this share of the
# loss of a head of zeros. EXACT leaves errors below 1e-4 in the logits, or a few times that where
# the penalty is weak. ROUGH leaves errors of about 0.1: enough to compare penalties, and to start a
# training.
EXACT, ROUGH = 1e-12, 1e-6
# The curvature at zero is a poor guide later on. It is measured again at this tolerance.
COARSE = 1e-3
# The steps that L-BFGS remembers; the most steps of a descent; the most trials along a line.
HISTORY, STEPS, TRIALS = 10, 500, 20
# A search along a line ends where the slope is between these multiples of the slope at its start.
STILL_STEEP, TOO_FAR = 0.7, -0.5
# Rounding may change the loss by this share of the loss of a head of zeros.
NOISE = 1e-7
# The bias has no penalty, except for this: without it the bias of a label that no unit has would
# run to minus infinity. It moves other logits by less than 1e-4.
BIAS_L2 = 1e-9


class LinearHead(NamedTuple):
    """A linear map from features to logits."""

    weight: np.ndarray
    """``(C, D)``"""
    bias: np.ndarray
    """``(C,)``"""

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features ``(U, D)`` -> logits ``(U, C)``."""
        logits: np.ndarray = features @ self.weight.T + self.bias
        return logits


def solve_linear(
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    l2: float,
    loss: HeadLoss = cross_entropy,
    tolerance: float = EXACT,
) -> LinearHead:
    """The head that minimises mean loss + l2/2 · |W|² over standardised features ``(U, D)``.

    Standardisation makes one ``l2`` mean the same on every encoder; it is folded into the weights
    of the result. The bias has no penalty. Features are float32, or float64 for smaller errors; the
    head has the same type. The result depends on nothing but the arguments.
    """
    return Problem(features, targets, classes, loss).solve(l2, tolerance)


Axes = tuple[np.ndarray, np.ndarray]
"""Principal axes ``(D, D)`` of features, and their mean square along each, ``(D,)``."""


class Problem:
    """One problem, solved for one penalty after another, each from the last optimum on.

    L-BFGS seeks the weights in coordinates in which the objective curves about equally in every
    direction: a class's weights along the principal axes of the features, in units of
    1 / sqrt(curvature). The spread along the axes and the frequency of the classes differ by orders
    of magnitude, which steps in plain weights would have to learn. The optimum is the same. Without
    axes (:func:`axes_pay`) only the frequency of the classes is known beforehand.

    With ``start`` the problem is solved for the difference from that head. The penalty is then on
    the difference, bias included. Features are scaled and not centred: a few units are too few to
    estimate the mean and the deviation of all texts.
    """

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        classes: int,
        loss: HeadLoss,
        axes: Axes | None = None,
        start: LinearHead | None = None,
    ) -> None:
        if start is None:
            self.x, self.mean, self.std = standardised(features)
        else:
            self.x, self.mean, self.std = scaled(features)
        self.start = start
        self.offset = None if start is None else start(features)  # its logits
        self.targets, self.loss = targets, loss
        units, width = features.shape
        if axes is None and units >= width and axes_pay(units, width, classes):
            axes = principal_axes(self.x)
        self.spread = np.ones(width, features.dtype)
        self.axes: np.ndarray | None = None
        # The axes, if the weights are turned to them in each step, and not the features once.
        self.turn: np.ndarray | None = None
        # (U, D), if units are fewer than features: ``x`` are coordinates in the span of these rows.
        self.rows: np.ndarray | None = None
        if axes is not None:
            self.axes, self.spread = axes
            # To turn the features once takes as long as to turn the weights in some hundred steps.
            if units > 200 * classes:
                self.turn = self.axes
            else:
                self.x = self.x @ self.axes
        elif units < width:
            self._span_of_rows()
        # Weights along the axes and, in the last column, the bias.
        self.point = np.zeros((classes, len(self.spread) + 1), features.dtype)
        self.scale = loss(np.zeros((units, classes), features.dtype), targets)[0]

    def _span_of_rows(self) -> None:
        """Describe U rows of more features by their U axes: the optimum is a combination of rows.

        The axes follow from the eigenvectors of the rows' products ``(U, U)``, of which float32
        would lose the smaller ones.
        """
        self.rows = self.x.astype(np.float64)
        spread, vectors = np.linalg.eigh(self.rows @ self.rows.T / len(self.rows))
        spans = spread > 1e-11 * spread[-1]
        root = np.sqrt(spread[spans] * len(self.rows))
        self.combinations = vectors[:, spans] / root
        self.x = (vectors[:, spans] * root).astype(self.x.dtype)
        self.spread = spread[spans].astype(self.x.dtype)

    def solve(self, l2: float, tolerance: float) -> LinearHead:
        """The head with the least loss + l2/2 · |W|²."""
        if not self.point.any():
            self._descend(l2, max(COARSE, tolerance) * self.scale)
        self._descend(l2, tolerance * self.scale)
        weight, bias = self.point[:, :-1], self.point[:, -1]
        if self.rows is not None:
            weight = (weight @ self.combinations.T @ self.rows).astype(bias.dtype)
        elif self.axes is not None:
            weight = weight @ self.axes.T
        weight = weight / self.std
        head = LinearHead(weight, bias - weight @ self.mean)
        if self.start is None:
            return head
        return LinearHead(*(old + new for old, new in zip(self.start, head, strict=True)))

    def without(self, held_out: np.ndarray, l2: float) -> np.ndarray:
        """Logits ``(n, C)`` of the units ``held_out (U,)`` bool by a rough head from the others."""
        part = copy(self)
        part.x, part.targets = self.x[~held_out], self.targets[~held_out]
        part.offset = None if self.offset is None else self.offset[~held_out]
        part.point = np.zeros_like(self.point)
        part.scale = self.loss(
            np.zeros((len(part.x), len(self.point)), self.x.dtype), part.targets
        )[0]
        for tolerance in (COARSE, ROUGH):
            part._descend(l2, tolerance * part.scale)
        part.x = self.x[held_out]
        logits = part._logits(part.point)
        return logits if self.offset is None else logits + self.offset[held_out]

    def _descend(self, l2: float, tolerance: float) -> None:
        """L-BFGS (Nocedal & Wright 2006, algorithm 7.5) from ``point`` on, until a step promises to
        gain less than ``tolerance``."""
        bias_l2 = BIAS_L2 if self.start is None else l2
        ridge = np.append(np.full_like(self.spread, l2), self.spread.dtype.type(bias_l2))
        self.logits = self._logits(self.point)
        if self.offset is not None:
            self.logits += self.offset
        self.value, by_logits = self.loss(self.logits, self.targets)
        unit = 1 / np.sqrt(self._curvature(by_logits) + ridge)
        gradient = self._gradient(by_logits, ridge) * unit
        history: History = deque(maxlen=HISTORY)
        least, steps_since = self.scale, 0
        for _ in range(STEPS):
            direction = -_times_inverse_hessian(gradient, history)
            slope = _dot(direction, gradient)
            steps_since = 0 if -slope < least else steps_since + 1
            least = min(least, -slope)
            lost_in_noise = least < NOISE * self.scale and steps_since > 4 * HISTORY
            if -slope <= tolerance or lost_in_noise:
                return
            step = direction * unit
            pull, bend = _dot(self.point * ridge, step), _dot(step * ridge, step)
            length, by_logits = self._search(self._logits(step), slope, pull, bend)
            if not length:
                return
            self.point = self.point + length * step
            previous, gradient = gradient, self._gradient(by_logits, ridge) * unit
            history.append((length * direction, gradient - previous))

    def _search(
        self, along: np.ndarray, slope: float, pull: float, bend: float
    ) -> tuple[float, np.ndarray]:
        """Move ``logits`` by a multiple of ``along`` ``(U, C)``. Returns the multiple and the
        loss's gradient there; the multiple is 0 if rounding leaves nothing to gain.

        ``slope`` is the objective's first derivative at 0; ``pull`` and ``bend`` are the first and
        second derivative of the penalty. Logits are linear in the weights, so that a trial needs no
        product of matrices. It is accepted by the approximate Wolfe conditions (Hager & Zhang 2005,
        SIAM J. Optim. 16, section 4), which need no difference of two losses that rounding makes
        equal.
        """
        length, low, high = 1.0, (0.0, slope), None
        for _ in range(TRIALS):
            logits = self.logits + length * along
            value, by_logits = self.loss(logits, self.targets)
            steepness = _dot(by_logits, along) + pull + length * bend
            rise = value - self.value + length * (pull + 0.5 * length * bend)
            if steepness > TOO_FAR * slope or rise > NOISE * self.scale:
                high = length, steepness
            elif steepness < STILL_STEEP * slope:
                low = length, steepness
            else:
                self.logits, self.value = logits, value
                return length, by_logits
            length = 4 * length if high is None else _between(low, high)
        return 0.0, by_logits

    def _curvature(self, by_logits: np.ndarray) -> np.ndarray:
        """The objective's second derivative by each weight and bias, roughly, ``(C, r + 1)``.

        Add small random signs to the logits: the change of the gradient times the signs has the
        diagonal of the second derivative as its mean (Bekas et al. 2007, Appl. Numer. Math. 57).
        """
        signs = np.random.default_rng(0).integers(0, 2, self.logits.shape, np.int8) * 2 - 1
        change = (0.01 * signs).astype(self.logits.dtype)
        response = self.loss(self.logits + change, self.targets)[1] - by_logits
        of_class = np.maximum(np.einsum("uc,uc->c", response, change) / 0.01**2, 1e-8)
        return of_class[:, None] * np.append(self.spread, self.spread.dtype.type(1))

    def _logits(self, point: np.ndarray) -> np.ndarray:
        weight = point[:, :-1]
        if self.turn is not None:
            weight = weight @ self.turn.T
        logits: np.ndarray = self.x @ weight.T
        logits += point[:, -1]
        return logits

    def _gradient(self, by_logits: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        by_weight = by_logits.T @ self.x
        if self.turn is not None:
            by_weight = by_weight @ self.turn
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
    """Where the slope is about zero, from two (place, slope); beyond the middle it would be slow to
    close in on a minimum that lies near ``low``."""
    rise = high[1] - low[1]
    share = -low[1] / rise if rise > 0 else 0.0
    return low[0] + (high[0] - low[0]) * min(max(share, 0.1), 0.5)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))


def standardised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of mean 0 and variance 1, and the mean and deviation that they had."""
    units = len(features)
    mean = np.full(units, 1 / units, features.dtype) @ features
    x = features - mean
    std = np.maximum(np.sqrt(np.einsum("ud,ud->d", x, x) / units), 1e-6)
    x /= std
    return x, mean, std


def scaled(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features whose mean square length is 1, and what they were divided by, in the form of
    :func:`standardised`."""
    length = np.sqrt(np.einsum("ud,ud->", features, features) / len(features)) or 1.0
    width = features.shape[1]
    std = np.full(width, length, features.dtype)
    return features / std, np.zeros(width, features.dtype), std


def axes_pay(units: int, width: int, classes: int, solves: int = 1) -> bool:
    """Whether principal axes save more time than they take.

    They take about as long as ``width**2 / (units * classes)`` steps, and save about 50 steps in
    each of ``solves`` problems. Products with fewer than 12 classes take as long as with 12.
    """
    return width**2 < 50 * solves * units * max(classes, 12)


def principal_axes(x: np.ndarray) -> Axes:
    """Of standardised or scaled features ``(U, D)``."""
    spread, axes = np.linalg.eigh(x.T @ x / len(x))
    return axes, np.maximum(spread, 0)
