"""Precision, recall and F1 of each label, with bootstrap intervals; and what was taken for what."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetrunk.data.rows import Entity
from onetrunk.families.resampling import Floats, resampled_weights

Answer = str | Entity
"""A label of the whole text, or an entity: first character, character after the last, type."""
Answers = frozenset[Answer]
Interval = tuple[float, float]

RESAMPLES = 1_000
_NO_WIDTH = 1e-9
"""Percent that rounding may make of the same score."""


@dataclass(frozen=True)
class LabelScore:
    """How well one label, or one entity type, is found. Scores in percent.

    Each interval holds the middle 95 % of the score over 1,000 resamples of the rows. It is None
    where no resample has the score, and where it has no width: if all rows are right, so are those
    of every resample, which says nothing about other rows.
    """

    precision: float
    recall: float
    f1: float
    support: int
    """How often the label occurs in the labelled rows."""
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None
    f1_interval: Interval | None = None


@dataclass
class EntityOutcomes:
    """What became of the labelled entities of one type, and of predictions that none explains."""

    right: int = 0
    wrong_type: int = 0
    """The same characters, another type."""
    wrong_boundary: int = 0
    """Some of the same characters; the type may be another, too."""
    missed: int = 0
    spurious: int = 0
    """Predicted entities of this type that belong to no labelled one."""


def label_of(answer: Answer) -> str:
    """A label itself; the type of an entity."""
    return answer if isinstance(answer, str) else answer[2]


def by_label(
    pairs: Sequence[tuple[Answers, Answers]], labels: Sequence[str], seed: int = 0
) -> dict[str, LabelScore]:
    """Scores from the labelled and the predicted answers of each row, by label."""
    names = sorted({*labels, *(label_of(answer) for gold, _ in pairs for answer in gold)})
    if not pairs:
        return {}
    repeats, counts = _counted(pairs, names)
    flat = counts.reshape(len(counts), -1)
    gold, predicted, right = (repeats @ flat).reshape(3, -1)
    scores = _ratios(gold, predicted, right)
    resampled = np.concatenate(
        [
            np.stack(_ratios(*np.split(weights @ flat, 3, axis=1)), axis=1)
            for weights in resampled_weights(repeats, RESAMPLES, seed)
        ]
    )
    with warnings.catch_warnings():  # a label that no resample has
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(resampled, (0.025, 0.975), axis=0)
    of_labels = {}
    for at, name in enumerate(names):
        precision, recall, f1 = (float(np.nan_to_num(score[at])) for score in scores)
        intervals = [_interval(low[score, at], high[score, at]) for score in range(3)]
        of_labels[name] = LabelScore(precision, recall, f1, int(gold[at]), *intervals)
    return of_labels


def score_intervals(pairs: Sequence[tuple[Answers, Answers]], seed: int = 0) -> dict[str, Interval]:
    """Intervals of the scores of all labels together, as :class:`LabelScore` has them of each:
    ``precision``, ``recall`` and ``f1`` of all answers (``micro_f1`` is another name of it),
    ``macro_f1``, and ``accuracy``, the share of rows that are right as a whole. A score whose
    interval has no width is left out."""
    names = sorted({label_of(answer) for pair in pairs for side in pair for answer in side})
    if not names:
        return {}
    repeats, counts = _counted(pairs, names)
    is_right = (counts[:, 0] == counts[:, 2]) & (counts[:, 1] == counts[:, 2])
    row_is_right = is_right.all(1).astype(np.float64)
    flat = counts.reshape(len(counts), -1)
    resampled: dict[str, list[Floats]] = defaultdict(list)
    for weights in resampled_weights(repeats, RESAMPLES, seed):
        gold, predicted, right = np.split(weights @ flat, 3, axis=1)
        micro = _ratios(*(side.sum(1) for side in (gold, predicted, right)))
        of_all = np.nan_to_num(np.stack(micro))
        for name, values in zip(("precision", "recall", "f1"), of_all, strict=True):
            resampled[name].append(values)
        f1_by_label, occurs = _ratios(gold, predicted, right)[2], gold + predicted > 0
        total = np.where(occurs, f1_by_label, 0.0).sum(1)
        resampled["macro_f1"].append(total / np.maximum(occurs.sum(1), 1))
        resampled["accuracy"].append(100 * (weights @ row_is_right) / weights.sum(1))
    resampled["micro_f1"] = resampled["f1"]
    intervals = {
        name: _interval(*np.quantile(np.concatenate(values), (0.025, 0.975)))
        for name, values in resampled.items()
    }
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _interval(low: float, high: float) -> Interval | None:
    """None if it has no width, or if there are no bounds (NaN)."""
    return (float(low), float(high)) if high - low > _NO_WIDTH else None


def in_brackets(interval: Interval | None) -> str:
    """`` [79–83]``, in decimals where whole numbers would be the same; empty for no interval."""
    if interval is None:
        return ""
    low, high = interval
    digits = 0 if f"{low:.0f}" != f"{high:.0f}" else 1
    return f" [{low:.{digits}f}–{high:.{digits}f}]"


def _counted(
    pairs: Sequence[tuple[Answers, Answers]], names: Sequence[str]
) -> tuple[NDArray[np.int64], Floats]:
    """Kinds of row: how often each occurs, ``(R,)``; and how many labelled, predicted and right
    answers of each name it has, ``(R, 3, names)``."""
    index = {name: at for at, name in enumerate(names)}
    rows = Counter(
        tuple(
            tuple(sorted(index[label_of(answer)] for answer in side if label_of(answer) in index))
            for side in (gold, guess, gold & guess)
        )
        for gold, guess in pairs
    )
    counts = np.zeros((len(rows), 3, len(names)))
    for row, sides in enumerate(rows):
        for side, answers in enumerate(sides):
            np.add.at(counts[row, side], list(answers), 1)
    return np.array(list(rows.values())), counts


def _ratios(gold: Floats, predicted: Floats, right: Floats) -> list[Floats]:
    """Precision, recall and F1 in percent; NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore"):
        return [
            100 * right / predicted,
            100 * right / gold,
            200 * right / (gold + predicted),
        ]


