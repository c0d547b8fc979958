"""What the cells of a suite show: scores by strategy, and one strategy compared with the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from onetrunk.benchmark import bootstrap, statistics
from onetrunk.benchmark.cells import Cell, CellId
from onetrunk.benchmark.outcomes import Outcomes
from onetrunk.benchmark.staleness import measured_by
from onetrunk.benchmark.statistics import Floats
from onetrunk.benchmark.suite import BenchmarkTask, Strategy, Suite

RESAMPLES = 2000
"""Resamples of the test rows for the interval of one task in a plot."""
METRICS = {"f1": bootstrap.f1, "accuracy": bootstrap.accuracy, "macro_f1": bootstrap.f1}
"""By the name of a score, the function that computes it from means over rows."""


class Column(NamedTuple):
    """The cells that are compared with one another."""

    family: str
    draw: str
    adapter: str


@dataclass(frozen=True)
class Comparison:
    """One strategy less another, over the tasks of a family; in points of the tasks' metrics."""

    column: Column
    first: str
    second: str
    over_seeds: statistics.SeedInterval
    """The mean over tasks, with its interval over seeds."""
    over_tasks: statistics.SignedRank
    """The test of the tasks' means over seeds."""
    adjusted_p: float
    """p of ``over_tasks`` after Holm's correction for the comparisons of this column."""
    wins: tuple[int, int, int]
    """Numbers of tasks won, tied and lost."""
    detectable: float | None
    """The difference that these seeds would have shown with 80 % probability; None with one seed
    of each kind."""


@dataclass(frozen=True)
class TaskDifference:
    """One strategy less another on the test rows of one task."""

    task: str
    second: str
    over_rows: bootstrap.PairedBootstrap


class Results:
    """The scores of a suite by column and strategy. Cells of other suites are left out."""

    def __init__(self, suite: Suite, cells: Sequence[Cell]) -> None:
        self.suite = suite
        self.cells: dict[CellId, Cell] = {cell.id: cell for cell in cells}
        families = dict.fromkeys(task.family for task in suite.tasks)
        draws = [draw.name for draw in suite.draws]
        self.columns = [Column(*each) for each in product(families, draws, suite.adapters)]

    def tasks(self, column: Column) -> list[BenchmarkTask]:
        """The tasks of the column's family."""
        return [task for task in self.suite.tasks if task.family == column.family]

    def cells_of(
        self, column: Column, strategy: Strategy, task: BenchmarkTask | None = None
    ) -> list[Cell | None]:
        """The cells by task (or of one task), stage-1 seed and adaptation seed; None: missing."""
        tasks = self.tasks(column) if task is None else [task]
        seeds = self.suite.seeds_of(strategy), self.suite.adaptation_seeds
        return [
            self.cells.get(CellId(strategy.name, task.name, column.draw, column.adapter, *pair))
            for task in tasks
            for pair in product(*seeds)
        ]

    def scores(self, column: Column, strategy: Strategy) -> Floats | None:
        """Scores ``(tasks, stage-1 seeds, adaptation seeds)`` in percent, by the tasks' metrics.

        There is one stage-1 seed for a strategy that none changes. None unless every cell exists:
        a mean over other tasks or seeds would not compare with the other strategies'.
        """
        cells = self.cells_of(column, strategy)
        scores = [cell.scores[self.suite.task(cell.id.task).score] for cell in cells if cell]
        seeds = len(self.suite.seeds_of(strategy)), len(self.suite.adaptation_seeds)
        return np.array(scores).reshape(-1, *seeds) if len(scores) == len(cells) else None

    def complete(self, column: Column) -> dict[str, Floats]:
        """Scores of every strategy that has all of its cells."""
        scores = {each.name: self.scores(column, each) for each in self.suite.strategies}
        return {name: values for name, values in scores.items() if values is not None}

    def against_each(self, column: Column, first: str) -> list[Comparison]:
        """A strategy compared with every other one; empty if it lacks a cell."""
        scores = self.complete(column)
        first_scores = scores.pop(first, None)
        if first_scores is None or not scores:
            return []
        differences = {name: first_scores - other for name, other in scores.items()}
        tests = [statistics.signed_rank(values.mean((1, 2))) for values in differences.values()]
        adjusted = statistics.holm([test.p for test in tests])
        comparisons = []
        for (second, values), test, p in zip(differences.items(), tests, adjusted, strict=True):
            interval, detectable = statistics.seed_interval(values.mean(0)), None
            error, df = interval.standard_error, interval.df
            if error and df:
                detectable = statistics.minimum_detectable_difference(error, df)
            tally = statistics.wins(values.mean((1, 2)))
            comparisons.append(
                Comparison(column, first, second, interval, test, float(p), tally, detectable)
            )
        return comparisons

    def by_task(self, column: Column, first: str, second: str) -> Iterator[TaskDifference]:
        """Two strategies on each task's test rows, their outcomes averaged over seeds first.

        A task is left out if cells or outcomes are missing, or if its metric is no function of
        means over rows.
        """
        for task in self.tasks(column):
            rows = [self._rows(column, self.suite.strategy(name), task) for name in (first, second)]
            if rows[0] is not None and rows[1] is not None:
                over_rows = bootstrap.paired_bootstrap(
                    rows[0], rows[1], METRICS[task.score], RESAMPLES
                )
                yield TaskDifference(task.name, second, over_rows)

    def mixed(self) -> list[str]:
        """One line for each way in which cells that are compared differ in what made them."""
        versions: dict[tuple[str, str, str], set[str]] = {}
        for cell in self.cells.values():
            key = (cell.family, "by", "this package")
            versions.setdefault(key, set()).add(measured_by(cell))
            key = (cell.id.task, "with", "their data")
            versions.setdefault(key, set()).add(cell.hashes.get("data", ""))
        return [
            f"the cells of {place} were made {by} {len(different)} versions of {thing}"
            for (place, by, thing), different in versions.items()
            if len(different) > 1
        ]

    def _rows(self, column: Column, strategy: Strategy, task: BenchmarkTask) -> Floats | None:
        """The numbers that the task's metric is computed from by test row, ``(rows, …)``, averaged
        over seeds."""
        cells = self.cells_of(column, strategy, task)
        outcomes = [cell.outcomes for cell in cells if cell and cell.outcomes]
        if task.score not in METRICS or len(outcomes) < len(cells):
            return None
        return np.asarray(np.mean([_counts(each, task.score) for each in outcomes], axis=0))


def _counts(outcomes: Outcomes, score: str) -> Floats:
    """The numbers of each row that a score is computed from, as its metric takes them."""
    if score == "f1":
        return outcomes.values.astype(np.float64)
    gold, predicted = outcomes.values.T
    if score == "accuracy":
        return (gold == predicted).astype(np.float64)[:, None]
    return bootstrap.label_counts(gold, predicted, len(outcomes.labels))
