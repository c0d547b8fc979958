"""Run a suite: train the backbones that are missing, then make the cells that are missing or stale.

A job trains one backbone, or makes all cells of one backbone and task. Several processes may run
the same suite into the same folder; they share the jobs (:mod:`onetrunk.benchmark.jobs`).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from onetrunk.benchmark.cells import Cell, CellId, every_id, save_cell
from onetrunk.benchmark.jobs import LOCKS, Job, work
from onetrunk.benchmark.measure import AppPlan, measure, read_task
from onetrunk.benchmark.staleness import Provenance
from onetrunk.benchmark.suite import Suite
from onetrunk.config import Recipe
from onetrunk.data.notes import Notes
from onetrunk.model.backbone import RECORD, Backbone
from onetrunk.prefinetuning.resume import WorkFolder
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.progress import Progress, silent

logger = logging.getLogger("onetrunk")


def run_suite(
    suite: Suite, out: Path, progress: Progress = silent, keep_stale: bool = False
) -> list[Cell]:
    """Bring every cell of a suite up to date in the folder ``out``; returns all of them.

    Backbones are in ``out/backbones``, new cells in ``out/cells``. Stale cells are made again, with
    a warning that names them; ``keep_stale`` keeps them, and backbones of another recipe. Returns
    when every cell is there, whichever process made it.

    Raises :class:`UserError` for a damaged cell, a backbone that another recipe made, and whatever
    stage 1, reading or adapting refuses.
    """
    run = _Run(suite, out, progress, keep_stale)
    work(run.jobs(), run.waiting)
    progress("", run.total, run.total)
    return [cell for id in every_id(suite) if (cell := run.provenance.store.get(id)) is not None]


class _Run:
    def __init__(self, suite: Suite, out: Path, progress: Progress, keep_stale: bool) -> None:
        self.suite, self.out, self.progress, self.keep_stale = suite, out, progress, keep_stale
        self.provenance = Provenance(suite, out)
        if not keep_stale:
            self.provenance.check_backbones()
        survey = self.provenance.survey()
        for line in survey.lines():
            logger.warning(line + ": kept" * keep_stale)
        self.total, self.finished = len(survey.states), set[CellId]()
        self.loaded: tuple[Path, Backbone] | None = None
        self.tasks_with_notes = set[str]()

    def waiting(self) -> None:
        """Say that all that is left is under way elsewhere."""
        self.progress("waiting for other processes", len(self.finished), self.total)

    def jobs(self) -> list[Job]:
        """Train each backbone, then make the cells of each backbone and task."""
        cells: dict[tuple[Path, str], list[CellId]] = {}
        recipes: dict[Path, Recipe] = {}
        for id in every_id(self.suite):
            folder, strategy = self.provenance.folder(id), self.suite.strategy(id.strategy)
            cells.setdefault((folder, id.task), []).append(id)
            if not strategy.folder and folder not in recipes:
                WorkFolder(folder).forget(folder)  # of a run that was killed once it was done
                recipes[folder] = self.suite.recipe_of(strategy, id.seed)
        locks = self.out / LOCKS
        measuring = {
            key: Job(
                locks / f"cells.{key[0].name}.{key[1]}.lock",
                done=partial(self._done, key[0], ids),
                make=partial(self._measure, *key, ids),
                ready=(key[0] / RECORD).exists,
            )
            for key, ids in cells.items()
        }

        def not_needed(folder: Path) -> bool:
            if (folder / RECORD).exists():
                return True
            return all(job.done() for (needed, _), job in measuring.items() if needed == folder)

        training = [
            Job(
                locks / f"backbone.{folder.name}.lock",
                done=partial(not_needed, folder),
                make=partial(prefinetune, recipe, folder, resume=True),
            )
            for folder, recipe in recipes.items()
        ]
        return [*training, *measuring.values()]

    def _done(self, folder: Path, ids: Sequence[CellId]) -> bool:
        return not self._left(folder, ids)

    def _left(self, folder: Path, ids: Sequence[CellId]) -> list[CellId]:
        """The cells that have to be made."""
        left = []
        for id in ids:
            if id in self.finished:
                continue
            reasons = self.provenance.reasons(id)
            if reasons is None or (reasons and not self.keep_stale):
                left.append(id)
            elif (folder / RECORD).exists():  # without a backbone, its hash was not compared
                self.finished.add(id)
        return left

    def _measure(self, folder: Path, task: str, ids: Sequence[CellId]) -> None:
        def tell(what: str, done: int = 0, total: int | None = None) -> None:
            self.progress(what, len(self.finished), self.total)

        tell(f"{folder.name} {task}: reading")
        notes = Notes()
        rows = read_task(self.suite.task(task), notes)
        if task not in self.tasks_with_notes:
            self.tasks_with_notes.add(task)
            notes.log()
        plans = {
            id: AppPlan(
                self.suite.draw(id.draw),
                self.suite.settings(id.adapter, id.adaptation_seed),
                self.suite.strategy(id.strategy).discard_primary,
            )
            for id in self._left(folder, ids)
        }
        for cells in measure(self._backbone(folder), rows, plans, tell):
            for cell in cells:
                cell = replace(
                    cell,
                    settings=self.provenance.settings(cell.id),
                    hashes=self.provenance.hashes(cell.id),
                )
                save_cell(cell, self.out)
                self.finished.add(cell.id)
            tell(f"{folder.name} {task} written")

    def _backbone(self, folder: Path) -> Backbone:
        """Load a backbone; the last one is kept, since jobs of one lie side by side."""
        if self.loaded is None or self.loaded[0] != folder:
            self.loaded = (folder, Backbone.load(folder))
        return self.loaded[1]
