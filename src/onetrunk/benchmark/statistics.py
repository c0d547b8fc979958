"""Intervals and tests for a benchmark of strategies x tasks x seeds.

There are two kinds of seed: P seeds of stage 1 (backbones) and A seeds of adaptation (draws of
labelled rows). They are crossed: an adaptation seed draws the same rows on every backbone.
`seed_interval` speaks of both kinds of seed. `signed_rank`, `holm`, `wins` and `compare_ranks`
speak of tasks. For test rows see `bootstrap.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

ALPHA = 0.05
# Means of the same scores in another order differ in the last bits and would not tie.
DECIMALS = 9
_TINY = 1e-300


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds and its 95 % interval, in the unit of the values."""

    mean: float
    low: float | None
    high: float | None
    """None with one seed of either kind, which says nothing of the spread."""
    standard_error: float | None
    df: float | None
    stage1_seeds: int
    adaptation_seeds: int
    components: tuple[float, float, float] | None
    """Variance by stage-1 seed, by adaptation seed and of the rest; negative estimates are zero.
    None unless there are two seeds of each kind."""

    @property
    def over_both(self) -> bool:
        """Whether the interval speaks of other backbones and of other draws of labelled rows."""
        return min(self.stage1_seeds, self.adaptation_seeds) > 1

    @property
    def coverage(self) -> str:
        """How often such intervals hold the true mean, in percent, if effects are normal; the range
        is over all ways in which the variance may divide. Empty without an interval."""
        fewest, most = sorted((self.stage1_seeds, self.adaptation_seeds))
        if self.low is None or fewest == 1:
            return "" if self.low is None else "95"
        return "94-99" if fewest == 2 else "93-97" if most <= 2 * fewest else "93-98"


def seed_interval(values: ArrayLike) -> SeedInterval:
    """95 % t interval for the mean of ``(P, A)`` values: P stage-1 by A adaptation seeds.

    The values are scores, or differences of two strategies paired by seeds, averaged over tasks
    first. The standard error is that of :func:`mean_error`. With P = 1 or A = 1 it is the usual t
    interval, and says nothing of the kind of seed that there is one of.

    Raises ValueError for another shape and for values that are missing or not finite.
    """
    table = _finite(values)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"values of shape {table.shape}, not (stage-1 seeds, adaptation seeds)")
    stage1, adaptation = table.shape
    mean = float(table.mean())
    if table.size == 1:
        return SeedInterval(mean, None, None, None, None, 1, 1, None)
    error, df = map(float, mean_error(table))
    half = float(stats.t.ppf(1 - ALPHA / 2, df)) * error
    components = None
    if min(stage1, adaptation) > 1:
        by_stage1, by_adaptation, rest = map(float, mean_squares(table))
        components = (
            max(by_stage1 - rest, 0.0) / adaptation,
            max(by_adaptation - rest, 0.0) / stage1,
            rest,
        )
    return SeedInterval(mean, mean - half, mean + half, error, df, stage1, adaptation, components)


