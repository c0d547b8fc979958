"""A third task family from outside the package, trained beside the two: what does it gain, and what
does it cost them?

    python benchmarks/third_family.py DATA [--threads 1]

The family is ``examples/inference_family``. Three backbones are scored on its two labelled tasks
and on tasks of the others: the bare encoder, ``tpl`` with ner and tc, and ``tpl`` with all three,
for the same number of steps (the recipe of ``recipes/tpl.yaml``; the third family's part is
that of the example). No text of the third family's tasks is trained on. Backbones and cells are
kept in ``runs/third-family``; run the command several times at once to share the work, and again
to go on after a kill. Prints the table; the rest is in ``results/third-family.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.benchmark.jobs import Job, work
from onetrunk.config import Recipe, load_recipe
from onetrunk.families import FAMILIES
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.objectives import OBJECTIVES
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import atomic_folder, read_json, write_json
from shared import ENCODER, ROWS, environment, file_job, json_job, public, scores_of

EXAMPLE = Path("examples/inference_family")
sys.path.insert(0, str(EXAMPLE))

import weak_data  # noqa: E402
from onetrunk_nli import Inference, InferenceObjective  # noqa: E402

RECIPE = Path("recipes/tpl.yaml")
RUN = Path("runs/third-family")
THIRD = RUN / "data"
ARMS = {"none": (), "tpl of two": ("ner", "tc"), "tpl of three": ("ner", "tc", "nli")}
TASKS = {
    "sick_0": "nli",
    "sick_1": "nli",
    "mit_restaurant": "ner",
    "wnut17": "ner",
    "trec6": "tc",
    "tweeteval_emotion": "tc",
}
ADAPTERS = ("linear", "lora")
SEEDS = (0, 1)
# A pair source of tc that holds the third family's labelled tasks.
LEFT_OUT = "sick_related"


def recipe_of(arm: str, steps: int) -> Recipe:
    recipe = load_recipe(
        RECIPE, strategy="tpl" if ARMS[arm] else "none", steps=steps,
        decontaminate={"against": [str((THIRD / "held_out.txt").resolve())], "min_words": 1},
    )  # fmt: skip
    pairs = recipe.families["tc"]
    pairs["sources"] = [s for s in pairs["sources"] if Path(s["path"]).name != LEFT_OUT]
    if "nli" in ARMS[arm]:
        third = load_recipe(EXAMPLE / "recipe.yaml").families["nli"]
        for source in third["sources"]:
            built = THIRD / "weak" / Path(source["path"]).name
            if built.exists():
                source["path"] = str(built.resolve())
        recipe.families["nli"] = third
    return recipe


def backbone_folder(arm: str) -> Path:
    return RUN / "backbones" / arm


def cell_file(arm: str, task: str, seed: int) -> Path:
    return RUN / "cells" / f"{arm}.{task}.{seed}.json"


def score(data: Path, arm: str, task: str, seed: int) -> dict[str, Any]:
    loaded = Backbone.load(backbone_folder(arm))
    adapters = {adapter: AdaptSettings(adapter=adapter, seed=seed) for adapter in ADAPTERS}
    root = THIRD if TASKS[task] == "nli" else data
    return scores_of(loaded, root, TASKS[task], task, adapters)


def jobs(data: Path, steps: int) -> list[Job]:
    listed = [file_job(THIRD, partial(build, data))]
    for arm in ARMS:
        folder = backbone_folder(arm)
        listed.append(file_job(folder, partial(train, arm, steps), THIRD))
        listed += [
            json_job(cell_file(arm, task, seed), partial(score, data, arm, task, seed), folder)
            for seed in SEEDS
            for task in TASKS
        ]
    return listed


def build(data: Path) -> None:
    with atomic_folder(THIRD) as folder:
        weak_data.build(data, folder)


def train(arm: str, steps: int) -> None:
    prefinetune(recipe_of(arm, steps), backbone_folder(arm), resume=True)


def table() -> dict[str, Any]:
    """By adapter and arm: each task's metric, mean over the seeds, and each family's mean."""
    tables: dict[str, Any] = {}
    for adapter in ADAPTERS:
        for arm in ARMS:
            row = {
                task: round(
                    mean(
                        read_json(cell_file(arm, task, seed), "a cell")[adapter][
                            family_named(kind).metric
                        ]
                        for seed in SEEDS
                    ),
                    2,
                )
                for task, kind in TASKS.items()
            }
            for kind in dict.fromkeys(TASKS.values()):
                scores = [row[task] for task in TASKS if TASKS[task] == kind]
                row[f"{kind} mean"] = round(mean(scores), 2)
            tables.setdefault(adapter, {})[arm] = row
    return tables


def collect(out: Path, steps: int) -> None:
    records = {arm: read_json(backbone_folder(arm) / "onetrunk.json", "a backbone") for arm in ARMS}
    result = {
        "what": f"a family from a plug-in beside ner and tc, {steps} steps of tpl; {ROWS} labelled "
        "rows a task, one seed of stage 1",
        "encoder": ENCODER,
        "metrics": {kind: family_named(kind).metric for kind in dict.fromkeys(TASKS.values())},
        "nli tasks": weak_data.__doc__,
        "table": table(),
        "cells": {
            f"{arm}/{task}/{seed}": read_json(cell_file(arm, task, seed), "a cell")
            for arm in ARMS
            for task in TASKS
            for seed in SEEDS
        },
        "prefinetuning": {
            arm: {
                key: record.get(key)
                for key in ("strategy", "steps", "primary", "useful_tokens", "seconds", "data")
            }
            for arm, record in records.items()
        },
        "recipe": public(recipe_of("tpl of three", steps)),
        **environment(),
    }
    write_json(out, result)
    print(json.dumps(result["table"], indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=Path("results/third-family.json"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if Inference.name not in FAMILIES:  # it is if the example was installed
        FAMILIES.add(Inference.name, Inference())
        OBJECTIVES.add(Inference.name, InferenceObjective)
    work(jobs(options.data, options.steps))
    collect(options.out, options.steps)


if __name__ == "__main__":
    main()
