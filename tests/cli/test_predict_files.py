"""``onetrunk predict`` from files, folders and standard input into files and folders."""

from __future__ import annotations

import csv
import datetime
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import onetrunk
from onetrunk.bundle.runtime import Runtime

BUNDLE = Path(__file__).parents[1] / "fixtures" / "format-0.1" / "bundle"
ANSWERS = ["calendar", "place", "intent", "intent.probability", "flags", "flags.probability"]
ANSWERS += ["stars", "error"]
Run = Callable[..., Any]
DAY = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """1,000 rows in four Parquet files, with columns that only Arrow tells apart."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for shard in range(4):
        ids = range(250 * shard, 250 * shard + 250)
        columns = {
            "id": pa.array(ids, pa.int32()),
            "text": [f"call {'ann' if i % 3 else 'bob'} {i}" for i in ids],
            "day": pa.array([DAY + datetime.timedelta(i) for i in ids], pa.timestamp("us", "UTC")),
            "meta": [{"from": f"user {i}", "tags": ["a", None][: i % 3]} for i in ids],
        }
        pq.write_table(pa.table(columns), folder / f"part-{shard}.parquet")
    return folder


def read(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def test_a_folder_killed_and_resumed_has_every_row_once(
    run: Run, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "answers"
    command = ["predict", str(BUNDLE), "--input", str(shards), "--out", str(out)]
    predict = Runtime.predict
    with monkeypatch.context() as slow:  # so that it is not over before it is killed
        slow.setattr(
            Runtime, "predict", lambda self, *more: (time.sleep(0.3), predict(self, *more))[1]
        )
        process = multiprocessing.get_context("fork").Process(target=run, args=command)
        process.start()
    while not (out / "part-0.parquet").exists():
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    finished = {file.name: file.stat().st_mtime_ns for file in out.glob("*.parquet")}
    assert 1 <= len(finished) < 4
    result = run(*command)
    assert result.code == 0, result.err
    assert result.out == ""
    assert f"{len(finished)} of 4 files are done and skipped: part-0.parquet" in result.err
    for name, at in finished.items():
        assert (out / name).stat().st_mtime_ns == at
    given, answered = read(shards), read(out)
    assert answered.column_names == [*given.column_names, *ANSWERS]
    assert answered.select(given.column_names).equals(given)
    assert answered["error"].null_count == 1_000
    expected = onetrunk.load(BUNDLE).predict(given["text"][700:703].to_pylist())
    for row, result in zip(answered[700:703].to_pylist(), expected, strict=True):
        apps = result["apps"]
        assert row["calendar"] == apps["calendar"]["entities"]
        assert [row["intent"]] == apps["intent"]["labels"]
        assert row["intent.probability"] == apps["intent"]["probabilities"][row["intent"]]
        assert row["flags"] == apps["flags"]["labels"]
        assert len(row["flags.probability"]) == len(row["flags"])
        assert row["stars"] == apps["stars"]["value"]
    assert {file.name for file in out.iterdir()} == {
        ".predict.json",
        *(f"part-{shard}.parquet" for shard in range(4)),
    }
    again = run(*command)
    assert again.code == 0
    assert "4 of 4 files are done and skipped" in again.err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (2_000, 40_000):
        texts = tmp_path / f"{rows}.parquet"
        table = {"id": range(rows), "text": [f"call ann {row}" for row in range(rows)]}
        pq.write_table(pa.table({name: list(column) for name, column in table.items()}), texts)
        out = tmp_path / f"answers-{rows}.parquet"
        command = ["predict", BUNDLE, "--input", texts, "--out", out]
        process = subprocess.Popen([sys.executable, "-m", "onetrunk", *map(str, command)])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert pq.read_table(out)["id"].to_pylist() == list(range(rows))
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.3 * peaks[0]


def test_a_folder_of_answers_is_not_mixed(run: Run, shards: Path, tmp_path: Path) -> None:
    for shard in (2, 3):
        (shards / f"part-{shard}.parquet").unlink()
    out = tmp_path / "answers"
    command = ["predict", BUNDLE, "--input", shards, "--out", out]
    assert run(*command).code == 0
    app = BUNDLE.parent / "apps" / "intent"
    other = run("predict", app, "--input", shards, "--out", out)
    assert other.code == 2
    assert "holds answers of other apps" in other.err
    file = shards / "part-1.parquet"
    pq.write_table(pq.read_table(file)[:5], file)
    changed = run(*command)
    assert changed.code == 2
    assert "part-1.parquet is not the file that" in changed.err
    assert run(*command, "--overwrite").code == 0
    assert pq.read_metadata(out / "part-1.parquet").num_rows == 5
    into_itself = run("predict", BUNDLE, "--input", shards, "--out", shards, "--overwrite")
    assert into_itself.code == 2
    assert "holds the texts" in into_itself.err
    assert pq.read_metadata(file).num_rows == 5
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    full = run("predict", BUNDLE, "--input", shards, "--out", tmp_path / "other")
    assert full.code == 2
    assert "already holds other files" in full.err
    no_file = run("predict", BUNDLE, "call", "--out", out)
    assert no_file.code == 2
    assert "is a folder, for files of texts; the list given is none" in no_file.err


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture
def answered(run: Run, tmp_path: Path) -> Path:
    """Answers to a.txt and b.txt, beside files and a folder of somebody else."""
    (tmp_path / "one").mkdir()
    for name in ("a", "b"):
        (tmp_path / "one" / f"{name}.txt").write_text(f"call {name}\n")
    out = tmp_path / "answers"
    assert run("predict", BUNDLE, "--input", tmp_path / "one", "--out", out).code == 0
    (out / "notes.txt").write_text("mine")
    (out / ".notes.partial").write_text("mine")
    (out / "more").mkdir()
    (out / "more" / "a.jsonl").write_text("mine")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "c.txt").write_text("call c\n")
    return out


def test_answers_to_other_files_are_added(run: Run, answered: Path, tmp_path: Path) -> None:
    before = contents(answered)
    record = json.loads(before.pop(".predict.json"))
    assert run("predict", BUNDLE, "--input", tmp_path / "two", "--out", answered).code == 0
    after = contents(answered)
    assert before.items() <= after.items()
    assert {*after} - {*before} == {".predict.json", "c.jsonl"}
    recorded = json.loads(after[".predict.json"])
    assert record["files"].items() <= recorded["files"].items()
    assert {*recorded["files"]} == {"a.jsonl", "b.jsonl", "c.jsonl"}
    again = run("predict", BUNDLE, "--input", tmp_path / "one", "--out", answered)
    assert "2 of 2 files are done and skipped" in again.err
    assert contents(answered) == after


def test_overwrite_deletes_answers_alone(run: Run, answered: Path, tmp_path: Path) -> None:
    (answered / ".b.jsonl.partial").write_text("of a run that was killed")
    command = ["predict", BUNDLE.parent / "apps" / "intent", "--input", tmp_path / "two"]
    assert run(*command, "--out", answered).code == 2
    before = contents(answered)
    done = run(*command, "--out", answered, "--overwrite")
    assert done.code == 0, done.err
    after = contents(answered)
    ours = {".predict.json", "a.jsonl", "b.jsonl", ".b.jsonl.partial"}
    assert {name: before[name] for name in {*before} - ours} == {
        name: after[name] for name in {*after} - {".predict.json", "c.jsonl"}
    }
    assert {*json.loads(after[".predict.json"])["files"]} == {"c.jsonl"}


@pytest.mark.parametrize("step", ["write_json", "Run.write"])
def test_overwriting_goes_on_after_a_stop(
    run: Run, answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """With files of somebody else in the folder, which no record would be taken for."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    command = ["predict", BUNDLE.parent / "apps" / "intent", "--input", tmp_path / "one"]
    command += ["--out", answered, "--overwrite"]
    with monkeypatch.context() as patched:
        patched.setattr(f"onetrunk.bulk.run.{step}", stop)
        assert run(*command).code != 0
    assert not [*answered.glob("*.jsonl")]
    done = run(*command)
    assert done.code == 0, done.err
    assert {file.name for file in answered.iterdir()} == {
        ".predict.json", "a.jsonl", "b.jsonl", "notes.txt", ".notes.partial", "more"
    }  # fmt: skip


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_of_somebody_else_is_not_replaced(
    run: Run, answered: Path, tmp_path: Path, is_folder: bool, overwrite: list[str]
) -> None:
    if is_folder:
        (answered / "c.jsonl").mkdir()
        (answered / "c.jsonl" / "x").write_text("mine")
    else:
        (answered / "c.jsonl").write_text("mine")
    before = contents(answered)
    refused = run("predict", BUNDLE, "--input", tmp_path / "two", "--out", answered, *overwrite)
    assert refused.code == 2
    assert "answers/c.jsonl is not of a run" in "".join(refused.err.split("\n"))
    assert contents(answered) == before


