"""Where names occur in a text: every occurrence at word borders, and the longest of overlaps."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from unicodedata import normalize

from onetrunk.data.rows import Span
from onetrunk.data.words import runs_of

_Labelled = TypeVar("_Labelled", bound=tuple[int, int, Any])
_END = ""  # this key of a trie node holds the names that end there; no word is empty


class Matcher:
    """A trie over the words of names. It reads a text once, however many names there are.

    A name matches a run of whole words that are equal to its own in Unicode NFC (with
    ``ignore_case``, after case folding). White space between words does not count, so ``New York``
    matches across a line end.
    """

    def __init__(self, names: Iterable[str], ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self._root: dict[str, Any] = {}
        for index, name in enumerate(names):
            words = self._words(name)
            if not words:  # a name without visible characters occurs nowhere
                continue
            node = self._root
            for word, _ in words:
                node = node.setdefault(word, {})
            node.setdefault(_END, []).append(index)

    def occurrences(self, text: str) -> list[tuple[int, int, int]]:
        """Return every match as ``(start, end, index of the name)``; matches may overlap."""
        words = self._words(text)
        matches = []
        for first, (_, (start, _)) in enumerate(words):
            node, at = self._root, first
            while at < len(words) and (word := words[at][0]) in node:
                node, end = node[word], words[at][1][1]
                matches += [(start, end, index) for index in node.get(_END, ())]
                at += 1
        return matches

    def equal(self, name: str) -> list[int]:
        """Return the indices of the names that have the same words as this one."""
        node = self._root
        for word, _ in self._words(name):
            node = node.get(word, {})
        return list(node.get(_END, ()))

    def _words(self, text: str) -> list[tuple[str, Span]]:
        words = []
        for start, end in runs_of(text):
            word = normalize("NFC", text[start:end])
            if self._ignore_case:
                word = normalize("NFC", word.casefold())
            words.append((word, (start, end)))
        return words


def longest_first(spans: Sequence[_Labelled]) -> list[_Labelled]:
    """Drop each span that overlaps a better one, and return the others in order of start.

    A span is ``(start, end, anything)`` with ``start < end``. A longer span is better; of equally
    long ones, the one that starts earlier; after that, the one that is listed first.
    """
    covered = bytearray(max((end for _, end, _ in spans), default=0))
    chosen = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        start, end, _ = span
        if not any(covered[start:end]):
            covered[start:end] = b"\1" * (end - start)
            chosen.append(span)
    return sorted(chosen, key=lambda span: span[0])
