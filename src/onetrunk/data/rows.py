"""The kinds of row that onetrunk learns from. Every reader ends here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from onetrunk.data.iob import entities

Span = tuple[int, int]
"""Half-open character interval ``(start, end)`` of a text."""

Entity = tuple[int, int, str]
"""First word, word after the last, type."""

# A word is one CJK character, or a run of letters, marks, digits and joiners, or any other
# visible grapheme (punctuation, an emoji with all its modifiers). White space, control and
# zero-width characters belong to no word.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = regex.compile(
    rf"(?V1)[{_CJK}]|[[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d]--[{_CJK}]]+|(?![\s\p{{Cf}}\p{{Cc}}])\X"
)


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A sentence with one IOB2 tag a word (the NER family).

    ``words[i]`` is the character span of word ``i`` in ``text``; ``tags[i]`` is ``O``,
    ``B-type`` or ``I-type``. Raw text to be predicted has words and no tags.
    """

    text: str
    words: tuple[Span, ...]
    tags: tuple[str, ...] = ()

    @classmethod
    def from_words(cls, words: Sequence[str], tags: Sequence[str] = ()) -> TaggedText:
        """Join words with single spaces, keeping each word's span."""
        spans, at = [], 0
        for word in words:
            spans.append((at, at + len(word)))
            at += len(word) + 1
        return cls(" ".join(words), tuple(spans), tuple(tags))

    @classmethod
    def from_text(cls, text: str) -> TaggedText:
        """Split raw text into words: runs of letters and digits, and single other graphemes."""
        return cls(text, tuple(match.span() for match in _WORD.finditer(text)))

    @classmethod
    def from_spans(cls, text: str, spans: Sequence[tuple[int, int, str]]) -> TaggedText:
        """Split raw text into words and tag the spans ``(start, end, type)``, IOB2.

        The spans are in order, not empty, and do not overlap. Words end where a span begins or
        ends, so that each span is exactly a run of whole words; one without a word in the sense of
        :meth:`from_text` (a zero-width character) is a word as a whole.
        """
        words: list[Span] = []
        tags: list[str] = []
        at = 0
        for start, end, kind in [*spans, (len(text), len(text), "")]:
            outside = [match.span() for match in _WORD.finditer(text, at, start)]
            words += outside
            tags += ["O"] * len(outside)
            if kind:
                starts = [match.start() for match in _WORD.finditer(text, start, end)]
                ends = [match.end() for match in _WORD.finditer(text, start, end)]
                words += zip([start, *starts[1:]], [*ends[:-1], end], strict=True)
                tags += [f"B-{kind}", *[f"I-{kind}"] * (len(starts) - 1)]
            at = end
        return cls(text, tuple(words), tuple(tags))


@dataclass(frozen=True, slots=True)
class NestedText:
    """A text with entities that may overlap (nested NER).

    ``words`` as in :class:`TaggedText`; an entity is ``(first word, word after the last, type)``,
    in order, and no two of one type overlap.
    """

    text: str
    words: tuple[Span, ...]
    entities: tuple[Entity, ...] = ()

    @classmethod
    def of(cls, tagged: TaggedText) -> NestedText:
        """The entities of tags."""
        return cls(tagged.text, tagged.words, tuple(entities(tagged.tags)))

    @classmethod
    def from_spans(cls, text: str, spans: Sequence[tuple[int, int, str]]) -> NestedText:
        """Split raw text into words, which end where a span ``(start, end, type)`` begins or ends.

        As with :meth:`TaggedText.from_spans`, all that is visible between two such places in a
        span belongs to a word.
        """
        cuts = sorted({0, len(text), *(at for start, end, _ in spans for at in (start, end))})
        words: list[Span] = []
        for left, right in pairwise(cuts):
            found = [match.span() for match in _WORD.finditer(text, left, right)]
            held = text[left:right]
            if held.strip() and any(start <= left and right <= end for start, end, _ in spans):
                left, right = right - len(held.lstrip()), left + len(held.rstrip())
                starts = [left, *(start for start, _ in found[1:])]
                found = [*zip(starts, [*(end for _, end in found[:-1]), right], strict=True)]
            words += found
        places = [
            (
                sum(stop <= start for _, stop in words),
                sum(first < end for first, _ in words),
                kind,
            )
            for start, end, kind in spans
        ]
        return cls(text, tuple(words), tuple(sorted(places)))


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its labels (the text classification family): one, or several if multi-label."""

    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that belong together (weak supervision for text classification).

    ``negatives`` are texts that do not belong to the query though they look as if they did.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
