"""Whether probabilities can be believed: reliability bins, their error, and a temperature."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BINS = 10
_TEMPERATURES = np.geomspace(0.05, 20, 400)
_TINY = 1e-12

NO_MINIMUM = "too few rows, or nearly all answers are right, or nearly all are wrong"
NOTHING_KNOWN = "no row has a label that training had"
NO_PROBABILITIES = "the answers have no probabilities"


@dataclass(frozen=True)
class Bin:
    """Answers whose probability lies between ``low`` and ``high``."""

    low: float
    high: float
    count: int
    confidence: float
    """Their mean probability."""
    right: float
    """The share of them that is right."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities against what was right."""

    bins: list[Bin]
    """Those of ten equally wide bins that hold answers."""
    ece: float
    """Expected calibration error (Naeini et al. 2015), in percent: how far apart the probability
    and the share of right answers are, on average over answers."""
    temperature: float | None = None
    """Logits divided by it have the least log loss on these rows (Guo et al. 2017). Above one the
    app is too sure. None: not asked for, or there is none."""
    ece_at_temperature: float | None = None
    no_temperature: str = ""
    """Why there is none, although it was asked for."""


def calibration_of(
    probabilities: ArrayLike,
    right: ArrayLike,
    choices: tuple[np.ndarray, np.ndarray] | None = None,
    temperature: bool = False,
) -> Calibration | None:
    """Calibration of answers ``(N,)``, each with its probability; None if there are none.

    ``choices`` are for answers that are one of several labels: the probabilities of all labels
    ``(N, C)`` and the index of the labelled one ``(N,)``, -1 if it is not among them. The
    temperature then divides all logits of a row. Without them it divides the log odds.
    """
    confidence, hits = np.asarray(probabilities, float), np.asarray(right, float)
    if not len(hits):
        return None
    bins, ece = _bins(confidence, hits)
    if not temperature:
        return Calibration(bins, ece)
    losses, scaled = [], []
    for candidate in _TEMPERATURES:
        if choices is None:
            clipped = np.clip(confidence, _TINY, 1 - _TINY)
            at_temperature = 1 / (1 + np.exp(-np.log(clipped / (1 - clipped)) / candidate))
            of_truth = np.where(hits > 0, at_temperature, 1 - at_temperature)
        else:
            powers = np.maximum(choices[0], _TINY) ** (1 / candidate)
            powers /= powers.sum(1, keepdims=True)
            at_temperature, known = powers.max(1), choices[1] >= 0
            of_truth = powers[known, choices[1][known]]
        losses.append(-np.log(np.maximum(of_truth, _TINY)).sum())
        scaled.append(at_temperature)
    best = int(np.argmin(losses))
    if best in (0, len(losses) - 1):  # the loss falls on and on
        return Calibration(bins, ece, no_temperature=NO_MINIMUM)
    return Calibration(bins, ece, float(_TEMPERATURES[best]), _bins(scaled[best], hits)[1])


def _bins(confidence: np.ndarray, hits: np.ndarray) -> tuple[list[Bin], float]:
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for at in np.unique(number).tolist():
        inside = number == at
        means = float(confidence[inside].mean()), float(hits[inside].mean())
        bins.append(Bin(at / BINS, (at + 1) / BINS, int(inside.sum()), *means))
    gaps = sum(one.count * abs(one.confidence - one.right) for one in bins)
    return bins, 100 * gaps / len(hits)
