"""Where names occur in a text: every occurrence, at word borders, longest first, no overlaps."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from onetrunk.data.rows import Span, TaggedText

_T = TypeVar("_T")
_HERE = ""  # no word is empty, so this key of a trie node holds the names that end there


class Matcher:
    """A trie over the words of many names; a text is read once, whatever their number.

    A name matches a run of whole words that are equal to its own in Unicode NFC (and, with
    ``ignore_case``, after case folding). White space between words does not count: ``New York``
    is found across a line end.
    """

    def __init__(self, names: Iterable[str], ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self._root: dict[str, Any] = {}
        for index, name in enumerate(names):
            keys = [key for key, _ in self._words(name)]
            if not keys:  # nothing visible: it occurs nowhere
                continue
            node = self._root
            for key in keys:
                node = node.setdefault(key, {})
            node.setdefault(_HERE, []).append(index)

    def occurrences(self, text: str) -> list[tuple[int, int, int]]:
        """All places as ``(start, end, index of the name)``, overlaps included, by start."""
        words = self._words(text)
        found = []
        for first, (_, (start, _)) in enumerate(words):
            node, at = self._root, first
            while at < len(words) and (key := words[at][0]) in node:
                node, end = node[key], words[at][1][1]
                found += [(start, end, index) for index in node.get(_HERE, ())]
                at += 1
        return found

    def equal(self, name: str) -> list[int]:
        """The names that have the same words as this one."""
        node = self._root
        for key, _ in self._words(name):
            if key not in node:
                return []
            node = node[key]
        return list(node.get(_HERE, ()))

    def _words(self, text: str) -> list[tuple[str, Span]]:
        return [(self._key(text[a:b]), (a, b)) for a, b in TaggedText.from_text(text).words]

    def _key(self, word: str) -> str:
        word = unicodedata.normalize("NFC", word)
        return unicodedata.normalize("NFC", word.casefold()) if self._ignore_case else word


def longest_first(found: Sequence[tuple[int, int, _T]]) -> list[tuple[int, int, _T]]:
    """Drop what overlaps something longer, or as long and earlier, or as listed before it.

    Takes and returns ``(start, end, anything)`` with ``start < end``; returned in order of start.
    """
    taken = bytearray(max((end for _, end, _ in found), default=0))
    kept = []
    for start, end, what in sorted(found, key=lambda one: (one[0] - one[1], one[0])):
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            kept.append((start, end, what))
    return sorted(kept, key=lambda one: one[0])
