"""PEFT folders of LoRA adapters, read without PyTorch: ``adapter_config.json``, checked, and
``adapter_model.safetensors``.

PEFT stores A as ``(r, d_in)`` and B as ``(d_out, r)``, the transposes of ours.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

from onetrunk.errors import UserError
from onetrunk.model.architecture import Architecture
from onetrunk.model.lora import Place
from onetrunk.storage import read_json, regular_size

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_MOST_BYTES = 4 * 2**30
"""No LoRA on an encoder comes near."""
_DTYPES: dict[str, type] = {"F64": np.float64, "F32": np.float32, "F16": np.float16}

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


class PeftLora(NamedTuple):
    """What a PEFT folder holds."""

    rank: int
    alpha: float
    rslora: bool
    matrices: dict[Place, tuple[np.ndarray, np.ndarray]]
    """A ``(d_in, r)`` and B ``(r, d_out)`` float32 of each place, ascending."""


@dataclass(frozen=True)
class Host:
    """The encoder that an adapter has to fit."""

    source: str
    """What messages call it."""
    architectures: Sequence[Architecture]
    """What it may be; their names of layers differ."""
    depth: int
    size_of: Callable[[int, str], tuple[int, int] | None]
    """``(layer, target) -> (d_in, d_out)`` of that linear map; None if it is not known."""

    def place(self, key: str, path: Path) -> tuple[int, str, str]:
        """Layer, target and half (A or B) that a tensor's name refers to."""
        for architecture in self.architectures:
            layers = re.escape(architecture.layers)
            # In a task model of transformers the encoder's name comes first (bert.encoder.layer…).
            name = rf"base_model\.model\.(?:\w+\.)?{layers}\.(\d+)\.(.+)"
            match = re.fullmatch(rf"{name}\.lora_([AB])(?:\.default)?\.weight", key)
            by_module = {module: target for target, module in architecture.targets.items()}
            if match and match[2] in by_module and int(match[1]) < self.depth:
                return int(match[1]), by_module[match[2]], match[3]
        raise UserError(f"{path}: {key} has no place on encoder {self.source}")


def read_peft(folder: Path, host: Host) -> PeftLora:
    """Read a PEFT LoRA folder that was made for the host's encoder, by onetrunk or by PEFT.

    Raises :class:`UserError` if it is not LoRA, is a variant that onetrunk does not compute, or
    holds a tensor for which this encoder has no place.
    """
    config = read_json(folder / CONFIG, "a PEFT adapter folder")
    _check_config(config, folder / CONFIG)
    rank, path = int(config["r"]), folder / WEIGHTS
    halves: dict[Place, dict[str, np.ndarray]] = {}
    for key, matrix in _matrices(path).items():
        layer, target, half = host.place(key, path)
        d_in, d_out = host.size_of(layer, target) or matrix.shape[::-1]
        expected = (rank, d_in) if half == "A" else (d_out, rank)
        if matrix.shape != expected:
            raise UserError(
                f"{path}: {key} is {matrix.shape}, expected {expected}: "
                f"the adapter was made for another encoder than {host.source}"
            )
        halves.setdefault((layer, target), {})[half] = np.ascontiguousarray(matrix.T)
    for place, pair in halves.items():
        if len(pair) != 2:
            raise UserError(f"{path}: {place} has only lora_{next(iter(pair))}")
    if not halves:
        raise UserError(f"{path} holds no LoRA matrices")
    matrices = {place: (pair["A"], pair["B"]) for place, pair in sorted(halves.items())}
    return PeftLora(
        rank, float(config["lora_alpha"]), bool(config.get("use_rslora", False)), matrices
    )


def _matrices(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as float32, those in bf16 too, which numpy does not know.
    Each has two axes."""
    try:
        if (size := regular_size(path)) > _MOST_BYTES:
            raise UserError(f"{path} has {size:,} bytes: it is not a LoRA's")
        tensors = safetensors.deserialize(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    matrices = {}
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        dtype, shape, data = tensor["dtype"], tensor["shape"], tensor["data"]
        if len(shape) != 2 or dtype not in (*_DTYPES, "BF16"):
            raise UserError(f"{path}: {name} is {dtype} of shape {tuple(shape)}, not a matrix")
        if dtype == "BF16":  # the upper half of a float32
            numbers = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            numbers = np.frombuffer(data, _DTYPES[dtype]).astype(np.float32)
        matrices[name] = numbers.reshape(shape)
    return matrices


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
