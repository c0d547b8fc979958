"""Loss curves of a stage-1 run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from onetrunk.prefinetune.loop import StepRecord


def plot_losses(records: Sequence[StepRecord], path: Path, title: str) -> None:
    """Draw each family's loss over the steps: every step faintly, a running mean on top."""
    families = list(records[0].losses)
    figure = Figure(figsize=(5.2 * len(families), 3.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(families)))
    steps = np.array([record.step + 1 for record in records])
    for axis, family, colour in zip(
        axes, families, ("tab:blue", "tab:orange", "tab:green"), strict=False
    ):
        losses = np.array([record.losses[family] for record in records])
        window = max(1, len(losses) // 20)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axis.plot(steps, losses, color=colour, alpha=0.25, linewidth=0.8)
        axis.plot(steps[window - 1 :], smooth, color=colour, label=f"mean of {window} steps")
        axis.set(xlabel="step", ylabel="loss", title=f"{family} loss", ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
