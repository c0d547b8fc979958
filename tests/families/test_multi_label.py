import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from onetrunk.data.examples import LabelledText
from onetrunk.families.multi_label import MultiLabel, best_threshold

LABELS = ["a", "b", "c"]


def test_targets_and_decoding() -> None:
    kind, row = MultiLabel(), LabelledText("x", ("b", "c"))
    assert kind.targets(row, [0], LABELS).tolist() == [[0, 1, 1]]
    assert kind.targets(LabelledText("x", ()), [0], LABELS).tolist() == [[0, 0, 0]]
    many = kind.decode(torch.tensor([[2.0, 1.0, -1.0]]), row, [0], LABELS)
    assert many.labels == ("a", "b")
    assert many.probabilities["c"] == pytest.approx(float(torch.tensor(-1.0).sigmoid()))


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_best_of_all(seed: int) -> None:
    """Against scikit-learn's F1 at every possible cut, ties between logits included."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(size=30), 1 + seed % 2)
    gold = logits + rng.normal(size=30) > rng.normal()
    gold[0] = True
    threshold = best_threshold(logits, gold)
    every = [*np.unique(logits), logits.max() + 1]
    best = max(f1_score(gold, logits >= cut) for cut in every)
    assert f1_score(gold, logits >= threshold) == pytest.approx(best)


def test_a_threshold_moves_only_if_that_helps() -> None:
    assert best_threshold(np.array([3.0, 1.0, -2.0]), np.array([True, True, False])) == 0
    assert best_threshold(np.array([3.0, 1.0, -2.0]), np.zeros(3, bool)) == 0
    assert best_threshold(np.array([-1.0, -3.0]), np.array([True, False])) == -2
    assert best_threshold(np.array([-1.0, -3.0]), np.array([True, True])) < -3


def test_calibrating_moves_each_label_to_its_best_threshold() -> None:
    logits = torch.tensor([[-1.0, 2.0, 0.5], [-3.0, -2.0, 1.5]])
    rows = [LabelledText("x", ("a", "b")), LabelledText("y", ("c",))]
    judged = ((row, part[None]) for row, part in zip(rows, logits, strict=True))
    shift = MultiLabel().calibrate(judged, LABELS)
    assert shift.tolist() == pytest.approx([2.0, 0.0, -1.0], abs=1e-6)