def mean_squares(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean squares by stage-1 seed, by adaptation seed and of the rest, ``(…, P, A)`` -> ``(…)``.

    Two-way random effects with one value in each cell. With variances p, a, e the expectations are
    e + A p, e + P a and e, on P - 1, A - 1 and (P - 1)(A - 1) degrees of freedom.
    """
    stage1, adaptation = values.shape[-2:]
    centred = values - values.mean((-2, -1), keepdims=True)
    rows, columns = centred.mean(-1, keepdims=True), centred.mean(-2, keepdims=True)
    rest = np.square(centred - rows - columns).sum((-2, -1))
    return (
        adaptation * np.square(rows).sum((-2, -1)) / (stage1 - 1),
        stage1 * np.square(columns).sum((-2, -1)) / (adaptation - 1),
        rest / ((stage1 - 1) * (adaptation - 1)),
    )


def mean_error(values: Floats) -> tuple[Floats, Floats]:
    """Standard error of the mean over both kinds of seed, and degrees of freedom of its t interval.

    ``(…, P, A)`` -> two of ``(…)``; P or A may be 1.

    The unbiased variance is (MS_P + MS_A - MS_E) / PA with Satterthwaite's (1946) degrees of
    freedom. At three seeds it is often near zero or below, and a 95 % interval covers as little as
    74 % at 3 x 3. These changes, found by simulation, bring the coverage of normal effects to 93 -
    97 % however the variance divides (:attr:`SeedInterval.coverage`; `benchmarks/coverage.py`, the
    numbers are in `results/coverage.json`):

    - the variance is at least that over either kind of seed alone,
      max(MS_P, MS_A, MS_P + MS_A - MS_E) / PA: a component below zero takes nothing off;
    - the degrees of freedom are Satterthwaite's for MS_P + MS_A. The more one of the two dominates,
      the more the other is MS_E, which the variance no longer has: it is taken off the numerator in
      the share (1 - smaller / larger)²;
    - they are at least m and at most m², m = min(P, A) - 1: an m of 1 or 2 is soon overestimated.
      Where the kind with more seeds clearly dominates, at most the square of its own number less 1;
    - where the rest is large, the two mean squares are mostly rest, and their larger one is above
      it by chance: the error shrinks by exp(-0.6 share²), for the share of MS_E in the three;
    - seeds of unequal number leave more to chance: it grows by 6 % for each time that there are
      more of one kind than of the other.
    """
    stage1, adaptation = values.shape[-2:]
    cells = stage1 * adaptation
    if min(stage1, adaptation) == 1:
        variance = values.var((-2, -1), ddof=1)
        return np.sqrt(variance / cells), np.full(variance.shape, cells - 1.0)
    by_stage1, by_adaptation, rest = mean_squares(values)
    larger, smaller = np.maximum(by_stage1, by_adaptation), np.minimum(by_stage1, by_adaptation)
    noise = np.minimum(rest, smaller)
    dominance = np.square(1 - smaller / np.maximum(larger, _TINY))
    spread = np.square(by_stage1) / (stage1 - 1) + np.square(by_adaptation) / (adaptation - 1)
    df = np.square(larger + smaller - dominance * noise) / np.maximum(spread, _TINY)
    fewest, most = sorted((stage1 - 1, adaptation - 1))
    of_more = by_stage1 if stage1 > adaptation else by_adaptation
    clearly = (of_more / np.maximum(larger + smaller, _TINY)) ** 6
    df = df.clip(fewest, (fewest * (most / fewest) ** clearly) ** 2)
    share = rest / np.maximum(larger + smaller + rest, _TINY)
    unequal = 1 + 0.06 * ((most + 1) / (fewest + 1) - 1)
    width = unequal * np.exp(-0.6 * np.square(share))
    return width * np.sqrt((larger + smaller - noise) / cells), df


def minimum_detectable_difference(
    standard_error: float, df: float, power: float = 0.8, alpha: float = ALPHA
) -> float:
    """The true difference that a two-sided t test at ``alpha`` finds with probability ``power``.

    It is in the unit of the standard error, by the noncentral t distribution. The chance of finding
    it with the wrong sign, below 1e-6 at the defaults, is left out.
    """
    critical = stats.t.ppf(1 - alpha / 2, df)
    return float(standard_error * special.nctdtrinc(df, 1 - power, critical))


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test over tasks."""

    p: float
    tasks: int
    """Number of tasks with a difference."""
    smallest_p: float
    """The value of p if all these tasks agreed. It is above 0.05 with fewer than six."""


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Wilcoxon's two-sided signed-rank test of differences by task ``(N,)`` (Demšar 2006, 3.1.3).

    Tasks without a difference are dropped; p is 1 if none is left. It is exact up to 50 tasks, or
    13 if two differences are of equal size, and from the normal approximation beyond that.
    """
    rounded = _finite(differences).round(DECIMALS)
    nonzero = rounded[rounded != 0]
    if not nonzero.size:
        return SignedRank(1.0, 0, 1.0)
    p = float(stats.wilcoxon(nonzero).pvalue)
    return SignedRank(p, nonzero.size, min(1.0, 2 ** (1 - nonzero.size)))


def holm(p_values: ArrayLike) -> Floats:
    """p-values ``(m,)`` adjusted for m comparisons (Holm 1979): reject those at or below α."""
    p = _finite(p_values)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)).clip(max=1)
    return adjusted


def wins(differences: ArrayLike, margin: float = 0.0) -> tuple[int, int, int]:
    """Tasks won, tied and lost; a tie differs by at most ``margin``, in the unit of the scores."""
    rounded = _finite(differences).round(DECIMALS)
    won, lost = int((rounded > margin).sum()), int((rounded < -margin).sum())
    return won, rounded.size - won - lost, lost


@dataclass(frozen=True)
class RankComparison:
    """Strategies by average rank, as a critical-difference plot shows them."""

    ranks: tuple[float, ...]
    """Average rank of each column; 1 is best."""
    statistic: float
    p: float
    """Friedman's χ² and its p-value: whether any two strategies differ."""
    critical_difference: float
    groups: tuple[tuple[int, ...], ...]
    """Columns, best first, that do not differ: the plot's bars. They can overlap."""


def compare_ranks(scores: ArrayLike, alpha: float = ALPHA) -> RankComparison:
    """Friedman's test and Nemenyi's critical difference of ``(N tasks, k strategies)``.

    Higher scores are better, ties share a rank (Demšar 2006, 3.2.2). Two strategies differ at
    ``alpha`` if their average ranks are further apart than the critical difference. Raises
    ValueError with fewer than two tasks or three strategies.
    """
    table = _finite(scores).round(DECIMALS)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise ValueError(f"scores of shape {table.shape}: at least 2 tasks and 3 strategies needed")
    tasks, strategies = table.shape
    ranks = stats.rankdata(-table, axis=1).mean(0)
    statistic, p = 0.0, 1.0
    if (table != table[:, :1]).any():  # scipy divides by zero if every task is a tie
        statistic, p = map(float, stats.friedmanchisquare(*table.T))
    quantile = stats.studentized_range.ppf(1 - alpha, strategies, np.inf) / np.sqrt(2)
    critical = float(quantile * np.sqrt(strategies * (strategies + 1) / (6 * tasks)))
    order, groups, reached = np.argsort(ranks, kind="stable").tolist(), [], 1
    for start, best in enumerate(order):
        # The longest run in order of rank whose ends are within the critical difference.
        run = [column for column in order[start:] if ranks[column] - ranks[best] <= critical]
        if len(run) > 1 and start + len(run) > reached:
            groups.append(tuple(run))
            reached = start + len(run)
    return RankComparison(tuple(ranks.tolist()), statistic, p, critical, tuple(groups))


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} values are missing or not finite")
    return array
