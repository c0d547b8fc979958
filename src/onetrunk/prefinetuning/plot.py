"""Figures of stage-1 runs: losses, and the conflict of the families' gradients by layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from onetrunk.figures import COLOURS, save_figure
from onetrunk.prefinetuning.conflict import layer_names
from onetrunk.prefinetuning.log import StepRecord

# The largest number of columns of a heat map. Each shows the mean of some consecutive steps.
COLUMNS = 60
# The largest number of heat maps side by side.
PANELS = 4


def plot_losses(records: Sequence[StepRecord], path: Path, title: str) -> None:
    """Draw each family's loss over the steps: every step in pale colour, and a running mean."""
    families = list(records[0].losses)
    figure = Figure(figsize=(5.2 * len(families), 3.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(families)))
    steps = np.array([record.step + 1 for record in records])
    for axis, family, colour in zip(axes, families, COLOURS, strict=False):
        losses = np.array([record.losses[family] for record in records])
        window = max(1, len(losses) // 20)
        first, last = losses[:window].mean(), losses[-window:].mean()
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axis.plot(steps, losses, color=colour, alpha=0.25, linewidth=0.8)
        axis.plot(steps[window - 1 :], smooth, color=colour, label=f"mean of {counted(window)}")
        axis.set(xlabel="step", ylabel="loss", ylim=(0, None), xlim=(0.5, len(losses) + 0.5))
        axis.set_title(f"{family}: loss from {first:.2f} to {last:.2f}")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title)
    save_figure(figure, path)


def plot_conflict(records: Sequence[StepRecord], path: Path, title: str) -> None:
    """Draw the gradient conflict of a run: cos(g_f, g_g) by layer and step.

    Each pair of families has a heat map, with the families' gradient norms by layer beside it.
    Raises :class:`ValueError` if the records hold no cosines: one family, or a frozen backbone.
    """
    _draw({"": records}, path, title, norms=True)


def plot_conflicts(
    runs: Mapping[str, Sequence[StepRecord]], path: Path, title: str = "gradient conflict"
) -> None:
    """Draw the heat maps of several runs, by name, on one colour scale.

    Raises :class:`ValueError` if the records of a run hold no cosines.
    """
    _draw(runs, path, title, norms=False)


def binned(records: Sequence[StepRecord], pair: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosines ``(L + 1, bins)`` of at most 60 bins of steps, and the edges of the bins
    ``(bins + 1,)`` in steps. Every record is in one bin."""
    groups = np.array_split(np.arange(len(records)), min(COLUMNS, len(records)))
    cosines = np.array([record.cosines[pair] for record in records])
    means = np.stack([cosines[group].mean(0) for group in groups], axis=1)
    edges = [records[group[0]].step for group in groups] + [records[-1].step + 1]
    return means, np.array(edges)


def _draw(runs: Mapping[str, Sequence[StepRecord]], path: Path, title: str, norms: bool) -> None:
    for name, records in runs.items():
        if not records or not records[0].cosines:
            raise ValueError(f"{name or title}: no cosines were recorded, nothing to draw")
    pairs = list(next(iter(runs.values()))[0].cosines)
    bins = {(pair, name): binned(runs[name], pair) for pair in pairs for name in runs}
    # The scale is symmetric, so that white is 0. It does not end at 1, since cosines of single
    # batches are small, nor at the largest, which may be an outlier. Values beyond the scale have
    # the colour of its end.
    sizes = np.abs(np.concatenate([means.ravel() for means, _ in bins.values()]))
    limit = float(np.quantile(sizes, 0.99)) or 1.0
    depth = len(next(iter(bins.values()))[0])
    columns = min(len(runs), PANELS)
    rows_of_pair = -(-len(runs) // columns)
    rows = len(pairs) * rows_of_pair
    figure = Figure(
        figsize=(2.0 + 4.2 * columns + 2.8 * norms, 1.2 + rows * (0.9 + 0.26 * depth)),
        layout="constrained",
    )
    axes = figure.subplots(
        rows, columns + norms, squeeze=False, sharey=True,
        width_ratios=[4.2] * columns + [2.4] * norms,
    )  # fmt: skip
    for axis in axes.flat:
        axis.set_visible(False)
    for i, (pair, name) in enumerate(bins):
        number_of_pair, number_of_run = divmod(i, len(runs))
        row = number_of_pair * rows_of_pair + number_of_run // columns
        axis = axes[row, number_of_run % columns]
        axis.set_visible(True)
        image = _heat_map(axis, *bins[pair, name], limit)
        first, second = pair.split("|")
        opposed = 100 * np.mean([np.array(r.cosines[pair]) < 0 for r in runs[name]])
        finding = f"{first} and {second} pull apart in {opposed:.0f} % of steps and layers"
        axis.set_title(f"{name}: {finding}" if name else finding, fontsize=9 if name else 10)
        axes[row, 0].set_yticks(range(depth), layer_names(depth))
        if norms:
            axes[row, -1].set_visible(True)
            _norms(axes[row, -1], runs[name], pair)
    bar = figure.colorbar(
        image, ax=axes[:, :columns], pad=0.02, shrink=min(1, 2 / rows),
        extend="both" if sizes.max() > limit else "neither",
    )  # fmt: skip
    bar.set_label(f"mean cosine of gradients, scale ± {limit:.2g}")
    figure.suptitle(title)
    save_figure(figure, path)


def _heat_map(axis: Any, means: np.ndarray, edges: np.ndarray, limit: float) -> Any:
    """Draw one heat map: conflict is red, agreement is blue; the lowest layer is at the bottom."""
    image = axis.pcolormesh(
        edges, np.arange(len(means) + 1) - 0.5, means, cmap="RdBu", vmin=-limit, vmax=limit
    )
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    axis.set_xlabel("step" if width <= 1 else f"step (means of about {counted(round(width))})")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return image


def _norms(axis: Any, records: Sequence[StepRecord], pair: str) -> None:
    """Draw the gradient norms of two families by layer: median, and 10 to 90 % of the steps."""
    for family, colour in zip(pair.split("|"), COLOURS, strict=False):
        norms = np.array([record.gradient_norms[family] for record in records])
        low, middle, high = np.quantile(norms, (0.1, 0.5, 0.9), axis=0)
        layers = np.arange(len(middle))
        axis.plot(middle, layers, color=colour, marker="o", markersize=4, label=family)
        axis.fill_betweenx(layers, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(numticks=4))
    axis.set(xlabel="median, 10 to 90 % of the steps")
    axis.set_title("gradient norms", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def counted(steps: int) -> str:
    """``1 step``, ``15 steps``."""
    return f"{steps:,} step{'s' * (steps != 1)}"
