"""Words and characters against the tokens of any fast tokenizer, by character offsets."""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onetrunk.data.rows import Span
from onetrunk.errors import UserError

Offsets = Sequence[Span] | NDArray[np.int64]
"""The character span of each token of a text, ``(T, 2)``; a special token's is empty."""

# Truncation is a state of the tokenizer: two threads that read to different lengths would cut
# each other's texts.
_TOKENIZING = threading.Lock()
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised text: ids with special tokens, and each token's character span (special: (0, 0)).

    ``truncated`` says that the text went on beyond the last token.
    """

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    truncated: bool


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Encoded]:
    """Tokenise texts to at most ``max_length`` tokens each, special tokens included."""
    return [
        Encoded(tuple(first.ids), tuple(first.offsets), bool(first.overflowing))
        for first in tokenise(tokenizer, texts, max_length)
    ]


def encode_windows(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[Encoded]]:
    """Tokenise texts whole: each as one or more windows of at most ``max_length`` tokens.

    Neighbouring windows share :func:`overlap` tokens, so that what stands at the border of one is
    seen with context in the other. Offsets are those of the text.
    """
    return [
        [
            Encoded(tuple(window.ids), tuple(window.offsets), False)
            for window in (first, *first.overflowing)
        ]
        for first in tokenise(tokenizer, texts, max_length, window_stride(max_length))
    ]


def window_stride(max_length: int) -> int:
    """Tokens that neighbouring windows share: a quarter of a window."""
    return max_length // 4


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int, stride: int = 0) -> list[Any]:
    """``tokenizers.Encoding`` of each text; what does not fit is in its ``overflowing``.

    ``tokenizer`` is a ``tokenizers.Tokenizer``, or one of transformers that holds it.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    with _TOKENIZING:
        set_length(backend, max_length, stride)
        return encodings(backend, texts)


def set_length(backend: Any, max_length: int, stride: int = 0) -> None:
    """Make a ``tokenizers.Tokenizer`` cut at ``max_length`` tokens, and pad nothing."""
    backend.no_padding()
    backend.enable_truncation(max_length, stride=stride)


def encodings(backend: Any, texts: Sequence[str], offsets: bool = True) -> list[Any]:
    """What a ``tokenizers.Tokenizer`` makes of texts; without ``offsets``, faster."""
    if not texts:
        return []
    # Half a surrogate pair (JSON can carry one) is no Unicode; one character stands for it, so
    # that offsets stay right.
    clean = [_SURROGATE.sub("\ufffd", text) for text in texts]
    return backend.encode_batch(clean) if offsets else backend.encode_batch_fast(clean)


def first_tokens(words: Sequence[Span], offsets: Sequence[Span]) -> list[int]:
    """Index of the first token that overlaps each word, -1 for a word without one.

    A word has no token if it was truncated or if the tokenizer deletes its characters (a lone
    zero-width joiner, say). Words and tokens must each be in ascending order of position.
    """
    found, token = [], 0
    for start, end in words:
        while token < len(offsets) and (
            offsets[token][1] <= start or offsets[token][0] == offsets[token][1]
        ):
            token += 1
        inside = token < len(offsets) and offsets[token][0] < end
        found.append(token if inside else -1)
    return found


def window_units(words: Sequence[Span], windows: Sequence[Encoded]) -> list[list[int]]:
    """Which token of which window stands for each word: one list a window, -1 for "not here".

    A word is given to the window where its first token stands furthest from a border that text lies
    beyond, so it occurs once however many windows overlap there. Windows keep the order of words.
    """
    if len(windows) == 1:
        return [first_tokens(words, windows[0].offsets)]
    units = [[-1] * len(words) for _ in windows]
    best: dict[int, tuple[float, int]] = {}  # word -> (tokens to the border, window)
    starts, ends = [start for start, _ in words], [end for _, end in words]
    for index, window in enumerate(windows):
        spans = [span for span in window.offsets if span[0] < span[1]]
        first = bisect_right(ends, spans[0][0]) if spans else 0
        after = bisect_left(starts, spans[-1][1]) if spans else 0
        for word, at in enumerate(first_tokens(words[first:after], window.offsets), first):
            left = at if index > 0 else math.inf
            right = len(window.ids) - 1 - at if index < len(windows) - 1 else math.inf
            room, owner = best.get(word, (-1.0, index))
            if at >= 0 and min(left, right) > room:
                units[owner][word] = -1
                units[index][word] = at
                best[word] = (min(left, right), index)
    return units


class TokenPairs(NamedTuple):
    """Which tokens of one tokenizer make up each token of another: arrays ``(P,)``, by student.

    ``weight`` sums to one over the pairs of a student token; a student token in no pair has no
    counterpart.
    """

    student: NDArray[np.int64]
    teacher: NDArray[np.int64]
    weight: NDArray[np.float64]


# Shares of a character are sums of fractions: an overlap below this is rounding, not text.
_ROUNDING = 1e-6


def align_tokens(student: Offsets, teacher: Offsets) -> TokenPairs:
    """Pair each student token with the teacher tokens it overlaps, weighted by shared characters.

    A character that several tokens of one side cover (the bytes of an emoji, say) is divided among
    them in their order, so that equal offsets pair every token with itself alone. Tokens without
    characters (special ones) are in no pair. Vectorised: O((n + m) log m + characters).
    Raises :class:`UserError` if offsets are not in ascending order.
    """
    s_token, s_start, s_end = _own_extents(student)
    t_token, t_start, t_end = _own_extents(teacher)
    first = np.searchsorted(t_end, s_start + _ROUNDING, side="right")
    stop = np.searchsorted(t_start, s_end - _ROUNDING, side="left")
    count = np.maximum(stop - first, 0)
    s = np.repeat(np.arange(len(count)), count)
    t = np.arange(len(s)) - np.repeat(np.cumsum(count) - count, count) + first[s]
    overlap = np.minimum(s_end[s], t_end[t]) - np.maximum(s_start[s], t_start[t])
    total = np.bincount(s, weights=overlap, minlength=len(count))
    return TokenPairs(s_token[s], t_token[t], overlap / total[s])


def _own_extents(
    offsets: Offsets,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The tokens that have characters, and the start and end of what each has for itself.

    These extents are disjoint and ascending: a character that n tokens cover is worth 1/n to each.
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
    worth = np.cumsum(1 / np.maximum(covering, 1))
    bare = np.cumsum(covering == 0)
    # Up to a character, exclusive: every token of these lies in covered text.
    own = np.append(0, worth)[end] - np.append(0, worth)[start]
    own_end = np.cumsum(own) + np.append(0, bare)[start]
    return tokens, own_end - own, own_end


def chain_offsets(offsets: Sequence[Offsets], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Offsets of all tokens, ``(total tokens, 2)``, as if the texts stood one behind the other.

    ``sizes`` are the texts' lengths in characters. Tokens without characters stay without.

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
