"""How k, the LoRA's rank and the weight of the classification loss change ``tpl``.

    python benchmarks/sweep.py DATA [--threads 1] [--collect]

One key is changed at a time from k = 3, rank 16, weight 0.2, in ``recipes/tpl.yaml``, for
as many steps as in ``strategies.py``: eleven minutes of one core with bf16 instructions. k of the
primary LoRA and k of the app's LoRA are told apart: every backbone of the k sweep gets apps of
every depth. Work is shared and resumed as in ``strategies.py``; backbones are kept in
``runs/sweep``, scores in ``results/sweep-parts.json``; a point whose scores are there is not
trained again. ``--collect`` writes ``results/sweep.json`` from what is finished.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.benchmark.jobs import Job, work
from onetrunk.config import Recipe
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import write_json
from shared import ENCODER, ROWS, Parts, environment, file_job, public, scores_of
from strategies import STEPS, TASKS
from strategies import recipe_of as full_recipe

RUN = Path("runs/sweep")
DRAW = 0
DEPTHS = (1, 2, 3, 6)


@dataclass(frozen=True)
class Point:
    """One recipe of the sweep."""

    k: int = 3
    rank: int = 16
    weight: float = 0.2

    @property
    def name(self) -> str:
        return f"k{self.k}-r{self.rank}-w{self.weight:g}"

    @property
    def folder(self) -> Path:
        return RUN / "backbones" / self.name


CENTRE = Point()
SWEEPS = {
    "k": [Point(k=k) for k in DEPTHS],
    "weight": [Point(weight=weight) for weight in (0.1, 0.2, 0.5, 1.0)],
    "rank": [Point(rank=rank) for rank in (4, 8, 16, 32)],
}


def points() -> list[Point]:
    return list(dict.fromkeys([CENTRE, *(p for sweep in SWEEPS.values() for p in sweep)]))


def recipe_of(data: Path, point: Point) -> Recipe:
    recipe = full_recipe(data, "tpl", 0)
    recipe.k, recipe.lora.rank = point.k, point.rank
    recipe.lora.alpha = 2.0 * point.rank  # the same scaling at every rank
    recipe.families["tc"]["weight"] = point.weight
    return recipe


def adapters(point: Point) -> dict[str, AdaptSettings]:
    """A linear app and a LoRA app; apps of every depth where k is swept."""
    depths = DEPTHS if point in SWEEPS["k"] else (point.k,)
    return {
        "linear": AdaptSettings(adapter="linear", seed=DRAW),
        **{f"lora k={k}": AdaptSettings(adapter="lora", k=k, seed=DRAW) for k in depths},
    }


def part(point: Point, task: str) -> str:
    return f"{point.name}.{task}"


def score(data: Path, point: Point, task: str) -> dict[str, Any]:
    return scores_of(Backbone.load(point.folder), data, TASKS[task], task, adapters(point))


def jobs(data: Path, parts: Parts) -> list[Job]:
    listed = []
    for point in points():
        if all(part(point, task) in parts for task in TASKS):
            continue
        train = partial(prefinetune, recipe_of(data, point), point.folder, resume=True)
        listed.append(file_job(point.folder, train))
        listed += [
            parts.job(part(point, task), partial(score, data, point, task), point.folder)
            for task in TASKS
        ]
    return listed


def row(point: Point, parts: Parts) -> dict[str, Any] | None:
    """Means over the tasks of each family, by app; None while cells are missing."""
    if not all(part(point, task) in parts for task in TASKS):
        return None
    cells = {task: parts[part(point, task)] for task in TASKS}
    rows: dict[str, Any] = {}
    for adapter in adapters(point):
        scores = {
            task: cells[task][adapter][family_named(kind).metric] for task, kind in TASKS.items()
        }
        rows[adapter] = {
            f"{kind}_mean": round(mean(scores[t] for t in TASKS if TASKS[t] == kind), 2)
            for kind in ("ner", "tc")
        } | scores
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    parser.add_argument("--out", type=Path, default=Path("results/sweep.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, parts = options.data.resolve(), Parts("sweep")
    if not options.collect:
        work(jobs(data, parts))
    result = {
        "what": f"tpl, {STEPS} steps of stage 1, one seed; then {ROWS} labelled rows a task, one "
        "draw; one key changed at a time",
        "encoder": ENCODER,
        "centre": CENTRE.__dict__,
        "sweeps": {
            key: {point.name: scores for point in sweep if (scores := row(point, parts))}
            for key, sweep in SWEEPS.items()
        },
        "recipe": public(recipe_of(data, CENTRE)),
        **environment(),
    }
    write_json(options.out, result)
    parts.pack()
    means = {
        key: {
            name: {app: (v["ner_mean"], v["tc_mean"]) for app, v in apps.items()}
            for name, apps in sweep.items()
        }
        for key, sweep in result["sweeps"].items()
    }
    print(json.dumps(means, indent=2))


if __name__ == "__main__":
    main()
