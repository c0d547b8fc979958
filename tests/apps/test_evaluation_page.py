"""Intervals, confusions, calibration, and the page that shows them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from onetrunk.apps.calibration import calibration_of
from onetrunk.apps.evaluation import evaluation_of
from onetrunk.apps.evaluation_page import evaluation_page
from onetrunk.apps.label_scores import (
    EntityOutcomes,
    by_label,
    confused,
    entity_outcomes,
    in_brackets,
    score_intervals,
)
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.decoding import Entities, Labelled
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.families.scores import entity_scores, label_scores

NAMES = ["a", "b", "c"]
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> 😀 \ud800"


def some_labels(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    gold = rng.choice(NAMES, rows, p=[0.6, 0.3, 0.1])
    return gold, np.where(rng.random(rows) < 0.7, gold, rng.choice(NAMES, rows))


def as_pairs(gold: np.ndarray, guess: np.ndarray):
    sides = zip(gold.tolist(), guess.tolist(), strict=True)
    return [(frozenset([truth]), frozenset([answer])) for truth, answer in sides]


def test_intervals_are_those_of_scikit_learns_scores_on_resampled_rows() -> None:
    gold, guess = some_labels(500)
    scores = by_label(as_pairs(gold, guess), NAMES)
    rng = np.random.default_rng(9)
    resampled = [
        precision_recall_fscore_support(
            gold[drawn], guess[drawn], labels=NAMES, zero_division=np.nan
        )[:3]
        for drawn in rng.integers(0, 500, (600, 500))
    ]
    low, high = 100 * np.nanquantile(np.array(resampled), (0.025, 0.975), axis=0)
    for at, name in enumerate(NAMES):
        one = scores[name]
        intervals = (one.precision_interval, one.recall_interval, one.f1_interval)
        for number, interval in enumerate(intervals):
            assert interval == pytest.approx((low[number, at], high[number, at]), abs=3)
    assert scores == by_label(as_pairs(gold, guess), NAMES)


def test_intervals_of_all_labels_are_those_of_the_scores_of_resampled_rows() -> None:
    gold, guess = some_labels(500)
    found = score_intervals(as_pairs(gold, guess))
    rng = np.random.default_rng(9)
    scores = [
        label_scores([[one] for one in gold[drawn]], [[one] for one in guess[drawn]])
        for drawn in rng.integers(0, 500, (600, 500))
    ]
    for name in ("accuracy", "macro_f1", "micro_f1"):
        low, high = np.quantile([score[name] for score in scores], (0.025, 0.975))
        assert found[name] == pytest.approx((low, high), abs=1.5), name
    assert found["f1"] == found["precision"] == found["recall"] == found["micro_f1"]
    # Entities: several a row, and rows without any.
    spans = [(start, start + 1, "x") for start in range(6)]
    sides = rng.random((200, 2, 6)) < np.array([0.3, 0.4])[:, None]
    pairs = [
        (
            frozenset(entity for entity, is_in in zip(spans, one, strict=True) if is_in),
            frozenset(entity for entity, is_in in zip(spans, other, strict=True) if is_in),
        )
        for one, other in sides
    ]
    found = score_intervals(pairs)
    resampled = [
        entity_scores([[*pairs[i][0]] for i in drawn], [[*pairs[i][1]] for i in drawn])
        for drawn in rng.integers(0, 200, (400, 200))
    ]
    for name in ("precision", "recall", "f1"):
        low, high = np.quantile([score[name] for score in resampled], (0.025, 0.975))
        assert found[name] == pytest.approx((low, high), abs=1.5), name
    assert score_intervals([(frozenset(), frozenset())]) == {}


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("answer", ["a", "b"])
def test_where_all_rows_are_right_or_none_is_there_is_no_interval(rows: int, answer: str) -> None:
    """All resamples have the same score then, and three rows are not certain of it."""
    labelled = [LabelledText(str(row), ("a",)) for row in range(rows)]
    answers = [Labelled((answer,), {"a": 0.6, "b": 0.4})] * rows
    evaluation = evaluation_of(family("tc"), ["a", "b"], labelled, answers)
    assert evaluation.accuracy == (100 if answer == "a" else 0)
    assert evaluation.intervals == {}
    one = evaluation.per_label["a"]
    assert one.precision_interval is one.recall_interval is one.f1_interval is None
    assert "[" not in str(evaluation)


def test_what_is_the_same_but_for_rounding_has_no_interval() -> None:
    """Each row alike: a third of the predicted entities is right, in every resample."""
    row = (frozenset({(0, 1, "x")}), frozenset({(0, 1, "x"), (2, 3, "x"), (4, 5, "x")}))
    assert score_intervals([row] * 7) == {}
    assert by_label([row] * 7, ["x"])["x"].precision_interval is None


def test_bounds_that_differ_are_never_shown_as_the_same() -> None:
    assert in_brackets((79.4, 83.2)) == " [79–83]"
    assert in_brackets((99.6, 100)) == " [99.6–100.0]"
    assert in_brackets(None) == ""


def test_confusions_equal_scikit_learn() -> None:
    gold, guess = some_labels(80)
    counts = confused(as_pairs(gold, guess))
    matrix = confusion_matrix(gold, guess, labels=NAMES)
    assert [[counts[g, p] for p in NAMES] for g in NAMES] == matrix.tolist()


def test_each_entity_has_one_outcome() -> None:
    gold = {(0, 3, "PER"), (5, 9, "LOC"), (10, 20, "ORG"), (30, 33, "PER")}
    guess = {(0, 3, "PER"), (5, 9, "PER"), (10, 14, "ORG"), (15, 20, "ORG"), (40, 44, "LOC")}
    outcomes, types = entity_outcomes([(frozenset(gold), frozenset(guess))])
    assert outcomes == {
        "LOC": EntityOutcomes(wrong_type=1, spurious=1),
        "ORG": EntityOutcomes(wrong_boundary=1, spurious=1),
        "PER": EntityOutcomes(right=1, missed=1),
    }
    assert types["LOC", "PER"] == types["ORG", "ORG"] == types["PER", ""] == 1


def test_outcomes_add_up_to_the_counts_of_seqeval() -> None:
    rng = np.random.default_rng(5)
    words, pairs, sides = list("abcdefgh"), [], []
    for _ in range(150):
        gold = [f"B-{name}" for name in rng.choice(["LOC", "PER"], 8)]
        gold = [tag if rng.random() < 0.4 else "O" for tag in gold]
        gold = [
            f"I-{before[2:]}" if before != "O" and rng.random() < 0.4 else tag
            for before, tag in zip(["O", *gold], gold, strict=False)
        ]
        guess = [tag if rng.random() < 0.8 else "O" for tag in gold]
        both = [valid(tags) for tags in (gold, guess)]
        sides.append(both)
        texts = [AnnotatedText.from_words(words, tags) for tags in both]
        pairs.append(tuple(frozenset(text.entities) for text in texts))
    outcomes, _ = entity_outcomes(pairs)
    report = classification_report(
        *map(list, zip(*sides, strict=True)),
        mode="strict", scheme=IOB2, output_dict=True, zero_division=0,
    )  # fmt: skip
    for kind, one in outcomes.items():
        support = report[kind]["support"]
        assert one.right + one.wrong_type + one.wrong_boundary + one.missed == support
        assert one.right == pytest.approx(report[kind]["recall"] * support)


def valid(tags: list[str]) -> list[str]:
    """The tags without the I that continue nothing."""
    repaired: list[str] = []
    for tag in tags:
        before = repaired[-1] if repaired else "O"
        repaired.append(tag if tag[0] != "I" or before[1:] == tag[1:] else "O")
    return repaired


def test_calibration_has_the_error_of_its_bins_and_the_best_temperature() -> None:
    found = calibration_of([0.95, 0.95, 0.55, 1.0], [True, False, True, True])
    assert found is not None
    # Three of 0.9 to 1.0, mean 0.9667, two of them right; one of 0.55, right.
    assert found.ece == pytest.approx(100 * (3 * 0.3 + 0.45) / 4)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 4))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    sure = np.exp(2.5 * logits)
    sure /= sure.sum(1, keepdims=True)
    right = sure.argmax(1) == truth
    fitted = calibration_of(sure.max(1), right, (sure, truth), temperature=True)
    assert fitted is not None
    assert fitted.temperature == pytest.approx(2.5, rel=0.1)
    assert fitted.ece_at_temperature is not None
    assert fitted.ece_at_temperature < 4 < fitted.ece
    assert calibration_of([], []) is None


def some_probabilities(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Of three labels, too sure; and the index of the right one."""
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(rows, 3))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    probabilities = np.exp(2 * logits)
    return probabilities / probabilities.sum(1, keepdims=True), truth


