"""What a person sees of a suite: its state before a run, its means after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

from rich.table import Table

from onetrunk.benchmark.cells import Cell, every_id
from onetrunk.benchmark.staleness import Survey
from onetrunk.benchmark.suite import Suite

Column = tuple[str, str, str]
"""Family, draw, adapter."""


@dataclass
class Row:
    """A strategy: by column, the scores that are there, and how many there should be."""

    strategy: str
    scores: dict[Column, list[float]] = field(default_factory=dict)
    wanted: dict[Column, int] = field(default_factory=dict)

    def mean(self, column: Column) -> float | None:
        """The mean over tasks and seeds; None unless all of them are there.

        Means over other tasks or seeds than those of the next row would not compare with it.
        """
        scores = self.scores[column]
        return mean(scores) if len(scores) == self.wanted[column] else None


def rows_of(suite: Suite, cells: Sequence[Cell]) -> list[Row]:
    """Each strategy's scores, by the tasks' metrics. Cells of another suite are left out."""
    found = {cell.id: cell for cell in cells}
    rows = {strategy.name: Row(strategy.name) for strategy in suite.strategies}
    for id in every_id(suite):
        task, row = suite.task(id.task), rows[id.strategy]
        column = (task.family, id.draw, id.adapter)
        row.wanted[column] = row.wanted.get(column, 0) + 1
        scores = row.scores.setdefault(column, [])
        if id in found:
            scores.append(found[id].scores[task.score])
    return list(rows.values())


def means_table(suite: Suite, cells: Sequence[Cell], caption: str = "") -> Table:
    """A row a strategy: each family's mean by draw and adapter, and how many cells are there."""
    rows = rows_of(suite, cells)
    table = _table(caption)
    table.add_column("strategy", no_wrap=True)
    columns = list(rows[0].wanted)
    for column in columns:
        table.add_column("\n".join(column), justify="right", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    for row in rows:
        wanted, there = sum(row.wanted.values()), sum(map(len, row.scores.values()))
        table.add_row(
            row.strategy,
            *(_mean(row, column) for column in columns),
            f"{there}" if there == wanted else f"[yellow]{there} of {wanted}[/]",
        )
    return table


def survey_table(suite: Suite, found: Survey) -> Table:
    """A row a task, a column a strategy: how many cells are done, stale and missing."""
    table = _table("done/stale/missing")
    table.add_column("task", no_wrap=True)
    for strategy in suite.strategies:
        table.add_column(strategy.name, justify="right", no_wrap=True)
    for task in suite.tasks:
        counts = [found.count(strategy.name, task.name) for strategy in suite.strategies]
        table.add_row(
            task.name,
            *(
                f"[{'green' if count.total() == count['done'] else 'yellow'}]"
                f"{count['done']}/{count['stale']}/{count['missing']}[/]"
                for count in counts
            ),
        )
    return table


def _mean(row: Row, column: Column) -> str:
    value = row.mean(column)
    if value is None:
        return f"[yellow]{len(row.scores[column])} of {row.wanted[column]}[/]"
    return f"{value:.2f}"


def _table(caption: str) -> Table:
    return Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), caption=caption, caption_justify="left"
    )
