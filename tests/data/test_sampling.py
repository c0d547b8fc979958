"""Nested subsets and k shots: properties on generated labels, and a random-draw reference."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.notes import Notes
from onetrunk.data.sampling import FRACTIONS, k_shot, load_subset, nested_subsets, save_subset
from onetrunk.errors import UserError

PROPERTY = settings(derandomize=True, max_examples=150, deadline=None)
label = st.integers(0, 30).map(lambda n: f"label {int(n**0.5 * n)}")  # few labels and many
single = st.lists(label.map(lambda name: [name]), min_size=1, max_size=250)
several = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=5), min_size=1, max_size=120)
percents = st.lists(st.integers(1, 100), min_size=1, max_size=7, unique=True)
seeds = st.integers(0, 2**32)


def zipf_rows(rows: int, types: int, most: int, seed: int) -> list[list[str]]:
    """Mentions of types, some of them rare; some rows without any."""
    rng = np.random.default_rng(seed)
    return [
        [f"type {i}" for i in rng.zipf(1.4, rng.integers(0, most + 1)) % types] for _ in range(rows)
    ]


@PROPERTY
@given(st.one_of(single, several), percents, seeds)
def test_nested_sizes_and_order(rows: list[list[str]], parts: list[int], seed: int) -> None:
    subsets = nested_subsets(rows, [p / 100 for p in parts], seed)
    assert list(subsets) == sorted(p / 100 for p in parts)
    before: set[int] = set()
    for fraction, ids in subsets.items():
        exact = Fraction(round(fraction * 100), 100) * len(rows)
        assert len(ids) == max(1, math.floor(exact + Fraction(1, 2)))
        assert ids == sorted(set(ids))
        assert set(ids) <= set(range(len(rows)))
        assert before <= set(ids)
        before = set(ids)


@PROPERTY
@given(single, percents, seeds)
def test_every_label_has_its_share_to_within_a_row(
    rows: list[list[str]], parts: list[int], seed: int
) -> None:
    total = Counter(name for (name,) in rows)
    for ids in nested_subsets(rows, [p / 100 for p in parts], seed).values():
        drawn = Counter(rows[i][0] for i in ids)
        for name, count in total.items():
            assert abs(drawn[name] - Fraction(count * len(ids), len(rows))) < 1


def test_rare_labels_come_first() -> None:
    rows = [["big"]] * 700 + [["bigger"]] * 1293 + [[f"rare {i}"] for i in range(7)]
    subsets = nested_subsets(rows, seed=3)
    assert len(subsets[0.01]) == 20
    drawn = Counter(rows[i][0] for i in subsets[0.01])
    # 7 and 12.93 rows are due to the two large labels: 7 and 12 are given, one row is to spare.
    assert (drawn["big"], drawn["bigger"], len(drawn)) == (7, 12, 3)
    many = [[f"rare {i}"] for i in range(50)] + [["big"]] * 50
    assert len({many[i][0] for i in nested_subsets(many, seed=0)[0.5]}) == 26


def test_several_labels_a_row_keep_their_shares_better_than_chance() -> None:
    rows = zipf_rows(4000, 40, 5, 0)
    total = Counter(name for labels in rows for name in set(labels))

    def error(ids: list[int]) -> float:
        drawn = Counter(name for i in ids for name in set(rows[i]))
        return max(abs(drawn[name] - n * len(ids) / len(rows)) for name, n in total.items())

    for fraction, ids in nested_subsets(rows, seed=1).items():
        chance = [np.random.default_rng(s).permutation(len(rows))[: len(ids)] for s in range(20)]
        if fraction < 1:
            assert error(ids) < 0.6 * float(np.median([error(c.tolist()) for c in chance]))


def test_seeds() -> None:
    rows = [[f"label {i % 7}"] for i in range(1000)]
    assert nested_subsets(rows, seed=1) == nested_subsets(rows, seed=1)
    assert nested_subsets(rows, seed=1)[0.1] != nested_subsets(rows, seed=2)[0.1]
    assert k_shot(rows, 4, seed=1) == k_shot(rows, 4, seed=1) != k_shot(rows, 4, seed=2)
    # The same on every platform and for every PYTHONHASHSEED.
    mixed = zipf_rows(300, 12, 3, 5)
    assert nested_subsets([set(r) for r in mixed], [0.02], 7) == {0.02: MIXED}
    assert k_shot(mixed, 1, 7) == SHOTS


MIXED = [3, 48, 108, 159, 206, 293]
SHOTS = [34, 61, 74, 144, 177, 179, 281]


@PROPERTY
@given(single, st.integers(1, 12), seeds)
def test_k_rows_a_label(rows: list[list[str]], k: int, seed: int) -> None:
    notes = Notes()
    ids = k_shot(rows, k, seed, notes)
    total = Counter(name for (name,) in rows)
    assert ids == sorted(set(ids))
    assert Counter(rows[i][0] for i in ids) == {name: min(k, n) for name, n in total.items()}
    assert sum(note.count for note in notes.found.values()) == sum(n < k for n in total.values())


@PROPERTY
@given(several, st.integers(1, 4), seeds)
def test_k_mentions_where_there_are_as_many(rows: list[list[str]], k: int, seed: int) -> None:
    ids = k_shot(rows, k, seed)
    drawn = Counter(name for i in ids for name in rows[i])
    total = Counter(name for labels in rows for name in labels)
    assert all(drawn[name] >= min(k, n) for name, n in total.items())
    assert all(rows[i] for i in ids)


def test_at_most_2k_mentions_where_possible() -> None:
    rows = zipf_rows(5000, 20, 4, 2)
    for k in (1, 5, 10):
        drawn = Counter(name for i in k_shot(rows, k) for name in rows[i])
        assert len(drawn) == 20
        assert all(k <= n <= 2 * k for n in drawn.values())
    # Only the last row holds b, and it holds five of a: 2k must give way, to the least.
    rows = [["a"], ["a"], ["a"] * 7 + ["b"], ["a"] * 5 + ["b"]]
    assert k_shot(rows, 1) == [3]


def test_fast_enough_for_100_000_rows_and_77_labels() -> None:
    rows = [[f"label {i}"] for i in np.random.default_rng(0).integers(0, 77, 100_000)]
    start = time.process_time()
    nested_subsets(rows)
    k_shot(rows, 16)
    assert time.process_time() - start < 5


def test_subset_files(tmp_path: Path) -> None:
    path = tmp_path / "subset.json"
    ids = nested_subsets([["a"], ["b"]] * 50)[0.1]
    save_subset(path, ids, {"fraction": 0.1, "seed": 0}, "ab" * 32)
    assert load_subset(path, "ab" * 32) == ids
    assert json.loads(path.read_text())["what"] == {"fraction": 0.1, "seed": 0}
    with pytest.raises(UserError, match=r"subset\.json was drawn from a file with SHA-256 abab"):
        load_subset(path, "cd" * 32)
    with pytest.raises(UserError, match=r"has no other\.json"):
        load_subset(tmp_path / "other.json", "ab" * 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "a JSON object was expected"),
        ('{"ids": [1]}', "needs 'ids' and 'source_sha256'"),
        ('{"ids": [1, -2], "source_sha256": "s"}', "id 2 is -2, not a row number"),
        ('{"ids": [true], "source_sha256": "s"}', "id 1 is True, not a row number"),
        ('{"ids": [4, 4], "source_sha256": "s"}', "a row id occurs twice"),
    ],
)
def test_damaged_subset_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "subset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_subset(tmp_path / "subset.json", "s")


def test_wrong_use() -> None:
    with pytest.raises(UserError, match="there are no rows"):
        nested_subsets([])
    with pytest.raises(UserError, match=r"1\.5 is not above 0 and at most 1; .* 0\.015\?"):
        nested_subsets([["a"]], [0.5, 1.5])
    with pytest.raises(UserError, match="fraction nan"):
        nested_subsets([["a"]], [float("nan")])
    with pytest.raises(UserError, match="shots 0: must be at least 1"):
        k_shot([["a"]], 0)
    with pytest.raises(UserError, match="row 2: 'b' is a string"):
        k_shot([["a"], "b"], 1)
    assert nested_subsets([[]] * 10, FRACTIONS)[0.5] != []
