"""The machine fails a command: a full or read-only disk, no memory, a clock that jumps, files that
change while they are read, two processes at once. What was there stays, and one line says why."""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from onetrunk import cli
from onetrunk.bulk import run as predicting
from onetrunk.bulk.annotate import Machines, Report, annotate
from onetrunk.bulk.record import RECORD, Settings
from onetrunk.data.sources import stream_texts
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.progress import Progress, silent

FORMAT_0_1 = Path(__file__).parent / "fixtures" / "format-0.1"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


class Ended(NamedTuple):
    code: int
    said: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong."""
        assert "Traceback" not in self.said, self.said
        (line,) = [line for line in self.said.splitlines() if line.startswith("error:")]
        return line


class Running:
    """A command in a fork of this process, after ``first`` is done there."""

    def __init__(self, folder: Path, command: str, first: Callable[[], object]) -> None:
        self.log = folder.parent / f"log-{random.random()}"
        self.child = os.fork()
        if self.child:
            return
        code = 1
        try:
            with self.log.open("wb") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
            os.chdir(folder)
            sys.argv = ["onetrunk", *command.split()]
            torch.set_num_threads(1)
            first()
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(code)

    def end(self) -> Ended:
        """Wait for the command."""
        end = time.monotonic() + 120
        while not (found := os.waitpid(self.child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.kill(self.child, signal.SIGKILL)
            time.sleep(0.005)
        return Ended(os.waitstatus_to_exitcode(found[1]), self.log.read_text(errors="replace"))


def nothing() -> None:
    """Do nothing."""


def run(folder: Path, command: str, first: Callable[[], object] = nothing) -> Ended:
    return Running(folder, command, first).end()


@pytest.fixture
def place(corpora: Path) -> Path:
    """Inputs of every command, in the folder in which it is to run."""
    for kind in ("backbone", "bundle", "apps"):
        shutil.copytree(FORMAT_0_1 / kind, corpora / kind)
    (corpora / "names.csv").write_text("pattern,type\nann,person\n")
    rows = [f"call ann {number}" for number in range(300)]
    (corpora / "texts").mkdir()
    pq.write_table(pa.table({"text": rows}), corpora / "texts" / "train.parquet")
    families = {
        "ner": {"batch_size": 4, "sources": [{"path": "pre_ner/a"}]},
        "tc": {"batch_size": 4, "sources": [{"path": "pre_pairs/c"}]},
    }
    recipe = {"encoder": "backbone", "steps": 2, "k": 2, "precision": "fp32", "families": families}
    (corpora / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return corpora


NEEDED = (
    "onetrunk.adaptation.adapt", "onetrunk.prefinetuning.run", "onetrunk.label.run", "pydantic",
    "onetrunk.bundle.export", "onetrunk.bundle.change", "onetrunk.bulk.annotate", "onnxruntime",
    "onetrunk.bulk.run", "fsspec.implementations.local", "pyarrow.dataset", "rich.progress",
    "huggingface_hub.errors", "typer.main", "onetrunk.label.labelers.patterns", "sklearn",
    "pydantic.type_adapter",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """What commands import, before they are forks: each would import it again."""
    for name in NEEDED:
        with suppress(ImportError):
            importlib.import_module(name)


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    for plot in ("plot_losses", "plot_conflict"):  # half of the time
        monkeypatch.setattr(f"onetrunk.prefinetuning.run.{plot}", lambda *_: None)


ADAPT = "adapt backbone --family tc --train tc/app"
COMMANDS = {
    "adapt": f"{ADAPT} --adapter linear --out out",
    "prefinetune": "prefinetune recipe.yaml --out out",
    "label": "label texts --with regex:names.csv --out out",
    "export": "export backbone apps/intent --out out",
    "bundle": "bundle add bundle apps/intent",
    "annotate": "annotate texts --model bundle --out out --workers 1",
    "predict": "predict bundle --input texts --out out.jsonl",
}


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, hidden files too; but locks and checkpoints, which a next run uses."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock" and "out.checkpoints" not in path.parts
    }


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small disk in memory."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_may_not_grow(place: Path, command: str) -> None:
    """RLIMIT_FSIZE: as a full disk, in the middle of a file."""
    before = files(place)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))

    ended = run(place, COMMANDS[command], first=limit)
    assert ended.code == 2
    assert "File too large" in ended.error
    after = {name: content for name, content in files(place).items() if not is_progress(name)}
    assert after == before
    assert run(place, COMMANDS[command]).code == 0


def is_progress(name: str) -> bool:
    """Whether a file is one that the next run goes on from."""
    return name.startswith(("out/.work/", "out/_"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(place: Path, command: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with mounted(tmp_path_factory.mktemp("disk") / "small", "4m") as disk:
        shutil.copytree(place, disk, dirs_exist_ok=True)
        before = files(disk)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "ballast").write_bytes(bytes(free - 8192))
        ended = run(disk, COMMANDS[command])
        assert ended.code == 2, ended.said
        assert "No space left on device" in ended.error
        (disk / "ballast").unlink()
        after = {name: content for name, content in files(disk).items() if not is_progress(name)}
        assert after == before
        assert run(disk, COMMANDS[command]).code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_folder(
    place: Path, command: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with mounted(tmp_path_factory.mktemp("disk") / "small", "4m") as disk:
        shutil.copytree(place, disk, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = run(disk, COMMANDS[command])
        assert ended.code == 2, ended.said
        assert "Read-only file system" in ended.error


@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "predict")) for name in COMMANDS],
)
def test_no_memory(place: Path, command: str) -> None:
    """RLIMIT_AS, reached in the work and not in the imports: the command ends well (it may find
    enough in what this process has freed), or says in one line that memory is missing. ONNX Runtime
    (by SIGABRT) and the C library (by 127) may end the process themselves."""
    before = files(place)
    for megabytes in (1, 4, 8, 16, 48, 160):

        def limit(megabytes: int = megabytes) -> None:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            most = size + megabytes * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

        ended = run(place, COMMANDS[command], first=limit)
        assert ended.code in (0, 2, 127, -signal.SIGABRT), ended.said
        if ended.code == 2:
            assert re.search("memory|bad_alloc|thread", ended.error), ended.said
        if ended.code == 0:
            break
        now = files(place)
        assert {name: now.get(name) for name in before} == before


def test_a_clock_that_jumps(place: Path) -> None:
    """Times of files and the time of day, in the past and in the future, change no result."""
    annotate_it = COMMANDS["annotate"] + " --partition-rows 100"
    now, rng = time.time(), random.Random(0)

    def jump() -> None:
        time.time = lambda: now + rng.uniform(-1e9, 1e9)
        time.time_ns = lambda: int(1e9 * time.time())

    for name in ("adapt", "label"):
        results = []
        for first in (nothing, jump):
            shutil.rmtree(place / "out", ignore_errors=True)
            ended = run(place, COMMANDS[name], first=first)
            assert ended.code == 0, ended.said
            results.append({n: c for n, c in files(place / "out").items() if is_result(n)})
        assert results[0] == results[1] != {}
    shutil.rmtree(place / "out")
    for year in (1971, 2100):
        moment = time.mktime((year, 1, 1, 0, 0, 0, 0, 0, 0))
        for path in place.rglob("*"):
            os.utime(path, (moment, moment))
        shutil.rmtree(place / "out", ignore_errors=True)
        assert run(place, annotate_it, first=jump).code == 0
        part = place / "out" / "part-000001.parquet"
        part.unlink()
        ended = run(place, annotate_it, first=jump)
        assert ended.code == 0, ended.said
        assert "2 of 3 partitions are done" in ended.said
        assert pq.read_table(place / "out").num_rows == 300


def is_result(name: str) -> bool:
    return name.endswith((".safetensors", "train.parquet"))


def test_a_file_that_is_removed_or_replaced_while_it_is_read(place: Path, tmp_path: Path) -> None:
    """It is read to its end as it was, or is refused."""
    lines = "".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(20_000))
    changes: list[Callable[[Path], object]] = [
        Path.unlink,
        lambda file: file.rename(file.with_name("elsewhere")),
        lambda file: (file.unlink(), file.write_text('{"text": "another"}\n')),
    ]
    for change in changes:
        file = tmp_path / "rows.jsonl"
        file.write_text(lines)
        texts = stream_texts(file)
        first = next(texts)
        change(file)
        assert [first, *texts] == [f"text {number}" for number in range(20_000)]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_file_that_is_cut_off_while_it_is_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows{suffix}"
    batches = [pa.record_batch({"text": [f"{n} {os.urandom(500).hex()}"] * 1}) for n in range(4000)]
    if suffix == ".arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    else:
        pq.write_table(pa.Table.from_batches(batches), file, row_group_size=100)
    texts = stream_texts(file)
    next(texts)
    os.truncate(file, file.stat().st_size // 3)
    with pytest.raises(UserError, match="rows"):
        list(texts)


def test_rows_that_change_while_they_are_answered(place: Path) -> None:
    """No part has rows of two versions of a file; a run that saw two says so."""
    file, out = place / "texts" / "train.parquet", place / "out"

    def change(what: str, done: int, total: int | None) -> None:
        if done == 100:
            pq.write_table(pa.table({"text": ["another"] * 250}), file)

    def answer(progress: Progress = silent) -> Report:
        settings, here = Settings(partition_rows=100), Machines(workers=1)
        model = [place / "bundle"]
        return annotate([str(file)], model, str(out), None, settings, here, progress=progress)

    report = answer(change)
    assert report.faults
    assert all("has changed" in fault or "rows now" in fault for fault in report.faults)
    with pytest.raises(UserError, match="which has changed since"):
        answer()


def run_together(place: Path, *commands: str) -> list[Ended]:
    """What becomes of commands that run at the same time."""
    return [one.end() for one in [Running(place, command, nothing) for command in commands]]


@pytest.mark.parametrize("overwrite", ["", "--overwrite"])
def test_two_that_write_one_folder(place: Path, overwrite: str) -> None:
    """One wins, or is refused; nothing is of both."""
    commands = [f"{ADAPT} --adapter linear", f"{ADAPT} --epochs 1 --precision fp32"]
    wanted = []
    for number, command in enumerate(commands):
        assert run(place, f"{command} --out alone/{number}").code == 0
        wanted.append(tensors(place / "alone" / str(number)))
    assert wanted[0] != wanted[1]
    ended = run_together(place, *[f"{command} --out out {overwrite}" for command in commands])
    won = [one for one, end in zip(wanted, ended, strict=True) if end.code == 0]
    assert won
    assert tensors(place / "out") in won
    for one in ended:
        assert one.code == 0 or (not overwrite and "already exists" in one.error), one.said
    assert run(place, "predict out --text call").code == 0
    assert not list(place.glob(".out*"))


def tensors(folder: Path) -> dict[str, bytes]:
    return {name: one for name, one in files(folder).items() if name.endswith(".safetensors")}


def test_several_that_change_one_bundle(place: Path) -> None:
    """All changes are there."""
    names = [f"new{number}" for number in range(4)]
    for name in names:
        shutil.copytree(place / "apps" / "intent", place / "apps" / name)
    adding = [f"bundle add bundle apps/{name}" for name in names]
    ended = run_together(place, *adding, "bundle remove bundle flags")
    assert [one.code for one in ended] == [0] * 5, ended
    apps = {path.stem for path in (place / "bundle" / "apps").iterdir()}
    assert apps == {"calendar", "intent", "place", "stars", *names}
    assert run(place, "predict bundle call").code == 0
    assert not list(place.glob(".bundle*"))


IS_WHOLE: dict[str, Callable[[Path], bool]] = {
    "label": lambda out: pq.read_table(out / "train.parquet").num_rows == 4000,
    "annotate": lambda out: pq.read_table(out).num_rows == 4000,
    "prefinetune": lambda out: Backbone.load(out).record["steps"] == 2,
    "predict": lambda out: pq.read_table(out / "train.parquet").num_rows == 4000,
}


@pytest.mark.parametrize("command", IS_WHOLE)
def test_of_two_that_go_on_in_one_folder_one_is_refused(place: Path, command: str) -> None:
    """Unless the other has ended by then, whose work stays."""
    pq.write_table(pa.table({"text": ["call ann"] * 4000}), place / "texts" / "train.parquet")
    ended = run_together(place, *[COMMANDS[command].replace("out.jsonl", "out")] * 2)
    assert 0 in [one.code for one in ended]
    for one in ended:
        refused = (
            "another process (is (labelling|training|writing)|has written) into|already exists"
        )
        assert one.code == 0 or re.search(refused, one.error), one.said
    assert IS_WHOLE[command](place / "out")


@pytest.mark.parametrize("overwrite", ["", "--overwrite"])
@pytest.mark.parametrize(
    ("command", "record"), [("predict", predicting.RECORD), ("annotate", RECORD)]
)
def test_killed_while_the_record_was_written(
    place: Path, command: str, record: str, overwrite: str
) -> None:
    (place / "out").mkdir()
    (place / "out" / f".{record}.partial").write_text('{"ap')
    done = run(place, COMMANDS[command].replace("out.jsonl", "out") + f" {overwrite}")
    assert done.code == 0, done.said
    assert not list((place / "out").glob("*.partial"))


def test_two_models_never_answer_into_one_folder(place: Path) -> None:
    annotate_by = "annotate texts --out out --workers 1 --partition-rows 10 --model"
    ended = run_together(place, f"{annotate_by} bundle", f"{annotate_by} apps/intent")
    assert sorted(one.code for one in ended) == [0, 2], ended
    assert len({*map(pq.read_schema, (place / "out").glob("part-*"))}) == 1
