"""Files that hold another format than their names say."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.data.formats.content import check_content
from onetrunk.errors import UserError

CSV = "text,label\nplay,music\ncall,phone\n"
GZIP = gzip.compress(CSV.encode(), mtime=0)  # always the same, as names of tests must be
LINES = '{"text": "play"}\n{"text": "call"}\n'
ARRAY = json.dumps([{"text": "play"}, {"text": "call"}], indent=1)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", LINES, "holds JSON Lines, not what '.csv' says: rename it to a.jsonl"),
        ("a.csv", ARRAY, "holds one JSON array, not what '.csv' says: rename it to a.json"),
        ("a.jsonl", ARRAY, "holds one JSON array, not what '.jsonl' says: rename it to a.json"),
        ("a.jsonl", CSV, "holds no JSON: its first line is 'text,label'"),
        ("a.json", CSV, "holds no JSON: its first line is 'text,label'"),
        ("a.parquet", CSV, "holds text, not Parquet: rename it to end in .csv"),
        ("a.parquet", LINES, "holds text, not Parquet: rename it to end in .jsonl"),
        ("a.xlsx", CSV, "holds text, not an Excel workbook: rename it to end in .csv"),
        ("a.csv", GZIP, "holds compressed text.*rename it to a.csv.gz"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\noid x\n", "is a pointer of Git"),
        ("a.csv", "version https://git-lfs.github.com/spec/v1\noid x\n", "is a pointer of Git"),
        ("a.txt", b"PK\3\4\0\0", "holds an Excel workbook"),
    ],
)
def test_another_format(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=f"{name} {said}"):
        check_content(file)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv", '"{""a"": 1}",label\n'),
        ("a.jsonl", LINES),
        ("a.json", LINES),  # one object after the other may have either name
        ("a.json", ARRAY),
        ("a.jsonl", '["play", {"entities": []}]\n'),
        ("a.jsonl", "not JSON\n" + LINES),
        ("a.txt", ARRAY),
        ("a.txt", "PAR1 is a file's magic number\n"),
        ("a.csv", b"caf\xe9,label\n"),
        ("a.csv", "é" * 5000),
        ("a.csv", ""),
    ],
)
def test_what_may_be_right_is_left_to_its_reader(
    tmp_path: Path, name: str, content: str | bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    check_content(file)


def test_parquet_under_other_names(tmp_path: Path) -> None:
    table = pa.table({"text": ["play"]})
    for name in ("a.csv", "a.jsonl", "a.xlsx"):
        pq.write_table(table, tmp_path / name)
        with pytest.raises(UserError, match=f"{name} holds Parquet, .* rename it to a.parquet"):
            check_content(tmp_path / name)
