"""Several replicates of one suite: what a strategy gains in each, and over all of them.

    python benchmarks/replicates.py SUITE=OUT SUITE=OUT... [--strategy tpl] [--out FILE]

A replicate is a folder of cells (`onetrunk benchmark SUITE --out OUT`) with a start of stage 1 of
its own, and perhaps an encoder of its own. So a strategy is compared with the others of its
replicate alone. The differences of a task are averaged over replicates; then Wilcoxon's test goes
over tasks, with Holm's correction for the strategies that all replicates have.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.benchmark import statistics
from onetrunk.benchmark.comparison import Column, Results
from onetrunk.benchmark.store import load_cells
from onetrunk.benchmark.suite_file import load_suite
from onetrunk.storage import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("replicates", nargs="+", metavar="SUITE=OUT")
    parser.add_argument("--strategy", default="tpl")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    replicates = [
        Results(load_suite(Path(suite)), load_cells(Path(out)))
        for suite, out in (pair.split("=") for pair in options.replicates)
    ]
    columns = [c for c in replicates[0].columns if all(c in each.columns for each in replicates)]
    result = {
        " ".join(column): compared(replicates, column, options.strategy) for column in columns
    }
    for name, table in result.items():
        print(name)
        for strategy, row in table.items():
            print(f"  {strategy:10}", row)
    if options.out:
        write_json(options.out, result)


def compared(replicates: list[Results], column: Column, first: str) -> dict[str, Any]:
    """Mean scores of each strategy, and what ``first`` gains over it."""
    scores = [
        {name: values.mean((1, 2)) for name, values in each.complete(column).items()}
        for each in replicates
    ]
    names = [name for name in scores[0] if all(name in each for each in scores)]
    if first not in names:
        return {}
    table: dict[str, Any] = {
        name: {"score": [round(float(each[name].mean()), 2) for each in scores]} for name in names
    }
    others = [name for name in names if name != first]
    by_task = {name: [each[first] - each[name] for each in scores] for name in others}
    tests = {
        name: statistics.signed_rank(np.mean(values, axis=0)) for name, values in by_task.items()
    }
    adjusted = statistics.holm([test.p for test in tests.values()])
    for (name, values), p in zip(by_task.items(), adjusted, strict=True):
        table[name] |= {
            "gain": [round(float(each.mean()), 2) for each in values],
            "mean gain": round(float(np.mean(values)), 2),
            "p": round(float(p), 4),
            "won, tied, lost": list(statistics.wins(np.mean(values, axis=0))),
        }
    return table


if __name__ == "__main__":
    main()
