"""How often the 95 % interval over two kinds of seed covers the truth.

    python benchmarks/coverage.py [--replicates 30000] [--out results/coverage.json]

Tables of P stage-1 by A adaptation seeds are drawn with a known mean. The variance of the mean is
divided among the two kinds of seed and the rest in many ways, zero and one included. Our interval
is compared with plain ANOVA with Satterthwaite's degrees of freedom. Skewed tables, which no t
interval promises to cover, have exponential in place of normal effects. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from onetrunk.benchmark.statistics import mean_error, mean_squares

Floats = NDArray[np.float64]
Draw = Callable[[tuple[int, ...]], Floats]
Error = Callable[[Floats], tuple[Floats, Floats]]

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
GRID = [(p, a, round(1 - p - a, 9)) for p in SHARES for a in SHARES if p + a < 1 + 1e-9]
SIZES = (
    *((3, 3), (3, 4), (3, 5), (5, 3), (3, 6), (4, 4), (4, 8), (5, 5), (5, 10), (10, 10)),
    *((3, 10), (2, 2), (2, 3), (2, 5)),
)
SKEWED_SIZES = ((3, 3), (3, 5))
WANTED = (93.0, 97.0)


def tables(draw: Draw, replicates: int, size: tuple[int, int], shares: tuple[float, ...]) -> Floats:
    """``(R, P, A)`` of mean 0, whose means over P and A have variance 1."""
    stage1, adaptation = size
    by_stage1, by_adaptation, rest = np.sqrt(shares)
    return (
        by_stage1 * stage1**0.5 * draw((replicates, stage1, 1))
        + by_adaptation * adaptation**0.5 * draw((replicates, 1, adaptation))
        + rest * (stage1 * adaptation) ** 0.5 * draw((replicates, stage1, adaptation))
    )


def plain(values: Floats) -> tuple[Floats, Floats]:
    """Standard error and degrees of freedom as the textbook has them; no variance below zero."""
    stage1, adaptation = values.shape[-2:]
    squares = mean_squares(values)
    variance = (squares[0] + squares[1] - squares[2]).clip(1e-30)
    sizes = (stage1 - 1, adaptation - 1, (stage1 - 1) * (adaptation - 1))
    spread = sum(square**2 / size for square, size in zip(squares, sizes, strict=True))
    df = (variance**2 / np.maximum(spread, 1e-300)).clip(1)
    return np.sqrt(variance / (stage1 * adaptation)), df


def covered(values: Floats, error: Error) -> tuple[float, float]:
    """Percent of intervals that cover 0, and their median half-width."""
    standard_error, df = error(values)
    half = stats.t.ppf(0.975, df) * standard_error
    return 100 * float((abs(values.mean((-2, -1))) <= half).mean()), float(np.median(half))


def told(shares: tuple[float, ...]) -> str:
    return " ".join(f"{share:g}" for share in shares)


def summary(intervals: list[tuple[float, float]]) -> dict[str, Any]:
    """Coverage over the grid, and the cells outside what is wanted."""
    coverage = [percent for percent, _ in intervals]
    least, most = int(np.argmin(coverage)), int(np.argmax(coverage))
    return {
        "least": round(coverage[least], 2),
        "least_at": told(GRID[least]),
        "most": round(coverage[most], 2),
        "most_at": told(GRID[most]),
        "mean": round(float(np.mean(coverage)), 2),
        "cells_below_93": sum(percent < WANTED[0] for percent in coverage),
        "cells_above_97": sum(percent > WANTED[1] for percent in coverage),
        "median_half_width": round(float(np.mean([half for _, half in intervals])), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replicates", type=int, default=30_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    draws: dict[str, Draw] = {
        "normal": rng.standard_normal,
        "skewed": lambda shape: rng.standard_exponential(shape) - 1,
    }
    methods: dict[str, Error] = {"ours": mean_error, "plain": plain}
    result: dict[str, Any] = {
        "replicates": options.replicates,
        "standard_error_at_95": round(100 * (0.95 * 0.05 / options.replicates) ** 0.5, 2),
        "shares": "of the variance of the mean: stage-1 seeds, adaptation seeds, the rest",
        "half_width": "in standard deviations of the mean: median, averaged over the grid",
        "cells": len(GRID),
    }
    for name, draw in draws.items():
        result[name] = {}
        for size in SIZES if name == "normal" else SKEWED_SIZES:
            intervals: dict[str, list[tuple[float, float]]] = {method: [] for method in methods}
            for shares in GRID:
                values = tables(draw, options.replicates, size, shares)
                for method, error in methods.items():
                    intervals[method].append(covered(values, error))
            result[name][f"{size[0]}x{size[1]}"] = {
                **{method: summary(cells) for method, cells in intervals.items()},
                "ours_by_shares": {
                    told(shares): round(percent, 2)
                    for shares, (percent, _) in zip(GRID, intervals["ours"], strict=True)
                },
            }
    result["versions"] = {
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy")},
    }
    text = json.dumps(result, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
