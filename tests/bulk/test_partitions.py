"""However the input is cut, its partitions together are the input."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.bulk.files import input_files
from onetrunk.bulk.partitions import Partition, make_plan
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError


def parts(path: Path, rows: int, limit: int | None = None) -> list[Partition]:
    return [
        *make_plan(input_files([str(path)], Notes()), {}, None, rows, limit, Notes()).partitions
    ]


def texts(partition: Partition) -> list[str | None]:
    found = [text for block in partition.texts().blocks() for text in block.texts]
    return [None if isinstance(text, UserError) else text for text in found]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.lists(
        st.text(max_size=30) | st.sampled_from(["", "\n", "x" * 300]), min_size=1, max_size=30
    ),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.integers(1, 12),
    st.none() | st.integers(1, 40),
    st.booleans(),
)
def test_lines(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[str],
    end: str,
    rows: int,
    limit: int | None,
    ends: bool,
) -> None:
    file = tmp_path_factory.mktemp("lines") / "a.jsonl"
    lines = [json.dumps({"text": value}, ensure_ascii=len(value) % 2 == 0) for value in values]
    file.write_bytes((end.join(lines) + end * ends).encode())
    cut = parts(file, rows, limit)
    assert [text for part in cut for text in texts(part)] == values[:limit]
    assert [part.start for part in cut[1:]] == [part.end for part in cut[:-1]]
    assert [part.number for part in cut] == [*range(len(cut))]
    assert sum(part.rows for part in cut) > 0


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.integers(1, 30),
    st.none() | st.integers(1, 100),
)
def test_row_groups(
    tmp_path_factory: pytest.TempPathFactory, groups: list[int], rows: int, limit: int | None
) -> None:
    file = tmp_path_factory.mktemp("groups") / "a.parquet"
    table = pa.table({"text": pa.array([str(i) for i in range(sum(groups))], pa.string())})
    start = 0
    with pq.ParquetWriter(file, table.schema) as writer:
        for size in groups:
            writer.write_table(table[start : start + size])
            start += size
    if not start:
        with pytest.raises(UserError, match="has no rows"):
            parts(file, rows, limit)
        return
    cut = parts(file, rows, limit)
    expected = table["text"].to_pylist()[:limit]
    assert [text for part in cut for text in texts(part)] == expected
    assert all(0 < part.rows == len(texts(part)) <= rows for part in cut)


def test_a_place_is_that_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [None, "b"] * 30}), file, row_group_size=7)
    (first, *_) = next(iter(parts(file, 20)[1].texts().blocks())).texts
    assert str(first) == f"{file}, row 15: 'text' is null, not a string"
