"""Text classification: one head on a pooled text, its decoding and scoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from onetrunk.data.alignment import Encoded
from onetrunk.data.notes import Notes
from onetrunk.data.rows import LabelledText
from onetrunk.data.sources import Spec, read_classification
from onetrunk.decoding import Labelled, decode_label, render_labels
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.families.scores import label_scores
from onetrunk.model.heads import Pooling, pool

Prediction = TypeVar("Prediction")


class WholeText(Family[LabelledText, Prediction]):
    """What families of one head on a whole, pooled text have in common."""

    retrieves: ClassVar[bool] = True

    def read(self, path: Spec, notes: Notes | None = None) -> list[LabelledText]:
        """Texts and labels from :func:`~onetrunk.data.sources.stream_classification`."""
        return read_classification(path, notes)

    def parse(self, text: str) -> LabelledText:
        """The text as it is."""
        return LabelledText(text)

    def text(self, example: LabelledText) -> str:
        """The text."""
        return example.text

    def labels_of(self, example: LabelledText) -> Iterable[str]:
        """Its labels."""
        return example.labels

    def units(self, example: LabelledText, windows: Sequence[Encoded]) -> list[list[int]]:
        """Each window as a whole is a unit; its place is the first token."""
        return [[0] for _ in windows]

    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """One pooled vector a text."""
        return pool(states, mask, pooling)

    def unit_probabilities(self, logits: Tensor, units: Sequence[int]) -> Tensor:
        """``(1, C)``, of the mean over a text's windows."""
        return self.probabilities(logits.mean(0, keepdim=True))


class Classification(WholeText[Labelled]):
    """One label for a whole text."""

    name: ClassVar[str] = "tc"
    metric: ClassVar[str] = "accuracy"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "micro_f1")

    def check_rows(self, examples: Sequence[LabelledText], where: str) -> None:
        """Every row has exactly one label."""
        for row, example in enumerate(examples, start=1):
            if len(example.labels) != 1:
                raise UserError(
                    f"{where}, row {row}: {len(example.labels)} labels {list(example.labels)}; "
                    "if a text may have any number, its family is multi-label"
                )

    def classes(self, labels: Sequence[str]) -> int:
        """One a label."""
        return len(labels)

    def targets(
        self,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Tensor:
        """``(1,)`` index of the label."""
        return torch.tensor([labels.index(label) for label in example.labels])

    def blend(self, logits: Tensor, votes: Tensor, share: float) -> Tensor:
        """Of the probabilities."""
        mixed = (1 - share) * logits.float().softmax(-1) + share * votes
        return mixed.clamp_min(1e-9).log()

    def decode(
        self,
        logits: Tensor,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Labelled:
        """The most probable label.

        A text of several windows is judged by the mean of their logits.
        """
        return decode_label(logits.float().cpu().numpy(), labels)

    def score(
        self, examples: Sequence[LabelledText], predictions: Sequence[Labelled]
    ) -> dict[str, float]:
        """Accuracy (all labels of a text right), macro-F1 and micro-F1."""
        return label_scores(
            [example.labels for example in examples],
            [predicted.labels for predicted in predictions],
        )

    def render(self, example: LabelledText, prediction: Labelled) -> dict[str, Any]:
        """Chosen label(s), and probabilities from the highest down."""
        return render_labels(prediction)
