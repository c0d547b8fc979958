"""Scores in percent: strict entities for NER, labels for classification."""

from collections import Counter
from collections.abc import Iterable, Sequence

from onetrunk.data.rows import Entity


def entity_scores(
    gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]
) -> dict[str, float]:
    """Precision, recall and micro-F1 of the entities of texts.

    An entity counts if its first and last character and its type are all right. So these are the
    scores of seqeval's strict mode, with characters in place of words.
    """
    return scores_of_counts(entity_counts(gold, predicted))


def entity_counts(
    gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]
) -> list[tuple[int, int, int]]:
    """For each text, the number of gold entities, of predicted ones, and of right ones."""
    return [
        (len(truth), len(guess), len(truth & guess))
        for truth, guess in zip(map(set, gold), map(set, predicted), strict=True)
    ]


def scores_of_counts(counts: Iterable[tuple[int, int, int]]) -> dict[str, float]:
    """Precision, recall and micro-F1 of the texts of :func:`entity_counts`."""
    gold, predicted, right = map(sum, zip((0, 0, 0), *counts, strict=True))
    precision = right / predicted if predicted else 0.0
    recall = right / gold if gold else 0.0
    f1 = 2 * right / (predicted + gold) if predicted + gold else 0.0
    return {"f1": 100 * f1, "precision": 100 * precision, "recall": 100 * recall}


def label_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Accuracy (every label of a text right), macro-F1 over labels seen in gold or predicted,
    and micro-F1."""
    pairs = [(set(truth), set(guess)) for truth, guess in zip(gold, predicted, strict=True)]
    given = Counter(label for pair in pairs for side in pair for label in side)
    right = Counter(label for truth, guess in pairs for label in truth & guess)
    of_labels = [2 * right[label] / count for label, count in given.items()]
    return {
        "accuracy": 100 * sum(truth == guess for truth, guess in pairs) / max(1, len(pairs)),
        "macro_f1": 100 * sum(of_labels) / max(1, len(of_labels)),
        "micro_f1": 100 * 2 * right.total() / max(1, given.total()),
    }
