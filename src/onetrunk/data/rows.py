"""The kinds of row that onetrunk learns from. Every source is read into one of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from onetrunk.data.iob import entities

Span = tuple[int, int]
"""Half-open character interval ``(start, end)`` of a text."""

Entity = tuple[int, int, str]
"""An entity of some words of a text: first word, word after the last, type."""

# A word is one CJK character, a run of letters, marks, digits and joiners, or any other visible
# grapheme, such as a punctuation mark or an emoji with its modifiers. White space, control
# characters and zero-width characters are not part of a word.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = regex.compile(
    rf"(?V1)[{_CJK}]|[[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d]--[{_CJK}]]+|(?![\s\p{{Cf}}\p{{Cc}}])\X"
)


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A sentence with an IOB2 tag for each word (the NER family).

    ``words[i]`` is the character span of word ``i`` in ``text``. ``tags[i]`` is ``O``, ``B-type``
    or ``I-type``. A text without annotations has words and no tags.
    """

    text: str
    words: tuple[Span, ...]
    tags: tuple[str, ...] = ()

    @classmethod
    def from_words(cls, words: Sequence[str], tags: Sequence[str] = ()) -> TaggedText:
        """Join words with single spaces; the spans are those of the words in this text."""
        spans, start = [], 0
        for word in words:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return cls(" ".join(words), tuple(spans), tuple(tags))

    @classmethod
    def from_text(cls, text: str) -> TaggedText:
        """Split a text into words: runs of letters and digits, and other graphemes one by one."""
        return cls(text, tuple(match.span() for match in _WORD.finditer(text)))

    @classmethod
    def from_spans(cls, text: str, spans: Sequence[tuple[int, int, str]]) -> TaggedText:
        """Split a text into words and tag those of the spans ``(start, end, type)`` in IOB2.

        Words are those of :meth:`NestedText.from_spans`. The spans must not overlap.
        """
        nested = NestedText.from_spans(text, spans)
        tags = ["O"] * len(nested.words)
        for first, after, kind in nested.entities:
            tags[first:after] = [f"B-{kind}", *[f"I-{kind}"] * (after - first - 1)]
        return cls(text, nested.words, tuple(tags))


@dataclass(frozen=True, slots=True)
class NestedText:
    """A text with entities that may overlap (nested NER).

    ``words`` are as in :class:`TaggedText`. Entities are ``(first word, word after the last,
    type)``, in order. No two entities of the same type overlap.
    """

    text: str
    words: tuple[Span, ...]
    entities: tuple[Entity, ...] = ()

    @classmethod
    def of(cls, tagged: TaggedText) -> NestedText:
        """Return the text with the entities that its tags stand for."""
        return cls(tagged.text, tagged.words, tuple(entities(tagged.tags)))

    @classmethod
    def from_spans(cls, text: str, spans: Sequence[tuple[int, int, str]]) -> NestedText:
        """Split a text into words, which end where a span ``(start, end, type)`` begins or ends.

        So each span is exactly a run of whole words, and every visible character of it is part of
        one. A span without a word in the sense of :meth:`TaggedText.from_text` (a zero-width
        character) becomes one word. Spans must not be empty or begin or end with white space.
        """
        changes = Counter(start for start, _, _ in spans)
        changes.subtract(end for _, end, _ in spans)
        words: list[Span] = []
        depth = 0  # how many spans cover what lies between two cuts
        for left, right in pairwise(sorted({0, len(text), *changes})):
            depth += changes[left]
            pieces = [match.span() for match in _WORD.finditer(text, left, right)]
            part = text[left:right]
            if depth and part.strip():
                left, right = right - len(part.lstrip()), left + len(part.rstrip())
                starts = [left, *(start for start, _ in pieces[1:])]
                pieces = [*zip(starts, [*(end for _, end in pieces[:-1]), right], strict=True)]
            words += pieces
        starts, ends = [start for start, _ in words], [end for _, end in words]
        entities_of_spans = [
            (bisect_right(ends, start), bisect_left(starts, end), kind)
            for start, end, kind in spans
        ]
        return cls(text, tuple(words), tuple(sorted(entities_of_spans)))


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
