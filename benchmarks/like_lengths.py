"""Whether sentences of like length in a step change what stage 1 teaches.

    python benchmarks/like_lengths.py DATA ENCODER [--steps 400] [--threads 1] [--collect]

Strategy ``ner`` on the control ENCODER (``control.py``), two seeds, with the sentences of eight
steps drawn together and divided by length, as onetrunk does, and with each step's sentences drawn
alone. Linear apps on 500 rows, three draws, on the four NER development sets of ``growth.py``.
Work is shared and resumed as in ``strategies.py``: it is in ``runs/like-lengths``. ``--collect``
writes ``results/like-lengths.json`` from what is finished.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from growth import DEVELOPMENT, recipe_of, score, scores
from onetrunk.benchmark.jobs import Job, work
from onetrunk.prefinetuning.objectives import ner
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import read_json, write_json
from shared import ROWS, Parts, environment, file_job

RUN = Path("runs/like-lengths")
RESULT = Path("results/like-lengths.json")
POOLS = (1, ner.POOL)
"""Numbers of steps whose sentences are drawn together."""
SEEDS = (0, 1)
TASKS = [task for task, family in DEVELOPMENT.items() if family == "ner"]


def jobs(data: Path, encoder: str, steps: int, parts: Parts) -> list[Job]:
    """Each backbone, then its cells."""
    listed = []
    for seed in SEEDS:
        for pool in POOLS:
            name = f"{pool}-{seed}"
            folder = RUN / "backbones" / name
            listed.append(
                file_job(folder, partial(_train, data, encoder, steps, seed, pool, folder))
            )
            listed += [
                parts.job(
                    f"{name}.{task}.linear", partial(score, data, folder, task, "linear"), folder
                )
                for task in TASKS
            ]
    return listed


def _train(data: Path, encoder: str, steps: int, seed: int, pool: int, folder: Path) -> None:
    recipe = recipe_of(data, encoder, "ner", steps).model_copy(update={"seed": seed})
    ner.POOL = pool
    prefinetune(recipe, folder, resume=True)


def collect(steps: int, parts: Parts) -> dict[str, Any]:
    """By pool and seed: F1 of each task, their mean, and what the run of stage 1 took."""
    rows = {}
    for pool in POOLS:
        for seed in SEEDS:
            name = f"{pool}-{seed}"
            of_tasks = scores(parts, name, "ner", "linear")
            if of_tasks is None:
                continue
            record = read_json(RUN / "backbones" / name / "onetrunk.json", "a backbone")
            rows[f"pool {pool}, seed {seed}"] = {
                **of_tasks,
                "mean": round(mean(of_tasks.values()), 2),
                "useful_tokens": record["useful_tokens"],
            }
    return {
        "what": f"strategy ner, {steps} steps, then {ROWS} labelled rows a task: strict entity "
        "micro-F1, mean of three draws of linear apps; pool: steps whose sentences are drawn "
        "together and divided by length",
        "scores": rows,
        **environment(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = Parts("like-lengths")
    if not options.collect:
        work(jobs(options.data.resolve(), str(options.encoder.resolve()), options.steps, parts))
    write_json(RESULT, collect(options.steps, parts))


if __name__ == "__main__":
    main()
