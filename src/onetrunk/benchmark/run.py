"""Run a suite: train the backbones that are missing, then fill the cells that are missing or stale.

A job makes one backbone, or all cells of one backbone and task. It is taken by holding a lock file,
so several processes, on one machine or on several that share the folder, run the same suite into it
and share the work; whatever a killed one held, another takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from onetrunk.benchmark.cells import Cell, CellId, every_id, load_cell, save_cell
from onetrunk.benchmark.measure import Wanted, measure, read_task
from onetrunk.benchmark.staleness import Provenance, Survey
from onetrunk.benchmark.suite import Suite
from onetrunk.cli.console import console, say
from onetrunk.config import Recipe
from onetrunk.data.notes import Notes
from onetrunk.model.backbone import RECORD, Backbone, load_backbone
from onetrunk.prefinetuning.run import prefinetune

Progress = Callable[[str, int, int], None]
"""Called with (what is going on, cells done, cells in all)."""

# Seconds before looking again, where all that is left is under way elsewhere.
WAIT = 3.0
LOCKS = "locks"


def survey(suite: Suite, out: Path) -> Survey:
    """What :func:`run_suite` would find done, stale and missing."""
    return Provenance(suite, out).survey()


def run_suite(
    suite: Suite,
    out: Path,
    progress: Progress = lambda what, done, total: None,
    keep_stale: bool = False,
) -> list[Cell]:
    """Bring every cell of a suite up to date in the folder ``out``; returns them all.

    Backbones are in ``out/backbones``, cells in ``out/cells``. Stale cells are named and computed
    again; ``keep_stale`` keeps them, and backbones of another recipe. Returns when every cell is
    there, whoever computed it.

    Raises :class:`UserError` for a damaged cell, a backbone that another recipe made, and what
    stage 1, reading or adapting refuses.
    """
    return _Run(suite, out, progress, keep_stale).work()


@dataclass
class _Job:
    """The cells of one backbone and task, of every strategy that uses that backbone."""

    folder: Path
    task: str
    cells: list[CellId]


class _Run:
    def __init__(self, suite: Suite, out: Path, progress: Progress, keep_stale: bool) -> None:
        self.suite, self.out, self.progress, self.keep_stale = suite, out, progress, keep_stale
        self.ledger = Provenance(suite, out)
        if not keep_stale:
            self.ledger.check_backbones()
        self.total, self.finished = 0, set[CellId]()
        self.trainings: dict[Path, Recipe] = {}
        jobs: dict[tuple[Path, str], _Job] = {}
        for id in every_id(suite):
            self.total += 1
            folder, strategy = self.ledger.folder(id), suite.strategy(id.strategy)
            if not strategy.folder and folder not in self.trainings:
                self.trainings[folder] = suite.recipe_of(strategy, id.seed)
            jobs.setdefault((folder, id.task), _Job(folder, id.task, [])).cells.append(id)
        self.jobs = list(jobs.values())
        self.loaded: tuple[Path, Backbone] | None = None
        self.said = set[str]()

    def work(self) -> list[Cell]:
        """Do what is neither done nor taken, in order, until everything is done."""
        self._announce()
        while left := [job for job in self.jobs if not self._done(job)]:
            wanted = dict.fromkeys(job.folder for job in left if not _there(job.folder))
            if not any(self._train(folder) for folder in wanted) and not any(map(self._fill, left)):
                self.progress("waiting for other processes", len(self.finished), self.total)
                time.sleep(WAIT)
        self.progress("", self.total, self.total)
        return [load_cell(id.file(self.out)) for job in self.jobs for id in job.cells]

    def _announce(self) -> None:
        found = self.ledger.survey()
        for line in found.lines():
            console.print(line + (": kept" if self.keep_stale else ""), markup=False)

    def _done(self, job: _Job) -> bool:
        return not self._missing(job)

    def _missing(self, job: _Job) -> list[CellId]:
        """Its cells that have to be computed."""
        missing = []
        for id in job.cells:
            if id in self.finished:
                continue
            state, _ = self.ledger.state(id)
            if state == "missing" or (state == "stale" and not self.keep_stale):
                missing.append(id)
            elif _there(job.folder):  # without a backbone, its hash was not compared
                self.finished.add(id)
        return missing

    def _train(self, folder: Path) -> bool:
        """Make a backbone, unless another process is at it; whether it is there now."""
        with _taken(self.out, f"backbone.{folder.name}") as mine:
            if not mine:
                return False
            if not _there(folder):
                prefinetune(self.trainings[folder], folder, resume=True)
            return True

    def _fill(self, job: _Job) -> bool:
        """Compute what is missing of a job, unless it is taken or has no backbone yet."""
        if not _there(job.folder):
            return False
        with _taken(self.out, f"cells.{job.folder.name}.{job.task}") as mine:
            if not mine:
                return False
            if missing := self._missing(job):
                self._measure(job, missing)
            return True

    def _measure(self, job: _Job, missing: Sequence[CellId]) -> None:
        def note(what: str) -> None:
            self.progress(what, len(self.finished), self.total)

        note(f"{job.folder.name} {job.task}: reading")
        notes = Notes()
        rows = read_task(self.suite.task(job.task), notes)
        if job.task not in self.said:
            self.said.add(job.task)
            say(notes)
        wanted = {
            id: Wanted(
                self.suite.draw(id.draw),
                self.suite.settings(id.adapter, id.adaptation_seed),
                self.suite.strategy(id.strategy).discard_primary,
            )
            for id in missing
        }
        start = time.perf_counter()
        for cell in measure(self._backbone(job.folder), rows, wanted, note):
            settings, hashes = self.ledger.settings(cell.id), self.ledger.hashes(cell.id)
            save_cell(replace(cell, settings=settings, hashes=hashes), self.out)
            self.finished.add(cell.id)
            note(f"{cell.id.strategy} {cell.id.task}: written")
        if not console.is_terminal:  # there is no bar: a line shows that the run is alive
            console.print(
                f"{job.folder.name} {job.task}: {len(missing)} cells in "
                f"{time.perf_counter() - start:.0f} s, {len(self.finished)} of {self.total} done",
                markup=False,
            )

    def _backbone(self, folder: Path) -> Backbone:
        """Load a backbone; the last one is kept, since jobs of one lie side by side."""
        if self.loaded is None or self.loaded[0] != folder:
            self.loaded = (folder, load_backbone(folder))
        return self.loaded[1]


def _there(folder: Path) -> bool:
    return (folder / RECORD).exists()


@contextmanager
def _taken(out: Path, name: str) -> Iterator[bool]:
    """Hold a lock inside the block; yields whether it was free."""
    folder = out / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
