from __future__ import annotations

import itertools
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.batching import (
    by_budget,
    by_length,
    even_batches,
    in_turn,
    shard,
    shuffled_buckets,
    source_weights,
    step_rng,
)
from onetrunk.model.padding import pad

exact = settings(derandomize=True, deadline=None, max_examples=100)
lengths_strategy = st.lists(st.integers(1, 40), max_size=70)


def test_pad() -> None:
    ids, mask = pad([(5, 6, 7), (8,), (9, 10)], 3)
    assert ids.tolist() == [[5, 6, 7], [8, 3, 3], [9, 10, 3]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert ids.dtype == mask.dtype == torch.int64


def test_pad_counts_a_padding_id_inside_a_row_as_real() -> None:
    ids, mask = pad([(3, 3), (4,)], 3)
    assert ids.tolist() == [[3, 3], [4, 3]]
    assert mask.tolist() == [[1, 1], [1, 0]]


@exact
@given(lengths_strategy, st.integers(1, 9))
def test_by_length_holds_every_row_once_shortest_first(lengths: list[int], size: int) -> None:
    batches = by_length(lengths, size)
    order = [row for batch in batches for row in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [(lengths[row], row) for row in order] == sorted((n, i) for i, n in enumerate(lengths))
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(1 <= len(batch) <= size for batch in batches)


def brute_force_cost(lengths: list[int], tokens: int, call: int) -> int:
    """The least cost of all ways to cut the sorted rows."""
    ordered = sorted(lengths)
    best = None
    for cuts in itertools.product([False, True], repeat=max(0, len(ordered) - 1)):
        chunks, chunk = [], ordered[:1]
        for length, cut in zip(ordered[1:], cuts, strict=True):
            if cut:
                chunks.append(chunk)
                chunk = []
            chunk = [*chunk, length]
        chunks.append(chunk)
        if all(len(c) == 1 or len(c) * c[-1] <= tokens for c in chunks):
            cost = sum(len(c) * c[-1] + call for c in chunks)
            best = cost if best is None else min(best, cost)
    assert best is not None
    return best


@exact
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 80), st.integers(0, 20))
def test_chunks_under_a_budget_cost_least(lengths: list[int], tokens: int, call: int) -> None:
    chunks = by_budget(lengths, tokens, call)
    order = [row for chunk in chunks for row in chunk]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths)
    padded = [len(chunk) * lengths[chunk[-1]] for chunk in chunks]
    assert all(len(c) == 1 or cost <= tokens for c, cost in zip(chunks, padded, strict=True))
    assert sum(padded) + call * len(chunks) == brute_force_cost(lengths, tokens, call)


def test_no_rows_are_no_chunks() -> None:
    assert by_budget([], 10) == []


@exact
@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_shards_make_up_the_batch(rows: list[int], world: int) -> None:
    parts = [shard(rows, rank, world) for rank in range(world)]
    assert sorted(itertools.chain(*parts)) == sorted(rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@exact
@given(lengths_strategy, st.integers(1, 9), st.integers(1, 5))
def test_shuffled_buckets_hold_every_row_once(lengths: list[int], size: int, window: int) -> None:
    batches = shuffled_buckets(lengths, size, np.random.default_rng(0), window)
    assert Counter(row for batch in batches for row in batch) == Counter(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert sum(len(batch) < size for batch in batches) <= 1
    again = shuffled_buckets(lengths, size, np.random.default_rng(0), window)
    assert batches == again


def test_shuffled_buckets_depend_on_the_generator_and_save_padding() -> None:
    lengths = np.random.default_rng(1).integers(1, 100, 400).tolist()
    batches = shuffled_buckets(lengths, 10, np.random.default_rng(0))
    assert batches != shuffled_buckets(lengths, 10, np.random.default_rng(1))

    def cost(parts: list[list[int]]) -> int:
        return sum(len(part) * max(lengths[row] for row in part) for part in parts)

    plain = [list(range(i, i + 10)) for i in range(0, 400, 10)]
    assert cost(batches) < 0.75 * cost(plain)
    # Batches are not in order of length, or an epoch would end on the longest texts.
    means = [np.mean([lengths[row] for row in batch]) for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5


@pytest.mark.parametrize("lengths", [
    [3, 9, 4, 4, 7, 8, 3, 5] * 20,
    [512] + [4] * 63,  # one row is longer than a batch's share
    [512] * 60 + [4] * 4,
    [5] * 8,
])  # fmt: skip
def test_even_batches_hold_every_row_once_and_follow_length(lengths: list[int]) -> None:
    batches = even_batches(lengths, 8, np.random.default_rng(0))
    assert len(batches) == 8
    assert all(batches)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    spans = sorted((min(of), max(of)) for batch in batches if (of := [lengths[r] for r in batch]))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert batches == even_batches(lengths, 8, np.random.default_rng(0))


def test_even_batches_have_equal_shares_of_the_tokens_in_random_order() -> None:
    lengths = np.random.default_rng(1).integers(4, 96, 512).tolist()
    orders = []
    for seed in range(4):
        batches = even_batches(lengths, 8, np.random.default_rng(seed))
        tokens = [sum(lengths[row] for row in batch) for batch in batches]
        assert max(tokens) - min(tokens) <= 2 * 96
        assert max(map(len, batches)) > 4 * min(map(len, batches))
        orders.append(np.argsort([lengths[batch[0]] for batch in batches]).tolist())
    assert len({*map(tuple, orders)}) == 4


def test_in_turn_reads_no_further_than_asked() -> None:
    coming = iter(range(10))
    turns = in_turn(coming, 4)
    assert next(turns) == [0, 1, 2, 3]
    assert next(coming) == 4
    assert list(turns) == [[5, 6, 7, 8], [9]]
    assert list(in_turn([], 4)) == []


@pytest.mark.parametrize(
    ("rows", "fixed", "exponent", "want"),
    [
        ([100, 400], [None, None], 1.0, [0.2, 0.8]),
        ([100, 400], [None, None], 0.5, [1 / 3, 2 / 3]),
        ([100, 400], [None, None], 0.0, [0.5, 0.5]),
        ([100, 400], [3.0, 1.0], 0.5, [0.75, 0.25]),
        ([100, 400], [20.0, None], 0.5, [0.5, 0.5]),
        ([7], [None], 0.5, [1.0]),
    ],
)
def test_source_weights(
    rows: list[int], fixed: list[float | None], exponent: float, want: list[float]
) -> None:
    assert source_weights(rows, fixed, exponent) == pytest.approx(want)


def test_source_weights_need_a_weight_for_every_source() -> None:
    with pytest.raises(ValueError, match="argument"):
        source_weights([1, 2], [None], 0.5)


def test_step_rng_is_a_function_of_its_arguments_alone() -> None:
    def draw(seed: int, step: int, family: str) -> tuple[int, ...]:
        return tuple(step_rng(seed, step, family).integers(0, 10**9, 4).tolist())

    arguments = [(s, t, f) for s in (0, 1) for t in (0, 1, 2) for f in ("ner", "tc")]
    first = {a: draw(*a) for a in arguments}
    assert first == {a: draw(*a) for a in reversed(arguments)}
    assert len(set(first.values())) == len(arguments)
