"""Intervals over two kinds of seed, tests over tasks, and what could not have been seen."""

import warnings

import numpy as np
import pytest
from scipy import stats

from onetrunk.benchmark.statistics import (
    compare_ranks,
    holm,
    mean_error,
    mean_squares,
    minimum_detectable_difference,
    seed_interval,
    signed_rank,
    wins,
)


def tables(size: tuple[int, int], shares: tuple[float, float, float], count: int) -> np.ndarray:
    """``(count, P, A)`` whose means over P and A vary around 0 by 1, from these shares."""
    rng = np.random.default_rng(0)
    (p, a), (of_p, of_a, rest) = size, np.sqrt(shares)
    return (
        of_p * p**0.5 * rng.standard_normal((count, p, 1))
        + of_a * a**0.5 * rng.standard_normal((count, 1, a))
        + rest * (p * a) ** 0.5 * rng.standard_normal((count, p, a))
    )


def coverage(values: np.ndarray) -> float:
    """Of intervals as wide as those of these tables. With normal effects the width is independent
    of the mean, which is standard normal: so its chance is computed, not counted."""
    error, df = mean_error(values)
    half = stats.t.ppf(0.975, df) * error
    return float((2 * stats.norm.cdf(half) - 1).mean())


# Of the variance of the mean: stage-1 seeds, adaptation seeds, the rest.
SHARES = [
    *((0, 0, 1), (1, 0, 0), (0, 1, 0), (0.5, 0.5, 0)),
    *((0.95, 0, 0.05), (0.05, 0.9, 0.05), (0.4, 0.2, 0.4), (0.2, 0.6, 0.2)),
]


@pytest.mark.parametrize("size", [(3, 3), (3, 5), (5, 3), (5, 5), (3, 6), (4, 8)])
@pytest.mark.parametrize("shares", SHARES)
def test_intervals_cover_the_truth(
    size: tuple[int, int], shares: tuple[float, float, float]
) -> None:
    covered = coverage(tables(size, shares, 10_000))
    assert 0.93 < covered < 0.9725


@pytest.mark.parametrize("size", [(2, 3), (2, 5), (5, 2)])
def test_two_seeds_are_not_trusted(size: tuple[int, int]) -> None:
    for shares in ((0.95, 0, 0.05), (0, 0.95, 0.05), (0.5, 0.5, 0)):
        assert coverage(tables(size, shares, 10_000)) > 0.94


def test_the_coverage_is_told() -> None:
    rng = np.random.default_rng(0)
    sizes = {(1, 1): "", (1, 5): "95", (2, 5): "94-99", (3, 3): "93-97", (6, 3): "93-97"}
    for size, told in {**sizes, (3, 7): "93-98"}.items():
        assert seed_interval(rng.normal(size=size)).coverage == told


