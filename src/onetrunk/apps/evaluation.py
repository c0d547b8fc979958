"""How good an app is on labelled rows: scores, scores of each label, and the rows it got wrong."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from onetrunk import kinds
from onetrunk.apps.calibration import (
    NO_PROBABILITIES,
    NOTHING_KNOWN,
    Calibration,
    calibration_of,
)
from onetrunk.apps.label_scores import (
    Answer,
    Answers,
    EntityOutcomes,
    Interval,
    LabelScore,
    by_label,
    confused,
    entity_outcomes,
    in_brackets,
    label_of,
    score_intervals,
)
from onetrunk.data.rows import AnnotatedText, LabelledText, Place
from onetrunk.decoding import Entities, Labelled
from onetrunk.errors import nearest
from onetrunk.families.base import Family
from onetrunk.storage import atomic_folder, write_text

if TYPE_CHECKING:
    from onetrunk.apps.evaluation_page import Curve

logger = logging.getLogger("onetrunk")


@dataclass(frozen=True)
class RowResult:
    """A row, what its labels say and what was predicted. Rows count from one."""

    row: int
    text: str
    expected: tuple[Answer, ...]
    predicted: tuple[Answer, ...]
    confidence: float | None = None
    """The probability of the least certain part of the answer: of the label; of multi-label, of
    one label's yes or no; of an entity. None if no entity was predicted."""
    abstained: bool = False
    """Whether the app gave no label because it was not sure, or because the text is empty."""
    place: str = ""
    """Where the row is, as messages say it: ``test.xlsx, row 14``. Empty if that is unknown."""

    @property
    def right(self) -> bool:
        """Whether the row is right as a whole."""
        return self.expected == self.predicted

    def __str__(self) -> str:
        sides = (("expected", self.expected), ("predicted", self.predicted))
        told = "; ".join(f"{side} {self._shown(answers)}" for side, answers in sides)
        return f"{self.place or f'row {self.row}'}: {self.text!r}: {told}"

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
    """An app on labelled rows. It prints as a table; each score is an attribute, such as ``f1``.

    ```python
    import onetrunk

    app = onetrunk.adapt("runs/tpl", "tc", train="intents.csv", adapter="linear")
    evaluation = app.evaluate("test.csv")
    print(evaluation, evaluation.accuracy, evaluation.errors[:3])
    evaluation.save("report")  # a page for people, JSON for programs
    ```
    """

    family: str
    metric: str
    """The score that tables and early stopping use."""
    scores: dict[str, float]
    """All scores of the family: in percent, but ``mae`` in the unit of the labels."""
    rows: int
    intervals: dict[str, Interval] = field(default_factory=dict)
    """By score: the middle 95 % over 1,000 resamples of the rows. Empty where ``per_label`` is. A
    score that is the same in all resamples (if all rows are right, or none) has no interval."""
    per_label: dict[str, LabelScore] = field(default_factory=dict)
    """By label or entity type. Empty for ratings, and for families with answers of their own."""
    results: list[RowResult] = field(default_factory=list)
    """All rows, in order; empty where ``per_label`` is."""
    confusion: list[tuple[str, str, int]] = field(default_factory=list)
    """Labelled, predicted and how often, the most frequent first; of NER, types of entities that
    overlap. An empty string is nothing: a label that was missed, or one that was added."""
    entities: dict[str, EntityOutcomes] = field(default_factory=dict)
    """For NER, what became of the entities of each type."""
    calibration: Calibration | None = None
    """Of the label of each row; of multi-label, of each label in each row; of NER, of each
    predicted entity."""
    unseen: list[str] = field(default_factory=list)
    """Labels of these rows that training never had. The app misses them all."""
    app: str = ""
    """The app's name, where it has one."""
    data: str = ""
    """Where the rows come from: a path or an address; empty for rows in memory."""

    @property
    def errors(self) -> list[RowResult]:
        """The rows that are not right as a whole, the surest first."""
        wrong = [result for result in self.results if not result.right]
        return sorted(wrong, key=lambda one: 0.0 if one.confidence is None else -one.confidence)

    def as_json(self) -> dict[str, Any]:
        """Everything, as ``evaluation.json`` has it."""
        rows = [
            {
                "row": one.row,
                "place": one.place,
                "text": one.text,
                "gold": one.expected,
                "predicted": one.predicted,
            }
            | {"confidence": one.confidence, "right": one.right}
            | ({"abstained": True} if one.abstained else {})
            for one in self.results
        ]
        return {"format": 1, **asdict(replace(self, results=[])), "results": rows}

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write a folder: ``index.html``, one page to read offline; ``evaluation.json``,
        everything; ``rows.jsonl``, the rows. It appears whole or not at all.

        Raises :class:`UserError` if ``folder`` exists and ``overwrite`` is false.
        """
        with atomic_folder(Path(folder), overwrite, kinds.EVALUATION) as partial:
            self.write(partial)

    def write(self, folder: Path, curve: "Curve | None" = None) -> None:
        """Fill a folder with the files of :meth:`save`. The page shows ``curve``, too."""
        from onetrunk.apps.evaluation_page import RECORD, evaluation_page

        content = self.as_json()
        write_text(folder / RECORD, json.dumps(content, indent=1) + "\n")
        lines = (json.dumps(row) + "\n" for row in content["results"])
        write_text(folder / "rows.jsonl", "".join(lines))
        write_text(folder / "index.html", evaluation_page(content, curve))

    def shown(self, score: str) -> str:
        """A score with its interval: ``f1 81.2 [79–83]``, ``mae 0.25``."""
        digits = 2 if score == "mae" else 1  # it is in the labels' unit, which may be small
        return f"{score} {self.scores[score]:.{digits}f}{in_brackets(self.intervals.get(score))}"

    def __getattr__(self, name: str) -> float:
        scores = self.__dict__.get("scores", {})
        if name not in scores:
            raise AttributeError(f"an Evaluation has no {name!r}; {nearest(name, scores)}")
        return float(scores[name])

    def __str__(self) -> str:
        ordered = [self.metric, *(name for name in self.scores if name != self.metric)]
        scores = "  ".join(map(self.shown, ordered))
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
    family: Family[Any, Any],
    labels: Sequence[str],
    rows: Sequence[Any],
    predictions: Sequence[Any],
    temperature: bool = False,
    place: Place | None = None,
) -> Evaluation:
    """Score predictions for labelled ``rows``; ``labels`` are those that the app knows. ``place``
    says where a row is."""
    scores = family.score(rows, predictions)
    evaluation = Evaluation(family.name, family.metric, scores, len(rows))
    pairs = list(zip(map(_expected, rows), map(_predicted, predictions), strict=True))
    if not _all_known(pairs):
        if temperature:
            logger.warning(f"no temperature: {NO_PROBABILITIES}")
        return evaluation
    results = [
        RowResult(
            number,
            family.text(row),
            _ordered(gold),
            _ordered(guess),
            _confidence(family, answer),
            getattr(answer, "abstained", False),
            "" if place is None else place(number - 1),
        )
        for number, (row, (gold, guess), answer) in enumerate(
            zip(rows, pairs, predictions, strict=True), start=1
        )
    ]
    calibration = _calibration(family, labels, pairs, predictions, temperature)
    if temperature and (calibration is None or calibration.temperature is None):
        why = calibration.no_temperature if calibration else NO_PROBABILITIES
        logger.warning(f"no temperature: {why}")
    per_label = by_label(pairs, labels)
    outcomes: dict[str, EntityOutcomes] = {}
    if isinstance(predictions[0], Entities):
        outcomes, counts = entity_outcomes(cast(Any, pairs))
    else:
        counts = confused(pairs)
    intervals = score_intervals(pairs)
    return replace(
        evaluation,
        intervals={name: intervals[name] for name in scores if name in intervals},
        per_label=per_label,
        results=results,
        confusion=[(*pair, count) for pair, count in counts.most_common()],
        entities=outcomes,
        calibration=calibration,
        unseen=sorted({*per_label} - {*labels}),
    )


def _all_known(pairs: Any) -> TypeGuard[list[tuple[Answers, Answers]]]:
    return bool(pairs) and all(gold is not None and guess is not None for gold, guess in pairs)


def _confidence(family: Family[Any, Any], prediction: Entities | Labelled) -> float | None:
    if isinstance(prediction, Entities):
        return min(prediction.scores, default=None)
    chosen, of_labels = prediction.labels, prediction.probabilities
    if family.decoder != "multi-label":
        return max(of_labels.values(), default=None)
    return min((p if name in chosen else 1 - p for name, p in of_labels.items()), default=None)


def _calibration(
    family: Family[Any, Any],
    labels: Sequence[str],
    pairs: Sequence[tuple[Answers, Answers]],
    predictions: Sequence[Any],
    temperature: bool,
) -> Calibration | None:
    expected = {label_of(answer) for gold, _ in pairs for answer in gold}
    if temperature and expected.isdisjoint(labels):
        untouched = _calibration(family, labels, pairs, predictions, False)
        return untouched and replace(untouched, no_temperature=NOTHING_KNOWN)
    answered = [(gold, answer) for (gold, _), answer in zip(pairs, predictions, strict=True)]
    if isinstance(predictions[0], Entities):
        scores = [score for _, answer in answered for score in answer.scores]
        hits = [entity in gold for gold, answer in answered for entity in answer.entities]
        return calibration_of(scores, hits, temperature=temperature)
    if any(set(answer.probabilities) != set(labels) for answer in predictions):
        return None
    table = np.array([[answer.probabilities[name] for name in labels] for answer in predictions])
    truth = np.array([[name in gold for name in labels] for gold, _ in pairs])
    if family.decoder == "multi-label":
        return calibration_of(table.ravel(), truth.ravel(), temperature=temperature)
    at = np.where(truth.any(1), truth.argmax(1), -1)
    return calibration_of(table.max(1), table.argmax(1) == at, (table, at), temperature)


def _ordered(answers: Collection[Answer]) -> tuple[Answer, ...]:
    return tuple(
        sorted(answers, key=lambda answer: answer if isinstance(answer, tuple) else (answer,))
    )


def _expected(row: Any) -> Answers | None:
    match row:
        case AnnotatedText():
            return frozenset(row.entities)
        case LabelledText():
            return frozenset(row.labels)
    return None


def _predicted(prediction: Any) -> Answers | None:
    match prediction:
        case Entities():
            return frozenset(prediction.entities)
        case Labelled():
            return frozenset(prediction.labels)
    return None