@pytest.mark.parametrize("files", [{"../one/a.txt": [1, 2]}, {"notes.txt": [1, 2]}, ["notes.txt"]])
def test_a_record_names_no_other_files(
    run: Run, answered: Path, tmp_path: Path, files: Any
) -> None:
    record = json.loads((answered / ".predict.json").read_text())
    (answered / ".predict.json").write_text(json.dumps({**record, "files": files}))
    before = contents(tmp_path)
    command = ["predict", BUNDLE, "--input", tmp_path / "two", "--out", answered, "--overwrite"]
    refused = run(*command)
    assert (refused.code, contents(tmp_path)) == (2, before)
    assert ".predict.json is damaged" in "".join(refused.err.split("\n"))


def test_answers_are_not_written_over_their_texts(run: Run, answered: Path, tmp_path: Path) -> None:
    texts = answered / "more" / "deep"
    texts.mkdir()
    (texts / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "link").symlink_to(texts)
    before = contents(tmp_path)
    for given, out, part in (
        (texts, answered, "holds the texts"),
        (tmp_path / "link", answered, "holds the texts"),
        (texts / "a.jsonl", answered, "holds the texts"),
        (texts / "a.jsonl", tmp_path / "link" / "a.jsonl", "is the file of texts"),
    ):
        refused = run("predict", BUNDLE, "--input", given, "--out", out, "--overwrite")
        assert refused.code == 2
        assert part in refused.err
        assert contents(tmp_path) == before


