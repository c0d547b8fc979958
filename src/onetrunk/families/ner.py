"""Named entity recognition: a head on each word, strict IOB2 tags."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from onetrunk.data.notes import Notes
from onetrunk.data.rows import TaggedText
from onetrunk.data.sources import Spec, read_ner
from onetrunk.decoding import Tagged, tag_names
from onetrunk.families.base import Example, Family, Prediction
from onetrunk.families.scores import entity_scores


class PerWord(Family[Example, Prediction]):
    """What families with a head on each word have in common. Their examples have ``words``."""

    metric: ClassVar[str] = "f1"
    metrics: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")
    # Not by cross-validation: most words are outside of entities, so the loss asks for three to ten
    # times the penalty that entities score best with, and that hardly differs between tasks.
    penalty: ClassVar[float | None] = 1e-2
    # The last layers are made for whole texts; the layers below say more clearly what a word is.
    deep_head: ClassVar[bool | None] = True


class Ner(PerWord[TaggedText, Tagged]):
    """Entities in text, scored on words and whole entities."""

    name: ClassVar[str] = "ner"
    decoder: ClassVar[str | None] = "ner"

    def read(self, path: Spec, notes: Notes | None = None) -> list[TaggedText]:
        """Words and tags from any source of :func:`~onetrunk.data.sources.stream_ner`."""
        return read_ner(path, notes)

    def parse(self, text: str) -> TaggedText:
        """Split raw text into words."""
        return TaggedText.from_text(text)

    def labels_of(self, example: TaggedText) -> Iterable[str]:
        """The type of each entity."""
        return [tag[2:] for tag in example.tags if tag.startswith("B-")]

    def targets(self, example: TaggedText, units: Sequence[int], labels: Sequence[str]) -> Tensor:
        """``(u,)`` int64: the index of each visible word's tag in ``tag_names(labels)``."""
        index = {tag: number for number, tag in enumerate(tag_names(labels))}
        tags = [index[tag] for tag, token in zip(example.tags, units, strict=True) if token >= 0]
        return torch.tensor(tags, dtype=torch.int64)

    def score(
        self, examples: Sequence[TaggedText], predictions: Sequence[Tagged]
    ) -> dict[str, float]:
        """Strict entity-level precision, recall and micro-F1."""
        return entity_scores(
            [example.tags for example in examples], [predicted.tags for predicted in predictions]
        )
