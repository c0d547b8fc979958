"""Pictures of a benchmark: ranks, learning curves, differences by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from onetrunk.benchmark.comparison import TaskDifference
from onetrunk.benchmark.statistics import Floats, SeedInterval, compare_ranks
from onetrunk.prefinetuning.plot import COLOURS, save_figure


def plot_ranks(scores: Mapping[str, Mapping[str, Floats]], path: Path) -> None:
    """Critical-difference plots (Demšar 2006, section 3.2.2), by title.

    ``scores``: by title, each strategy's scores by task ``(N,)``; at least two tasks and three
    strategies. Rank 1 is best; strategies under one bar are not told apart.
    """
    most = max(map(len, scores.values()))
    height = 0.75 + 0.16 * (most + 2)
    figure, axes = _panels(len(scores), 6.4, height)
    for axis, (title, by_strategy) in zip(axes, scores.items(), strict=True):
        _ranks(axis, title, by_strategy)
    save_figure(figure, path)


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """So many panels of a size in inches, two in a row."""
    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def _ranks(axis: Any, title: str, by_strategy: Mapping[str, Floats]) -> None:
    names = list(by_strategy)
    found = compare_ranks(np.stack(list(by_strategy.values()), axis=1))
    last = len(names)
    axis.plot([1, last], [0, 0], color="black", linewidth=1)
    for tick in range(1, last + 1):
        axis.plot([tick, tick], [0, 0.25], color="black", linewidth=1)
        axis.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=8)
    for level, group in enumerate(found.groups):
        ranks = [found.ranks[column] for column in group]
        y = -0.35 - 0.3 * level
        axis.plot([min(ranks) - 0.04, max(ranks) + 0.04], [y, y], color="black", linewidth=3)
    below = -0.35 - 0.3 * len(found.groups)
    order = sorted(range(last), key=lambda column: found.ranks[column])
    # The better half hangs to the left, the other to the right, and no two lines cross.
    left, right = order[: (last + 1) // 2], order[(last + 1) // 2 :][::-1]
    for side, columns in ((-1, left), (1, right)):
        end = last + 0.1 if side > 0 else 0.9
        for row, column in enumerate(columns):
            y, rank = below - 0.7 * (row + 0.5), found.ranks[column]
            axis.plot([rank, rank, end], [0, y, y], color="0.35", linewidth=0.9)
            axis.text(
                end + 0.05 * side, y, f"{names[column]}  {rank:.2f}",
                ha="right" if side < 0 else "left", va="center", fontsize=9,
            )  # fmt: skip
    critical = found.critical_difference
    axis.plot([1, 1 + critical], [1.5, 1.5], color="black", linewidth=2)
    axis.text(
        1 + critical / 2, 1.6, f"critical difference {critical:.2f}",
        ha="center", va="bottom", fontsize=8,
    )  # fmt: skip
    axis.set_title(f"{title}   (Friedman p = {found.p:.2g})", fontsize=10, loc="left")
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
            # Side by side: intervals that lie on one another cannot be read.
            at = np.array([rows for rows, _ in points]) * 1.02 ** (i - middle)
            means = np.array([interval.mean for _, interval in points])
            highs = [i.mean if i.high is None else i.high for _, i in points]
            axis.errorbar(
                at, means, np.array(highs) - means, color=COLOURS[i % len(COLOURS)],
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
    tasks = {title: list(dict.fromkeys(d.task for d in found)) for title, found in panels.items()}
    height = 1.0 + 0.38 * max(map(len, tasks.values()))
    figure, axes = _panels(len(panels), 5.0, height)
    others = list(dict.fromkeys(d.second for found in panels.values() for d in found))
    for axis, (title, found) in zip(axes, panels.items(), strict=True):
        axis.axvline(0, color="0.4", linewidth=0.8)
        for difference in found:
            at = others.index(difference.second)
            offset = 0.7 * ((at + 0.5) / len(others) - 0.5)
            y = len(tasks[title]) - 1 - tasks[title].index(difference.task) - offset
            over = difference.over_rows
            colour = COLOURS[at % len(COLOURS)]
            axis.plot([over.low, over.high], [y, y], color=colour, linewidth=1.2)
            axis.plot(over.difference, y, "o", color=colour, markersize=3.5)
        axis.set_yticks(range(len(tasks[title])), tasks[title][::-1], fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("points")
        axis.grid(alpha=0.3, axis="x")
    for at, other in enumerate(others):
        axes[0].plot([], [], "o-", color=COLOURS[at % len(COLOURS)], label=f"less {other}")
    _legend(figure, axes[0])
    save_figure(figure, path)


def _legend(figure: Figure, axis: Any) -> None:
    """One for all panels, where it covers nothing."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
