"""Named entity recognition: a token head, strict IOB2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from onetrunk.data.alignment import Encoded, window_units
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Span, TaggedText
from onetrunk.data.sources import Spec, read_ner
from onetrunk.decoding import Tagged, decode_tags, render_tags, tag_names
from onetrunk.families.base import Family
from onetrunk.families.scores import entity_scores
from onetrunk.model.heads import Pooling


class Words(Protocol):
    """What has words: their character spans in a text."""

    @property
    def text(self) -> str:
        """All of it."""

    @property
    def words(self) -> Sequence[Span]:
        """In order."""


Worded = TypeVar("Worded", bound=Words)
Prediction = TypeVar("Prediction")


class PerWord(Family[Worded, Prediction]):
    """What families of a head on each word have in common."""

    metric: ClassVar[str] = "f1"
    metrics: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")
    # Not by cross-validation: most words are outside, so the loss asks for three
    # to ten times the penalty that entities score best with, which hardly differs between tasks.
    penalty: ClassVar[float | None] = 1e-2
    # What a word is stands clearer below the last layers, which are made for whole texts.
    deep_head: ClassVar[bool | None] = True

    def text(self, example: Worded) -> str:
        """The sentence."""
        return example.text

    def units(self, example: Worded, windows: Sequence[Encoded]) -> list[list[int]]:
        """A word is represented by its first token, in the window that shows most around it."""
        return window_units(example.words, windows)

    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """The state of each visible word's first token."""
        where = [(row, at) for row, tokens in enumerate(units) for at in tokens if at >= 0]
        index = torch.tensor(where, dtype=torch.int64, device=states.device).view(-1, 2)
        return states[index[:, 0], index[:, 1]]


class Ner(PerWord[TaggedText, Tagged]):
    """Entities in text, scored on words and whole entities."""

    name: ClassVar[str] = "ner"

    def read(self, path: Spec, notes: Notes | None = None) -> list[TaggedText]:
        """Words and tags from any source of :func:`~onetrunk.data.sources.stream_ner`."""
        return read_ner(path, notes)

    def parse(self, text: str) -> TaggedText:
        """Split raw text into words."""
        return TaggedText.from_text(text)

    def labels_of(self, example: TaggedText) -> Iterable[str]:
        """The type of each entity."""
        return [tag[2:] for tag in example.tags if tag.startswith("B-")]

    def classes(self, labels: Sequence[str]) -> int:
        """O, and B- and I- of each type."""
        return 1 + 2 * len(labels)

    def targets(
        self,
        example: TaggedText,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Tensor:
        """Index of each visible word's tag in ``tag_names(labels)``."""
        index = {tag: i for i, tag in enumerate(tag_names(labels))}
        tags = [index[tag] for tag, at in zip(example.tags, units, strict=True) if at >= 0]
        return torch.tensor(tags, dtype=torch.int64)

    def decode(
        self,
        logits: Tensor,
        example: TaggedText,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Tagged:
        """The most probable valid IOB2 sequence; words without a token are O with score 0."""
        return decode_tags(logits.float().cpu().numpy(), units, labels)

    def score(
        self, examples: Sequence[TaggedText], predictions: Sequence[Tagged]
    ) -> dict[str, float]:
        """Strict entity-level precision, recall and micro-F1."""
        return entity_scores(
            [example.tags for example in examples], [predicted.tags for predicted in predictions]
        )

    def render(self, example: TaggedText, prediction: Tagged) -> dict[str, Any]:
        """Entities with character offsets; the score is that of the least certain word."""
        return render_tags(example.text, example.words, prediction)
