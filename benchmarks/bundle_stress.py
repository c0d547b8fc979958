"""A bundle's runtime under change, and with thousands of apps.

    python benchmarks/bundle_stress.py BACKBONE [--seconds 60] [--apps 2000] [--max-loaded 64]
        [--out results/bundle-stress.json]

Change: eight threads share one runtime. Six ask for four apps over several texts; two replace,
remove and add two of these apps. An app may change between two requests, but all answers to one
request must come from the same version of it.

Many: a bundle of ``--apps`` LoRA apps (random weights, rank 16, last 2 layers, 77 labels). At most
``--max-loaded`` of them are in memory. Measured: milliseconds of an app's first use and of the
next, and memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from bundle_vs_models import adapter
from onetrunk.apps.app import App
from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.change import add_apps
from onetrunk.bundle.contents import bundled_app
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from shared import environment

TEXTS = [
    "book a table for four in Oslo on Friday evening",
    "can you call me back about the parcel that never came, please",
    "my card was charged twice",
    "",
]
LABELS = 77
ASKERS, CHANGERS, VERSIONS = 6, 2, 3
FIXED, CHANGED = ("a", "b"), ("c", "d")


def make_app(loaded: Backbone, seed: int) -> App:
    """An app of random weights."""
    family = FAMILIES["tc"]
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(loaded.encoder.width, LABELS).requires_grad_(False)
    for parameter in head.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    labels = [f"label {i:02}" for i in range(LABELS)]
    lora = adapter(loaded.encoder, seed)
    return App(family, labels, head, lora, family.family_of_primary, 128, loaded.fingerprint)


def change(loaded: Backbone, folder: Path, seconds: float) -> dict[str, Any]:
    """Answers while apps come and go."""
    apps = {name: make_app(loaded, seed) for seed, name in enumerate((*FIXED, *CHANGED))}
    export_bundle(loaded, apps, folder, "int8")
    versions: dict[str, list[BundledApp]] = {
        name: [
            bundled_app(name, make_app(loaded, 100 * number + at), loaded)
            for number in range(1, 1 + VERSIONS)
        ]
        for at, name in enumerate(CHANGED)
    }
    answers: dict[str, list[list[str]]] = {name: [] for name in apps}
    for number in range(VERSIONS):
        alone = Runtime(folder, threads=1)
        for name in CHANGED:
            alone.add(versions[name][number])
        for name in apps:
            answers[name].append(_labels(alone.predict(TEXTS, [name]), name))
    if any(len({*map(tuple, answers[name])}) < VERSIONS for name in CHANGED):
        raise SystemExit("two versions answer alike: they could not be told apart")
    runtime, stop = Runtime(folder, threads=1), threading.Event()
    for name in CHANGED:
        runtime.add(versions[name][0])
    counts: Counter[str] = Counter()
    latencies: list[float] = []
    problems: list[str] = []

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            names = None if rng.random() < 0.5 else [*FIXED]
            try:
                start = time.perf_counter()
                predictions = runtime.predict(TEXTS, names)
                latencies.append(1000 * (time.perf_counter() - start))
            except Exception as error:
                problems.append(repr(error))
                continue
            for name in predictions[0]["apps"]:
                if _labels(predictions, name) not in answers[name]:
                    problems.append(f"mixed versions of {name}")
            counts["requests"] += 1

    def replace(name: str) -> None:
        rng = random.Random(name)
        try:
            while not stop.is_set():
                if rng.random() < 0.3:
                    runtime.remove(name)
                    counts["removed"] += 1
                runtime.add(rng.choice(versions[name]))
                counts["added or replaced"] += 1
        except Exception as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(ASKERS)]
    threads += [threading.Thread(target=replace, args=(name,)) for name in CHANGED]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return {
        "threads": len(threads),
        "seconds": seconds,
        **counts,
        "problems": len(problems),
        "first_problems": problems[:3],
        "request_ms": _percentiles(latencies),
    }


def _labels(predictions: list[dict[str, Any]], name: str) -> list[str]:
    return [prediction["apps"][name]["labels"][0] for prediction in predictions]


def many(loaded: Backbone, folder: Path, count: int, max_loaded: int) -> dict[str, Any]:
    """First use and memory with more apps than there is room for."""
    names = [f"app-{number:04}" for number in range(count)]
    export_bundle(loaded, {names[0]: make_app(loaded, 0)}, folder, "int8")
    for first in range(1, count, 250):
        more = {names[at]: make_app(loaded, at) for at in range(first, min(first + 250, count))}
        add_apps(folder, loaded, more)
    asked = random.Random(0).sample(names[max_loaded:], min(500, count - max_loaded))
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(folder), str(max_loaded), TEXTS[0], *asked],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    measured: dict[str, Any] = json.loads(done.stdout)
    return {
        "apps": count,
        "room": max_loaded,
        "bundle_mb": round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6),
        **{key: _percentiles(value) if "_ms" in key else value for key, value in measured.items()},
    }


# In a process of its own, which has never loaded PyTorch.
MANY = """
import json, sys, time
from pathlib import Path
from onetrunk.bundle.runtime import Runtime

def mib():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024

folder, max_loaded, text, *names = sys.argv[1:]
before, start = mib(), time.perf_counter()
runtime = Runtime(folder, threads=1, max_loaded=int(max_loaded))
found = {
    "seconds_to_open": round(time.perf_counter() - start, 2),
    "resident_mib_when_open": mib() - before,
    "first_use_ms": [],
    "next_use_ms": [],
}
for name in names:
    for times in (found["first_use_ms"], found["next_use_ms"]):
        start = time.perf_counter()
        runtime.predict([text], [name])
        times.append(1000 * (time.perf_counter() - start))
found["apps_used"] = len(names)
found["resident_mib_after_them"] = mib() - before
found["in_memory_after_them"] = len(runtime.apps)
print(json.dumps(found))
"""


def _percentiles(values: list[float]) -> dict[str, float]:
    return {
        "median": round(median(values), 1),
        "p95": round(float(np.percentile(values, 95)), 1),
        "p99": round(float(np.percentile(values, 99)), 1),
    }


def parts(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each measurement, by name."""
    loaded = Backbone.load(options.backbone)
    with tempfile.TemporaryDirectory() as folder:
        yield "change", change(loaded, Path(folder) / "change", options.seconds)
        yield "many", many(loaded, Path(folder) / "many", options.apps, options.max_loaded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("backbone")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--apps", type=int, default=2000)
    parser.add_argument("--max-loaded", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("results/bundle-stress.json"))
    options = parser.parse_args()
    result = dict(parts(options)) | environment()
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
