"""The kinds of row that onetrunk learns from. Every source is read into one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onetrunk.data.iob import entities
from onetrunk.data.words import Span as Span
from onetrunk.data.words import visible

Place = Callable[[int], str]
"""What messages call a row, counted from zero: ``tickets.xlsx, row 14``."""

Entity = tuple[int, int, str]
"""An entity of a text: its first character, the character after its last, and its type."""


def numbered(where: str) -> Place:
    """The places of rows that are counted from one."""
    return lambda row: f"{where}, row {row + 1}"


@dataclass(frozen=True, slots=True)
class AnnotatedText:
    """A text with its entities (named entity recognition), in order.

    For the family ``ner`` no two entities overlap. For ``nested-ner`` no two of the same type do.
    """

    text: str
    entities: tuple[Entity, ...] = ()

    @classmethod
    def from_words(cls, words: Sequence[str], tags: Sequence[str]) -> AnnotatedText:
        """Join words with single spaces. Their IOB2 tags say where entities begin and end."""
        starts, ends, start = [], [], 0
        for word in words:
            starts.append(start)
            ends.append(start + len(word))
            start += len(word) + 1
        text = " ".join(words)
        spans = [
            (*visible(text, starts[first], ends[stop - 1]), kind)
            for first, stop, kind in entities(tags)
        ]
        return cls(text, tuple(spans))


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its label, or with any number of labels if the task is multi-label."""

    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that belong together (weak supervision for text classification).

    ``negatives`` are texts that do not belong to the query, although they look similar.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
