"""Answers to more rows than one process, or one machine, gets through: ``onetrunk annotate``.

    input files ─► partitions (fixed) ─► workers ─► one part file for each ─► report

A part file appears whole or not at all and is named after its partition, so a partition that is
answered twice, after a worker was lost, still has one part. A run that was killed goes on with the
partitions that have none.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onetrunk.bulk.columns import decoders_of
from onetrunk.bulk.dispatch import Dispatch
from onetrunk.bulk.files import OutputFolder, input_files, is_in_memory
from onetrunk.bulk.partitions import Partition, make_plan
from onetrunk.bulk.parts import Outcome, Task, load_model, part_name, read_outcome
from onetrunk.bulk.record import REPORT, Settings, begin, parts_before, record_of
from onetrunk.bulk.workers import Here, LocalWorker, StartWorker
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError, nearest
from onetrunk.progress import Progress, silent
from onetrunk.storage import key_of

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

logger = logging.getLogger(__name__)

ENGINES = ("local", "ray")
_READERS = 32
"""So many parts of an earlier run are read together."""


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
    not_finite: int = 0
    """How many numbers in JSON were NaN or infinite, and are null."""
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
        self.not_finite += outcome.not_finite
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
    folder.check_apart(inputs, files)
    alone = any(map(is_in_memory, [folder.filesystem, *(file.filesystem for file in files)]))
    if alone and machines.engine == "ray":
        raise UserError("memory:// is seen by this process alone: it needs --engine local")
    record = record_of(files, model, settings)
    names = parts_before(folder, record, overwrite)
    loaded = load_model(model, backbone)
    plan = make_plan(
        files,
        decoders_of(loaded),
        settings.text_column,
        settings.partition_rows,
        settings.limit,
        notes,
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
        with _workers(task, machines, loaded, alone) as (start_worker, count), folder.held():
            parts_before(folder, record, overwrite)  # another run may have begun since
            begin(folder, record, overwrite)
            _run(task, start_worker, count, pending, report, progress)
            _write_report(folder, report)
    elif REPORT not in folder.names():  # the run was killed after its last part
        _write_report(folder, report)
    return report


def _write_report(folder: OutputFolder, report: Report) -> None:
    reasons = dict(report.reasons.most_common())
    folder.write_json(REPORT, {**asdict(report), "reasons": reasons})


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


def _run(
    task: Task,
    start_worker: StartWorker,
    count: int,
    partitions: Sequence[Partition],
    report: Report,
    progress: Progress,
) -> None:
    start, before, busy = time.monotonic(), report.rows, 0.0
    left, rows_left = len(partitions), sum(one.rows for one in partitions)
    expected = {one.number: one.rows for one in partitions}
    dispatch = Dispatch(start_worker, min(count, left))
    report.workers = dispatch.count
    progress("starting", report.rows, report.rows + rows_left)
    try:
        for outcome in dispatch.outcomes(partitions):
            if outcome is not None:
                report.add(outcome)
                busy += outcome.seconds
                left -= 1
                rows_left -= expected[outcome.number]
            note = f"{dispatch.ready} of {dispatch.count} workers"
            progress(note, report.rows, report.rows + rows_left)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{task.out.name} holds {report.partitions - left:,} of {report.partitions:,} "
            "partitions: the same command goes on"
        ) from None
    report.workers_lost = dispatch.lost
    report.seconds = round(time.monotonic() - start, 2)
    rows = report.rows - before
    report.rows_per_second = round(rows / report.seconds, 1) if report.seconds else None
    report.rows_per_worker_second = round(rows / busy, 1) if busy else None


@contextmanager
def _workers(
    task: Task, machines: Machines, loaded: Engine | Runtime, alone: bool
) -> Iterator[tuple[StartWorker, int]]:
    """What starts a worker, and how many there are to be. ``alone``: in this process."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    count = machines.workers or cores or 1
    if machines.engine == "ray":
        from onetrunk.bulk.ray_workers import ray_workers

        with ray_workers(task, machines.workers, machines.address) as found:
            yield found
    elif alone or count == 1:
        yield lambda: Here(task, loaded), 1
    else:
        yield lambda: LocalWorker(task), count
