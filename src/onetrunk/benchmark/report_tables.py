"""The tables of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from onetrunk.benchmark.comparison import Comparison, Results
from onetrunk.benchmark.page import Table
from onetrunk.benchmark.statistics import SeedInterval, seed_interval
from onetrunk.benchmark.suite import BenchmarkTask
from onetrunk.benchmark.table import Column

NAMES = {"ner": "Named entities", "tc": "Text classification"}


def name_of(family: str) -> str:
    """A family in headings."""
    return NAMES.get(family, family)


def title_of(column: Column) -> str:
    """A column in headings."""
    return f"{name_of(column[0])}, {column[1]}, {column[2]}"


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """A row a comparison; all of one family and one first strategy."""
    header = (
        "rows, app", "less", "mean difference", "p", "p (Holm)", "won/tied/lost", "detectable",
    )  # fmt: skip
    rows = [
        (
            ", ".join(one.column[1:]), one.second, _interval(one.over_seeds), _p(one.over_tasks.p),
            _p(one.adjusted_p), "/".join(map(str, one.wins)),
            "–" if one.detectable is None else f"{one.detectable:.2f}",
        )
        for one in comparisons
    ]  # fmt: skip
    family = comparisons[0].column[0]
    return Table(header, rows, f"{name_of(family)}: {comparisons[0].first} less …")


def score_table(results: Results, column: Column) -> Table:
    """A row a task, a column a strategy, their mean below; the best of a row is bold."""
    tasks, found = results.tasks(column), results.complete(column)
    names = [strategy.name for strategy in results.suite.strategies]
    # Rounded: what is shown as equal is equally bold.
    means = {name: found[name].mean((1, 2)).round(1) for name in found}
    rows = [
        [_task(task), *_row({name: f"{means[name][at]:.1f}" for name in found}, names)]
        for at, task in enumerate(tasks)
    ]
    halves = {name: _half(seed_interval(scores.mean(0))) for name, scores in found.items()}
    last = _row({name: f"{scores.mean():.2f}" for name, scores in found.items()}, names)
    for at, name in enumerate(names):
        if name not in found:
            there = len(results.of_column(column, results.suite.strategy(name)))
            last[at] = f"{there} cells"
    rows.append(
        ["mean", *(text + halves.get(name, "") for text, name in zip(last, names, strict=True))]
    )
    return Table([", ".join(column[1:]), *names], rows)


def cost_table(results: Results) -> Table:
    """Medians by column over strategies, tasks and seeds."""
    rows = []
    for column in results.columns:
        strategies = results.suite.strategies
        cells = [cell for one in strategies for cell in results.of_column(column, one)]
        if cells:
            rows.append(
                [
                    title_of(column),
                    f"{median(cell.train_rows for cell in cells):,.0f}",
                    f"{median(cell.fit_seconds for cell in cells):.1f}",
                    f"{median(cell.trainable_parameters for cell in cells):,.0f}",
                    f"{median(cell.adapter_bytes for cell in cells) / 1e6:.3f}",
                ]
            )
    header = ["family, rows, app", "labelled rows", "seconds", "parameters", "MB"]
    return Table(header, rows)


def _task(task: BenchmarkTask) -> str:
    return f"{task.name} ({task.metric})" if task.metric else task.name


def _row(shown: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The numbers by strategy, the highest bold, a dash where there is none."""
    best = max(map(float, shown.values()), default=0.0)
    bold = {name: f"**{text}**" if float(text) == best else text for name, text in shown.items()}
    return [bold.get(name, "–") for name in names]


def _half(interval: SeedInterval) -> str:
    if interval.high is None:
        return ""
    return f" ± {interval.high - interval.mean:.2f}{_dagger(interval)}"


def _interval(interval: SeedInterval) -> str:
    if interval.low is None:
        return f"{interval.mean:+.2f}"
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]{_dagger(interval)}"


def _dagger(interval: SeedInterval) -> str:
    """Marks an interval over one kind of seed only."""
    return "" if interval.over_stage1 and interval.over_adaptation else " †"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
