"""Entities that overlap: another head on the states of NER, with a layer of tags for each type.

In "the Bank of England" one entity is all of it and another is "England". Entities of one type do
not overlap each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, Span
from onetrunk.data.sources import Spec, read_nested
from onetrunk.data.units import in_units
from onetrunk.families.ner import Ner, PerWord
from onetrunk.losses.head import TAGS, HeadLoss, cross_entropy_of_tags

if TYPE_CHECKING:
    from torch import Tensor


class NestedNer(PerWord):
    """O, B or I for each type and word. Apps start from the primary LoRA of NER."""

    name: ClassVar[str] = "nested-ner"
    decoder: ClassVar[str | None] = "nested-ner"
    starts_from: ClassVar[str | None] = Ner.name

    def read(self, path: Spec, notes: Notes | None = None) -> list[AnnotatedText]:
        """Entities from any source of :func:`~onetrunk.data.sources.stream_nested`."""
        return read_nested(path, notes)

    def targets(
        self, example: AnnotatedText, units: Sequence[Span], labels: Sequence[str]
    ) -> np.ndarray:
        """``(u, types)`` int64: 0, 1, 2 for O, B, I of each unit and type."""
        target = np.zeros((len(units), len(labels)), np.int64)
        for number, label in enumerate(labels):
            of_type = [entity for entity in example.entities if entity[2] == label]
            for first, stop, _ in in_units(of_type, units):
                target[first, number] = 1
                target[first + 1 : stop, number] = 2
        return target

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each type's three classes, a mean over words and types."""
        from torch.nn.functional import cross_entropy

        by_type = logits.reshape(-1, TAGS)
        if targets.is_floating_point():  # soft targets
            return cross_entropy(by_type, targets.reshape(-1, TAGS))
        return cross_entropy(by_type, targets.flatten())

    @property
    def head_loss(self) -> HeadLoss:
        """:meth:`loss` in numpy."""
        return cross_entropy_of_tags

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """``(U, 3 types)``: 1 for each type's tag and 0 for its others."""
        from torch.nn.functional import one_hot

        return one_hot(targets, TAGS).float().flatten(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(U, 3 types)``: a softmax over each type's three classes."""
        return logits.unflatten(1, (-1, TAGS)).softmax(-1).flatten(1)
