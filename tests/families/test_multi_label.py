from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

from onetrunk.adaptation.linear import solve_linear
from onetrunk.data.rows import LabelledText
from onetrunk.decoding import sigmoid
from onetrunk.families.multi_label import MultiLabel, best_thresholds

LABELS = ["a", "b", "c"]


def test_targets_and_decoding() -> None:
    kind, row = MultiLabel(), LabelledText("x", ("b", "c"))
    assert kind.targets(row, (), LABELS).tolist() == [[0, 1, 1]]
    assert kind.targets(LabelledText("x", ()), (), LABELS).tolist() == [[0, 0, 0]]
    many = kind.decode(torch.tensor([[2.0, 1.0, -1.0]]), (), LABELS)
    assert many.labels == ("a", "b")
    assert many.probabilities["c"] == pytest.approx(float(torch.tensor(-1.0).sigmoid()))


@pytest.mark.parametrize(("features", "labels"), [(5, 3), (90, 3), (5, 40), (90, 40)])
def test_a_label_is_learned_as_if_it_were_alone(features: int, labels: int) -> None:
    """Against scikit-learn's one-vs-rest, whose C is 1 / (rows · l2); of many labels, and with more
    features than rows. The rarest label has one row."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, features)) * rng.uniform(0.1, 10, features)
    means = x @ rng.normal(size=(features, labels))
    gold = means >= np.quantile(means, np.linspace(0.5, 1, labels), axis=0).diagonal()
    assert gold.sum(0).min() == 1
    scaled = (x - x.mean(0)) / x.std(0)
    peer = OneVsRestClassifier(LogisticRegression(C=1 / (60 * 0.1), tol=1e-8)).fit(scaled, gold)
    states, targets = torch.from_numpy(x).float(), torch.from_numpy(gold).float()
    head = solve_linear(states.numpy(), targets.numpy(), labels, 0.1, MultiLabel().head_loss)
    found = sigmoid(head(states.numpy()))
    close = 1e-3 if labels == 3 else 2e-3  # one loss for all: each label's part is rounded more
    assert found == pytest.approx(peer.predict_proba(scaled), abs=close)


@pytest.mark.parametrize("seed", range(20))
def test_the_thresholds_are_the_best_of_all(seed: int) -> None:
    """Against scikit-learn's micro F1 at every combination of cuts, ties between logits included;
    the first label is one that can hardly be learnt."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(size=(9, 3)), 1 + seed % 2)
    gold = logits + rng.normal(size=(9, 3)) > rng.normal()
    gold[:, 0] = np.arange(9) == logits[:, 0].argsort()[4]
    gold[0, 1:] = True
    found = f1_score(gold, logits >= best_thresholds(logits, gold), average="micro")
    cuts = [[*np.unique(column), column.max() + 1] for column in logits.T]

    def micro_f1(cut: tuple[float, ...]) -> float:  # scikit-learn's takes a millisecond
        guess = logits >= cut
        return float(2 * (gold & guess).sum() / (gold.sum() + guess.sum()))

    best = max(product(*cuts), key=micro_f1)
    assert micro_f1(best) == pytest.approx(f1_score(gold, logits >= best, average="micro"))
    assert found == pytest.approx(micro_f1(best))


def test_a_threshold_moves_only_if_that_helps() -> None:
    def alone(logits: list[float], gold: list[bool]) -> float:
        return float(best_thresholds(np.array(logits)[:, None], np.array(gold)[:, None])[0])

    assert alone([3.0, 1.0, -2.0], [True, True, False]) == 0
    assert alone([3.0, 1.0, -2.0], [False] * 3) == 0
    assert alone([-1.0, -3.0], [True, False]) == -2
    assert alone([-1.0, -3.0], [True, True]) < -3


def test_a_label_that_cannot_be_learnt_is_not_given_to_everyone() -> None:
    """Its own best F1 would be reached by giving it to half of the rows."""
    logits = np.stack([np.linspace(4, -4, 100), np.linspace(4, -4, 100)], 1)
    gold = np.zeros((100, 2), bool)
    gold[:20, 0] = gold[60, 1] = True
    chosen = logits >= best_thresholds(logits, gold)
    assert chosen.sum(0).tolist() == [20, 0]


def test_calibrating_moves_each_label_to_its_best_threshold() -> None:
    logits = torch.tensor([[-1.0, 2.0, 0.5], [-3.0, -2.0, 1.5]])
    rows = [LabelledText("x", ("a", "b")), LabelledText("y", ("c",))]
    judged = ((row, part[None]) for row, part in zip(rows, logits, strict=True))
    shift = MultiLabel().calibrate(judged, LABELS)
    assert shift.tolist() == pytest.approx([2.0, 0.0, -1.0], abs=1e-6)


def test_rows_with_the_same_labels_teach_nothing() -> None:
    rows = [LabelledText("a", ("x", "y")), LabelledText("b", ("y", "x"))]
    assert not MultiLabel().learnable(["x", "y"], rows)
    assert MultiLabel().learnable(["x"], [LabelledText("a", ("x",)), LabelledText("b", ())])
