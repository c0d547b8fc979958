"""Scores in percent: strict entities for NER, labels for classification."""

from collections.abc import Iterable, Sequence

from onetrunk.data.iob import entities


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Entity-level precision, recall and micro-F1 of IOB2 tags, one sequence for each sentence.

    An entity counts if its first word, last word and type are all right, as in seqeval's strict
    mode. Raises ValueError if a sentence does not have as many predicted as gold tags.
    """
    return scores_of_counts(entity_counts(gold, predicted))


def entity_counts(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> list[tuple[int, int, int]]:
    """For each sentence, the number of gold entities, of predicted ones, and of right ones.

    Raises ValueError if a sentence does not have as many predicted as gold tags.
    """
    counts = []
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(f"{len(predicted_tags)} predicted tags for {len(gold_tags)} words")
        truth, guess = set(entities(gold_tags)), set(entities(predicted_tags))
        counts.append((len(truth), len(guess), len(truth & guess)))
    return counts


def scores_of_counts(counts: Iterable[tuple[int, int, int]]) -> dict[str, float]:
    """Precision, recall and micro-F1 of the sentences of :func:`entity_counts`."""
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
    # Not at the top: running apps takes no scikit-learn.
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    binarizer = MultiLabelBinarizer().fit([*gold, *predicted])
    truth, guess = binarizer.transform(gold), binarizer.transform(predicted)
    return {
        "accuracy": 100 * float(accuracy_score(truth, guess)),
        "macro_f1": 100 * float(f1_score(truth, guess, average="macro", zero_division=0)),
        "micro_f1": 100 * float(f1_score(truth, guess, average="micro", zero_division=0)),
    }
