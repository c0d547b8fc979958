"""Bulk answers in partitions: every row once, whatever is killed, from and to any file system."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import onetrunk
from onetrunk.bulk.annotate import Machines, Report, annotate
from onetrunk.bulk.record import RECORD, REPORT, Settings
from onetrunk.bundle.layout import write_manifest
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError

ONE, TWO = Machines(workers=1), Machines(workers=2)
SMALL = Settings(partition_rows=100)


def run(rows: Path, bundle: Path, out: Path, machines: Machines = ONE, **more: Any) -> Report:
    return annotate([str(rows)], [bundle], str(out), settings=SMALL, machines=machines, **more)


def read(out: Path) -> pa.Table:
    """All rows, in the order of the parts; types must be the same in all."""
    return pq.read_table(out)


@pytest.fixture(scope="session")
def expected(all_rows: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What an uninterrupted run writes."""
    out = tmp_path_factory.mktemp("bulk") / "uninterrupted"
    run(all_rows, bundle, out)
    return read(out)


def test_every_row_is_answered_once_as_the_model_does(
    rows: Path, bundle: Path, tmp_path: Path
) -> None:
    report = run(rows, bundle, tmp_path / "out")
    assert (report.rows, report.answered, report.failed) == (1200, 1200, 0)
    table = read(tmp_path / "out")
    assert table["id"].to_pylist() == list(range(1200))
    results = onetrunk.load(bundle).predict(table["text"].to_pylist())
    for row, result in zip(table.to_pylist(), results, strict=True):
        apps = result["apps"]
        assert row["calendar"] == apps["calendar"]["entities"]
        assert [row["intent"]] == apps["intent"]["labels"]
        assert row["flags"] == apps["flags"]["labels"]
        assert row["stars"] == pytest.approx(apps["stars"]["value"])
        assert row["error"] is None
    assert pyarrow.dataset.dataset(tmp_path / "out").count_rows() == 1200  # no other files
    saved = json.loads((tmp_path / "out" / REPORT).read_text())
    assert saved["rows"] == 1200
    parts = len([*(tmp_path / "out").glob("part-*.parquet")])
    assert parts == saved["partitions"] == report.partitions
    for part in (tmp_path / "out").glob("part-*.parquet"):
        assert pq.read_metadata(part).num_rows <= 110


def test_processes_write_what_one_writes(
    rows: Path, bundle: Path, tmp_path: Path, expected: pa.Table
) -> None:
    report = run(rows, bundle, tmp_path / "out", TWO)
    assert report.workers == 2
    assert read(tmp_path / "out").equals(expected)
    again = run(rows, bundle, tmp_path / "out", TWO)
    assert (again.finished_before, again.rows_per_second) == (again.partitions, None)
    assert again.rows == 1200


def test_a_killed_worker_costs_nothing(
    rows: Path, bundle: Path, tmp_path: Path, expected: pa.Table
) -> None:
    killed: list[int | None] = []

    def kill_one(what: str, done: int, total: int | None) -> None:
        if done and not killed:
            child = active_children()[0]
            child.kill()
            killed.append(child.pid)

    report = run(rows, bundle, tmp_path / "out", TWO, progress=kill_one)
    assert len(killed) == report.workers_lost == 1
    assert report.faults == []
    assert read(tmp_path / "out").equals(expected)
    assert not active_children()


