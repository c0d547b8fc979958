"""The three kinds of row that onetrunk learns from. Every reader ends here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import regex

Span = tuple[int, int]
"""Half-open character interval ``(start, end)`` of a text."""

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


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its labels (the text classification family): one, or several if multi-label."""

    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that belong together (weak supervision for text classification)."""

    query: str
    positive: str
