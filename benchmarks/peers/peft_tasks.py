"""Many tasks over one encoder with PEFT, from the folders that onetrunk writes; for servers.

``switch`` runs a batch once for each adapter (``set_adapter``); ``mixed`` runs one batch of
tasks x texts rows (``adapter_names``).
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer


class Tasks:
    """One encoder with a PEFT adapter and a linear head for each task."""

    def __init__(self, folder: Path, way: str, bf16: bool) -> None:
        self.way, self.bf16 = way, bf16
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "backbone")
        apps = sorted(path for path in (folder / "apps").iterdir())
        self.names = [path.name for path in apps]
        base = AutoModel.from_pretrained(folder / "backbone", dtype=torch.float32)
        self.model = PeftModel.from_pretrained(base, apps[0] / "adapter", adapter_name=apps[0].name)
        for path in apps[1:]:
            self.model.load_adapter(path / "adapter", adapter_name=path.name)
        self.model.eval()
        heads = [load_file(path / "head.safetensors") for path in apps]
        self.weight = torch.stack([head["weight"] for head in heads])
        self.bias = torch.stack([head["bias"] for head in heads])
        self.labels = [json.loads((path / "app.json").read_text())["labels"] for path in apps]

    @torch.inference_mode()
    def answers(self, texts: list[str]) -> list[dict[str, Any]]:
        """For each text, the answer of each task."""
        inputs = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        autocast = torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()
        with autocast:
            if self.way == "mixed":
                count = len(self.names)
                states = self.model(
                    input_ids=ids.repeat(count, 1),
                    attention_mask=mask.repeat(count, 1),
                    adapter_names=[name for name in self.names for _ in texts],
                ).last_hidden_state.unflatten(0, (count, len(texts)))
            else:
                of_tasks = []
                for name in self.names:
                    self.model.set_adapter(name)
                    output = self.model(input_ids=ids, attention_mask=mask)
                    of_tasks.append(output.last_hidden_state)
                states = torch.stack(of_tasks)
        weights = mask / mask.sum(1, keepdim=True)
        pooled = (states.float() * weights[None, :, :, None]).sum(2)
        shares = (pooled @ self.weight.mT + self.bias[:, None]).softmax(-1)
        return [
            {
                name: {
                    "labels": [labels[int(of_task[number].argmax())]],
                    "probabilities": {
                        label: round(p, 4)
                        for label, p in zip(labels, of_task[number].tolist(), strict=True)
                    },
                }
                for name, labels, of_task in zip(self.names, self.labels, shares, strict=True)
            }
            for number in range(len(texts))
        ]


def options() -> argparse.Namespace:
    """The command line of a server: FOLDER has ``backbone`` and ``apps``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=["switch", "mixed"], default="switch")
    parser.add_argument("--bf16", action="store_true")
    return parser.parse_args()
