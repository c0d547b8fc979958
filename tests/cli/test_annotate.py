"""``onetrunk annotate``: what it prints, and its messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BUNDLE = Path(__file__).parents[1] / "fixtures" / "format-0.1" / "bundle"
Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with some files of rows and others."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    pq.write_table(pa.table({"id": [1, 2], "text": ["call ann", None]}), "in/a.parquet")
    Path("in/b.jsonl").write_text('{"id": 3, "text": "bob"}\n{"id": 4, "text": 5}\n')
    Path("a.csv").write_text("text\na\n")
    Path("taken.jsonl").write_text('{"text": "a", "intent": 1}\n')
    Path("odd.jsonl").write_text("text,label\na,b\n")
    Path("two.jsonl").write_text('{"Message": "a", "Body": "b"}\n')
    Path("none.jsonl").touch()
    Path("broken.parquet").write_bytes(b"PAR1....PAR1")
    Path("empty").mkdir()
    return tmp_path


def test_what_is_printed(run: Run, folder: Path) -> None:
    command = ["annotate", "in", "--model", BUNDLE, "--out", "out", "--workers", 1]
    done = run(*command)
    assert (done.code, done.out) == (0, "")
    assert "1 of 4 rows have an error: 'text' is null, not a string" in done.err
    assert "1 of 4 rows have an error: 'text' is … (int), not a string" in done.err
    assert "rows/s on 1 local workers" in done.err
    assert "wrote out  4 rows in 2 parts" in done.err
    assert pq.read_table("out")["id"].to_pylist() == [1, 2, 3, 4]
    again = run(*command)
    assert again.code == 0
    assert "2 of 2 partitions are done" in again.err
    assert "wrote out  4 rows in 2 parts" in again.err
    other = run(*command, "--limit", 1)
    assert other.code == 2
    assert "holds answers without --limit" in other.err
    assert run(*command, "--limit", 1, "--overwrite").code == 0
    assert json.loads(Path("out/_report.json").read_text())["rows"] == 1


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["a.csv"], "'.csv' is not read in bulk; valid: .jsonl, .parquet; onetrunk predict --out"),
        (["inn"], "no such file: inn; did you mean 'in'?"),
        (["empty"], "empty holds no .parquet and no .jsonl file"),
        (["none.jsonl"], "none.jsonl has no rows"),
        (["odd.jsonl"], "odd.jsonl:1: invalid JSON"),
        (["broken.parquet"], "broken.parquet cannot be read as Parquet"),
        (["taken.jsonl"], "'intent'"),
        (["two.jsonl"], "choose one with --text-column"),
        (["two.jsonl", "--text-column", "Bdy"], "no column 'Bdy'; did you mean 'Body'?"),
        (["in", "two.jsonl", "--text-column", "Body"], "no column 'Body'"),
        (["s4://bucket/in"], "s4://bucket/in cannot be reached: Protocol not known: s4"),
        (["in", "--engine", "spark"], "--engine 'spark' is unknown; valid: local, ray"),
        (["in", "--address", "auto"], "--address is that of a Ray cluster: add --engine ray"),
        (["in", "--workers", 0], "--workers 0: at least 1"),
        (["in", "--limit", -1], "--limit -1: at least 1"),
        (["in", "--out", "a.csv"], "a.csv is a file; a folder is written here"),
        (["in", "--out", "empty/../in"], "holds in/a.parquet: name another folder"),
        (["in", "--out", "."], "holds in/a.parquet: name another folder"),
        (["in", "--out", "in/out"], "in/out lies in in, of which all files are read"),
        (["a.csv", "--out", "in"], "not read in bulk"),
        (["in", "--model", "ni"], "no such folder"),
    ],
)
def test_messages(run: Run, folder: Path, given: list[Any], part: str) -> None:
    more = [] if "--model" in given else ["--model", BUNDLE]
    more += [] if "--out" in given else ["--out", "out"]
    before = sorted(folder.rglob("*"))
    done = run("annotate", *given, *more)
    assert done.code == 2, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert part in line
    assert sorted(folder.rglob("*")) == before


def test_another_folder_is_not_written_into(run: Run, folder: Path) -> None:
    done = run("annotate", "a.csv", "in/a.parquet", "--model", BUNDLE, "--out", "empty")
    assert done.code == 2
    Path("empty/mine.txt").write_text("mine")
    command = ["annotate", "in", "--model", BUNDLE, "--out", "empty", "--overwrite"]
    done = run(*command)
    assert done.code == 2
    assert "empty already holds other files: choose another name" in done.err
