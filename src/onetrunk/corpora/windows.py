"""The labels of the tokens of a window, and the window's text.

A window is a tokenised sentence with tags, or a part of one that is too long
(:func:`onetrunk.data.alignment.encode_windows`).
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from onetrunk.corpora.store import Writer
from onetrunk.data.rows import AnnotatedText, Entity

OUTSIDE, SPECIAL = -1, -2
"""In place of an entity type: a token outside all entities, and a special token."""

_T = TypeVar("_T")


def window_labels(
    rows: Sequence[AnnotatedText], types: dict[str, int], windows: Sequence[Any], row_of: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, Entity]]]:
    """Label every token of the windows of some rows.

    ``types`` numbers the entity types, and takes in new ones. ``row_of (tokens,)`` says to which
    row each token belongs. Returns the labels ``(tokens,)`` int32 and, with the index of its row,
    each entity that no token stands for. A token has the type of the entity that it overlaps; of
    several entities, of the first.
    """
    # All rows lie side by side on one axis, with a gap between them: one search serves all.
    base = np.cumsum([0, *(len(row.text) + 1 for row in rows[:-1])])
    entities = [(row, entity) for row, of_row in enumerate(rows) for entity in of_row.entities]
    spans = np.array([(start, end) for _, (start, end, _) in entities], np.int64).reshape(-1, 2)
    spans += base[np.array([row for row, _ in entities], np.int64)][:, None]
    type_of = np.array([types.setdefault(e[2], len(types)) for _, e in entities], np.int32)
    offsets = np.array([span for w in windows for span in w.offsets], np.int64).reshape(-1, 2)
    special = np.fromiter(chain.from_iterable(w.special_tokens_mask for w in windows), bool)
    start, end = (offsets + base[row_of][:, None]).T
    entity = spans[:, 1].searchsorted(start, side="right")  # the first that ends after the start
    inside = np.flatnonzero((entity < len(spans)) & (start < end))
    inside = inside[spans[entity[inside], 0] < end[inside]]
    labels = np.full(len(offsets), OUTSIDE, np.int32)
    labels[inside] = type_of[entity[inside]]
    labels[special] = SPECIAL
    lost = np.setdiff1d(np.arange(len(entities)), entity[inside])
    return labels, [entities[number] for number in lost.tolist()]


class TextWriter:
    """Adds to a store the text of each window, and the place of each token in that text.

    A window's text reaches from its first token to its last, so that a teacher reads exactly what
    the student reads.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._end = writer, 0
        writer.append("text_starts", np.zeros(1, np.int64))

    def append(self, texts: Sequence[str], windows: Sequence[Any], row_of: Sequence[int]) -> None:
        """Add windows. ``row_of`` holds the index of each window's text."""
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


class LazyRows(Sequence[_T]):
    """``count`` rows, each of which ``read`` fetches when it is asked for."""

    def __init__(self, count: int, read: Callable[[int], _T]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: Any) -> Any:
        if not 0 <= row < self._count:
            raise IndexError(f"row {row} of {self._count}")
        return self._read(row)
