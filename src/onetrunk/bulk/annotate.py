"""Answers to more rows than one process, or one machine, gets through: ``onetrunk annotate``.

    input files ─► partitions (fixed) ─► workers ─► one part file for each ─► report

A part file appears whole or not at all and is named after its partition, so a partition that is
answered twice, after a worker was lost, still has one part. A run that was killed goes on with the
partitions that have none.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onetrunk.bulk.columns import decoders_of
from onetrunk.bulk.dispatch import Dispatch
from onetrunk.bulk.files import File, OutputFolder, input_files, is_in_memory
from onetrunk.bulk.partitions import ROWS, Partition, make_plan
from onetrunk.bulk.parts import Outcome, Task, part_name, read_outcome
from onetrunk.bulk.run import identity_of
from onetrunk.bulk.workers import Here, LocalWorker, StartWorker
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError, nearest
from onetrunk.opening import load
from onetrunk.progress import Progress, silent
from onetrunk.storage import key_of

logger = logging.getLogger(__name__)

RECORD, REPORT = "_annotate.json", "_report.json"
"""In the folder, beside the parts: what they follow from, and what came of the run. Readers of
Parquet folders leave out names that begin with ``_``."""
ENGINES = ("local", "ray")
_READERS = 32
"""So many parts of an earlier run are read together."""


@dataclass(frozen=True)
class Settings:
    """What the parts follow from, beside the model and the input."""

    text_column: str | None = None
    partition_rows: int = ROWS
    limit: int | None = None


@dataclass(frozen=True)
class Machines:
    """Where the work is done."""

    engine: str = "local"
    workers: int | None = None
    """None: one for each core."""
    address: str | None = None
    """Of a Ray cluster that is running; None: one is started on this machine."""


@dataclass
class Report:
    """What came of a run and of those before it."""

    rows: int = 0
    answered: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """How many rows could not be answered, by reason."""
    partitions: int = 0
    finished_before: int = 0
    """Partitions that an earlier run had finished."""
    faults: list[str] = field(default_factory=list)
    """Partitions without a part, and why."""
    engine: str = ""
    workers: int = 0
    workers_lost: int = 0
    seconds: float = 0.0
    """Of this run, with the start of the workers."""
    rows_per_second: float | None = None
    """Of this run."""
    rows_per_worker_second: float | None = None
    """Rows of this run by the time that workers spent on them."""

    def add(self, outcome: Outcome) -> None:
        """Count a partition."""
        self.rows += outcome.rows
        self.reasons.update(outcome.failed)
        self.failed = self.reasons.total()
        self.answered = self.rows - self.failed
        if outcome.fault:
            self.faults.append(outcome.fault)


def annotate(
    inputs: Sequence[str],
    model: Sequence[Path],
    out: str,
    backbone: str | None = None,
    settings: Settings | None = None,
    machines: Machines | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Report:
    """Answer all rows of some files, into a folder of Parquet files.

    ``inputs`` are files and folders of Parquet and JSON Lines, ``out`` is a folder; all may be URLs
    of fsspec. ``model`` is a bundle, or app folders.

    Raises :class:`UserError` for input that cannot be read, and for a folder that holds answers of
    another model, to other files or by other settings. A partition that cannot be answered does not
    end the run: ``faults`` of the report has it.
    """
    settings, machines = settings or Settings(), machines or Machines()
    _check(settings, machines)
    folder, notes = OutputFolder.at(out), Notes()
    files = input_files(inputs, notes)
    for file in files:
        if folder.holds(file):
            raise UserError(f"{out} holds {file.name}: name another folder for the answers")
    record = _record(files, model, settings)
    names = _open(folder, record, overwrite)
    decoders = decoders_of(load(*model, backbone=backbone))
    plan = make_plan(
        files, decoders, settings.text_column, settings.partition_rows, settings.limit, notes
    )
    notes.log()
    task = Task(tuple(model), backbone, folder, plan.columns, key_of(**record))
    report = Report(partitions=len(plan.partitions), engine=machines.engine)
    done = [one for one in plan.partitions if part_name(one.number) in names]
    with ThreadPoolExecutor(_READERS) as pool:
        for outcome in pool.map(lambda one: read_outcome(folder, one.number, task.run), done):
            report.add(outcome)
    report.finished_before = len(done)
    if done:
        logger.info("%s of %s partitions are done", f"{len(done):,}", f"{report.partitions:,}")
    pending = [one for one in plan.partitions if part_name(one.number) not in names]
    if pending:
        folder.write(RECORD, _json(record))
        _run(task, machines, files, pending, report, progress)
    content = asdict(report)
    folder.write(REPORT, _json({**content, "reasons": dict(report.reasons.most_common())}))
    return report


def _check(settings: Settings, machines: Machines) -> None:
    if machines.engine not in ENGINES:
        raise UserError(
            f"--engine {machines.engine!r} is unknown; {nearest(machines.engine, ENGINES)}"
        )
    if machines.address is not None and machines.engine != "ray":
        raise UserError("--address is that of a Ray cluster: add --engine ray")
    for name, value in (
        ("--workers", machines.workers),
        ("--partition-rows", settings.partition_rows),
        ("--limit", settings.limit),
    ):
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: at least 1")


def _record(files: Sequence[File], model: Sequence[Path], settings: Settings) -> dict[str, Any]:
    """What the parts follow from."""
    with ThreadPoolExecutor(_READERS) as pool:
        states = pool.map(File.state, files)
        inputs = {file.url: state for file, state in zip(files, states, strict=True)}
    return {
        "format": 1,
        "model": [identity_of(folder) for folder in model],
        "model_names": [folder.name for folder in model],
        "inputs": inputs,
        "settings": asdict(settings),
    }


def _open(folder: OutputFolder, record: Mapping[str, Any], overwrite: bool) -> set[str]:
    """What is in the folder; nothing, if it is to be replaced.

    Raises :class:`UserError` if that is not of a run that can go on.
    """
    names = folder.names()
    if not names:
        return names
    if RECORD not in names:
        raise UserError(f"{folder.name} already holds other files: choose another name")
    ours = {name for name in names if name in (RECORD, REPORT) or _is_of_part(name)}
    if overwrite:
        folder.remove(sorted(ours - {RECORD}))
        folder.remove([RECORD])  # last: without it, nothing in the folder is known as ours
        return names - ours
    try:
        with folder.open(RECORD) as opened:
            before = json.load(opened)
    except ValueError:
        raise UserError(f"{folder.name}/{RECORD} is damaged: not JSON") from None
    if difference := _difference(before, record):
        raise UserError(
            f"{folder.name} holds answers {difference}: choose another name, or start again by "
            "--overwrite"
        )
    folder.remove(name for name in names if name.startswith(".part-"))  # of workers that ended
    return names


def _is_of_part(name: str) -> bool:
    return name.startswith(("part-", ".part-")) and name.endswith((".parquet", ".partial"))


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How an earlier run differs from this one; empty if it does not."""
    if before.get("model") != now["model"]:
        return f"of another model ({', '.join(before.get('model_names', []))})"
    inputs, known = now["inputs"], before.get("inputs", {})
    for url, state in inputs.items():
        if url not in known:
            return f"to other files, without {url}"
        if known[url] != state:
            return f"to {url}, which has changed since"
    for url in known:
        if url not in inputs:
            return f"to more files, such as {url}"
    for name, value in now["settings"].items():
        other = before.get("settings", {}).get(name)
        if other != value:
            option = f"--{name.replace('_', '-')}"
            return f"with {option} {other}, not {value}" if other else f"without {option}"
    return "" if before == now else "of another version of onetrunk"


