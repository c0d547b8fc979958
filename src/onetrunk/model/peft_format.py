"""LoRA adapters as PEFT folders: ``adapter_config.json`` and ``adapter_model.safetensors``.

PEFT stores A as ``(r, d_in)`` and B as ``(d_out, r)``, the transposes of ours.
"""

import re
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file

from onetrunk.errors import UserError
from onetrunk.model.encoder import Encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.storage import read_json, write_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

# Options of PEFT that make LoRA compute something other than x A B · s. If one of them is on, the
# adapter is refused.
_UNSUPPORTED = (
    "use_dora", "lora_bias", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out",
    "layer_replication", "use_qalora", "trainable_token_indices", "target_parameters",
    "alora_invocation_tokens", "use_bdlora", "arrow_config", "kasa_config", "velora_config",
    "monteclora_config",
)  # fmt: skip

# Initialisations that subtract the initial A·B from the encoder's weights. The adapter then fits
# changed weights, which are in none of its files.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


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
    config = read_json(folder / CONFIG, "a PEFT adapter folder")
    _check_config(config, folder / CONFIG)
    try:
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise UserError(f"{folder} has no {WEIGHTS}") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS} is damaged: {error}") from None
    rank = int(config["r"])
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        layer, target, half = _parse_key(key, encoder, folder / WEIGHTS)
        linear = encoder.linear(layer, target)
        width = linear.in_features if half == "A" else linear.out_features
        expected = (rank, width) if half == "A" else (width, rank)
        if tuple(tensor.shape) != expected:
            raise UserError(
                f"{folder / WEIGHTS}: {key} is {tuple(tensor.shape)}, expected {expected}: "
                f"the adapter was made for another encoder than {encoder.source}"
            )
        halves.setdefault((layer, target), {})[half] = tensor.float().T.contiguous()
    for place, pair in halves.items():
        if len(pair) != 2:
            raise UserError(f"{folder / WEIGHTS}: {place} has only lora_{next(iter(pair))}")
    if not halves:
        raise UserError(f"{folder / WEIGHTS} holds no LoRA matrices")
    matrices = {place: (pair["A"], pair["B"]) for place, pair in sorted(halves.items())}
    return LoraAdapter(
        rank, float(config["lora_alpha"]), matrices, bool(config.get("use_rslora", False))
    )


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


def _check_config(config: dict[str, Any], path: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise UserError(f"{path}: peft_type is {config.get('peft_type')!r}; only LORA is supported")
    for key in ("r", "lora_alpha"):
        if not isinstance(config.get(key), int | float):
            raise UserError(f"{path}: {key!r} is missing or not a number")
    for key in _UNSUPPORTED:
        if config.get(key):
            raise UserError(f"{path}: {key} = {config[key]!r} is not supported, only plain LoRA is")
    initialisation = str(config.get("init_lora_weights", True)).casefold()
    if initialisation.startswith(_CHANGES_BASE):
        raise UserError(
            f"{path}: init_lora_weights = {config['init_lora_weights']!r} changes the encoder's "
            "own weights; convert the adapter to plain LoRA first"
        )
    if config.get("bias", "none") != "none":
        raise UserError(f"{path}: bias = {config['bias']!r} is not supported; train with 'none'")


def _parse_key(key: str, encoder: Encoder, path: Path) -> tuple[int, str, str]:
    """Layer, target and half (A or B) that a tensor's name refers to."""
    layers = re.escape(encoder.architecture.layers)
    # In a task model of transformers the encoder's name comes first (bert.encoder.layer…).
    form = rf"base_model\.model\.(?:\w+\.)?{layers}\.(\d+)\.(.+)\.lora_([AB])(?:\.default)?\.weight"
    match = re.fullmatch(form, key)
    by_module = {module: target for target, module in encoder.architecture.targets.items()}
    if match is None or match[2] not in by_module or int(match[1]) >= encoder.depth:
        raise UserError(f"{path}: {key} has no place on encoder {encoder.source}")
    return int(match[1]), by_module[match[2]], match[3]