def test_two_files_that_would_be_answered_in_one(run: Run, tmp_path: Path) -> None:
    for name in ("a.csv", "a.tsv"):
        (tmp_path / name).write_text("text\nann\n")
    refused = run("predict", BUNDLE, "--input", tmp_path, "--out", tmp_path / "answers")
    assert refused.code == 2
    assert not (tmp_path / "answers").exists()


def test_a_column_that_clashes_deletes_nothing(run: Run, tmp_path: Path) -> None:
    data, out = tmp_path / "a.csv", tmp_path / "answers"
    data.write_text("text\nann\n")
    command = ["predict", BUNDLE, "--input", data, "--out", out]
    assert run(*command).code == 0
    before = contents(out)
    data.write_text("text,intent\nann,x\n")
    refused = run(*command, "--overwrite")
    assert (refused.code, contents(out)) == (2, before)
    assert "'intent' of the input" in refused.err
    assert "or the app 'intent'" in refused.err


@pytest.mark.parametrize("name", ["error", "text", "intent.probability"])
@pytest.mark.parametrize("out", ["o.csv", "o.parquet", "folder", "o.jsonl", None])
def test_apps_whose_columns_clash(run: Run, tmp_path: Path, name: str, out: str | None) -> None:
    bundle, data = tmp_path / "bundle", tmp_path / "a.csv"
    shutil.copytree(BUNDLE, bundle)
    shutil.copytree(BUNDLE.parent / "apps" / "flags", tmp_path / name)
    assert run("bundle", "add", bundle, tmp_path / name).code == 0
    data.write_text("text\nann\n")
    before = contents(tmp_path)
    command = ["predict", bundle, "--input", data, *(["--out", tmp_path / out] if out else [])]
    done = run(*command)
    if out in ("o.jsonl", None):  # where answers are not columns
        assert done.code == 0, done.err
        line = done.out or (tmp_path / str(out)).read_text()
        assert {name, "intent"} < {*json.loads(line)["apps"]}
        return
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert f"{name!r} answers in the column" in line or f"as the app {name!r} does" in line
    assert "rename the app" in line
    assert contents(tmp_path) == before


ODD_NUMBERS = '{"text": "a", "x": NaN, "y": [1.5, -Infinity]}\n{"text": "b", "x": 1e400, "y": []}\n'