def test_reliability_bins_equal_scikit_learn() -> None:
    table, truth = some_probabilities(400)
    confidence, right = table.max(1), table.argmax(1) == truth
    found = calibration_of(confidence, right)
    assert found is not None
    shares, means = calibration_curve(right, confidence, n_bins=10)
    assert [one.right for one in found.bins] == pytest.approx(shares)
    assert [one.confidence for one in found.bins] == pytest.approx(means)
    assert sum(one.count for one in found.bins) == 400


@pytest.mark.parametrize("several", [True, False])
def test_the_temperature_has_the_least_log_loss_of_scikit_learn(several: bool) -> None:
    table, truth = some_probabilities(400)
    right = table.argmax(1) == truth
    if not several:
        table, truth = np.stack([1 - table.max(1), table.max(1)], 1), right.astype(int)
    found = calibration_of(table.max(1) if several else table[:, 1], right,
                           (table, truth) if several else None, temperature=True)  # fmt: skip

    def loss(temperature: float) -> float:
        powers = table ** (1 / temperature)
        return float(log_loss(truth, powers / powers.sum(1, keepdims=True)))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x
    assert found is not None
    assert found.temperature == pytest.approx(best, rel=0.01)


def test_a_temperature_that_means_nothing_is_not_given() -> None:
    for right in ([True, True], [False, False]):
        found = calibration_of([0.8, 0.9], right, temperature=True)
        assert found is not None
        assert found.temperature is found.ece_at_temperature is None
        assert "nearly all" in found.no_temperature
    rows = [LabelledText("x", ("new",)), LabelledText("y", ("other",))]
    sides = [
        (("tc", ["a", "b"]), rows, [Labelled(("a",), {"a": 0.7, "b": 0.3})] * 2),
        (("multi-label", ["a", "b"]), rows, [Labelled(("a",), {"a": 0.7, "b": 0.3})] * 2),
        (("ner", ["A"]), [AnnotatedText("x y", ((0, 1, "B"),))] * 2,
         [Entities([(0, 1, "A"), (2, 3, "A")], [0.9, 0.3])] * 2),
    ]  # fmt: skip
    for (kind, labels), unseen, answers in sides:
        calibration = evaluation_of(family(kind), labels, unseen, answers, True).calibration
        assert calibration is not None
        assert calibration.temperature is None
        assert calibration.no_temperature == "no row has a label that training had"
        assert calibration.ece > 0


