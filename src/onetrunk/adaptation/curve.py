"""What more labelled rows are worth: apps from an eighth, a quarter, a half and all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.figures import COLOURS, save_figure
from onetrunk.model.backbone import Backbone
from onetrunk.progress import Progress, silent

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Each is the double of the one before, so that the last step says what doubling was worth."""
DRAWS = 3
FEWEST = 16
"""Rows below which there is no curve."""


@dataclass(frozen=True)
class CurvePoint:
    """The score of apps that learnt from so many rows, in percent."""

    rows: int
    mean: float
    low: float
    high: float
    """``low`` and ``high``: over the draws of rows. All rows are drawn once."""

    def as_json(self) -> dict[str, Any]:
        """The point for machines."""
        scores = {key: round(value, 2) for key, value in asdict(self).items() if key != "rows"}
        return {"rows": self.rows, **scores}


def learning_curve(
    backbone: Backbone,
    family: Family[Any, Any],
    rows: Sequence[Any],
    test_rows: Sequence[Any],
    settings: AdaptSettings,
    progress: Progress = silent,
) -> list[CurvePoint]:
    """Train apps on growing parts of ``rows`` and score each on ``test_rows`` by the family's
    metric. Labels that a part does not have count as misses.

    Raises :class:`UserError` for fewer than :data:`FEWEST` rows, and as
    :func:`~onetrunk.adaptation.fit.fit` does.
    """
    if len(rows) < FEWEST:
        raise UserError(f"{len(rows)} rows are too few for a curve: {FEWEST} are needed")
    total, done = (len(SHARES) - 1) * DRAWS + 1, 0
    points = []
    for share in SHARES:
        count = round(share * len(rows))
        scores = []
        for draw in range(1 if share == 1 else DRAWS):
            progress(f"{count:,} rows", done, total)
            places = np.random.default_rng(draw).permutation(len(rows))[:count]
            drawn = [rows[place] for place in sorted(places.tolist())]
            labels = family.label_set(drawn)
            done += 1
            if not family.learnable(labels, drawn):
                continue  # one label alone, which says nothing
            app = fit(backbone, family, Data(labels, drawn), settings)
            answers = Engine(backbone, {"app": app}).predict_examples("app", test_rows)
            scores.append(family.score(test_rows, answers)[family.metric])
        if scores:
            points.append(CurvePoint(count, float(np.mean(scores)), min(scores), max(scores)))
    progress("", total, total)
    return points


def finding(points: Sequence[CurvePoint], metric: str) -> str:
    """What the curve says, in a sentence."""
    if len(points) < 2:
        return "there are too few points to say what more rows would be worth"
    gain = points[-1].mean - points[-2].mean
    sizes = f"from {points[-2].rows:,} to {points[-1].rows:,} rows"
    last = f"going {sizes} was worth {gain:+.1f} points of {metric}"
    spread = points[-2].high - points[-2].low
    if gain > max(1.0, spread / 2):
        return f"{last}: more rows will probably help"
    return f"{last}, which is within chance: more rows of the same kind may not help much"


def plot_curve(points: Sequence[CurvePoint], metric: str, path: Path) -> None:
    """Draw the curve with its spread; the title says what it shows."""
    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axis = figure.subplots()
    sizes = [point.rows for point in points]
    axis.plot(sizes, [point.mean for point in points], "o-", color=COLOURS[0])
    lows, highs = [point.low for point in points], [point.high for point in points]
    axis.fill_between(sizes, lows, highs, color=COLOURS[0], alpha=0.15, linewidth=0)
    axis.set_xscale("log")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set(xlabel="labelled rows (lowest to highest of three draws)", ylabel=metric)
    axis.set_title(finding(points, metric), fontsize=9, wrap=True)
    axis.grid(alpha=0.3)
    save_figure(figure, path)
