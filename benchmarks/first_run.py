"""The first run on real data: strategies x tasks x adapters, from 500 labelled rows a task.

    python benchmarks/first_run.py DATA [--out results/first-run.json]

DATA holds ``ner/NAME`` and ``tc/NAME`` with train and test Parquet files; the stage-1 corpora are
those of ``recipes/first-run.yaml``. Every backbone and every cell is kept in ``runs/first-run``, so
an interrupted run goes on where it stopped. Prints the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onetrunk.adapt.fit import AdaptSettings, Data, fit
from onetrunk.adapt.rows import Draw, draw_rows
from onetrunk.config import load_recipe
from onetrunk.data.sources import find_files
from onetrunk.engine import Engine
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
ROWS = 500
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "scikit-learn")


def backbone(strategy: str) -> Backbone:
    folder = RUN / strategy
    if not (folder / "onetrunk.json").exists():
        prefinetune(load_recipe(RECIPE, strategy=strategy), folder)
    return load_backbone(folder)


def cell(loaded: Backbone, data: Path, task: str, seed: int) -> dict[str, Any]:
    """Fit both adapters on the same rows and score them in one pass over the test set."""
    family = family_named(TASKS[task])
    folder = data / TASKS[task] / task
    every = family.read(find_files(folder, "train"))
    test_file = find_files(folder, "test")
    test = family.read(test_file)
    ids = draw_rows(every, family, Draw(rows=ROWS), seed, "")
    rows = Data(family.label_set(every), [every[row] for row in ids])
    apps = {
        adapter: fit(loaded, family, rows, AdaptSettings(adapter=adapter, seed=seed))
        for adapter in ADAPTERS
    }
    start = time.perf_counter()
    with Engine(loaded, apps) as engine:
        scores = {adapter: engine.score(adapter, test, str(test_file)) for adapter in ADAPTERS}
    return {
        "test_rows": len(test),
        "test_seconds": round(time.perf_counter() - start, 1),
        **{
            adapter: {
                **{name: round(value, 2) for name, value in scores[adapter].items()},
                "fit_seconds": apps[adapter].record["seconds"],
                "trainable_parameters": apps[adapter].record["trainable_parameters"],
            }
            for adapter in ADAPTERS
        },
    }


def compute(data: Path) -> None:
    """Train every backbone and fill every cell that is not there yet."""
    for seed in SEEDS:
        for strategy in STRATEGIES:
            missing = [task for task in TASKS if not path_of(strategy, task, seed).exists()]
            if missing:
                loaded = backbone(strategy)
                for task in missing:
                    write_json(path_of(strategy, task, seed), cell(loaded, data, task, seed))


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
    recipe = load_recipe(RECIPE).model_dump()
    for settings in recipe["families"].values():  # names, not this machine's paths
        for source in settings["sources"]:
            source["path"] = "/".join(Path(source["path"]).parts[-2:])
    result = {
        "what": "stage 1 on weak data, then 500 labelled rows a task; one pre-finetuning seed",
        "encoder": "all-MiniLM-L6-v2, already tuned for sentence embeddings",
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
        "recipe": recipe,
        "adaptation": {"rows": ROWS, "seeds": SEEDS, **asdict(AdaptSettings())},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("onetrunk", *LIBRARIES)},
        },
        "machine": {"cpu": platform.machine(), "threads": torch.get_num_threads()},
    }
    write_json(options.out, result)
    print(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