@pytest.mark.parametrize("out", ["o.jsonl", "folder", "o.csv", None])
def test_numbers_that_json_does_not_have(run: Run, tmp_path: Path, out: str | None) -> None:
    (tmp_path / "a.jsonl").write_text(ODD_NUMBERS)
    command = ["predict", BUNDLE, "--input", tmp_path / "a.jsonl"]
    done = run(*command, *(["--out", tmp_path / out] if out else []))
    assert done.code == 0, done.err

    def refuse(name: str) -> None:
        raise AssertionError(name)

    if out == "o.csv":  # readers of CSV know them as numbers; in JSON in a cell they are null
        rows = [*csv.DictReader((tmp_path / out).open(newline=""))]
        assert [row["x"] for row in rows] == ["NaN", "Infinity"]
        assert [json.loads(row["y"], parse_constant=refuse) for row in rows] == [[1.5, None], []]
        assert "null: 1 (row 1)" in " ".join(done.err.split())
        return
    file = tmp_path / "folder" / "a.jsonl" if out == "folder" else tmp_path / str(out)
    lines = (file.read_text() if out else done.out).splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [(row["x"], row["y"]) for row in rows] == [(None, [1.5, None]), (None, [])]
    assert "null: 3 (row 1, row 2" in " ".join(done.err.split())


def test_parquet_in_one_file(run: Run, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    assert run("predict", BUNDLE, "--input", shards, "--out", out).code == 0
    assert pq.read_table(out)["id"].to_pylist() == list(range(1_000))
    refused = run("predict", BUNDLE, "--input", shards, "--out", out)
    assert refused.code == 2
    assert "already exists" in refused.err
    odd = run("predict", BUNDLE, "--input", shards, "--out", tmp_path / "all.json")
    assert odd.code == 2
    assert "did you mean '.jsonl'?" in odd.err


def test_csv_keeps_its_columns(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text('id,text,note\n007,"ann, met\nbob",x\n8,,"say ""hi"""\n')
    result = run("predict", BUNDLE, "--input", table)
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [(row["id"], row["text"], row["note"]) for row in rows] == [
        ("007", "ann, met\nbob", "x"),
        ("8", "", 'say "hi"'),
    ]
    assert run("predict", BUNDLE, "--input", table, "--out", tmp_path / "out.csv").code == 0
    written = [*csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(), newline=""))]
    assert [*written[0]] == ["id", "text", "note", *ANSWERS]
    for row, line in zip(written, rows, strict=True):
        assert (row["id"], row["text"], row["note"]) == (line["id"], line["text"], line["note"])
        assert json.loads(row["calendar"]) == line["apps"]["calendar"]["entities"]
        (label,) = line["apps"]["intent"]["labels"] or [""]  # "": an empty text has none
        assert (row["intent"], bool(row["intent.probability"])) == (label, bool(label))
        assert row["error"] == ""
    assert run("predict", BUNDLE, "--input", table, "--out", tmp_path / "folder").code == 0
    folder = tmp_path / "folder" / "texts.csv"
    assert folder.read_text() == (tmp_path / "out.csv").read_text()


LINES = [
    '{"id": 1, "text": "ann met bob", "meta": {"a": [1]}}',
    '{"id": 2, "text": 3}',
    "not json",
    '{"id": 4}',
    '{"id": 5, "text": "call dora", "late": 0.5}',
]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_rows_that_fail_have_an_error_and_their_columns(
    run: Run, tmp_path: Path, ending: str
) -> None:
    texts, out = tmp_path / "texts.jsonl", tmp_path / f"out.{ending}"
    texts.write_text("\n".join(LINES))
    result = run("predict", BUNDLE, "--input", texts, "--out", out)
    assert result.code == 0, result.err
    assert "note: 3 of 5 texts could not be answered" in result.err
    match ending:
        case "jsonl":
            rows = [json.loads(line) for line in out.read_text().splitlines()]
            assert rows[0]["meta"] == {"a": [1]}
            assert "apps" in rows[0]
            assert "apps" not in rows[1]
        case "csv":
            rows = [*csv.DictReader(out.open(newline=""))]
            assert json.loads(rows[0]["meta"]) == {"a": [1]}
        case _:
            rows = pq.read_table(out).to_pylist()
            assert rows[0]["meta"] == {"a": [1]}
            assert rows[4]["late"] == 0.5
    assert [str(row.get("id") or "") for row in rows] == ["1", "2", "", "4", "5"]
    assert [row["text"] or None for row in rows] == ["ann met bob", None, None, None, "call dora"]
    assert [bool(row.get("error")) for row in rows] == [False, True, True, True, False]
    assert "texts.jsonl:2: 'text' is 3 (int), not a string" in rows[1]["error"]
    strict = run("predict", BUNDLE, "--input", texts, "--out", out, "--strict", "--overwrite")
    assert strict.code == 2
    assert {file.name for file in tmp_path.iterdir()} == {"texts.jsonl", out.name}


