"""Losses of a linear head, in numpy alone: the solver of stage 2 must run without torch.

Each takes logits ``(U, C)`` of U units and their targets. It returns the mean loss over the units
and the gradient of that mean by the logits, ``(U, C)`` in the logits' precision. All are convex.
"""

from typing import Protocol

import numpy as np

TAGS = 3
"""Outputs of a type in nested NER: O, B and I."""


class HeadLoss(Protocol):
    """A mean loss and its gradient by the logits."""

    def __call__(self, logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        """Logits ``(U, C)`` and targets ``(U, …)`` -> the loss, and its gradient ``(U, C)``."""


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Softmax cross-entropy. Targets are classes, int ``(U,)``, or shares of them, ``(U, C)``."""
    units = len(logits)
    gradient = logits - logits.max(1, keepdims=True)
    if targets.ndim == 1:
        place = np.arange(units), targets
        of_target = gradient[place].sum(dtype=np.float64)
        total: np.ndarray | float = 1.0
    else:
        of_target = (targets * gradient).sum(dtype=np.float64)
        total = targets.sum(1, keepdims=True)
    np.exp(gradient, out=gradient)
    sums = gradient.sum(1, keepdims=True)
    value = (total * np.log(sums)).sum(dtype=np.float64) - of_target
    gradient *= total / (sums * units)
    if targets.ndim == 1:
        gradient[place] -= 1 / units
    else:
        gradient -= targets / units
    return float(value) / units, gradient


def cross_entropy_of_tags(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy of every :data:`TAGS` outputs, a mean over units and types. Targets are tags,
    int ``(U, types)``, or shares of them, ``(U, C)``."""
    soft = np.issubdtype(targets.dtype, np.floating)
    targets = targets.reshape(-1, TAGS) if soft else targets.ravel()
    value, gradient = cross_entropy(logits.reshape(-1, TAGS), targets)
    return value, gradient.reshape(logits.shape)


def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Yes or no for each output, ``(U, C)`` from 0 to 1: a mean over units of the sum of losses."""
    units = len(logits)
    small = np.exp(-np.abs(logits))
    value = np.maximum(logits, 0) - targets * logits + np.log1p(small)
    gradient = np.where(logits >= 0, 1, small) / (1 + small)
    gradient -= targets
    gradient /= units
    return float(value.sum(dtype=np.float64)) / units, gradient


def squared_error(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Squared error of numbers ``(U, C)``, a mean over units and outputs."""
    error = logits - targets
    return float(np.square(error).mean(dtype=np.float64)), error * (2 / error.size)
