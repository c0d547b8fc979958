"""Paired bootstrap over the test rows of one task (Koehn 2004; Berg-Kirkpatrick et al. 2012).

A system is given by the counts of each row that its score is made of, ``(N, S)``: 0 or 1 for
accuracy, counts of entities for micro-F1. A metric turns their means over the rows, ``(B, S)``,
into scores ``(B,)`` in percent, B resamples at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Metric = Callable[[Floats], Floats]

# Of the weights of one chunk of resamples: 32 MB.
_CHUNK_NUMBERS = 1 << 22
# Means of the same rows in another order differ in the last bits.
_SLACK = 1e-9


@dataclass(frozen=True)
class PairedBootstrap:
    """How far two systems' scores on one test set are apart, in the metric's unit."""

    difference: float
    """First less second."""
    low: float
    high: float
    """95 % percentile interval."""
    p: float
    """Two-sided, of no difference."""


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    metric: Metric,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedBootstrap:
    """Resample the same rows for both systems, ``(N, S)`` or ``(N,)`` each.

    p is the share of resamples whose difference is as far from the observed one as that is from
    zero (Berg-Kirkpatrick et al. 2012, section 2, on both sides), the observed one among them, so
    never zero. Raises ValueError for differing shapes and for no rows.
    """
    one, two = (np.asarray(rows, dtype=np.float64) for rows in (first, second))
    if one.shape != two.shape or not one.size:
        raise ValueError(f"row statistics of shapes {one.shape} and {two.shape}")
    rows = len(one)
    both = np.hstack([one.reshape(rows, -1), two.reshape(rows, -1)])
    # Rows alike in both systems are drawn together: most tests have few kinds of row.
    kinds, counts = np.unique(both, axis=0, return_counts=True)

    def differences(weights: Floats) -> Floats:
        mine, theirs = np.split(weights @ kinds / rows, 2, axis=1)
        return metric(mine) - metric(theirs)

    observed = float(differences(counts[None].astype(np.float64))[0])
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_NUMBERS // len(kinds))
    drawn = np.concatenate(
        [
            differences(
                rng.multinomial(rows, counts / rows, min(chunk, resamples - at)).astype(np.float64)
            )
            for at in range(0, resamples, chunk)
        ]
    )
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    as_far = int((abs(drawn - observed) >= abs(observed) - _SLACK).sum())
    return PairedBootstrap(observed, low, high, (1 + as_far) / (1 + resamples))


def accuracy(means: Floats) -> Floats:
    """Of one count ``(B, 1)``, 1 for a row that is right."""
    return 100 * means[:, 0]


def micro_f1(means: Floats) -> Floats:
    """Of gold, predicted and right counts ``(B, 3)``, as of entities; 0 if there are none."""
    return 100 * _f1(means[:, 0], means[:, 1], means[:, 2])


def macro_f1(means: Floats) -> Floats:
    """Of gold, predicted and right counts by label ``(B, 3C)``, as `label_counts` gives them.

    The mean is over labels that are gold or predicted in the resample, as in `label_scores`.
    """
    gold, predicted, right = np.split(means, 3, axis=1)
    seen = np.count_nonzero(gold + predicted, axis=1)
    return 100 * _f1(gold, predicted, right).sum(1) / np.maximum(seen, 1)


def label_counts(gold: ArrayLike, predicted: ArrayLike, labels: int) -> Floats:
    """The counts of each row that `macro_f1` is made of: labels as ``(N,)`` integers 0 … C - 1 each
    -> ``(N, 3C)``. Raises ValueError if there are not as many of both."""
    truth, guess = np.asarray(gold), np.asarray(predicted)
    if truth.shape != guess.shape:
        raise ValueError(f"{guess.size} predicted for {truth.size} gold labels")
    hot = np.eye(labels)
    return np.hstack([hot[truth], hot[guess], hot[truth] * hot[guess]])


def _f1(gold: Floats, predicted: Floats, right: Floats) -> Floats:
    total = gold + predicted
    return np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
