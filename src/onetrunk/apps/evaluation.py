"""How good an app is on labelled rows: scores, scores of each label, and the rows it got wrong."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.decoding import Entities, Labelled
from onetrunk.errors import nearest
from onetrunk.families.base import Family

Answer = str | tuple[int, int, str]
"""A label of the whole text, or an entity: first character, character after the last, type."""


@dataclass(frozen=True)
class LabelScore:
    """How well one label, or one entity type, is found. Scores in percent."""

    precision: float
    recall: float
    f1: float
    support: int
    """How often the label occurs in the labelled rows."""


@dataclass(frozen=True)
class Mistake:
    """A row whose prediction is not what its labels say. Rows count from one."""

    row: int
    text: str
    expected: tuple[Answer, ...]
    predicted: tuple[Answer, ...]

    def __str__(self) -> str:
        sides = (("expected", self.expected), ("predicted", self.predicted))
        told = "; ".join(f"{side} {self._shown(answers)}" for side, answers in sides)
        return f"row {self.row}: {self.text!r}: {told}"

    def _shown(self, answers: Sequence[Answer]) -> str:
        shown = [
            answer
            if isinstance(answer, str)
            else f"{self.text[answer[0] : answer[1]]!r} {answer[2]}"
            for answer in answers
        ]
        return ", ".join(shown) or "nothing"


@dataclass(frozen=True)
class Evaluation:
    """An app on labelled rows. It prints as a table; each score is an attribute, such as ``f1``."""

    family: str
    metric: str
    """The score that tables and early stopping use."""
    scores: dict[str, float]
    """All scores of the family, in percent."""
    rows: int
    per_label: dict[str, LabelScore] = field(default_factory=dict)
    """By label or entity type. Empty for ratings, and for families with answers of their own."""
    errors: list[Mistake] = field(default_factory=list)
    """The rows that are not right as a whole, in order; empty where ``per_label`` is."""

    def __getattr__(self, name: str) -> float:
        scores = self.__dict__.get("scores", {})
        if name not in scores:
            raise AttributeError(f"an Evaluation has no {name!r}; {nearest(name, scores)}")
        return float(scores[name])

    def __str__(self) -> str:
        ordered = [self.metric, *(name for name in self.scores if name != self.metric)]
        scores = "  ".join(f"{name} {self.scores[name]:.1f}" for name in ordered)
        lines = [f"{scores}  ({self.rows:,} rows)"]
        if self.per_label:
            width = max(len("label"), *map(len, self.per_label))
            lines.append(f"{'label':<{width}}  precision  recall     f1  support")
            for label, score in self.per_label.items():
                columns = f"{score.precision:9.1f}  {score.recall:6.1f}  {score.f1:5.1f}"
                if not score.support:
                    columns = f"{'not in these rows':>24}"
                lines.append(f"{label:<{width}}  {columns}  {score.support:7,}")
            lines.append(f"{len(self.errors):,} of {self.rows:,} rows have a mistake: see .errors")
        return "\n".join(lines)

    __repr__ = __str__


def evaluation_of(
    family: Family[Any, Any], labels: Sequence[str], rows: Sequence[Any], predictions: Sequence[Any]
) -> Evaluation:
    """Score predictions for labelled ``rows``; ``labels`` are those that the app knows."""
    scores = family.score(rows, predictions)
    pairs = [
        (_expected(row), _predicted(prediction))
        for row, prediction in zip(rows, predictions, strict=True)
    ]
    per_label: dict[str, LabelScore] = {}
    errors: list[Mistake] = []
    known = [(gold, guess) for gold, guess in pairs if gold is not None and guess is not None]
    if len(known) == len(pairs) and family.name != "rating":
        per_label = _by_label(known, labels)
        errors = [
            Mistake(number, family.text(row), _ordered(gold), _ordered(guess))
            for number, (row, (gold, guess)) in enumerate(zip(rows, known, strict=True), start=1)
            if gold != guess
        ]
    return Evaluation(family.name, family.metric, scores, len(rows), per_label, errors)


def _by_label(
    pairs: Sequence[tuple[set[Answer], set[Answer]]], labels: Sequence[str]
) -> dict[str, LabelScore]:
    expected, predicted, right = (
        Counter(map(_label, answers))
        for answers in (
            [answer for gold, _ in pairs for answer in gold],
            [answer for _, guess in pairs for answer in guess],
            [answer for gold, guess in pairs for answer in gold & guess],
        )
    )
    scores = {}
    for label in sorted({*labels, *expected}):
        precision = 100 * right[label] / max(1, predicted[label])
        recall = 100 * right[label] / max(1, expected[label])
        f1 = 200 * right[label] / max(1, predicted[label] + expected[label])
        scores[label] = LabelScore(precision, recall, f1, expected[label])
    return scores


def _label(answer: Answer) -> str:
    return answer if isinstance(answer, str) else answer[2]


def _ordered(answers: Collection[Answer]) -> tuple[Answer, ...]:
    return tuple(
        sorted(answers, key=lambda answer: answer if isinstance(answer, tuple) else (answer,))
    )


def _expected(row: Any) -> set[Answer] | None:
    match row:
        case AnnotatedText():
            return set(row.entities)
        case LabelledText():
            return set(row.labels)
    return None


def _predicted(prediction: Any) -> set[Answer] | None:
    match prediction:
        case Entities():
            return set(prediction.entities)
        case Labelled():
            return set(prediction.labels)
    return None
