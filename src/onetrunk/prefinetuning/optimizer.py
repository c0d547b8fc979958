"""AdamW with a learning rate for each kind of parameter, and its schedule."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from onetrunk.config import OptimizerSettings


def adamw(
    backbone: Sequence[nn.Parameter],
    lora: Sequence[nn.Parameter],
    objectives: Sequence[nn.Parameter],
    settings: OptimizerSettings,
) -> torch.optim.AdamW:
    """The optimizer of a run. A kind without parameters has no group."""
    groups = [
        {
            "params": [p for p in backbone if p.ndim > 1],
            "lr": settings.backbone_lr,
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in backbone if p.ndim < 2], "lr": settings.backbone_lr},
        {"params": list(objectives), "lr": settings.objective_lr},
        # No decay here: it would move a family's LoRA without a gradient of that family.
        {"params": list(lora), "lr": settings.lora_lr},
    ]
    groups = [{**group, "initial_lr": group["lr"]} for group in groups if group["params"]]
    return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)


def set_rates(
    optimizer: torch.optim.Optimizer, step: int, steps: int, settings: OptimizerSettings
) -> None:
    """Set the learning rate of every group to its value at ``step`` of ``steps``."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate(step, steps, settings)


def rate(step: int, steps: int, settings: OptimizerSettings) -> float:
    """Factor on the learning rates at ``step``: linear warm-up, then the chosen decay to zero."""
    warmup = settings.warmup * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.decay == "constant":
        return 1.0
    left = 1 - (step - warmup) / max(1.0, steps - warmup)
    return left if settings.decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))
