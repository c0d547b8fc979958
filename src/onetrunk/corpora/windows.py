"""What the windows of tagged sentences carry besides token ids: labels, and texts for a teacher.

A window is all or a part of a tokenised sentence (:func:`onetrunk.data.alignment.overlap`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from onetrunk.corpora.store import Prepared, Writer
from onetrunk.data.rows import TaggedText

OUTSIDE, SPECIAL = -1, -2
"""In place of an entity type: a token outside entities, and a special token."""


def window_labels(
    rows: Sequence[TaggedText], types: dict[str, int], windows: Sequence[Any], row_of: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The label of every token of some rows, int32: ``row_of`` says which row each belongs to.

    And the words of entities that have no token of their own, as (row, word). ``types`` numbers
    entity types, and takes in new ones.
    """
    # All rows side by side in one coordinate, a gap between them, so that one search serves all.
    base = np.cumsum([0, *(len(row.text) + 1 for row in rows[:-1])])
    spans = np.array([span for row in rows for span in row.words], np.int64).reshape(-1, 2)
    spans += np.repeat(base, [len(row.words) for row in rows])[:, None]
    kinds = np.array(
        [
            OUTSIDE if tag == "O" else types.setdefault(tag[2:], len(types))
            for row in rows
            for tag in row.tags
        ],
        np.int32,
    )
    offsets = np.array([span for w in windows for span in w.offsets], np.int64).reshape(-1, 2)
    special = np.fromiter(chain.from_iterable(w.special_tokens_mask for w in windows), bool)
    start, end = (offsets + base[row_of][:, None]).T
    word = spans[:, 1].searchsorted(start, side="right")  # the first word that ends after it
    found = word < len(spans)
    word[~found] = 0
    inside = found & (start < end)
    if len(spans):
        inside &= spans[word, 0] < end
    labels = np.full(len(offsets), OUTSIDE, np.int32)
    labels[inside] = kinds[word[inside]]
    labels[special] = SPECIAL
    lost = kinds != OUTSIDE
    lost[word[inside]] = False
    first_word = np.cumsum([0, *(len(row.words) for row in rows)])
    row_of_lost = first_word.searchsorted(np.flatnonzero(lost), side="right") - 1
    places = zip(row_of_lost.tolist(), np.flatnonzero(lost).tolist(), strict=True)
    return labels, [(row, at - int(first_word[row])) for row, at in places]


class TextWriter:
    """Adds the text of each window to a store, and the place of each token in it.

    A window's text reaches from its first token to its last, so a teacher reads what the student
    reads.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._end = writer, 0
        writer.append("text_starts", np.zeros(1, np.int64))

    def append(self, texts: Sequence[str], windows: Sequence[Any], row_of: Sequence[int]) -> None:
        """Add windows, each of the text that ``row_of`` names."""
        parts, offsets = [], []
        for window, row in zip(windows, row_of, strict=True):
            spans = np.array(window.offsets, np.int32).reshape(-1, 2)
            visible = spans[:, 0] < spans[:, 1]
            start = int(spans[visible, 0].min(initial=len(texts[row])))
            end = int(spans[visible, 1].max(initial=start))
            parts.append(texts[row][start:end].encode("utf-8", "surrogatepass"))
            offsets.append(np.where(visible[:, None], spans - start, 0))
        ends = self._end + np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._writer.append("texts", np.frombuffer(b"".join(parts), np.uint8))
        self._writer.append("text_starts", ends)
        self._writer.append("offsets", np.concatenate(offsets).astype(np.int32).reshape(-1))
        self._end = int(ends[-1])


class WindowTexts(Sequence[str]):
    """The windows' texts, read from the store one by one."""

    def __init__(self, store: Prepared) -> None:
        self._texts, self._starts = store.arrays["texts"], store.arrays["text_starts"]

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, window: Any) -> Any:
        first, after = self._starts[window : window + 2]
        return self._texts[first:after].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


class WindowOffsets(Sequence[np.ndarray]):
    """The character span of each token in its window's text: ``(T, 2)`` int32, special ones (0, 0).

    Read from the store one by one.
    """

    def __init__(self, store: Prepared) -> None:
        self._offsets, self._starts = store.arrays["offsets"], store.arrays["starts"]

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, window: Any) -> Any:
        first, after = self._starts[window : window + 2]
        return self._offsets[2 * first : 2 * after].reshape(-1, 2)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))
