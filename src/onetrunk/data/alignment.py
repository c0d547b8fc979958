"""Tokenising texts, and relating tokens to those of another tokenizer.

Everything goes by character offsets, so it works with any fast tokenizer.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onetrunk.data.rows import Span
from onetrunk.errors import UserError

Offsets = Sequence[Span] | NDArray[np.int64]
"""The character span of each token of a text, ``(T, 2)``. The span of a special token is empty."""

# The maximal length is a state of the tokenizer: without the lock, two threads with different
# lengths would cut each other's texts.
_LOCK = threading.Lock()
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised text: the ids, and the character span of each token.

    Special tokens are included; their span is ``(0, 0)``. ``truncated`` says whether the text was
    longer than what the tokens cover.
    """

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    truncated: bool


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Encoded]:
    """Tokenise texts and cut each after ``max_length`` tokens, special tokens included."""
    return [
        Encoded(tuple(encoding.ids), tuple(encoding.offsets), bool(encoding.overflowing))
        for encoding in tokenise(tokenizer, texts, max_length)
    ]


def encode_windows(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[Encoded]]:
    """Tokenise texts without cutting them: each becomes one or more windows.

    A window has at most ``max_length`` tokens. Neighbouring windows share
    :func:`window_stride` tokens, so a word at the border of one window has context in the other.
    Offsets count from the start of the text, not of the window.
    """
    return [
        [
            Encoded(tuple(window.ids), tuple(window.offsets), False)
            for window in (encoding, *encoding.overflowing)
        ]
        for encoding in tokenise(tokenizer, texts, max_length, window_stride(max_length))
    ]


def window_stride(max_length: int) -> int:
    """The number of tokens that neighbouring windows share: a quarter of a window."""
    return max_length // 4


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int, stride: int = 0) -> list[Any]:
    """Return the ``tokenizers.Encoding`` of each text; further windows are in its ``overflowing``.

    ``tokenizer`` is a ``tokenizers.Tokenizer`` or a fast tokenizer of transformers.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    with _LOCK:
        set_length(backend, max_length, stride)
        return encodings(backend, texts)


def set_length(backend: Any, max_length: int, stride: int = 0) -> None:
    """Set a ``tokenizers.Tokenizer`` to cut texts after ``max_length`` tokens and not to pad."""
    backend.no_padding()
    backend.enable_truncation(max_length, stride=stride)


def encodings(backend: Any, texts: Sequence[str], offsets: bool = True) -> list[Any]:
    """Encode texts with a ``tokenizers.Tokenizer``; it is faster without ``offsets``."""
    if not texts:
        return []
    # No tokenizer takes half a surrogate pair, which JSON can carry. One other character replaces
    # it, so the offsets of what follows stay right.
    valid = [_SURROGATE.sub("\ufffd", text) for text in texts]
    return backend.encode_batch(valid) if offsets else backend.encode_batch_fast(valid)


class TokenPairs(NamedTuple):
    """Pairs of a student token and a teacher token that share characters: arrays ``(P,)``.

    Pairs are in the order of student tokens. The weights of a student token's pairs sum to one. A
    student token that shares no character with a teacher token is in no pair.
    """

    student: NDArray[np.int64]
    teacher: NDArray[np.int64]
    weight: NDArray[np.float64]


# Shares of characters are sums of fractions. An overlap below this comes from rounding.
_ROUNDING = 1e-6


def align_tokens(student: Offsets, teacher: Offsets) -> TokenPairs:
    """Pair each student token with the teacher tokens it overlaps, weighted by shared characters.

    Where several tokens of one side cover the same character (the bytes of an emoji, for example),
    it is divided among them in their order. So equal offsets pair every token with itself alone.
    Special tokens have no characters and are in no pair. The work is vectorised and takes
    O((n + m) log m + characters). Raises :class:`UserError` if offsets are not ascending.
    """
    student_tokens, student_start, student_end = _disjoint_extents(student)
    teacher_tokens, teacher_start, teacher_end = _disjoint_extents(teacher)
    first = np.searchsorted(teacher_end, student_start + _ROUNDING, side="right")
    stop = np.searchsorted(teacher_start, student_end - _ROUNDING, side="left")
    count = np.maximum(stop - first, 0)
    s = np.repeat(np.arange(len(count)), count)
    t = np.arange(len(s)) - np.repeat(np.cumsum(count) - count, count) + first[s]
    start, end = (
        np.maximum(student_start[s], teacher_start[t]),
        np.minimum(student_end[s], teacher_end[t]),
    )
    total = np.bincount(s, weights=end - start, minlength=len(count))
    return TokenPairs(student_tokens[s], teacher_tokens[t], (end - start) / total[s])


def _disjoint_extents(
    offsets: Offsets,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the tokens that have characters, and the start and the end of each one's extent.

    Extents are disjoint and ascending: each of n tokens that cover a character gets 1/n of it.
    """
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    tokens = np.flatnonzero(spans[:, 0] < spans[:, 1])
    start, end = spans[tokens].T
    backwards = np.flatnonzero((np.diff(start) < 0) | (np.diff(end) < 0))
    if len(backwards):
        at = tokens[backwards[0] + 1]
        raise UserError(
            f"token {at} at characters {tuple(spans[at].tolist())} comes after a token further on: "
            "offsets must ascend"
        )
    size = int(end[-1]) + 1 if len(end) else 1
    covering = np.cumsum(np.bincount(start, minlength=size) - np.bincount(end, minlength=size))
    # Sums over all characters before a position: of the share that a token gets of each, and of
    # the characters that no token covers.
    shares = np.append(0, np.cumsum(1 / np.maximum(covering, 1)))
    uncovered = np.append(0, np.cumsum(covering == 0))
    length = shares[end] - shares[start]
    extent_end = np.cumsum(length) + uncovered[start]
    return tokens, extent_end - length, extent_end


def chain_offsets(offsets: Sequence[Offsets], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return the offsets of all tokens, ``(total tokens, 2)``, as if the texts were one long text.

    ``sizes`` are the lengths of the texts in characters. Empty spans stay empty.

    Raises :class:`UserError` if a token lies beyond its text.
    """
    rows = [np.asarray(row, dtype=np.int64).reshape(-1, 2) for row in offsets]
    for number, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        if row.max(initial=0) > size:
            raise UserError(
                f"text {number}: a token ends at character {row.max()} of {size}: "
                "offsets and texts are not of the same rows"
            )
    before = np.cumsum([0, *sizes])[:-1]
    return np.concatenate(
        [np.empty((0, 2), np.int64), *(row + at for row, at in zip(rows, before, strict=True))]
    )
