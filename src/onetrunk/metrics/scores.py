"""Scores in percent: strict entities for NER, labels for classification."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from onetrunk.data.iob import entities


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Entity-level precision, recall and micro-F1 of IOB2 tags, one sequence a sentence.

    An entity counts if its first word, last word and type are all right, as in seqeval's strict
    mode. Raises ValueError if a sentence has not as many predicted as gold tags.
    """
    right = found = wanted = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(f"{len(predicted_tags)} predicted tags for {len(gold_tags)} words")
        truth, guess = set(entities(gold_tags)), set(entities(predicted_tags))
        right += len(truth & guess)
        found += len(guess)
        wanted += len(truth)
    precision = right / found if found else 0.0
    recall = right / wanted if wanted else 0.0
    f1 = 2 * right / (found + wanted) if found + wanted else 0.0
    return {"f1": 100 * f1, "precision": 100 * precision, "recall": 100 * recall}


def label_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Accuracy (every label of a text right), macro-F1 over labels seen in gold or predicted,
    and micro-F1."""
    binarizer = MultiLabelBinarizer().fit([*gold, *predicted])
    truth, guess = binarizer.transform(gold), binarizer.transform(predicted)
    return {
        "accuracy": 100 * float(accuracy_score(truth, guess)),
        "macro_f1": 100 * float(f1_score(truth, guess, average="macro", zero_division=0)),
        "micro_f1": 100 * float(f1_score(truth, guess, average="micro", zero_division=0)),
    }