@pytest.mark.parametrize("shape", [(1, 3), (5, 1)])
def test_one_kind_of_seed_is_a_t_interval(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(2, 3, shape)
    result = seed_interval(values)
    expected = stats.ttest_1samp(values.ravel(), 0).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx(tuple(expected))
    assert result.df == values.size - 1
    assert (result.stage1_seeds, result.adaptation_seeds) == shape
    assert not result.over_both
    assert result.components is None


def test_one_run_has_no_interval() -> None:
    result = seed_interval([[3.0]])
    assert (result.mean, result.low, result.high, result.standard_error) == (3, None, None, None)
    assert (result.stage1_seeds, result.adaptation_seeds) == (1, 1)
    assert not result.over_both


def test_the_mean_squares_estimate_the_variances() -> None:
    p, a, e = 4.0, 2.0, 1.0
    shares = (p / 3, a / 5, e / 15)
    result = [square.mean() for square in mean_squares(tables((3, 5), shares, 40_000))]
    assert result == pytest.approx([e + 5 * p, e + 3 * a, e], rel=0.03)


def test_without_noise_the_error_is_that_of_the_two_means() -> None:
    rows, columns = np.array([[1.0], [4.0], [-2.0]]), np.array([[0.0, 1.0, 5.0, 2.0]])
    result = seed_interval(rows + columns)
    unequal = 1 + 0.06 * (4 / 3 - 1)
    by_row, by_column = rows.var(ddof=1), columns.var(ddof=1)
    assert result.components == pytest.approx((by_row, by_column, 0), abs=1e-9)
    assert result.standard_error == pytest.approx(unequal * (by_row / 3 + by_column / 4) ** 0.5)


def test_components_below_zero_do_not_shrink_the_error() -> None:
    values = np.array([[0.0, 1, 2], [1, 2, 0], [2, 0, 1]])  # equal means: both are below zero
    result = seed_interval(values + np.array([[0.0], [0.0], [0.3]]))
    assert result.components is not None
    assert result.components[:2] == (0, 0)
    by_stage1, by_adaptation, rest = mean_squares(values + np.array([[0.0], [0.0], [0.3]]))
    assert by_stage1 + by_adaptation - rest < 0 < by_stage1
    share = rest / (by_stage1 + by_adaptation + rest)
    alone = (max(by_stage1, by_adaptation) / 9) ** 0.5
    assert result.standard_error == pytest.approx(np.exp(-0.6 * share**2) * alone)


def test_intervals_follow_scale_shift_and_kind_of_seed() -> None:
    values = np.random.default_rng(2).normal(size=(3, 5)) + np.array([[0], [2], [-1]])
    result, moved, turned = map(seed_interval, (values, 10 * values + 7, values.T))
    assert result.low is not None
    assert result.high is not None
    assert result.over_both
    assert (moved.low, moved.high) == pytest.approx((10 * result.low + 7, 10 * result.high + 7))
    assert (turned.low, turned.high) == pytest.approx((result.low, result.high))
    assert turned.components == pytest.approx(
        tuple(np.array(result.components or ())[[1, 0, 2]].tolist())
    )


def test_equal_values_have_no_width() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = seed_interval(np.full((3, 3), 1.5))
    assert (result.low, result.high) == (1.5, 1.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [([1.0, 2.0], "shape"), (np.empty((0, 3)), "shape"), ([[1.0, np.nan]], "1 values are missing")],
)
def test_other_tables_are_refused(values: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seed_interval(values)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [3, 5, 9])
@pytest.mark.parametrize("power", [0.5, 0.8])
def test_the_detectable_difference_is_found_that_often(n: int, power: float) -> None:
    difference = minimum_detectable_difference(2 / n**0.5, n - 1, power)
    samples = np.random.default_rng(n).normal(difference, 2, (20_000, n))
    assert (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
        power, abs=0.012
    )


def test_the_detectable_difference_nears_the_normal_one() -> None:
    normal = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert minimum_detectable_difference(1, 1e5) == pytest.approx(normal, abs=1e-3)
    assert minimum_detectable_difference(1, 2) > 2 * normal


def test_signed_rank_equals_scipy() -> None:
    rng = np.random.default_rng(3)
    for n in (4, 8, 21):
        differences = rng.normal(0.5, 1, n)
        result = signed_rank(differences)
        exact = stats.wilcoxon(differences, method="exact").pvalue
        assert result.p == pytest.approx(exact)
        assert result.smallest_p == pytest.approx(
            stats.wilcoxon(np.arange(1, n + 1), method="exact").pvalue
        )


def test_signed_rank_drops_tasks_without_a_difference() -> None:
    differences = [1.0, -2.0, 3.5, 4.0, 5.0, 6.0]
    assert signed_rank([0.1 + 0.2 - 0.3, *differences, 0.0]) == signed_rank(differences)
    assert signed_rank([0.0, 0.0]).p == 1


def test_five_tasks_cannot_show_a_difference() -> None:
    assert signed_rank([1, 2, 3, 4, 5]).p == signed_rank([1, 2, 3, 4, 5]).smallest_p > 0.05
    assert signed_rank([1, 2, 3, 4, 5, 6]).smallest_p < 0.05


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_as_defined(seed: int) -> None:
    p = np.random.default_rng(seed).beta(0.3, 3, 8)
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.2):
        rejected = set()
        for step, at in enumerate(np.argsort(p)):  # from the smallest, until one is not rejected
            if p[at] > alpha / (len(p) - step):
                break
            rejected.add(int(at))
        assert set(np.flatnonzero(adjusted <= alpha).tolist()) == rejected
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()


def test_wins_with_a_margin() -> None:
    assert wins([1.0, 0.5, 0.3 - 0.1 - 0.2, -0.5, -2.0]) == (2, 1, 2)
    assert wins([1.0, 0.5, 0.0, -0.5, -2.0], margin=0.5) == (1, 3, 1)


# Demšar 2006, table 5 (a), at 0.05 and 0.10.
NEMENYI = {3: (2.343, 2.052), 4: (2.569, 2.291), 5: (2.728, 2.459), 6: (2.850, 2.589),
           7: (2.949, 2.693), 8: (3.031, 2.780), 9: (3.102, 2.855), 10: (3.164, 2.920)}  # fmt: skip


@pytest.mark.parametrize("strategies", NEMENYI)
def test_critical_differences_are_the_published_ones(strategies: int) -> None:
    scores = np.random.default_rng(4).normal(size=(21, strategies))
    for alpha, q in zip((0.05, 0.10), NEMENYI[strategies], strict=True):
        expected = q * (strategies * (strategies + 1) / (6 * 21)) ** 0.5
        assert compare_ranks(scores, alpha).critical_difference == pytest.approx(expected, rel=1e-3)


def test_ranks_and_friedman_equal_scipy() -> None:
    scores = np.random.default_rng(5).integers(0, 6, (12, 4)).astype(float)  # with ties
    result = compare_ranks(scores)
    expected = stats.friedmanchisquare(*scores.T)
    assert (result.statistic, result.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert sum(result.ranks) == pytest.approx(4 * 5 / 2)
    best = scores + np.array([0, 0, 100, 0])
    assert compare_ranks(best).ranks[2] == 1


def test_groups_are_what_the_critical_difference_joins() -> None:
    order = [0, 1, 2, 3, 4]
    result = compare_ranks([order] * 20)  # ranks 5 to 1; the critical difference is 1.36
    assert result.groups == ((4, 3), (3, 2), (2, 1), (1, 0))
    assert compare_ranks([order] * 200).groups == ()
    assert compare_ranks([order, order[::-1]]).groups == ((0, 1, 2, 3, 4),)


def test_all_tied_is_no_difference() -> None:
    result = compare_ranks(np.ones((5, 3)))
    assert (result.statistic, result.p, result.ranks) == (0, 1, (2, 2, 2))
    with pytest.raises(ValueError, match="3 strategies"):
        compare_ranks(np.ones((5, 2)))
