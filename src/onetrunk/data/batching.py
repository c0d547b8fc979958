"""Buckets of similar length, and which rows make a pre-finetuning step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import TypeVar

import numpy as np

TokenIds = Sequence[int] | np.ndarray
_T = TypeVar("_T")

# What one more call of the encoder costs, in tokens: fewer, fuller calls against less padding.
CALL_TOKENS = 24
STREAM_TEXTS = 512
"""Texts of a stream that are read ahead: enough to find some of like length."""


def in_turn(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Items as they come, ``size`` at a time."""
    coming = iter(items)
    while some := list(islice(coming, size)):
        yield some


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Row indices in chunks of at most ``size`` rows of similar length (stable, shortest first)."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i : i + size] for i in range(0, len(order), size)]


def by_budget(lengths: Sequence[int], tokens: int, call: int = CALL_TOKENS) -> list[list[int]]:
    """Row indices, shortest first, in the chunks that cost least.

    A chunk costs its tokens with padding, at most ``tokens`` unless it is one row, and ``call``
    tokens for being another call. Optimal among all ways to cut the sorted rows: O(N x rows that
    fit a chunk).
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cost = np.zeros(len(order) + 1)
    cut = np.zeros(len(order) + 1, dtype=np.int64)
    for after, row in enumerate(order, start=1):
        width = max(1, lengths[row])
        first = max(0, after - max(1, tokens // width))
        costs = cost[first:after] + np.arange(after - first, 0, -1) * width + call
        best = int(costs.argmin())
        cost[after], cut[after] = costs[best], first + best
    chunks, end = [], len(order)
    while end:
        chunks.append(order[cut[end] : end])
        end = int(cut[end])
    return chunks[::-1]


def by_tokens(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Row indices, shortest first, in as few chunks of at most about ``tokens`` as hold them all.

    For texts that are packed: chunks are equally full, and no text is torn.
    """
    if not lengths:
        return []
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    ends = np.cumsum([lengths[row] for row in order])
    count = -(-int(ends[-1]) // tokens)
    chunk = ((ends - 1) * count // ends[-1]).tolist()
    return [
        [order[i] for i in places] for _, places in groupby(range(len(order)), chunk.__getitem__)
    ]


def shard(rows: Sequence[_T], rank: int, world: int) -> Sequence[_T]:
    """The part of a global batch that process ``rank`` of ``world`` works on."""
    return rows[rank::world]


def shuffled_buckets(
    lengths: Sequence[int], size: int, rng: np.random.Generator, window: int = 8
) -> list[list[int]]:
    """An epoch of batches: shuffle rows, sort by length inside windows of ``window`` batches,
    shuffle the batches. Every row occurs exactly once."""
    order = rng.permutation(len(lengths)).tolist()
    batches = []
    for at in range(0, len(order), size * window):
        part = sorted(order[at : at + size * window], key=lengths.__getitem__)
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def source_weights(
    rows: Sequence[int], fixed: Sequence[float | None], exponent: float
) -> list[float]:
    """Probability of each source: its fixed weight, or ``rows ** exponent`` where that is None.

    Exponent 1 samples rows evenly, 0 sources evenly; 0.5 keeps large sources from drowning small.
    """
    raw = [
        count**exponent if weight is None else weight
        for count, weight in zip(rows, fixed, strict=True)
    ]
    return [value / sum(raw) for value in raw]


def step_rng(seed: int, step: int, family: str) -> np.random.Generator:
    """The generator that draws the batch of one family at one step.

    It depends on nothing else, so training can restart at any step with the same batches.
    """
    return np.random.default_rng([seed, step, *family.encode()])


def step_seed(seed: int, step: int, purpose: str) -> int:
    """A seed for torch's own generator at one step, as reproducible as :func:`step_rng`."""
    return int(step_rng(seed, step, purpose).integers(2**63))