def confused(pairs: Sequence[tuple[Answers, Answers]]) -> Counter[tuple[str, str]]:
    """How often each label was answered by each label.

    An empty string stands for nothing: a label that was missed, or one that was added. Of several
    labels those that are right belong together; each missed one is paired with each added one.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for gold, guess in pairs:
        counts.update((label_of(answer), label_of(answer)) for answer in gold & guess)
        missed, added = map(sorted, (map(label_of, gold - guess), map(label_of, guess - gold)))
        if missed or added:
            counts.update((one, other) for one in missed or [""] for other in added or [""])
    return counts


def entity_outcomes(
    pairs: Sequence[tuple[frozenset[Entity], frozenset[Entity]]],
) -> tuple[dict[str, EntityOutcomes], Counter[tuple[str, str]]]:
    """What became of entities by type, and which type was answered by which.

    A predicted entity belongs to at most one labelled entity: to the same one, else to one of the
    same characters, else to the one with which it shares most characters.
    """
    kinds = {entity[2] for pair in pairs for side in pair for entity in side}
    outcomes = {kind: EntityOutcomes() for kind in sorted(kinds)}
    types: Counter[tuple[str, str]] = Counter()
    for gold, guess in pairs:
        left, unmatched = set(gold), set(guess)
        overlaps = sorted(
            ((one, other) for one in gold for other in guess if _shared(one, other) > 0),
            key=lambda pair: (
                pair[0] != pair[1], pair[0][:2] != pair[1][:2], -_shared(*pair), pair,
            ),
        )  # fmt: skip
        for one, other in overlaps:
            if one not in left or other not in unmatched:
                continue
            left.remove(one)
            unmatched.remove(other)
            types[one[2], other[2]] += 1
            outcome = outcomes[one[2]]
            outcome.right += one == other
            outcome.wrong_type += one != other and one[:2] == other[:2]
            outcome.wrong_boundary += one[:2] != other[:2]
        for missed in left:
            outcomes[missed[2]].missed += 1
            types[missed[2], ""] += 1
        for spurious in unmatched:
            outcomes[spurious[2]].spurious += 1
            types["", spurious[2]] += 1
    return outcomes, types


def _shared(one: Entity, other: Entity) -> int:
    return min(one[1], other[1]) - max(one[0], other[0])
