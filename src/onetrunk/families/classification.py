"""Text classification: one head on a pooled text, and its scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.data.rows import LabelledText, Place, Span
from onetrunk.data.sources import Spec, read_classification
from onetrunk.decoding import Labelled
from onetrunk.errors import UserError
from onetrunk.families.base import Family, Prediction
from onetrunk.families.scores import label_scores


class WholeText(Family[LabelledText, Prediction]):
    """What families with one head on a whole, pooled text have in common."""

    def read(self, path: Spec, notes: Notes | None = None) -> list[LabelledText]:
        """Texts and labels from :func:`~onetrunk.data.sources.stream_classification`."""
        return read_classification(path, notes)

    def parse(self, text: str) -> LabelledText:
        """The text as it is."""
        return LabelledText(text)

    def labels_of(self, example: LabelledText) -> Iterable[str]:
        """Its labels."""
        return example.labels


class Classification(WholeText[Labelled]):
    """One label for a whole text."""

    name: ClassVar[str] = "tc"
    decoder: ClassVar[str | None] = "tc"
    metric: ClassVar[str] = "accuracy"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "micro_f1")
    solved_start: ClassVar[bool] = False  # measured: docs/choices.md

    def check_rows(self, examples: Sequence[LabelledText], place: Place) -> None:
        """Every row has exactly one label."""
        for row, example in enumerate(examples):
            if len(example.labels) != 1:
                raise UserError(
                    f"{place(row)}: {len(example.labels)} labels {list(example.labels)}; "
                    "if a text may have any number, its family is multi-label"
                )

    def targets(
        self, example: LabelledText, units: Sequence[Span], labels: Sequence[str]
    ) -> np.ndarray:
        """``(1,)`` int64: the index of the label."""
        return np.array([labels.index(label) for label in example.labels], np.int64)

    def score(
        self, examples: Sequence[LabelledText], predictions: Sequence[Labelled]
    ) -> dict[str, float]:
        """Accuracy (all labels of a text right), macro-F1 and micro-F1.

        Where the app abstained it gives no label. Then there are also ``answered``, the percentage
        of texts with an answer, and ``accuracy_answered``, the accuracy on these.
        """
        gold = [example.labels for example in examples]
        scores = label_scores(gold, [predicted.labels for predicted in predictions])
        answered = [
            set(labels) == set(predicted.labels)
            for labels, predicted in zip(gold, predictions, strict=True)
            if not predicted.abstained
        ]
        if len(answered) < len(predictions):
            scores |= {
                "answered": 100 * len(answered) / len(predictions),
                "accuracy_answered": 100 * sum(answered) / max(1, len(answered)),
            }
        return scores
