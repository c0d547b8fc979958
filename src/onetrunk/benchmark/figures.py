"""Pictures of a benchmark: ranks, learning curves, differences by task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from onetrunk.benchmark.comparison import TaskDifference
from onetrunk.benchmark.statistics import Floats, SeedInterval, compare_ranks
from onetrunk.figures import COLOURS, save_figure


def plot_ranks(scores: Mapping[str, Mapping[str, Floats]], path: Path) -> None:
    """Critical-difference plots (Demšar 2006, section 3.2.2), by title.

    ``scores``: by title, each strategy's scores by task ``(N,)``; at least two tasks and three
    strategies. Rank 1 is best; strategies under one bar do not differ significantly.
    """
    most = max(map(len, scores.values()))
    figure, axes = _panels(len(scores), 6.4, 0.75 + 0.16 * (most + 2))
    for axis, (title, by_strategy) in zip(axes, scores.items(), strict=True):
        _ranks(axis, title, by_strategy)
    save_figure(figure, path)


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """A figure of ``count`` panels of a size in inches, two in a row."""
    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def _ranks(axis: Any, title: str, by_strategy: Mapping[str, Floats]) -> None:
    names = list(by_strategy)
    comparison = compare_ranks(np.stack(list(by_strategy.values()), axis=1))
    ranks, groups, last = comparison.ranks, comparison.groups, len(names)
    axis.plot([1, last], [0, 0], color="black", linewidth=1)
    for tick in range(1, last + 1):
        axis.plot([tick, tick], [0, 0.25], color="black", linewidth=1)
        axis.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=8)
    for level, group in enumerate(groups):
        best, worst = ranks[group[0]], ranks[group[-1]]
        y = -0.35 - 0.3 * level
        axis.plot([best - 0.04, worst + 0.04], [y, y], color="black", linewidth=3)
    below = -0.35 - 0.3 * len(groups)
    order = sorted(range(last), key=lambda column: ranks[column])
    # The better half hangs to the left, the other to the right, and no two lines cross.
    left, right = order[: (last + 1) // 2], order[(last + 1) // 2 :][::-1]
    for side, columns in ((-1, left), (1, right)):
        end = last + 0.1 if side > 0 else 0.9
        for row, column in enumerate(columns):
            y, rank = below - 0.7 * (row + 0.5), ranks[column]
            axis.plot([rank, rank, end], [0, y, y], color="0.35", linewidth=0.9)
            label, align = f"{names[column]}  {rank:.2f}", "right" if side < 0 else "left"
            axis.text(end + 0.05 * side, y, label, ha=align, va="center", fontsize=9)
    critical = comparison.critical_difference
    axis.plot([1, 1 + critical], [1.5, 1.5], color="black", linewidth=2)
    label = f"critical difference {critical:.2f}"
    axis.text(1 + critical / 2, 1.6, label, ha="center", va="bottom", fontsize=8)
    axis.set_title(f"{title}   (Friedman p = {comparison.p:.2g})", fontsize=10, loc="left")
    axis.set(xlim=(-0.4, last + 1.4), ylim=(below - 0.7 * len(left) - 0.2, 2.6))
    axis.axis("off")


def plot_curves(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, SeedInterval]]]], path: Path
) -> None:
    """Learning curves side by side: by title and strategy, (labelled rows, mean over tasks)."""
    figure, axes = _panels(len(curves), 4.8, 3.4)
    for axis, (title, by_strategy) in zip(axes, curves.items(), strict=True):
        middle = (len(by_strategy) - 1) / 2
        ticks = sorted({rows for points in by_strategy.values() for rows, _ in points})
        for i, (name, points) in enumerate(by_strategy.items()):
            # Side by side: intervals on top of one another cannot be read.
            at = np.array([rows for rows, _ in points]) * 1.02 ** (i - middle)
            means = np.array([interval.mean for _, interval in points])
            highs = [i.mean if i.high is None else i.high for _, i in points]
            reach = np.array(highs) - means
            within = np.minimum(reach, means), np.minimum(reach, 100 - means)  # scores end there
            axis.errorbar(
                at, means, within, color=COLOURS[i % len(COLOURS)],
                linestyle="-" if i < len(COLOURS) else "--", linewidth=1.2, elinewidth=0.8,
                capsize=2, marker="o", markersize=3.5, label=name,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(ticks, [f"{rows:,.0f}" for rows in ticks])
        axis.minorticks_off()
        axis.set(xlabel="labelled rows (median of the tasks)", ylabel="mean score")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    _legend(figure, axes[0])
    save_figure(figure, path)


def plot_differences(panels: Mapping[str, Sequence[TaskDifference]], path: Path) -> None:
    """By title, a strategy's difference from others on each task, with its bootstrap interval."""
    tasks_of = {title: list(dict.fromkeys(d.task for d in ds)) for title, ds in panels.items()}
    figure, axes = _panels(len(panels), 5.0, 1.0 + 0.38 * max(map(len, tasks_of.values())))
    others = list(dict.fromkeys(d.second for differences in panels.values() for d in differences))
    for axis, (title, differences) in zip(axes, panels.items(), strict=True):
        tasks = tasks_of[title][::-1]
        axis.axvline(0, color="0.4", linewidth=0.8)
        for difference in differences:
            at, over_rows = others.index(difference.second), difference.over_rows
            y = tasks.index(difference.task) - 0.7 * ((at + 0.5) / len(others) - 0.5)
            colour = COLOURS[at % len(COLOURS)]
            axis.plot([over_rows.low, over_rows.high], [y, y], color=colour, linewidth=1.2)
            axis.plot(over_rows.difference, y, "o", color=colour, markersize=3.5)
        axis.set_yticks(range(len(tasks)), tasks, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("points")
        axis.grid(alpha=0.3, axis="x")
    for at, other in enumerate(others):
        axes[0].plot([], [], "o-", color=COLOURS[at % len(COLOURS)], label=f"less {other}")
    _legend(figure, axes[0])
    save_figure(figure, path)


def _legend(figure: Figure, axis: Any) -> None:
    """One legend for all panels, outside of them."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
