"""The tables of a report, in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median

from onetrunk.benchmark.comparison import Column, Comparison, Results
from onetrunk.benchmark.page import table
from onetrunk.benchmark.statistics import SeedInterval, seed_interval

NAMES = {"ner": "Named entities", "tc": "Text classification"}


def name_of(family: str) -> str:
    """The name of a family in headings."""
    return NAMES.get(family, family)


def title_of(column: Column) -> str:
    """The name of a column in headings."""
    return f"{name_of(column.family)}, {column.draw}, {column.adapter}"


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """A row for each comparison."""
    header = (
        "rows, app", "less", "mean difference", "p", "p (Holm)", "won/tied/lost", "detectable",
    )  # fmt: skip
    rows = [
        (
            f"{each.column.draw}, {each.column.adapter}",
            each.second,
            _interval(each.over_seeds),
            _p(each.over_tasks.p),
            _p(each.adjusted_p),
            "/".join(map(str, each.wins)),
            "–" if each.detectable is None else f"{each.detectable:.2f}",
        )
        for each in comparisons
    ]
    return table(header, rows)


def score_table(results: Results, column: Column) -> str:
    """A row for each task, a column for each strategy, the mean below; the best is bold."""
    scores = results.complete(column)
    strategies = results.suite.strategies
    # Rounded first: scores that are shown as equal are equally bold.
    means = {name: values.mean((1, 2)).round(1) for name, values in scores.items()}
    rows = []
    for at, task in enumerate(results.tasks(column)):
        shown = _bold_best({name: f"{values[at]:.1f}" for name, values in means.items()})
        name = f"{task.name} ({task.metric})" if task.metric else task.name
        rows.append([name, *(shown.get(strategy.name, "–") for strategy in strategies)])
    shown = _bold_best({name: f"{values.mean():.2f}" for name, values in scores.items()})
    last = ["mean"]
    for strategy in strategies:
        if strategy.name in scores:
            interval = seed_interval(scores[strategy.name].mean(0))
            last.append(shown[strategy.name] + _half_width(interval))
        else:
            count = sum(cell is not None for cell in results.cells_of(column, strategy))
            last.append(f"{count} cells")
    header = [f"{column.draw}, {column.adapter}", *(strategy.name for strategy in strategies)]
    return table(header, [*rows, last])


def cost_table(results: Results) -> str:
    """Medians by column over strategies, tasks and seeds."""
    rows = []
    for column in results.columns:
        cells = [
            cell
            for strategy in results.suite.strategies
            for cell in results.cells_of(column, strategy)
            if cell
        ]
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
    return table(["family, rows, app", "labelled rows", "seconds", "parameters", "MB"], rows)


def _bold_best(numbers: Mapping[str, str]) -> dict[str, str]:
    """The numbers by strategy, the highest in bold."""
    best = max(map(float, numbers.values()), default=0.0)
    return {name: f"**{n}**" if float(n) == best else n for name, n in numbers.items()}


def _half_width(interval: SeedInterval) -> str:
    if interval.high is None:
        return ""
    return f" ± {interval.high - interval.mean:.2f}{_dagger(interval)}"


def _interval(interval: SeedInterval) -> str:
    if interval.low is None:
        return f"{interval.mean:+.2f}"
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]{_dagger(interval)}"


def _dagger(interval: SeedInterval) -> str:
    """Marks an interval over only one kind of seed."""
    return "" if interval.over_both else " †"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
