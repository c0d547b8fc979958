"""Entities that overlap: another head on the states of NER, a layer of tags for each type.

"Bank of [England LOC] ORG" has two. Entities of one type do not overlap each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from onetrunk.data.notes import Notes
from onetrunk.data.rows import NestedText, TaggedText
from onetrunk.data.sources import Spec, read_nested
from onetrunk.decoding import Nested, decode_nested, render_nested
from onetrunk.families.ner import Ner, PerWord
from onetrunk.families.scores import scores_of_counts

TAGS = 3
"""O, B and I of a type."""


class NestedNer(PerWord[NestedText, Nested]):
    """For each type and word O, B or I. Apps start from the primary LoRA of NER."""

    name: ClassVar[str] = "nested-ner"
    starts_from: ClassVar[str | None] = Ner.name

    def read(self, path: Spec, notes: Notes | None = None) -> list[NestedText]:
        """Spans (or tags) from any source of :func:`~onetrunk.data.sources.stream_nested`."""
        return read_nested(path, notes)

    def parse(self, text: str) -> NestedText:
        """Split raw text into words."""
        return NestedText.of(TaggedText.from_text(text))

    def labels_of(self, example: NestedText) -> Iterable[str]:
        """The type of each entity."""
        return [kind for _, _, kind in example.entities]

    def classes(self, labels: Sequence[str]) -> int:
        """Three a type."""
        return TAGS * len(labels)

    def targets(self, example: NestedText, units: Sequence[int], labels: Sequence[str]) -> Tensor:
        """``(u, types)`` int64: 0, 1, 2 for O, B, I of each visible word and type."""
        target = torch.zeros(len(example.words), len(labels), dtype=torch.int64)
        for first, stop, kind in example.entities:
            target[first, labels.index(kind)] = 1
            target[first + 1 : stop, labels.index(kind)] = 2
        return target[[word for word, at in enumerate(units) if at >= 0]]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each type's three, a mean over words and types."""
        by_type = logits.reshape(-1, TAGS)
        if targets.is_floating_point():  # ballots
            return F.cross_entropy(by_type, targets.reshape(-1, TAGS))
        return F.cross_entropy(by_type, targets.flatten())

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """``(U, 3 types)``: 1 for each type's tag and 0 for its others."""
        return F.one_hot(targets, TAGS).float().flatten(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of each type's three."""
        return logits.unflatten(1, (-1, TAGS)).softmax(-1).flatten(1)

    def decode(
        self, logits: Tensor, example: NestedText, units: Sequence[int], labels: Sequence[str]
    ) -> Nested:
        """The most probable valid sequence of each type; words without a token are outside."""
        return decode_nested(logits.float().cpu().numpy(), units, labels)

    def score(
        self, examples: Sequence[NestedText], predictions: Sequence[Nested]
    ) -> dict[str, float]:
        """Precision, recall and micro-F1 of entities, of which words and type must be right."""
        pairs = zip(examples, predictions, strict=True)
        both = [(set(example.entities), set(found.entities)) for example, found in pairs]
        return scores_of_counts((len(a), len(b), len(a & b)) for a, b in both)

    def render(self, example: NestedText, prediction: Nested) -> dict[str, Any]:
        """Entities with character offsets, the outer before the inner."""
        return render_nested(example.text, example.words, prediction)
