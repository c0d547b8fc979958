import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import cohen_kappa_score

from onetrunk.data.rows import LabelledText, numbered
from onetrunk.errors import UserError
from onetrunk.families.rating import Rating, quadratic_kappa, ranks


def rows(*values: str) -> list[LabelledText]:
    return [LabelledText("x", (value,)) for value in values]


def test_the_scale_is_that_of_the_training_rows() -> None:
    kind = Rating()
    labels = kind.label_set(rows("3", "1", "10", "2.5"))
    assert labels == ["1", "10"]
    assert kind.targets(rows("5.5")[0], (), labels).tolist() == [[0.5]]
    for logits, value in (([[0.5]], 5.5), ([[2.0]], 10.0), ([[-1.0]], 1.0), ([[0.2], [0.4]], 3.7)):
        assert kind.decode(torch.tensor(logits), (), labels) == pytest.approx(value)
    assert kind.learnable(labels, [])
    assert not kind.learnable(kind.label_set(rows("2", "2.0")), [])
    assert not kind.learnable(kind.label_set([]), [])


def test_scores_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    gold = rng.normal(size=50)
    guess = gold + rng.normal(size=50)
    scores = Rating().score(rows(*map(str, gold)), guess.tolist())
    assert scores["spearman"] == pytest.approx(100 * spearmanr(gold, guess).statistic)
    assert scores["pearson"] == pytest.approx(100 * pearsonr(gold, guess).statistic)
    assert scores["mae"] == pytest.approx(np.abs(gold - guess).mean())
    assert "accuracy" not in scores


@pytest.mark.parametrize("seed", range(20))
def test_ranks_and_kappa_equal_scipy_and_scikit_learn(seed: int) -> None:
    """With ties, and with steps of a scale that no one uses."""
    rng = np.random.default_rng(seed)
    scale = rng.choice(20, 5, replace=False) - 7
    gold, guess = rng.choice(scale, (2, 12))
    np.testing.assert_allclose(ranks(gold), rankdata(gold))
    kappa = cohen_kappa_score(gold, guess, weights="quadratic")
    assert quadratic_kappa(gold, guess) == pytest.approx(kappa)
    assert quadratic_kappa(gold, gold) == 1
    assert quadratic_kappa(np.array([3, 3]), np.array([3, 3])) == 0
    scores = Rating().score(rows(*map(str, gold)), guess.astype(float).tolist())
    assert scores["spearman"] == pytest.approx(100 * spearmanr(gold, guess).statistic)


def test_whole_numbers_are_scored_as_steps_too() -> None:
    scores = Rating().score(rows("1", "2", "3", "4"), [1.4, 1.5, 3.6, 4.0])
    assert scores["accuracy"] == 75
    # 1 - (1 off once) / (expected of independent raters), by hand
    gold, guess = np.array([1, 2, 3, 4]), np.array([1, 2, 4, 4])
    expected = ((gold[:, None] - guess) ** 2).mean()
    assert scores["kappa"] == pytest.approx(100 * (1 - ((gold - guess) ** 2).mean() / expected))
    assert Rating().score(rows("1", "2"), [1.5, 1.5])["spearman"] == 0


ODD_NUMBERS = ["1_0", "١٠", "1e400", "0x10", "1 0"]


def test_a_comma_before_the_decimals_is_told() -> None:
    with pytest.raises(UserError, match=r"f, row 1: .*; write a point for the comma, 4\.5$"):
        Rating().check_rows(rows("4,5"), numbered("f"))


@pytest.mark.parametrize(
    "bad", [("good",), ("1", "2"), (), ("nan",), ("inf",), *((odd,) for odd in ODD_NUMBERS)]
)
def test_a_rating_is_one_number(bad: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"f\.csv, row 2: .* is no number from"):
        Rating().check_rows([*rows("1"), LabelledText("y", bad)], numbered("f.csv"))
