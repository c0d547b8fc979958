"""The kinds of row that onetrunk learns from. Every source is read into one of them."""

from __future__ import annotations

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

        The spans must be in order, not empty, and must not overlap. A word ends where a span
        begins or ends, so each span is exactly a run of whole words. A span that has no word in
        the sense of :meth:`from_text` (a zero-width character) becomes one word.
        """
        words: list[Span] = []
        tags: list[str] = []
        before = 0  # the end of the span before
        for start, end, kind in [*spans, (len(text), len(text), "")]:
            outside = [match.span() for match in _WORD.finditer(text, before, start)]
            words += outside
            tags += ["O"] * len(outside)
            if kind:
                starts = [match.start() for match in _WORD.finditer(text, start, end)]
                ends = [match.end() for match in _WORD.finditer(text, start, end)]
                words += zip([start, *starts[1:]], [*ends[:-1], end], strict=True)
                tags += [f"B-{kind}", *[f"I-{kind}"] * (len(starts) - 1)]
            before = end
        return cls(text, tuple(words), tuple(tags))


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

        As in :meth:`TaggedText.from_spans`, every visible character of a span is part of a word.
        """
        cuts = sorted({0, len(text), *(at for start, end, _ in spans for at in (start, end))})
        words: list[Span] = []
        for left, right in pairwise(cuts):
            pieces = [match.span() for match in _WORD.finditer(text, left, right)]
            part = text[left:right]
            if part.strip() and any(start <= left and right <= end for start, end, _ in spans):
                left, right = right - len(part.lstrip()), left + len(part.rstrip())
                starts = [left, *(start for start, _ in pieces[1:])]
                pieces = [*zip(starts, [*(end for _, end in pieces[:-1]), right], strict=True)]
            words += pieces
        entities_of_spans = [
            (
                sum(stop <= start for _, stop in words),
                sum(first < end for first, _ in words),
                kind,
            )
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