def test_columns_of_class_numbers_become_names(run: Run, tmp_path: Path) -> None:
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    features["text"] = {"dtype": "string", "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"text": ["ann", "bob"], "label": [1, 0]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    out = tmp_path / "out.parquet"
    assert run("predict", BUNDLE, "--input", tmp_path / "a.parquet", "--out", out).code == 0
    assert pq.read_table(out)["label"].to_pylist() == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "content", "out", "parts"),
    [
        ("a.jsonl", '{"text": "a", "apps": 1}', None, ["'apps'", "rename it"]),
        ("a.csv", "text,intent\na,b\n", "o.csv", ["'intent'", "rename it"]),
        ("a.csv", "text,error\na,b\n", "o.parquet", ["'error'", "rename it"]),
        ("a.jsonl", '{"text": "a", "x": 1}\n{"text": "a", "x": "b"}', "o.parquet", [".jsonl"]),
        ("a.jsonl", '{"text": "a", "x": {}}', "o.parquet", ["a.jsonl", "write .jsonl"]),
        ("a.csv", "text,id,id\na,b,c\n", None, ["more than one column 'id'"]),
    ],
)
def test_columns_that_cannot_be_written(
    run: Run, tmp_path: Path, name: str, content: str, out: str | None, parts: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    more = ["--out", tmp_path / out] if out else []
    result = run("predict", BUNDLE, "--input", tmp_path / name, *more)
    assert (result.code, result.out) == (2, "")
    (line,) = [line for line in result.err.splitlines() if not line.startswith("note:")]
    for part in parts:
        assert part in line
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.fixture
def piped(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``piped(content, …)``: ``run("predict", BUNDLE, …)`` with this as standard input."""

    def call(content: bytes, *more: object) -> Any:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return run("predict", BUNDLE, *more)

    return call


def test_standard_input(piped: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "onetrunk", "predict", str(BUNDLE), "-"]
    content = "ann\n\n日本\n{}\nb\xff\n".encode("latin-1", "ignore") + b"b\xff\n"
    process = subprocess.run(command, input=content, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    assert [row["text"] for row in rows][:2] == ["ann", ""]
    assert "standard input:" in rows[-1]["error"]
    for more in (["-"], ["--input", "-"]):
        done = piped("\n".join(LINES).encode(), *more)
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert [row.get("id") for row in rows] == [1, 2, None, 4, 5]
        assert rows[4]["late"] == 0.5
        assert "standard input:3: invalid JSON" in rows[2]["error"]
    out = tmp_path / "out.parquet"
    assert piped("\n".join(LINES).encode(), "-", "--out", out).code == 0
    assert pq.read_table(out)["id"].to_pylist() == [1, 2, None, 4, 5]
    empty = piped(b"", "-")
    assert empty.code == 2
    assert empty.err.splitlines()[-1] == "error: standard input is empty"


def test_a_late_column_of_standard_input_is_not_dropped(piped: Run, tmp_path: Path) -> None:
    lines = ['{"text": "a"}'] * 1000 + ['{"text": "b", "late": 1}']
    done = piped("\n".join(lines).encode(), "-", "--out", tmp_path / "out.csv")
    assert done.code == 2
    assert "a row has the column 'late', which the first rows lack; write .jsonl" in done.err
    assert [*tmp_path.iterdir()] == []


def test_texts_after_a_bundle(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("predict", BUNDLE, "book a table", "call", "--text", "ann", "--json")
    assert result.code == 0
    texts = [json.loads(line)["text"] for line in result.out.splitlines()]
    assert texts == ["ann", "book a table", "call"]
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("ann\n")
    refused = run("predict", BUNDLE, "texts.txt")
    assert refused.code == 2
    assert "texts.txt is a file: write --input texts.txt" in refused.err
    apps = BUNDLE.parent / "apps"
    for more, part in (
        ([apps / "intent", apps / "intnet"], "no such folder"),
        ([BUNDLE, apps / "intent", "--text", "x"], "it runs alone"),
        (["-"], "no apps"),
        ([BUNDLE, "-", "--input", "texts.txt"], "name one of them"),
    ):
        refused = run("predict", *more, "--text", "x")
        assert refused.code == 2
        assert part in refused.err


def test_some_apps_of_a_bundle(run: Run, tmp_path: Path) -> None:
    result = run("predict", BUNDLE, "ann", "--json", "--app", "stars", "--app", "intent")
    assert result.code == 0
    assert [*json.loads(result.out)["apps"]] == ["stars", "intent"]
    assert onetrunk.load(BUNDLE, apps=["intent"]).names == ["intent"]
    app = BUNDLE.parent / "apps" / "intent"
    for more, part in (
        ([BUNDLE, "--app", "intnt"], "did you mean 'intent'?"),
        ([app, "--app", "intent"], "is no bundle, of which apps could be chosen"),
    ):
        refused = run("predict", *more, "--text", "x")
        assert refused.code == 2
        assert part in refused.err
    (tmp_path / "texts.txt").write_text("ann\n")
    command = ["predict", BUNDLE, "--input", tmp_path / "texts.txt", "--out", tmp_path / "out"]
    assert run(*command, "--app", "intent").code == 0
    mixed = run(*command, "--app", "stars")
    assert mixed.code == 2
    assert "holds answers of other apps" in mixed.err


def test_all_files_of_a_folder_are_answered(run: Run, tmp_path: Path) -> None:
    """Whatever split their names are of: texts are no training rows."""
    for name in ("a", "train", "test_mails", "validation"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    result = run("predict", BUNDLE, "--input", tmp_path)
    texts = [json.loads(line)["text"] for line in result.out.splitlines()]
    assert texts == ["a", "test_mails", "train", "validation"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.eml").write_text("x")
    refused = run("predict", BUNDLE, "--input", tmp_path / "other")
    assert "other holds no file of a format that is read (.parquet, .arrow" in refused.err


def test_a_text_after_app_folders(run: Run) -> None:
    message = "no such folder: no hot water; a text for app folders is given by --text"
    assert message in run("predict", "apps/tickets", "no hot water").err


@pytest.mark.parametrize(
    ("command", "code", "part"),
    [
        (["predict", BUNDLE, "--text", "call dora"], 0, '{"text": "call dora", "apps": {"calen'),
        (["predict", BUNDLE, "--input", "a.csv", "--out", "o.jsonl"], 0, "o.jsonl  1 rows"),
        (["bundle", "remove", BUNDLE, "nope"], 2, "has no app 'nope'"),
        (["adapt", "x", "--family", "tc", "--train", "a.csv", "--out", "y"], 2, "[train]"),
        (["predict", BUNDLE, "call", "--out", "o.parquet"], 2, "install 'onetrunk[parquet]'"),
        (["predict", BUNDLE, "--input", "a.parquet"], 2, "install 'onetrunk[parquet]'"),
    ],
)
def test_without_pytorch_and_arrow(
    run_on_device: Run, tmp_path: Path, command: list[Any], code: int, part: str
) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,ann\n")
    (tmp_path / "a.parquet").write_bytes(b"PAR1\0\xffPAR1")
    done = run_on_device(*command)
    assert done.code == code, done.err
    assert part in done.out + done.err


def test_a_column_of_texts_that_is_chosen(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text("id;Message;Body\n1;hi there;play music\n2;bye;call ann\n")
    chosen = run("predict", BUNDLE, "--input", data, "--text-column", "Body", "--json")
    assert chosen.code == 0, chosen.err
    rows = [json.loads(line) for line in chosen.out.splitlines()]
    assert [(row["Message"], row["text"]) for row in rows] == [
        ("hi there", "play music"), ("bye", "call ann")
    ]  # fmt: skip
    assert "read as UTF-8 with ';' between fields" in chosen.err
    unsure = run("predict", BUNDLE, "--input", data)
    assert unsure.code == 2
    assert "'Message', 'Body'; choose one with --text-column" in " ".join(unsure.err.split())
    data.write_text("text,Body\na,b\n")
    clash = run("predict", BUNDLE, "--input", data, "--text-column", "Body")
    assert (clash.code, clash.out) == (2, "")
    assert "rename it" in " ".join(clash.err.split())
    lines = tmp_path / "a.txt"
    lines.write_text("call ann\n")  # which has no columns
    assert run("predict", BUNDLE, "--input", lines, "--text-column", "Body").code == 0