def test_the_folder_is_written_whole_and_holds_user_text_as_text(tmp_path: Path) -> None:
    rows = [LabelledText(EVIL, (EVIL,)), LabelledText("fine", ("a",)), LabelledText("no", ("a",))]
    predictions = [
        Labelled((label,), {"a": p, "b": 1 - p})
        for label, p in (("a", 0.7), ("a", 0.9), ("b", 0.1))
    ]
    evaluation = evaluation_of(family("tc"), ["a", "b"], rows, predictions, temperature=True)
    assert evaluation.unseen == [EVIL]
    assert evaluation.per_label[EVIL].recall == 0
    assert [wrong.row for wrong in evaluation.errors] == [3, 1]  # the surest first
    evaluation.save(tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script>") == 2
    assert not re.search(r"<img|\b(src|href)=[\"']?http|@import|url\(", page)
    (data,) = re.findall(r'id="data">(.*?)</script>', page)
    assert [row["text"] for row in json.loads(data)["wrong"]] == ["no", EVIL]
    whole = json.loads((tmp_path / "out/evaluation.json").read_text())
    lines = (tmp_path / "out/rows.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == whole["results"]
    assert [row["right"] for row in whole["results"]] == [False, True, False]
    with pytest.raises(UserError, match="already exists"):
        evaluation.save(tmp_path / "out")
    evaluation.save(tmp_path / "out", overwrite=True)


def test_a_page_names_the_app_and_the_rows_where_they_are_known(tmp_path: Path) -> None:
    rows = [LabelledText("x", ("a",)), LabelledText("y", ("b",))]
    answers = [Labelled(("a",), {"a": 0.9, "b": 0.1})] * 2
    unnamed = evaluation_of(family("tc"), ["a", "b"], rows, answers)
    named = replace(unnamed, app="intent", data="</script>test.csv")
    for evaluation in (unnamed, named):
        content = evaluation.as_json()
        (data,) = re.findall(r'id="data">(.*?)</script>', evaluation_page(content))
        of_page = json.loads(data)
        for side in (content, of_page):
            assert (side["app"], side["data"]) == (evaluation.app, evaluation.data)
        assert (content["format"], content["scores"]) == (1, unnamed.scores)
        assert "curve" not in of_page
    assert str(named) == str(unnamed)


def test_the_mean_error_of_ratings_has_two_decimals() -> None:
    rows = [LabelledText(f"{at}", (f"{at / 10}",)) for at in range(5)]
    evaluation = evaluation_of(
        family("rating"), ["0", "1"], rows, [at / 10 + 0.01 for at in range(5)]
    )
    assert evaluation.shown("mae") == "mae 0.01"
    assert evaluation.shown("pearson") == "pearson 100.0"
    assert "mae 0.01" in str(evaluation)


def test_confidence_is_that_of_the_least_certain_part() -> None:
    rows = [AnnotatedText("Ann in Oslo", ((0, 3, "PER"),)), AnnotatedText("Oslo")]
    answers = [Entities([(0, 3, "PER"), (7, 11, "LOC")], [0.9, 0.6]), Entities([], [])]
    evaluation = evaluation_of(family("ner"), ["LOC", "PER"], rows, answers)
    assert [one.confidence for one in evaluation.results] == [0.6, None]
    labelled = [LabelledText("x", ("a",))]
    several = evaluation_of(
        family("multi-label"), ["a", "b"], labelled, [Labelled(("a",), {"a": 0.9, "b": 0.3})]
    )
    assert several.results[0].confidence == pytest.approx(0.7)


def test_rows_without_an_answer_are_not_right(tmp_path: Path) -> None:
    rows = [LabelledText("x", ("a",)), LabelledText("y", ("b",)), LabelledText("", ("a",))]
    answers = [
        Labelled(("a",), {"a": 0.9, "b": 0.1}),
        Labelled((), {"a": 0.4, "b": 0.6}, abstained=True),
        Labelled((), {"a": 0.7, "b": 0.3}, abstained=True),
    ]
    evaluation = evaluation_of(family("tc"), ["a", "b"], rows, answers)
    scores = evaluation.scores
    assert scores["accuracy"] == scores["answered"] == pytest.approx(100 / 3)
    assert scores["accuracy_answered"] == 100
    assert evaluation.confusion == [("a", "a", 1), ("b", "", 1), ("a", "", 1)]
    assert "accuracy_answered 100.0" in str(evaluation)
    evaluation.save(tmp_path / "out")
    whole = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert [row["right"] for row in whole["results"]] == [True, False, False]
    assert [row.get("abstained") for row in whole["results"]] == [None, True, True]
    # A blank text without labels is right where any number is an answer, and so for the interval.
    several = [LabelledText("x", ("a",)), LabelledText(" ", ())]
    of_several = evaluation_of(family("multi-label"), ["a", "b"], several, answers[::2])
    assert (of_several.scores["accuracy"], of_several.scores["answered"]) == (100, 50)
    assert "accuracy" not in of_several.intervals
    assert not of_several.errors
    nothing = evaluation_of(family("tc"), ["a", "b"], rows[1:], answers[1:])
    assert nothing.scores["accuracy_answered"] == nothing.scores["answered"] == 0
