"""Named entity recognition: a head on each word, strict IOB2 tags."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, Span
from onetrunk.data.sources import Spec, read_ner
from onetrunk.data.units import in_units
from onetrunk.decoding import Entities
from onetrunk.families.base import Family
from onetrunk.families.scores import entity_scores


class PerWord(Family[AnnotatedText, Entities]):
    """What families with a head on each word have in common."""

    metric: ClassVar[str] = "f1"
    metrics: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")
    # Not by cross-validation: most words are outside of entities, so the loss asks for three to ten
    # times the penalty that entities score best with, and that hardly differs between tasks.
    penalty: ClassVar[float | None] = 1e-2
    # The last layers are made for whole texts; the layers below say more clearly what a word is.
    deep_head: ClassVar[bool | None] = True

    def parse(self, text: str) -> AnnotatedText:
        """A text without entities."""
        return AnnotatedText(text)

    def labels_of(self, example: AnnotatedText) -> Iterable[str]:
        """The type of each entity."""
        return [kind for _, _, kind in example.entities]

    def score(
        self, examples: Sequence[AnnotatedText], predictions: Sequence[Entities]
    ) -> dict[str, float]:
        """Precision, recall and micro-F1 of entities; the characters and the type must be right."""
        return entity_scores(
            [example.entities for example in examples],
            [prediction.entities for prediction in predictions],
        )


class Ner(PerWord):
    """Entities in text that do not overlap."""

    name: ClassVar[str] = "ner"
    decoder: ClassVar[str | None] = "ner"

    def read(self, path: Spec, notes: Notes | None = None) -> list[AnnotatedText]:
        """Entities from any source of :func:`~onetrunk.data.sources.stream_ner`."""
        return read_ner(path, notes)

    def targets(
        self, example: AnnotatedText, units: Sequence[Span], labels: Sequence[str]
    ) -> np.ndarray:
        """``(u,)`` int64: the index of each unit's tag in :func:`~onetrunk.decoding.tag_names`."""
        tags = np.zeros(len(units), np.int64)
        for first, stop, kind in in_units(example.entities, units):
            tags[first:stop] = 2 + 2 * labels.index(kind)
            tags[first] -= 1
        return tags
