"""Batches: rows of similar length together, and the rows of a pre-finetuning step."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import TypeVar

import numpy as np

TokenIds = Sequence[int] | np.ndarray
_T = TypeVar("_T")

CALL_TOKENS = 24
"""The overhead of one call of the encoder, in tokens that it could process in the same time."""
STREAM_TEXTS = 512
"""How many texts of a stream are read ahead: enough to find some of similar length."""


def in_turn(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield lists of ``size`` items in the given order; the last one may be shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Sort row indices by length (stable) and cut them into chunks of at most ``size`` rows."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i : i + size] for i in range(0, len(order), size)]


def by_budget(lengths: Sequence[int], tokens: int, call: int = CALL_TOKENS) -> list[list[int]]:
    """Sort row indices by length and cut them into the chunks that cost least.

    The cost of a chunk is its number of tokens, padding included, plus ``call``. A chunk of
    several rows has at most ``tokens`` tokens. The result is optimal among all ways to cut the
    sorted rows (dynamic programming, O(rows x rows that fit a chunk)).
    """
    if len(lengths) == 1:  # a device's one text
        return [[0]]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cost = np.zeros(len(order) + 1)  # the least cost of the first rows
    cut = np.zeros(len(order) + 1, dtype=np.int64)  # where their last chunk begins
    for stop, row in enumerate(order, start=1):
        width = max(1, lengths[row])
        first = max(0, stop - max(1, tokens // width))
        costs = cost[first:stop] + np.arange(stop - first, 0, -1) * width + call
        best = int(costs.argmin())
        cost[stop], cut[stop] = costs[best], first + best
    chunks, end = [], len(order)
    while end:
        chunks.append(order[cut[end] : end])
        end = int(cut[end])
    return chunks[::-1]


def by_tokens(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Sort row indices by length and cut them into chunks of about ``tokens`` tokens at most.

    This is for packed texts, which need no padding. There are as few chunks as possible, and they
    have about the same number of tokens. A row is in one chunk.
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


def even_batches(lengths: Sequence[int], count: int, rng: np.random.Generator) -> list[list[int]]:
    """Cut rows into ``count`` batches of like length and about equally many tokens, in random
    order. There are at least ``count`` rows, and no batch is empty.

    Batches of short rows have more rows, so a token weighs the same in the mean over a batch,
    whatever the length of its row.
    """
    order = rng.permutation(len(lengths))
    order = order[np.argsort(np.asarray(lengths)[order], kind="stable")]
    ends = np.cumsum(np.asarray(lengths)[order])
    places = np.arange(count)
    starts = np.searchsorted(ends, ends[-1] * places / count, side="right")
    starts = np.maximum.accumulate(starts - places) + places  # each starts after the one before,
    starts = np.minimum(starts, len(order) - count + places)  # and leaves rows for those after it
    batches = [part.tolist() for part in np.split(order, starts[1:])]
    return [batches[i] for i in rng.permutation(count)]


def shard(rows: Sequence[_T], rank: int, world: int) -> Sequence[_T]:
    """Return the part of a global batch that process ``rank`` of ``world`` works on."""
    return rows[rank::world]


def shuffled_buckets(
    lengths: Sequence[int], size: int, rng: np.random.Generator, window: int = 8
) -> list[list[int]]:
    """Return an epoch of batches of row indices; every row occurs exactly once.

    Rows are shuffled, sorted by length within groups of ``window`` batches, and cut into batches,
    which are shuffled in turn.
    """
    order = rng.permutation(len(lengths)).tolist()
    batches = []
    for start in range(0, len(order), size * window):
        group = sorted(order[start : start + size * window], key=lengths.__getitem__)
        batches += [group[i : i + size] for i in range(0, len(group), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def source_weights(
    rows: Sequence[int], fixed: Sequence[float | None], exponent: float
) -> list[float]:
    """Return the probability of each source.

    It is proportional to the fixed weight or, where that is None, to ``rows ** exponent``. With
    exponent 1 every row is equally likely, with 0 every source. 0.5 lies between: large sources
    do not crowd out small ones.
    """
    weights = [
        count**exponent if weight is None else weight
        for count, weight in zip(rows, fixed, strict=True)
    ]
    return [weight / sum(weights) for weight in weights]


def step_rng(seed: int, step: int, family: str) -> np.random.Generator:
    """Return the generator that draws the batch of one family at one step.

    It depends on its arguments alone, so training that restarts at any step sees the same batches.
    """
    return np.random.default_rng([seed, step, *family.encode()])


def step_seed(seed: int, step: int, purpose: str) -> int:
    """Return a seed for a generator of torch at one step, as reproducible as :func:`step_rng`."""
    return int(step_rng(seed, step, purpose).integers(2**63))
