"""What the cells of a suite say of its strategies: scores by seed, one strategy against each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onetrunk.benchmark.bootstrap import (
    Metric,
    PairedBootstrap,
    accuracy,
    label_counts,
    macro_f1,
    micro_f1,
    paired_bootstrap,
)
from onetrunk.benchmark.cells import Cell, CellId
from onetrunk.benchmark.outcomes import Outcomes
from onetrunk.benchmark.statistics import (
    Floats,
    SeedInterval,
    SignedRank,
    holm,
    minimum_detectable_difference,
    seed_interval,
    signed_rank,
    wins,
)
from onetrunk.benchmark.suite import BenchmarkTask, Strategy, Suite
from onetrunk.benchmark.table import Column

# Of one task's interval in a plot.
RESAMPLES = 2000
# By the name of a score: what turns means over rows into it.
METRICS: dict[str, Metric] = {"f1": micro_f1, "accuracy": accuracy, "macro_f1": macro_f1}


@dataclass(frozen=True)
class Comparison:
    """One strategy less another, over the tasks of a family; in points of the tasks' metrics."""

    column: Column
    first: str
    second: str
    over_seeds: SeedInterval
    """Of the mean over tasks."""
    over_tasks: SignedRank
    """Of the tasks' means over seeds."""
    adjusted_p: float
    """Holm's, among the comparisons of this column."""
    wins: tuple[int, int, int]
    """Tasks won, tied and lost."""
    detectable: float | None
    """What these seeds would have shown with 80 % probability; None with one seed of each kind."""


@dataclass(frozen=True)
class TaskDifference:
    """One strategy less another on the test rows of one task."""

    column: Column
    task: str
    first: str
    second: str
    over_rows: PairedBootstrap


class Results:
    """The scores of a suite by column and strategy. Cells that the suite does not ask for do not
    count."""

    def __init__(self, suite: Suite, cells: Sequence[Cell]) -> None:
        self.suite = suite
        self.cells: dict[CellId, Cell] = {cell.id: cell for cell in cells}
        families = dict.fromkeys(task.family for task in suite.tasks)
        self.columns: list[Column] = [
            (family, draw.name, adapter)
            for family in families
            for draw in suite.draws
            for adapter in suite.adapters
        ]

    def tasks(self, column: Column) -> list[BenchmarkTask]:
        """Those of the column's family."""
        return [task for task in self.suite.tasks if task.family == column[0]]

    def of(self, column: Column, strategy: Strategy) -> Floats | None:
        """Scores ``(tasks, stage-1 seeds, adaptation seeds)`` in percent; one stage-1 seed for a
        strategy that none changes. None unless every cell is there."""
        ids = [self._ids(column, strategy, task) for task in self.tasks(column)]
        if not all(id in self.cells for own in ids for row in own for id in row):
            return None
        return np.array(
            [
                [[self.cells[id].scores[task.score] for id in row] for row in own]
                for task, own in zip(self.tasks(column), ids, strict=True)
            ]
        )

    def complete(self, column: Column) -> dict[str, Floats]:
        """Scores of every strategy that has all of its cells."""
        found = {one.name: self.of(column, one) for one in self.suite.strategies}
        return {name: scores for name, scores in found.items() if scores is not None}

    def against_each(self, column: Column, first: str) -> list[Comparison]:
        """A strategy held against every other one; none if it has cells missing."""
        scores = self.complete(column)
        mine = scores.pop(first, None)
        if mine is None or not scores:
            return []
        differences = {name: mine - theirs for name, theirs in scores.items()}
        tests = [signed_rank(by.mean((1, 2))) for by in differences.values()]
        adjusted = holm([test.p for test in tests])
        return [
            _comparison(column, (first, second), by, test, float(p))
            for (second, by), test, p in zip(differences.items(), tests, adjusted, strict=True)
        ]

    def by_task(self, column: Column, first: str, second: str) -> Iterator[TaskDifference]:
        """Two strategies on each task's test rows, their outcomes averaged over seeds first.

        Tasks without all cells, outcomes or a metric that rows add up to are left out.
        """
        for task in self.tasks(column):
            mine = self._rows(column, self.suite.strategy(first), task)
            theirs = self._rows(column, self.suite.strategy(second), task)
            if mine is not None and theirs is not None:
                found = paired_bootstrap(mine, theirs, METRICS[task.score], RESAMPLES)
                yield TaskDifference(column, task.name, first, second, found)

    def of_column(self, column: Column, strategy: Strategy) -> list[Cell]:
        """The cells that are there."""
        ids = [self._ids(column, strategy, task) for task in self.tasks(column)]
        return [self.cells[id] for own in ids for row in own for id in row if id in self.cells]

    def mixed(self) -> list[str]:
        """What differs between cells that are compared, a line each."""
        found: dict[tuple[str, str], set[str]] = {}
        for cell in self.cells.values():
            for what, where in (("code", cell.family), ("data", cell.id.task)):
                found.setdefault((what, where), set()).add(cell.hashes.get(what, ""))
        return [
            f"the cells of {where} were made with {len(hashes)} versions of their {what}"
            for (what, where), hashes in found.items()
            if len(hashes) > 1
        ]

    def _ids(self, column: Column, strategy: Strategy, task: BenchmarkTask) -> list[list[CellId]]:
        """By stage-1 seed and adaptation seed."""
        _, draw, adapter = column
        return [
            [
                CellId(strategy.name, task.name, draw, adapter, seed, adaptation_seed)
                for adaptation_seed in self.suite.adaptation_seeds
            ]
            for seed in self.suite.seeds_of(strategy)
        ]

    def _rows(self, column: Column, strategy: Strategy, task: BenchmarkTask) -> Floats | None:
        """What the task's metric is made of by test row, ``(rows, …)``, mean over seeds."""
        ids = [id for row in self._ids(column, strategy, task) for id in row]
        found = [self.cells[id].outcomes for id in ids if id in self.cells]
        outcomes = [one for one in found if one is not None]
        if task.score not in METRICS or len(outcomes) < len(ids):
            return None
        return np.asarray(np.mean([_counts(one, task.score) for one in outcomes], axis=0))


def _counts(outcomes: Outcomes, score: str) -> Floats:
    """Each row's part in a score, as its metric takes it."""
    if score == "f1":
        return outcomes.values.astype(np.float64)
    gold, predicted = outcomes.values.T
    if score == "accuracy":
        return (gold == predicted).astype(np.float64)[:, None]
    return label_counts(gold, predicted, len(outcomes.labels))


def _comparison(
    column: Column, pair: tuple[str, str], differences: Floats, test: SignedRank, adjusted: float
) -> Comparison:
    interval, detectable = seed_interval(differences.mean(0)), None
    if interval.standard_error and interval.df:
        detectable = minimum_detectable_difference(interval.standard_error, interval.df)
    tally = wins(differences.mean((1, 2)))
    return Comparison(column, *pair, interval, test, adjusted, tally, detectable)
