"""Scores of each label, the rows that are wrong, and the table that they print as."""

from __future__ import annotations

import random

import pytest
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from sklearn.metrics import precision_recall_fscore_support

from onetrunk.apps.evaluation import evaluation_of
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.decoding import Entities, Labelled
from onetrunk.families import family


def tags(rng: random.Random, words: int) -> list[str]:
    """Valid IOB2 tags of two types."""
    chosen: list[str] = []
    for _ in range(words):
        before = chosen[-1] if chosen else "O"
        inside = [f"I-{before[2:]}"] if before != "O" else []
        chosen.append(rng.choice(["O", "B-LOC", "B-PER", *inside]))
    return chosen


def test_entity_types_are_scored_as_seqeval_does() -> None:
    rng = random.Random(0)
    gold = [tags(rng, 9) for _ in range(200)]
    guess = [[tag if rng.random() < 0.7 else "O" for tag in row] for row in gold]
    guess = [[t if t[0] != "I" else "O" for t in row] for row in guess]
    rows = [AnnotatedText.from_words(list("abcdefghi"), row) for row in gold]
    predictions = [
        Entities(list(AnnotatedText.from_words(list("abcdefghi"), row).entities), [])
        for row in guess
    ]
    evaluation = evaluation_of(family("ner"), ["LOC", "PER"], rows, predictions)
    report = classification_report(
        gold, guess, mode="strict", scheme=IOB2, output_dict=True, zero_division=0
    )
    assert list(evaluation.per_label) == ["LOC", "PER"]
    for label, score in evaluation.per_label.items():
        assert score.precision == pytest.approx(100 * report[label]["precision"])
        assert score.recall == pytest.approx(100 * report[label]["recall"])
        assert score.f1 == pytest.approx(100 * report[label]["f1-score"])
        assert score.support == report[label]["support"]
    assert evaluation.f1 == pytest.approx(100 * report["micro avg"]["f1-score"])
    wrong = [
        number for number, pair in enumerate(zip(gold, guess, strict=True), 1) if pair[0] != pair[1]
    ]
    assert [mistake.row for mistake in evaluation.errors] == wrong


@pytest.mark.parametrize("kind", ["tc", "multi-label"])
def test_labels_are_scored_as_scikit_learn_does(kind: str) -> None:
    rng, names = random.Random(1), ["a", "b", "c"]
    size = 1 if kind == "tc" else 2
    gold = [tuple(sorted(rng.sample(names, rng.randint(1, size)))) for _ in range(100)]
    guess = [tuple(sorted(rng.sample(names, rng.randint(1, size)))) for _ in range(100)]
    rows = [LabelledText(f"text {i}", labels) for i, labels in enumerate(gold)]
    evaluation = evaluation_of(family(kind), names, rows, [Labelled(g, {}) for g in guess])
    for at, label in enumerate(names):
        precision, recall, f1, _ = precision_recall_fscore_support(
            [label in labels for labels in gold], [label in labels for labels in guess],
            average="binary",
        )  # fmt: skip
        score = evaluation.per_label[names[at]]
        assert (score.precision, score.recall, score.f1) == pytest.approx(
            (100 * precision, 100 * recall, 100 * f1)
        )
        assert score.support == sum(label in labels for labels in gold)
    assert len(evaluation.errors) == sum(map(lambda a, b: a != b, gold, guess))


def test_it_prints_as_a_table_and_names_what_it_has() -> None:
    rows = [
        AnnotatedText.from_words(["met", "Ann", "in", "Oslo"], ["O", "B-PER", "O", "B-LOC"]),
        AnnotatedText.from_words(["nothing", "here"], ["O", "O"]),
    ]
    predictions = [Entities([(4, 7, "PER")], [1.0]), Entities([(0, 7, "LOC")], [1.0])]
    evaluation = evaluation_of(family("ner"), ["LOC", "PER", "TIME"], rows, predictions)
    assert str(evaluation).splitlines() == [
        "f1 50.0 [0–67]  precision 50.0 [0–100]  recall 50.0 [0–50]  (2 rows)",
        "label  precision  recall     f1  support",
        "LOC          0.0     0.0    0.0        1",
        "PER        100.0   100.0  100.0        1",
        "TIME          not in these rows        0",
        "2 of 2 rows have a mistake: see .errors",
    ]
    assert list(map(str, evaluation.errors)) == [
        "row 1: 'met Ann in Oslo': expected 'Ann' PER, 'Oslo' LOC; predicted 'Ann' PER",
        "row 2: 'nothing here': expected nothing; predicted 'nothing' LOC",
    ]
    with pytest.raises(AttributeError, match=r"no .accuracy.; .*valid: f1, precision, recall"):
        _ = evaluation.accuracy


def test_ratings_have_scores_alone() -> None:
    rows = [LabelledText("a", ("1",)), LabelledText("b", ("3",))]
    kind = family("rating")
    evaluation = evaluation_of(kind, ["1", "3"], rows, [1.0, 2.5])
    assert evaluation.per_label == {}
    assert evaluation.errors == []
    assert evaluation.mae == pytest.approx(0.25)
    assert "label" not in str(evaluation)
