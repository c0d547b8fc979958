"""Accuracy against the cost of one more app: LoRA on the last k layers, and shallow apps that a
deep one has taught.

    python benchmarks/depth.py DATA BACKBONE [--threads 1]
    python benchmarks/depth.py DATA BACKBONE... --collect [--out results/depth.json]

500 labelled rows of each of four NER sets. ``k = 0`` is a linear app. The taught ones learn what
the app with a LoRA on every layer answers on 2,000 more texts without labels: of the task's own
training file, or of stage 1's corpora (``other texts``). Work is shared and resumed as in
``strategies.py``; scores are kept in ``runs/depth``, then in ``results/depth-parts.json``.

``--collect`` times what one more app of each k costs in an engine (fp32), so on an idle machine,
and writes ``results/depth.json``. The cost depends on the backbone's k, too: an app of fewer layers
keeps what its primary LoRA has on the others. Further backbones are only for that.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from onetrunk.adaptation.distill import taught
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.apps.windows import Examples
from onetrunk.benchmark.jobs import work
from onetrunk.benchmark.measure import draw_data
from onetrunk.benchmark.suite import DrawnRows
from onetrunk.data.sources import find_file, read_texts
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from shared import ENCODER, ROWS, Parts, drawn, environment, read

TASKS = ("conll2003", "mit_restaurant", "ncbi_disease", "wnut17")
CORPORA = ("bionlp13cg", "gmb", "sgd_slots", "wikineural_en")
TEXTS = 2000
DRAWS = (0, 1)
KS = (1, 2, 3)
SHALLOW = (0, 2, 3)
OWN, OTHER = "taught k={}", "taught k={}, other texts"
COST_TEXTS, MORE_APPS, REPEATS = 16, 8, 7


def settings(k: int, draw: int) -> AdaptSettings:
    return AdaptSettings(adapter="lora" if k else "linear", k=k or None, seed=draw)


def score(data: Path, folder: Path, task: str, draw: int) -> dict[str, Any]:
    """All apps of one task and draw, scored in one pass over the full test set."""
    family, backbone, whole = family_named("ner"), Backbone.load(folder), read(data, "ner", task)
    rows = draw_data(whole, DrawnRows(rows=ROWS), draw)
    deep = backbone.encoder.depth
    apps = {f"k={k}": fit(backbone, family, rows, settings(k, draw)) for k in (0, *KS, deep)}
    lessons = {
        OWN: _own_texts(whole.train, rows, draw),
        OTHER: _other_texts(data, draw),
    }
    for name, texts in lessons.items():
        lesson = taught(apps[f"k={deep}"], backbone, rows, [family.parse(t) for t in texts])
        for k in SHALLOW:
            apps[name.format(k)] = fit(backbone, family, lesson, settings(k, draw))
    scores = Engine(backbone, apps, "auto").score_all(list(apps), whole.test, whole.place)
    return {
        name: {
            "f1": round(scores[name]["f1"], 2),
            "fit_seconds": app.record["seconds"],
            "unlabelled_rows": app.record["unlabelled_rows"],
        }
        for name, app in apps.items()
    }


def _own_texts(train: list[Any], rows: Data, draw: int) -> list[str]:
    """Texts of the training file that were not drawn."""
    seen = {row.text for row in rows.train}
    texts = dict.fromkeys(row.text for row in train)
    return _some([text for text in texts if text not in seen], draw)


def _other_texts(data: Path, draw: int) -> list[str]:
    return _some([*chain(*(read_texts(data / "pre_ner" / name)[:TEXTS] for name in CORPORA))], draw)


def _some(texts: list[str], draw: int) -> list[str]:
    order = np.random.default_rng(draw).permutation(len(texts))
    return [texts[at] for at in order[:TEXTS]]


def costs(data: Path, backbone: Backbone) -> dict[str, float]:
    """The cost of one more app by its k: its part of a pass, in percent of a pass with one linear
    app. Medians of turns. The cost does not depend on what the app has learned."""
    family = family_named("ner")
    few = drawn(data, "ner", "conll2003", 0, rows=32)
    rows = family.read(find_file(data / "ner/conll2003", "test"))[:COST_TEXTS]
    examples = Examples.prepare(family, rows, backbone.encoder, 128)
    texts, units = [text.ids for text in examples.encoded], {"ner": examples.units}

    def seconds(engine: Engine) -> float:
        start = time.perf_counter()
        engine.logits(list(engine.apps), texts, units)
        return time.perf_counter() - start

    apps = {
        k: fit(backbone, family, few, replace(settings(k, 0), epochs=1))
        for k in (0, *KS, backbone.encoder.depth)
    }
    percent_by_k: dict[int, list[float]] = {k: [] for k in apps}
    for _ in range(REPEATS):
        engine = Engine(backbone, {"app": apps[0]})
        whole = min(seconds(engine) for _ in range(2))
        for k, app in apps.items():
            taken = []
            for count in (1, 1 + MORE_APPS):
                engine = Engine(backbone, {str(at): app for at in range(count)})
                taken.append(min(seconds(engine) for _ in range(2)))
            percent_by_k[k].append(100 * (taken[1] - taken[0]) / MORE_APPS / whole)
    return {f"k={k}": round(median(each), 1) for k, each in percent_by_k.items()}


def curve(cells: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each app, the mean F1 over tasks and draws, and its gain over k = 2 as a share of the
    deepest app's gain."""
    f1 = {name: mean(cell[name]["f1"] for cell in cells) for name in cells[0]}
    deepest = max(f"k={k}" for k in range(1, 100) if f"k={k}" in f1)
    gain = f1[deepest] - f1["k=2"]
    return {
        name: {
            "f1": round(value, 2),
            "share_of_gain": round((value - f1["k=2"]) / gain, 2),
            "fit_seconds": round(mean(cell[name]["fit_seconds"] for cell in cells), 1),
        }
        for name, value in f1.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--collect", action="store_true", help="fit nothing; measure the cost")
    parser.add_argument("--out", type=Path, default=Path("results/depth.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, parts = options.data.resolve(), Parts("depth")
    jobs = {
        f"{task}.{draw}": partial(score, data, options.backbone[0], task, draw)
        for draw in DRAWS
        for task in TASKS
    }
    if not options.collect:
        work([parts.job(name, make) for name, make in jobs.items()])
        return
    backbones = [Backbone.load(folder) for folder in options.backbone]
    scores_by_part = {name: parts[name] for name in jobs if name in parts}
    cells = [*scores_by_part.values()]
    result = {
        "what": f"apps of {ROWS} rows on four NER sets, full test sets, {len(cells)} of "
        f"{len(jobs)} tasks and draws; taught ones: {TEXTS} more texts",
        "encoder": ENCODER,
        "curve": curve(cells),
        "cost_of_one_more_app_in_percent_of_a_pass": {
            f"backbone of k={backbone.k}": costs(data, backbone) for backbone in backbones
        },
        "by_task": {
            task: {
                name: round(
                    mean(
                        c[name]["f1"]
                        for of, c in scores_by_part.items()
                        if of.startswith(f"{task}.")
                    ),
                    2,
                )
                for name in cells[0]
            }
            for task in dict.fromkeys(name.split(".")[0] for name in scores_by_part)
        },
        "backbone": {key: backbones[0].record["recipe"][key] for key in ("strategy", "steps", "k")},
        **environment(),
    }
    write_json(options.out, result)
    parts.pack()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
