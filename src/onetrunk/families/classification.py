"""Text classification: one head on a pooled text, its decoding and scoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from onetrunk.config import FamilySettings
from onetrunk.data.alignment import Encoded
from onetrunk.data.examples import LabelledText
from onetrunk.data.notes import Notes
from onetrunk.data.sources import Spec, read_classification
from onetrunk.errors import UserError
from onetrunk.families.base import Family, Objective
from onetrunk.families.mixture import Mixture
from onetrunk.families.preparing import Preparing
from onetrunk.families.weak_pairs import PairObjective, PairSettings
from onetrunk.metrics.scores import label_scores
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling, pool


@dataclass(frozen=True)
class Labelled:
    """A prediction: the labels chosen (one unless multi-label) and every label's probability."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


class Classification(Family[LabelledText, Labelled]):
    """One label (or several) for a whole text."""

    name: ClassVar[str] = "tc"
    metric: ClassVar[str] = "accuracy"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "micro_f1")
    Settings: ClassVar[type[FamilySettings]] = PairSettings

    def objective(
        self,
        settings: PairSettings,
        preparing: Preparing,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> Objective:
        """Contrastive training over the recipe's pair sources."""
        prefixes = (settings.query_prefix, settings.passage_prefix)
        mixture = Mixture.open(
            f"families.{self.name}.sources", settings.sources, settings.exponent,
            lambda source: preparing.pairs(source, settings.max_length, prefixes),
        )  # fmt: skip
        return PairObjective(self.name, mixture, settings, encoder, pooling, seed)

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

    def check_single(self, examples: Sequence[LabelledText], where: str, multi_label: bool) -> None:
        """Unless ``multi_label``, every row has exactly one label."""
        for row, example in enumerate(examples, start=1):
            if not multi_label and len(example.labels) != 1:
                raise UserError(
                    f"{where}, row {row}: {len(example.labels)} labels {list(example.labels)}; "
                    "pass --multi-label if a text may have any number"
                )

    def classes(self, labels: Sequence[str]) -> int:
        """One a label."""
        return len(labels)

    def units(self, example: LabelledText, windows: Sequence[Encoded]) -> list[list[int]]:
        """Each window as a whole is a unit; its place is the first token."""
        return [[0] for _ in windows]

    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """One pooled vector a text."""
        return pool(states, mask, pooling)

    def targets(
        self,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
        multi_label: bool = False,
    ) -> Tensor:
        """``(1,)`` index of the label, or ``(1, C)`` zeros and ones."""
        chosen = [labels.index(label) for label in example.labels]
        if not multi_label:
            return torch.tensor(chosen)
        target = torch.zeros(1, len(labels))
        target[0, chosen] = 1.0
        return target

    def decode(
        self,
        logits: Tensor,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
        multi_label: bool = False,
    ) -> Labelled:
        """The most probable label, or every label with probability of at least one half.

        A text of several windows is judged by the mean of their logits.
        """
        row = logits.float().mean(0).cpu()
        probabilities = (row.sigmoid() if multi_label else row.softmax(-1)).tolist()
        if multi_label:
            chosen = [label for label, p in zip(labels, probabilities, strict=True) if p >= 0.5]
        else:
            chosen = [labels[int(row.argmax())]]
        return Labelled(tuple(chosen), dict(zip(labels, probabilities, strict=True)))

    def score(
        self, examples: Sequence[LabelledText], predictions: Sequence[Labelled]
    ) -> dict[str, float]:
        """Accuracy (all labels right, if multi-label), macro-F1 and micro-F1."""
        return label_scores(
            [example.labels for example in examples],
            [predicted.labels for predicted in predictions],
        )

    def render(self, example: LabelledText, prediction: Labelled) -> dict[str, Any]:
        """Chosen label(s), and probabilities from the highest down."""
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        return {
            "labels": list(prediction.labels),
            "probabilities": {label: round(p, 4) for label, p in ranked},
        }
