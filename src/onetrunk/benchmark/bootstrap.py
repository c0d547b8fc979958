"""Paired bootstrap over the test rows of one task (Koehn 2004; Berg-Kirkpatrick et al. 2012).

A system is given by the counts of each row that its score is computed from, ``(N, S)``: 0 or 1 for
accuracy, counts of entities for F1. A metric turns their means over the rows, ``(B, S)``, into
scores ``(B,)`` in percent, for B resamples at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from onetrunk.families.resampling import Floats, resampled_weights

Metric = Callable[[Floats], Floats]

# Means of the same rows in another order differ in the last bits.
_SLACK = 1e-9


@dataclass(frozen=True)
class PairedBootstrap:
    """The difference of two systems' scores on one test set, in the metric's unit."""

    difference: float
    """First less second."""
    low: float
    high: float
    """95 % percentile interval."""
    p: float
    """Two-sided p-value of no difference."""


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    metric: Metric,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedBootstrap:
    """Resample the same rows for both systems, ``(N, S)`` or ``(N,)`` each.

    p is the share of resamples whose difference is as far from the observed one as that is from
    zero (Berg-Kirkpatrick et al. 2012, section 2, on both sides). The observed difference counts as
    one of them, so p is never zero. Raises ValueError for differing shapes and for no rows.
    """
    counts = [np.asarray(system, dtype=np.float64) for system in (first, second)]
    if counts[0].shape != counts[1].shape or not counts[0].size:
        raise ValueError(f"row statistics of shapes {counts[0].shape} and {counts[1].shape}")
    rows = len(counts[0])
    both = np.hstack([system.reshape(rows, -1) for system in counts])
    kinds, repeats = np.unique(both, axis=0, return_counts=True)

    def differences(weights: Floats) -> Floats:
        means = np.split(weights @ kinds / rows, 2, axis=1)
        return metric(means[0]) - metric(means[1])

    observed = float(differences(repeats[None].astype(np.float64))[0])
    all_differences = np.concatenate(
        [differences(weights) for weights in resampled_weights(repeats, resamples, seed)]
    )
    low, high = np.quantile(all_differences, (0.025, 0.975)).tolist()
    as_far = int((abs(all_differences - observed) >= abs(observed) - _SLACK).sum())
    return PairedBootstrap(observed, low, high, (1 + as_far) / (1 + resamples))


def accuracy(means: Floats) -> Floats:
    """Accuracy from the mean ``(B, 1)`` of a count that is 1 for a right row."""
    return 100 * means[:, 0]


def f1(means: Floats) -> Floats:
    """F1 from gold, predicted and right counts of C classes ``(B, 3C)``, averaged over classes.

    Classes that are neither gold nor predicted in a resample are left out, as in `label_scores`.
    One class of all entities gives micro-F1.
    """
    gold, predicted, right = np.split(means, 3, axis=1)
    total = gold + predicted
    by_class = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
    return 100 * by_class.sum(1) / np.maximum(np.count_nonzero(total, axis=1), 1)


def label_counts(gold: ArrayLike, predicted: ArrayLike, labels: int) -> Floats:
    """Gold and predicted labels ``(N,)``, integers 0 … C - 1, as counts ``(N, 3C)`` for `f1`.

    Raises ValueError if there are not as many of both.
    """
    truth, guess = np.asarray(gold), np.asarray(predicted)
    if truth.shape != guess.shape:
        raise ValueError(f"{guess.size} predicted for {truth.size} gold labels")
    hot = np.eye(labels)
    return np.hstack([hot[truth], hot[guess], hot[truth] * hot[guess]])
