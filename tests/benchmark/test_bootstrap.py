"""Two systems on the same test rows, resampled."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from onetrunk.benchmark.bootstrap import (
    accuracy,
    f1,
    label_counts,
    paired_bootstrap,
)
from onetrunk.families import resampling
from onetrunk.families.scores import entity_scores


def systems(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong ``(N,)`` of two systems of 75 % and 60 %, mostly on the same rows."""
    rng = np.random.default_rng(seed)
    hard = rng.random(rows)
    return ((hard + 0.2 * rng.random((2, rows))) < np.array([[0.85], [0.7]])).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learn_on_resampled_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold, guess = rng.integers(0, 6, (2, 12))  # so few that some labels are only guessed
    drawn = rng.integers(0, 12, 12)
    truth, predicted = gold[drawn], guess[drawn]
    means = label_counts(gold, guess, 6)[drawn].mean(0)[None]
    expected = 100 * f1_score(truth, predicted, average="macro", zero_division=0)
    assert f1(means)[0] == pytest.approx(expected)
    right = (truth == predicted).astype(float)
    assert accuracy(right[:, None].mean(0)[None])[0] == pytest.approx(
        100 * accuracy_score(truth, predicted)
    )
    ones = np.ones(12)
    assert f1(np.stack([ones, ones, right], 1).mean(0)[None])[0] == pytest.approx(
        100 * f1_score(truth, predicted, average="micro")
    )


def test_f1_of_one_class_equals_entity_scores() -> None:
    gold = [[(0, 3, "A")], [(0, 1, "B")], []]
    guess = [[(0, 1, "A"), (4, 5, "B")], [(0, 1, "B")], []]
    counts = np.array([[1, 2, 0], [1, 1, 1], [0, 0, 0]], dtype=float)
    assert f1(counts.mean(0)[None])[0] == pytest.approx(entity_scores(gold, guess)["f1"])
    assert f1(np.zeros((1, 3)))[0] == 0


def test_the_interval_is_that_of_paired_proportions() -> None:
    first, second = systems(1500)
    result = paired_bootstrap(first, second, accuracy)
    assert result.difference == pytest.approx(100 * (first - second).mean())
    half = 1.96 * 100 * (first - second).std() / 1500**0.5
    assert result.high - result.difference == pytest.approx(half, rel=0.05)
    assert result.difference - result.low == pytest.approx(half, rel=0.05)
    assert result.p == pytest.approx(1 / 10_001)


def test_p_values_are_right_where_nothing_differs() -> None:
    rng = np.random.default_rng(6)
    p = [
        paired_bootstrap(*(rng.random((2, 300)) < 0.7), accuracy, resamples=400).p
        for _ in range(400)
    ]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.08)


def test_a_system_does_not_differ_from_itself() -> None:
    rng = np.random.default_rng(7)
    rows = label_counts(rng.integers(0, 9, 200), rng.integers(0, 9, 200), 9)
    result = paired_bootstrap(rows, rows, f1, resamples=500)
    assert (result.difference, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_swapping_the_systems_turns_the_sign() -> None:
    first, second = systems(200)
    forward, backward = (
        paired_bootstrap(first, second, accuracy),
        paired_bootstrap(second, first, accuracy, seed=1),
    )
    assert forward.difference == -backward.difference
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low), abs=0.6)


def test_kinds_of_row_are_resampled_as_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows all of their own kind, against the same rows drawn one by one, in chunks."""
    rng = np.random.default_rng(8)
    gold = rng.integers(1, 5, 120).astype(float)
    right = rng.binomial(gold.astype(int), [[0.7], [0.6]])
    noise = rng.random((2, 120))  # of predicted counts, so that no two rows are alike
    first, second = (np.stack([gold, gold + noise[at], right[at]], 1) for at in (0, 1))
    monkeypatch.setattr(resampling, "_CHUNK_NUMBERS", 120 * 700)
    result = paired_bootstrap(first, second, f1, resamples=4000)
    drawn = rng.integers(0, 120, (4000, 120))
    expected = f1(first[drawn].mean(1)) - f1(second[drawn].mean(1))
    assert (result.low, result.high) == pytest.approx(
        tuple(np.quantile(expected, (0.025, 0.975))), abs=0.4
    )


def test_seeds_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = systems(100)
    result = [paired_bootstrap(first, second, accuracy, 999, seed) for seed in (0, 0, 1)]
    assert result[0] == result[1] != result[2]
    monkeypatch.setattr(resampling, "_CHUNK_NUMBERS", 40)
    assert paired_bootstrap(first, second, accuracy, 999) == result[0]


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        paired_bootstrap(np.ones(3), np.ones(4), accuracy)
    with pytest.raises(ValueError, match="shapes"):
        paired_bootstrap([], [], accuracy)
    with pytest.raises(ValueError, match="1 predicted for 2"):
        label_counts([0, 1], [0], 2)
