"""The first run on real data: strategies x tasks x adapters, from 500 labelled rows a task.

    python benchmarks/first_run.py DATA [--out results/first-run.json]

DATA holds ``ner/NAME`` and ``tc/NAME`` with train and test Parquet files; the stage-1 corpora are
those of ``recipes/first-run.yaml``. Every backbone and every cell is kept in ``runs/first-run``, so
an interrupted run goes on where it stopped. Prints the result as JSON.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from matrix import ENCODER, ROWS, cell, environment, public
from onetrunk.adapt.task import AdaptSettings
from onetrunk.config import load_recipe
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone, load_backbone
from onetrunk.prefinetune.run import prefinetune
from onetrunk.storage import read_json, write_json

RECIPE = Path("recipes/first-run.yaml")
RUN = Path("runs/first-run")
STRATEGIES = ("none", "ner", "joint", "tpl")
TASKS = {
    "conll2003": "ner",
    "mit_restaurant": "ner",
    "wnut17": "ner",
    "banking77": "tc",
    "trec6": "tc",
    "tweeteval_emotion": "tc",
}
ADAPTERS = ("linear", "lora")
SEEDS = (0, 1)


def backbone(strategy: str) -> Backbone:
    folder = RUN / strategy
    if not (folder / "onetrunk.json").exists():
        prefinetune(load_recipe(RECIPE, strategy=strategy), folder, resume=True)
    return load_backbone(folder)


def scores(loaded: Backbone, data: Path, task: str, seed: int) -> dict[str, Any]:
    """Both adapters on one task."""
    adapters = {adapter: AdaptSettings(adapter=adapter, seed=seed) for adapter in ADAPTERS}
    return cell(loaded, data, TASKS[task], task, seed, adapters)


def compute(data: Path) -> None:
    """Train every backbone and fill every cell that is not there yet."""
    for seed in SEEDS:
        for strategy in STRATEGIES:
            missing = [task for task in TASKS if not path_of(strategy, task, seed).exists()]
            if missing:
                loaded = backbone(strategy)
                for task in missing:
                    write_json(path_of(strategy, task, seed), scores(loaded, data, task, seed))


def path_of(strategy: str, task: str, seed: int) -> Path:
    return RUN / f"{strategy}.{task}.{seed}.json"


def finished() -> dict[str, dict[str, Any]]:
    """The cells there are; keys are ``strategy/task/seed``."""
    return {
        f"{strategy}/{task}/{seed}": read_json(path_of(strategy, task, seed), "a cell")
        for seed in SEEDS
        for strategy in STRATEGIES
        for task in TASKS
        if path_of(strategy, task, seed).exists()
    }


def summary(done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By seed, adapter and strategy: the metric of each task and its mean over each family.

    Seeds are kept apart: a strategy that lacks a cell of a seed has no row there.
    """
    tables: dict[str, Any] = {}
    for seed in SEEDS:
        for adapter in ADAPTERS:
            for strategy in STRATEGIES:
                keys = {task: f"{strategy}/{task}/{seed}" for task in TASKS}
                if not all(key in done for key in keys.values()):
                    continue
                row = {
                    task: done[key][adapter][family_named(TASKS[task]).metric]
                    for task, key in keys.items()
                }
                for kind in ("ner", "tc"):
                    own = [row[task] for task in TASKS if TASKS[task] == kind]
                    row[f"{kind}_mean"] = round(mean(own), 2)
                tables.setdefault(f"seed {seed}", {})[f"{adapter}/{strategy}"] = row
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/first-run.json"))
    parser.add_argument(
        "--collect", action="store_true", help="compute nothing: write what is finished so far"
    )
    options = parser.parse_args()
    if not options.collect:
        compute(options.data)
    done = finished()
    records = {s: read_json(RUN / s / "onetrunk.json", "a backbone") for s in STRATEGIES}
    result = {
        "what": "stage 1 on weak data, then 500 labelled rows a task; one pre-finetuning seed",
        "encoder": ENCODER,
        "metrics": {"ner": "strict entity micro-F1", "tc": "accuracy"},
        "summary": summary(done),
        "cells": done,
        "prefinetuning": {
            strategy: {
                key: record.get(key)
                for key in ("strategy", "steps", "useful_tokens", "seconds", "precision", "data")
            }
            for strategy, record in records.items()
        },
        "recipe": public(load_recipe(RECIPE)),
        "adaptation": {"rows": ROWS, "seeds": SEEDS, **asdict(AdaptSettings())},
        **environment(),
    }
    write_json(options.out, result)
    print(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
