"""Rows in Parquet and JSON Lines, and the tiny bundle that answers them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 1200


@pytest.fixture(scope="session")
def bundle() -> Path:
    """Five apps on a tiny random encoder."""
    return Path(__file__).parents[1] / "fixtures" / "format-0.1" / "bundle"


@pytest.fixture(scope="session")
def all_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 rows: two thirds in a Parquet file with uneven row groups, one third in JSON Lines. To
    be read only: ``rows`` are to be changed."""
    folder = tmp_path_factory.mktemp("rows")
    half = 2 * ROWS // 3
    ids = range(half)
    table = pa.table({"id": pa.array(ids, pa.int64()), "text": [f"call ann {i}" for i in ids]})
    with pq.ParquetWriter(folder / "a.parquet", table.schema) as writer:
        for start, end in ((0, 10), (10, 30), (30, 330), (330, half)):
            writer.write_table(table[start:end])
    lines = [json.dumps({"id": i, "text": f"play jazz {i}"}) for i in range(half, ROWS)]
    (folder / "b.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def rows(all_rows: Path, tmp_path: Path) -> Path:
    """A copy of ``all_rows``."""
    return shutil.copytree(all_rows, tmp_path / "rows")
