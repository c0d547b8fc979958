"""How the effect of stage 1 grows with its steps.

    python benchmarks/growth.py DATA ENCODER [--steps 400 1000 3000] [--threads 1] [--collect]

ENCODER is the folder of a control (``control.py``). Each strategy is trained at each number of
steps from the start, with the whole schedule of learning rates (warm-up, linear decay): so a short
run is what somebody with little time would make, and not a long one stopped while it was hot. The
eight development sets are none of the suite's; stage 1 leaves out what their test rows hold, as it
does for the suite. Work is shared and resumed as in ``strategies.py``: backbones and cells are in
``runs/growth``. ``--collect`` writes ``results/growth.json`` from what is finished, and
``figures.py`` draws it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student_t

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.apps.app import AdapterKind
from onetrunk.benchmark.jobs import Job, work
from onetrunk.config import Recipe, load_recipe
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.log import read_conflicts
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import read_json, write_json
from shared import ROWS, Parts, environment, file_job, public, scores_of
from strategies import RECIPE, SUITE

RUN = Path("runs/growth")
RESULT = Path("results/growth.json")
STRATEGIES = ("tpl", "joint", "ner", "tc")
DEVELOPMENT = {
    "gum": "ner", "finer_ord": "ner", "cyner": "ner", "e_ner_edgar": "ner",
    "hwu64_intent": "tc", "yelp5_subset": "tc", "searchsnippets": "tc", "mpqa": "tc",
}  # fmt: skip
DRAWS = {"linear": (0, 1, 2), "lora": (0,)}
"""By kind of app: the seeds that draw its rows."""
GPU_DAY = 2 * 10**7
"""Steps of a day on one GPU, if it does the 64 MFLOP of a token at 50 TFLOP/s (docs/scaling.md) and
a step has the 3,200 tokens of here. Computed, not run."""


def recipe_of(data: Path, encoder: str, strategy: str, steps: int) -> Recipe:
    against = [str(data / kind / task) for kind in SUITE for task in SUITE[kind].split()]
    against += [str(data / kind / task) for task, kind in DEVELOPMENT.items()]
    return load_recipe(
        RECIPE, strategy=strategy, steps=steps, encoder=encoder, decontaminate={"against": against}
    )


def name_of(strategy: str, steps: int) -> str:
    return strategy if strategy == "none" else f"{strategy}-{steps}"


def runs(steps: Sequence[int]) -> list[tuple[str, int]]:
    """Strategies and steps in the order of work: short runs first."""
    return [("none", 1), *((strategy, n) for n in steps for strategy in STRATEGIES)]


def jobs(data: Path, encoder: str, steps: Sequence[int], parts: Parts) -> list[Job]:
    """Each backbone, then its linear cells; LoRA apps, which take longer, come last."""
    listed: list[Job] = []
    later: list[Job] = []
    for strategy, n in runs(steps):
        name = name_of(strategy, n)
        folder = RUN / "backbones" / name
        train = partial(prefinetune, recipe_of(data, encoder, strategy, n), folder, resume=True)
        listed.append(file_job(folder, train))
        for task in DEVELOPMENT:
            for adapter, of_kind in (("linear", listed), ("lora", later)):
                make = partial(score, data, folder, task, adapter)
                of_kind.append(parts.job(f"{name}.{task}.{adapter}", make, folder))
    return listed + later


def score(data: Path, folder: Path, task: str, adapter: AdapterKind) -> dict[str, Any]:
    """The apps of one kind and task on a backbone, by the seed of their rows."""
    draws = {f"{seed}": AdaptSettings(adapter=adapter, seed=seed) for seed in DRAWS[adapter]}
    return scores_of(Backbone.load(folder), data, DEVELOPMENT[task], task, draws)


def scores(parts: Parts, name: str, kind: str, adapter: str) -> dict[str, float] | None:
    """By task of a kind: the mean over draws of the main metric; None until all are there."""
    tasks = [task for task, of_kind in DEVELOPMENT.items() if of_kind == kind]
    if any(f"{name}.{task}.{adapter}" not in parts for task in tasks):
        return None
    metric = family_named(kind).metric
    return {
        task: round(
            mean(parts[f"{name}.{task}.{adapter}"][f"{draw}"][metric] for draw in DRAWS[adapter]), 2
        )
        for task in tasks
    }


def trend(steps: Sequence[int], gains: Sequence[Sequence[float]]) -> dict[str, Any] | None:
    """Least squares of each task's gain on the logarithm of the steps: the mean slope, and the mean
    gain that the lines reach after ``GPU_DAY`` steps, with 95 % intervals of Student's t over tasks
    (which know nothing of a curve that bends later). ``gains``: by number of steps, then by task.
    """
    if len(steps) < 3:
        return None
    slopes, starts = np.polyfit(np.log10(steps), np.array(gains), 1)
    return {
        "per_tenfold_steps": _interval(slopes),
        f"extrapolated_to_{GPU_DAY}_steps": _interval(slopes * np.log10(GPU_DAY) + starts),
    }


def _interval(of_tasks: np.ndarray) -> dict[str, float]:
    center, error = of_tasks.mean(), of_tasks.std(ddof=1) / np.sqrt(len(of_tasks))
    reach = error * student_t.ppf(0.975, len(of_tasks) - 1)
    named = {"mean": center, "low": center - reach, "high": center + reach}
    return {name: round(float(value), 2) for name, value in named.items()}


def conflict(name: str) -> dict[str, Any] | None:
    """Of a run of two families, in each fifth of its steps: the cosine of their gradients of the
    backbone (the mean over its layers), and how often it is negative."""
    records = read_conflicts({name: RUN / "backbones" / name}).get(name, [])
    cosines = [next(iter(record.cosines.values())) for record in records]
    if not cosines:
        return None
    fifths = np.array_split(np.array(cosines).mean(1), 5)
    return {
        "mean_cosine": [round(float(fifth.mean()), 4) for fifth in fifths],
        "share_negative": [round(float((fifth < 0).mean()), 3) for fifth in fifths],
    }


def collect(data: Path, encoder: str, steps: Sequence[int], parts: Parts) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    trends: dict[str, Any] = {}
    for adapter in ("linear", "lora"):
        for kind in ("ner", "tc"):
            key = f"{adapter} {kind}"
            table = {
                name_of(*run): of_run
                for run in runs(steps)
                if (of_run := scores(parts, name_of(*run), kind, adapter))
            }
            tables[key] = {name: {**row, "mean": _mean(row)} for name, row in table.items()}
            if "none" not in table:
                continue
            for strategy in STRATEGIES:
                done = [n for n in steps if name_of(strategy, n) in table]
                gains = [
                    [
                        value - table["none"][task]
                        for task, value in table[name_of(strategy, n)].items()
                    ]
                    for n in done
                ]
                trends[f"{key}: {strategy} - none"] = trend(done, gains)
    records = {}
    for run in runs(steps):
        folder = RUN / "backbones" / name_of(*run)
        if (folder / "onetrunk.json").exists():
            record = read_json(folder / "onetrunk.json", "a backbone")
            kept = ("steps", "useful_tokens", "seconds", "precision")
            records[name_of(*run)] = {key: record[key] for key in kept if key in record}
    return {
        "what": "stage 1 by five strategies at growing numbers of steps, then "
        f"{ROWS} labelled rows a task: means of three draws of linear apps, one draw of LoRA apps",
        "metrics": {"ner": "strict entity micro-F1", "tc": "accuracy"},
        "tables": tables,
        "trends": trends,
        "conflict": {
            name: of_run
            for run in runs(steps)
            if (name := name_of(*run)) and (of_run := conflict(name))
        },
        "runs": records,
        "recipe": public(recipe_of(data, encoder, "tpl", steps[-1])) | {"encoder": "the control"},
        **environment(),
    }


def _mean(row: dict[str, float]) -> float:
    return round(mean(row.values()), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[400, 1000, 3000])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, encoder, parts = options.data.resolve(), str(options.encoder.resolve()), Parts("growth")
    if not options.collect:
        work(jobs(data, encoder, options.steps, parts))
    parts.pack()
    write_json(RESULT, collect(data, encoder, options.steps, parts))


if __name__ == "__main__":
    main()
