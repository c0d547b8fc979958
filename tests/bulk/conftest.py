"""Rows in Parquet and JSON Lines, and the tiny bundle that answers them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 1200


@pytest.fixture(scope="session")
def bundle() -> Path:
    """Five apps on a tiny random encoder."""
    return Path(__file__).parents[1] / "fixtures" / "format-0.1" / "bundle"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """1,200 rows: two thirds in a Parquet file with uneven row groups, one third in JSON Lines."""
    folder = tmp_path / "rows"
    folder.mkdir()
    half = 2 * ROWS // 3
    ids = range(half)
    table = pa.table({"id": pa.array(ids, pa.int64()), "text": [f"call ann {i}" for i in ids]})
    with pq.ParquetWriter(folder / "a.parquet", table.schema) as writer:
        for start, end in ((0, 10), (10, 30), (30, 330), (330, half)):
            writer.write_table(table[start:end])
    lines = [json.dumps({"id": i, "text": f"play jazz {i}"}) for i in range(half, ROWS)]
    (folder / "b.jsonl").write_text("\n".join(lines))
    return folder