def test_a_killed_run_goes_on(rows: Path, bundle: Path, tmp_path: Path, expected: pa.Table) -> None:
    out = tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(target=run, args=(rows, bundle, out, TWO))
    process.start()
    assert process.pid is not None
    wanted = random.Random(0).randrange(8)  # parts
    while len([*out.glob("part-*")]) <= wanted:
        assert process.is_alive()
        time.sleep(0.001)
    workers = children_of(process.pid)
    assert len(workers) > 1
    process.kill()
    process.join()
    finished = {part: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
    while any(map(is_alive, workers)):  # they end with the one that started them
        time.sleep(0.01)
    report = run(rows, bundle, out)
    assert report.finished_before >= len(finished) > 0
    assert all(part.stat().st_mtime_ns == at for part, at in finished.items())
    assert read(out).equals(expected)
    assert {file.suffix for file in out.iterdir()} == {".json", ".parquet"}


def children_of(pid: int) -> list[int]:
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_says_how_to_go_on(rows: Path, bundle: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="of 13 partitions: the same command goes on"):
        run(rows, bundle, tmp_path / "out", TWO, progress=stop)
    assert not active_children()
    assert run(rows, bundle, tmp_path / "out").rows == 1200


def test_another_run_is_refused(rows: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(rows, bundle, out)
    before = {file: file.read_bytes() for file in out.iterdir()}
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    manifest = json.loads((other / "bundle.json").read_text())
    write_manifest(other, manifest | {"note": 1})
    with pytest.raises(UserError, match=r"of another model \(bundle\)"):
        run(rows, other, out)
    with pytest.raises(UserError, match="with --partition-rows 100: choose"):
        annotate([str(rows)], [bundle], str(out), settings=Settings(partition_rows=50))
    with pytest.raises(UserError, match=r"to more files, such as file:///.*/b\.jsonl"):
        run(rows / "a.parquet", bundle, out)
    (rows / "c.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(UserError, match=r"to other files, without file:///.*/c\.jsonl"):
        run(rows, bundle, out)
    (rows / "c.jsonl").unlink()
    (rows / "b.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(UserError, match=r"b\.jsonl, which has changed since.*--overwrite"):
        run(rows, bundle, out)
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    (rows / "c.jsonl").write_text("no json")
    with pytest.raises(UserError, match="invalid JSON"):
        run(rows, bundle, out, overwrite=True)
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    (rows / "c.jsonl").unlink()
    (out / "notes.txt").write_text("mine")
    assert run(rows, bundle, out, overwrite=True).rows == 801
    assert read(out.joinpath("part-000000.parquet")).num_rows == 30
    assert (out / "notes.txt").read_text() == "mine"
    (out / RECORD).unlink()
    (out / f".{RECORD}.partial").touch()
    with pytest.raises(UserError, match="already holds other files"):
        run(rows, bundle, out, overwrite=True)


def test_a_part_of_another_run_is_refused(rows: Path, bundle: Path, tmp_path: Path) -> None:
    run(rows, bundle, tmp_path / "out")
    part = tmp_path / "out" / "part-000003.parquet"
    pq.write_table(pq.read_table(part), part)
    with pytest.raises(UserError, match=r"part-000003\.parquet is no part of this run"):
        run(rows, bundle, tmp_path / "out")


@pytest.mark.parametrize("limit", [1, 100, 799, 800, 801, 1000, 5000])
def test_the_first_rows_alone(rows: Path, bundle: Path, tmp_path: Path, limit: int) -> None:
    settings = Settings(partition_rows=300, limit=limit)
    report = annotate([str(rows)], [bundle], str(tmp_path / "out"), None, settings, ONE)
    assert report.rows == min(limit, 1200)
    assert read(tmp_path / "out")["id"].to_pylist() == list(range(min(limit, 1200)))


HOSTILE = [
    b'{"id": 1, "text": "ann met bob", "meta": {"a": [1]}, "price": 10}',
    b'{"id": 2, "text": 3}',
    b"not json",
    b"",
    b'{"id": 4}',
    b'{"id": 5, "text": "\xff\xfe"}',
    b'{"id": 6, "text": "a\x00b"}',
    b'{"id": 7, "text": "' + b"x" * 200_001 + b'"}',
    b'{"id": 8, "text": "\\ud800"}',
    b'{"id": 9, "text": "a", "text": "b"}',
    b"[1, 2]",
    b'{"id": 12, "text": ""}',
    '{"id": 13, "text": "日本 \u2028 שלום"}\r'.encode(),
] + [b'{"id": 14, "text": "call dora"}'] * 1000
LATE = [
    b'{"id": "x", "text": "late", "price": 9.5, "meta": null, "late": {"b": [true]}}',
    b'{"id": 9223372036854775808, "text": "big", "other_columns": 1}',
]


def test_hostile_lines_are_rows_with_reasons(bundle: Path, tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b"\n".join([*HOSTILE, *LATE]))
    settings = Settings(partition_rows=50)
    report = annotate([str(lines)], [bundle], str(tmp_path / "out"), None, settings, ONE)
    assert report.faults == []
    table = read(tmp_path / "out").to_pylist()
    assert len(table) == len([line for line in [*HOSTILE, *LATE] if line]) == report.rows
    failed = [bool(row["error"]) for row in table]
    assert failed[:12] == [False, *[True] * 9, False, False]
    assert not any(failed[12:])
    assert report.failed == 9 == sum(report.reasons.values())
    assert report.reasons["'text' is … (int), not a string"] == 1
    assert report.reasons["no column 'text'"] == 1
    assert report.reasons["a NUL byte at offset … of the line"] == 1
    assert (
        report.reasons["byte … at offset … of the line is not valid UTF-8; save it as UTF-8"] == 1
    )
    assert any("characters; at most" in reason for reason in report.reasons)
    assert [table[0]["meta"], table[0]["price"]] == ['{"a": [1]}', 10]
    assert json.loads(table[1]["other_columns"]) == {"text": 3}
    late, big = table[-2:]
    assert json.loads(late["other_columns"]) == {"id": "x", "price": 9.5, "late": {"b": [True]}}
    assert (late["text"], late["id"], late["meta"]) == ("late", None, None)
    assert json.loads(big["other_columns"]) == {"id": 2**63, "other_columns": 1}


def test_a_value_that_is_not_utf8_is_the_error_of_its_row(bundle: Path, tmp_path: Path) -> None:
    broken = pa.array([b"ann", b"\xff", b"bob"]).view(pa.string())
    pq.write_table(pa.table({"text": broken, "note": broken[::-1]}), tmp_path / "a.parquet")
    report = run(tmp_path / "a.parquet", bundle, tmp_path / "out")
    assert report.reasons == {"'text' is not valid UTF-8 at byte …": 1}
    table = read(tmp_path / "out")
    assert [bool(error) for error in table["error"].to_pylist()] == [False, True, False]
    assert table["text"].cast(pa.binary()).to_pylist() == [b"ann", b"\xff", b"bob"]


def test_columns_of_several_files(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"id": 1, "text": "a", "n": 1, "x": null}\n')
    (folder / "b.jsonl").write_text('{"id": "k", "text": "b", "n": 0.5, "x": true}\n')
    pq.write_table(pa.table({"text": ["c"], "n": [2], "day": [b"1"]}), folder / "c.parquet")
    run(folder, bundle, tmp_path / "out")
    table = read(tmp_path / "out")
    assert table["id"].to_pylist() == ["1", '"k"', None]  # of several types: JSON
    assert table["n"].to_pylist() == [1.0, 0.5, 2.0]
    assert table["x"].to_pylist() == [None, True, None]
    assert table["day"].to_pylist() == [None, None, b"1"]
    assert table["other_columns"].null_count == 3
    pq.write_table(pa.table({"text": ["c"], "n": [[1]]}), folder / "d.parquet")
    with pytest.raises(UserError, match=r"d\.parquet: its columns do not fit.*annotate them apart"):
        run(folder, bundle, tmp_path / "again")


def test_what_a_library_raises_is_the_error_of_one_row(
    rows: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = Runtime.predict

    def fragile(self: Runtime, texts: Any, *more: Any) -> Any:
        if "call ann 7" in texts:
            raise RuntimeError("tensor 7 is too large")
        return predict(self, texts, *more)

    monkeypatch.setattr(Runtime, "predict", fragile)
    report = run(rows, bundle, tmp_path / "out")
    assert report.reasons == {"RuntimeError: tensor … is too large": 1}
    table = read(tmp_path / "out")
    assert [i for i, error in enumerate(table["error"].to_pylist()) if error] == [7]
    assert table["id"].to_pylist() == list(range(1200))


def test_a_damaged_file_costs_its_partitions_alone(
    rows: Path, bundle: Path, tmp_path: Path
) -> None:
    file = rows / "a.parquet"
    content = bytearray(file.read_bytes())
    start = pq.read_metadata(file).row_group(3).column(1).data_page_offset
    content[start : start + 40] = b"\xff" * 40
    file.write_bytes(content)
    report = run(rows, bundle, tmp_path / "out", TWO)
    assert 0 < len(report.faults) < report.partitions
    assert all("a.parquet" in fault for fault in report.faults)
    assert set(range(800, 1200)) < set(read(tmp_path / "out")["id"].to_pylist())
    again = run(rows, bundle, tmp_path / "out")
    assert again.finished_before == report.partitions - len(report.faults)
    assert len(again.faults) == len(report.faults)


def test_other_shapes_of_input(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("day=1", "day=2", "_temporary", ".hidden"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.jsonl").write_text(f'{{"Message": "call {name}", "n": 1}}\n')
    (folder / "day=1" / "empty.jsonl").touch()
    (folder / "readme.md").write_text("no rows")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "none.parquet")
    subprocess.run(["gzip", folder / "day=2" / "a.jsonl"], check=True)
    run(folder, bundle, tmp_path / "out")
    table = read(tmp_path / "out")
    assert table["text"].to_pylist() == table["Message"].to_pylist() == ["call day=1", "call day=2"]
    annotate([f"{folder}/day=*/a.jsonl*", str(folder / "day=1")], [bundle], str(tmp_path / "two"))
    assert read(tmp_path / "two").num_rows == 2  # each file once
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    named = pa.table({"text": ["ann", "bob"], "label": [1, 0]}).replace_schema_metadata(metadata)
    pq.write_table(named, tmp_path / "named.parquet")
    run(tmp_path / "named.parquet", bundle, tmp_path / "named")
    assert read(tmp_path / "named")["label"].to_pylist() == ["yes", "no"]


def test_app_folders_with_their_backbone(rows: Path, bundle: Path, tmp_path: Path) -> None:
    apps = bundle.parent / "apps"
    settings = Settings(partition_rows=100, limit=10)
    models = [apps / "intent", apps / "stars"]
    report = annotate([str(rows)], models, str(tmp_path / "out"), None, settings, TWO)
    assert report.workers == 1  # another process, though: it loads what it is told to load
    table = read(tmp_path / "out")
    assert table["id"].to_pylist() == list(range(10))
    expected = onetrunk.load(models).predict(table["text"].to_pylist())
    assert table["intent"].to_pylist() == [one["apps"]["intent"]["labels"][0] for one in expected]


@pytest.fixture
def in_memory(rows: Path) -> Iterator[str]:
    import fsspec

    memory = fsspec.filesystem("memory")
    for file in rows.iterdir():
        memory.pipe_file(f"/bulk/rows/{file.name}", file.read_bytes())
    yield "memory://bulk"
    memory.rm("/bulk", recursive=True)


def test_files_in_memory(in_memory: str, bundle: Path, tmp_path: Path, expected: pa.Table) -> None:
    import fsspec

    out = f"{in_memory}/out"
    annotate([f"{in_memory}/rows"], [bundle], out, settings=SMALL, machines=TWO)
    memory = fsspec.filesystem("memory")
    assert pq.read_table("/bulk/out", filesystem=memory).equals(expected)
    memory.rm("/bulk/out/part-000002.parquet")
    report = annotate([f"{in_memory}/rows"], [bundle], out, settings=SMALL)
    assert report.finished_before == report.partitions - 1
    assert pq.read_table("/bulk/out", filesystem=memory).equals(expected)
    with pytest.raises(UserError, match="memory:// is seen by this process alone"):
        annotate([f"{in_memory}/rows"], [bundle], out, machines=Machines("ray"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, rows: Path) -> Iterator[str]:
    """A bucket of a local server that speaks S3, with the rows."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    import fsspec

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    store = fsspec.filesystem("s3", skip_instance_cache=True)
    store.mkdir("bulk")
    store.put(str(rows), "bulk/rows", recursive=True)
    yield "s3://bulk"
    server.stop()


def test_files_in_an_object_store(
    bucket: str, rows: Path, bundle: Path, tmp_path: Path, expected: pa.Table
) -> None:
    import fsspec

    killed: list[int | None] = []

    def kill_one(what: str, done: int, total: int | None) -> None:
        if done and not killed:
            child = active_children()[0]
            child.kill()
            killed.append(child.pid)

    out = f"{bucket}/out"
    given = [f"{bucket}/rows"]
    report = annotate(given, [bundle], out, None, SMALL, TWO, progress=kill_one)
    assert (report.workers_lost, report.faults) == (1, [])
    store = fsspec.filesystem("s3")
    assert pq.read_table("bulk/out", filesystem=store).equals(expected)
    store.rm("bulk/out/part-000004.parquet")
    again = annotate(given, [bundle], out, None, SMALL, ONE)
    assert again.finished_before == again.partitions - 1
    store.put(str(rows / "a.parquet"), "bulk/rows/c.parquet")
    with pytest.raises(UserError, match=r"without s3://bulk/rows/c\.parquet"):
        annotate(given, [bundle], out, None, SMALL, ONE)
    with pytest.raises(UserError, match="no such file or folder: s3://bulk/nothing"):
        annotate([f"{bucket}/nothing"], [bundle], out, None, SMALL, ONE)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(bundle: Path, tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 60_000):
        texts = tmp_path / f"{count}.jsonl"
        with texts.open("w") as file:
            file.writelines(f'{{"id": {i}, "text": "call ann {i}"}}\n' for i in range(count))
        command = ["annotate", texts, "--model", bundle, "--out", tmp_path / f"{count}"]
        command += ["--workers", 1, "--partition-rows", 1000]
        process = subprocess.Popen([sys.executable, "-m", "onetrunk", *map(str, command)])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.3 * peaks[0]


def test_a_terminated_worker_is_not_left_behind(rows: Path, bundle: Path, tmp_path: Path) -> None:
    """An error in the one that dispatches ends the workers, too."""

    def fail(what: str, done: int, total: int | None) -> None:
        if done:
            raise OSError("the terminal is gone")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(OSError, match="terminal"):
        run(rows, bundle, tmp_path / "out", TWO, progress=fail)
    assert not active_children()
    assert signal.getsignal(signal.SIGINT) is before


def test_apps_whose_columns_clash(rows: Path, bundle: Path, tmp_path: Path) -> None:
    """Before anything is written; annotate has a column more, for what has no place."""
    apps = bundle.parent / "apps"
    for name in ("error", "text", "other_columns", "intent.probability"):
        shutil.copytree(apps / "flags", tmp_path / name)
        with pytest.raises(UserError, match=rf"the app '{name}'.* in the column|as .* '{name}'"):
            annotate([str(rows)], [apps / "intent", tmp_path / name], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_numbers_that_json_does_not_have(bundle: Path, tmp_path: Path) -> None:
    lines = ['{"text": "a", "x": 1.5, "y": [NaN]}', '{"text": "b", "x": NaN, "y": {"z": 1e400}}']
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"text": "c", "late": -Infinity}']))
    out = tmp_path / "out"
    report = run(tmp_path / "a.jsonl", bundle, out)
    table = read(out)
    assert table["y"].to_pylist() == ["[null]", '{"z": null}', None]
    assert str(table["x"][1].as_py()) == "nan"  # Parquet has it
    assert report.not_finite == json.loads((out / REPORT).read_text())["not_finite"] == 2
    assert run(tmp_path / "a.jsonl", bundle, out).not_finite == 2  # read from the part


def test_overwrite_deletes_parts_alone(rows: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(rows, bundle, out)
    (out / "part-000098.parquet").write_text("of an earlier run")
    theirs = ("part-of-my-thesis.parquet", ".part-1.partial", "notes.txt")
    for name in theirs:
        (out / name).write_text("mine")
    (out / ".part-000099.parquet.partial").write_text("of a run that was killed")
    run(rows, bundle, out, overwrite=True)
    assert all((out / name).read_text() == "mine" for name in theirs)
    for name in ("part-000098.parquet", ".part-000099.parquet.partial"):
        assert not (out / name).exists()
