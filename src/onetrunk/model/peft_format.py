"""LoRA adapters in PyTorch as PEFT folders (:mod:`onetrunk.model.peft_files`)."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from onetrunk.model.encoder import Encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.peft_files import CONFIG, WEIGHTS, Host, read_peft
from onetrunk.storage import write_json


def save_peft(adapter: LoraAdapter, encoder: Encoder, folder: Path) -> None:
    """Write an adapter so that ``PeftModel.from_pretrained(AutoModel…, folder)`` loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for (layer, target), (a, b) in sorted(adapter.matrices.items()):
        name = f"base_model.model.{_module(encoder, layer, target)}"
        tensors[f"{name}.lora_A.weight"] = a.T.contiguous()
        tensors[f"{name}.lora_B.weight"] = b.T.contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": encoder.source,
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "use_rslora": adapter.rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        **_target_modules(adapter, encoder),
    }
    write_json(folder / CONFIG, config)


def load_peft(folder: Path, encoder: Encoder) -> LoraAdapter:
    """Read a PEFT LoRA folder that was made for ``encoder``, by onetrunk or by PEFT.

    Raises :class:`UserError` if it is not LoRA, is a variant that onetrunk does not compute, or
    holds a tensor for which this encoder has no place.
    """

    def size_of(layer: int, target: str) -> tuple[int, int]:
        linear = encoder.linear(layer, target)
        return linear.in_features, linear.out_features

    host = Host(encoder.source, [encoder.architecture], encoder.depth, size_of)
    rank, alpha, rslora, arrays = read_peft(folder, host)
    matrices = {
        place: (torch.from_numpy(a), torch.from_numpy(b)) for place, (a, b) in arrays.items()
    }
    return LoraAdapter(rank, alpha, matrices, rslora)


def _module(encoder: Encoder, layer: int, target: str) -> str:
    architecture = encoder.architecture
    return f"{architecture.layers}.{layer}.{architecture.targets[target]}"


def _target_modules(adapter: LoraAdapter, encoder: Encoder) -> dict[str, Any]:
    """PEFT selects modules by the end of their name and by layer. Where this would select too many,
    their full names are listed."""
    names = encoder.architecture.targets
    endings = [names[target] for target in adapter.targets]
    layers = adapter.layers
    selected = {
        (layer, target)
        for layer in layers
        for target in names
        if any(
            names[target] == ending or names[target].endswith(f".{ending}") for ending in endings
        )
    }
    if selected == set(adapter.matrices):
        pattern = encoder.architecture.layers.rpartition(".")[2]
        return {
            "target_modules": endings,
            "layers_to_transform": layers,
            "layers_pattern": pattern,
        }
    modules = [_module(encoder, layer, target) for layer, target in sorted(adapter.matrices)]
    return {"target_modules": modules, "layers_to_transform": None, "layers_pattern": None}