def _run(
    task: Task,
    machines: Machines,
    files: Sequence[File],
    partitions: Sequence[Partition],
    report: Report,
    progress: Progress,
) -> None:
    start, before, busy = time.monotonic(), report.rows, 0.0
    expected = {one.number: one.rows for one in partitions}
    progress("starting", report.rows, report.rows + sum(expected.values()))
    with _workers(task, machines, files) as (start_worker, count):
        dispatch = Dispatch(start_worker, min(count, len(partitions)))
        report.workers = dispatch.count
        try:
            for outcome in dispatch.outcomes(partitions):
                if outcome is not None:
                    report.add(outcome)
                    busy += outcome.seconds
                    del expected[outcome.number]
                note = f"{dispatch.ready} of {dispatch.count} workers"
                progress(note, report.rows, report.rows + sum(expected.values()))
        except KeyboardInterrupt:
            done = f"{report.partitions - len(expected):,} of {report.partitions:,}"
            raise KeyboardInterrupt(
                f"{task.out.name} holds {done} partitions: the same command goes on"
            ) from None
        report.workers_lost = dispatch.lost
    report.seconds = round(time.monotonic() - start, 2)
    rows = report.rows - before
    report.rows_per_second = round(rows / report.seconds, 1) if report.seconds else None
    report.rows_per_worker_second = round(rows / busy, 1) if busy else None


@contextmanager
def _workers(
    task: Task, machines: Machines, files: Sequence[File]
) -> Iterator[tuple[StartWorker, int]]:
    """What starts a worker, and how many there are to be."""
    alone = not task.out.is_shared or any(is_in_memory(file.filesystem) for file in files)
    if machines.engine == "ray":
        from onetrunk.bulk.ray_workers import ray_workers

        if alone:
            raise UserError("memory:// is seen by this process alone: --engine local")
        with ray_workers(task, machines.workers, machines.address) as found:
            yield found
        return
    count = machines.workers or len(os.sched_getaffinity(0))
    yield (lambda: Here(task), 1) if alone or count == 1 else (lambda: LocalWorker(task), count)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
