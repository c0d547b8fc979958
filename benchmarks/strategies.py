"""Stage 1 by every strategy on the same data and number of steps, scored on eight tasks.

    python benchmarks/strategies.py DATA [--threads 1] [--collect]

The recipes are ``recipes/tpl.yaml`` (``recipes/muppet.yaml`` for muppet), decontaminated
against the 21 tasks of the suite. Backbones and cells are kept in ``runs/strategies``; run the
command several times at once to share the work, and again to go on after a kill. ``--collect``
writes ``results/strategies.json`` and the conflict heat maps from what is finished.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.benchmark.jobs import Job, work
from onetrunk.config import Recipe, load_recipe
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.log import read_conflicts
from onetrunk.prefinetuning.plot import plot_conflicts
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import read_json, write_json
from shared import ENCODER, ROWS, environment, file_job, json_job, public, scores_of

RECIPE, MUPPET = Path("recipes/tpl.yaml"), Path("recipes/muppet.yaml")
RUN = Path("runs/strategies")
STEPS = 700
TASKS = {
    "conll2003": "ner",
    "mit_restaurant": "ner",
    "ncbi_disease": "ner",
    "wnut17": "ner",
    "banking77": "tc",
    "sst2": "tc",
    "trec6": "tc",
    "tweeteval_emotion": "tc",
}
SUITE = {
    "ner": "conll2003 wnut17 mit_movie mit_restaurant crossner_politics crossner_science "
    "crossner_ai ncbi_disease hwu64_slots tasteset",
    "tc": "sst2 trec6 subj cr ag_news banking77 clinc150 sms_spam tweeteval_emotion "
    "tweeteval_offensive stackoverflow20",
}
# In the order of work: (strategy, seed of stage 1). upgrad is left out: its update of two families
# is that of pcgrad.
BACKBONES = [
    ("none", 0), ("none", 1), ("none", 2), ("tpl", 0), ("joint", 0), ("ner", 0), ("tc", 0),
    ("tpl", 1), ("joint", 1), ("frozen", 0), ("pcgrad", 0), ("muppet", 0), ("tpl", 2),
    ("joint", 2), ("imtl-g", 0), ("cagrad", 0), ("tpl+upgrad", 0),
]  # fmt: skip
DISCARDED = "tpl, LoRA discarded"
ROWS_OF_TABLE = [*dict.fromkeys(strategy for strategy, _ in BACKBONES), DISCARDED]
ADAPTERS = ("linear", "lora")


def recipe_of(data: Path, strategy: str, seed: int) -> Recipe:
    against = [str(data / kind / task) for kind in SUITE for task in SUITE[kind].split()]
    return load_recipe(
        MUPPET if strategy == "muppet" else RECIPE,
        strategy=strategy, seed=seed, steps=STEPS, decontaminate={"against": against},
    )  # fmt: skip


def backbone_folder(strategy: str, seed: int) -> Path:
    return RUN / "backbones" / f"{strategy}.{seed}"


def cell_file(row: str, task: str, seed: int) -> Path:
    return RUN / "cells" / f"{row}.{task}.{seed}.json"


def score(data: Path, row: str, task: str, seed: int) -> dict[str, Any]:
    """The seed of stage 1 draws the labelled rows, too."""
    loaded = Backbone.load(backbone_folder("tpl" if row == DISCARDED else row, seed))
    if row == DISCARDED:
        loaded = replace(loaded, primary_loras={})
    adapters = {adapter: AdaptSettings(adapter=adapter, seed=seed) for adapter in ADAPTERS}
    return scores_of(loaded, data, TASKS[task], task, adapters)


def rows_of(strategy: str) -> list[str]:
    """Rows of the table that a strategy's backbones give."""
    return [strategy, DISCARDED] if strategy == "tpl" else [strategy]


def jobs(data: Path) -> list[Job]:
    """Each backbone, then its cells."""
    listed: list[Job] = []
    for strategy, seed in BACKBONES:
        folder = backbone_folder(strategy, seed)
        listed.append(file_job(folder, partial(_train, data, strategy, seed)))
        listed += [
            json_job(cell_file(row, task, seed), partial(score, data, row, task, seed), folder)
            for row in rows_of(strategy)
            for task in TASKS
        ]
    return listed


def _train(data: Path, strategy: str, seed: int) -> None:
    prefinetune(recipe_of(data, strategy, seed), backbone_folder(strategy, seed), resume=True)


def table(seeds: Sequence[int]) -> dict[str, Any]:
    """By adapter and row: each task's mean over those of the seeds that are complete."""
    tables: dict[str, Any] = {}
    for adapter in ADAPTERS:
        for row in ROWS_OF_TABLE:
            files = {seed: [cell_file(row, task, seed) for task in TASKS] for seed in seeds}
            complete = [s for s in seeds if all(file.exists() for file in files[s])]
            if not complete:
                continue
            cells = [[read_json(f, "a cell")[adapter] for f in files[s]] for s in complete]
            scores = {
                task: [of_seed[i][family_named(kind).metric] for of_seed in cells]
                for i, (task, kind) in enumerate(TASKS.items())
            }
            means: dict[str, Any] = {t: round(mean(values), 2) for t, values in scores.items()}
            for kind in ("ner", "tc"):
                of_kind = [scores[task] for task in TASKS if TASKS[task] == kind]
                by_seed = [round(mean(values), 2) for values in zip(*of_kind, strict=True)]
                means[f"{kind}_mean"], means[f"{kind}_by_seed"] = round(mean(by_seed), 2), by_seed
            tables.setdefault(adapter, {})[row] = {"seeds": complete, **means}
    return tables


def collect(data: Path) -> dict[str, Any]:
    records = {}
    for strategy, seed in BACKBONES:
        folder = backbone_folder(strategy, seed)
        if folder.exists():
            record = read_json(folder / "onetrunk.json", "a backbone")
            keys = ("steps", "useful_tokens", "padding_waste", "seconds", "precision")
            records[f"{strategy}.{seed}"] = {key: record[key] for key in keys}
    return {
        "what": f"{STEPS} steps of stage 1 by every strategy, then {ROWS} labelled rows a task. "
        "The draw of rows goes with the seed of stage 1; tables of seed 0 compare like with like",
        "encoder": ENCODER,
        "metrics": {"ner": "strict entity micro-F1", "tc": "accuracy"},
        "table": table((0, 1, 2)),
        "table_of_seed_0": table((0,)),
        "runs": records,
        "recipe": public(recipe_of(data, "tpl", 0)),
        **environment(),
    }


def heat_maps(path: Path) -> None:
    """Draw the conflict of every finished strategy whose families share the backbone, seed 0."""
    folders = {name: backbone_folder(name, seed) for name, seed in BACKBONES if seed == 0}
    conflicts = read_conflicts(folders)
    if conflicts:
        plot_conflicts(conflicts, path, f"gradient conflict by layer, {STEPS} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    parser.add_argument("--out", type=Path, default=Path("results/strategies.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = options.data.resolve()
    if not options.collect:
        work(jobs(data))
    result = collect(data)
    write_json(options.out, result)
    heat_maps(options.out.with_name(f"{options.out.stem}-conflict.png"))
    print(json.dumps(result["table"], indent=2))


if __name__ == "__main__":
    main()
