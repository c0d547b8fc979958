"""Whether bf16 is faster on this machine. It is measured, never assumed.

A CPU with AMX multiplies bf16 several times faster than fp32; one without can be far slower.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Literal, get_args

import torch

from onetrunk.errors import UserError, nearest

Chosen = Literal["fp32", "bf16"]
Precision = Literal["auto", "fp32", "bf16"]


FEW_ROWS, ROWS = 64, 512


@lru_cache
def bf16_speedup(device: str, width: int = 384, repeats: int = 5) -> float:
    """How many times faster a feed-forward map trains under bf16 autocast than in fp32.

    The map is ``(512, width) @ (width, 4 * width)``; casts and backward are included. Where bf16
    is many times slower on a few rows, it is not tried on all: that would take seconds.
    """
    speedup = _measured(device, width, FEW_ROWS, min(repeats, 2))
    return speedup if speedup < 0.25 else _measured(device, width, ROWS, repeats)


def _measured(device: str, width: int, rows: int, repeats: int) -> float:
    """The two take turns, and the fastest run of each counts, so that a busy machine slows both
    alike."""
    layer = torch.nn.Linear(width, 4 * width, device=device)
    x = torch.ones(rows, width, device=device, requires_grad=True)
    fastest: dict[Chosen, float] = {"fp32": float("inf"), "bf16": float("inf")}
    for _ in range(repeats):
        for name, seconds in fastest.items():
            start = time.perf_counter()
            with autocast(name, torch.device(device)):
                total = layer(x).sum()
            total.backward()
            x.grad.sum().item()  # type: ignore[union-attr]  # waits for an accelerator
            fastest[name] = min(seconds, time.perf_counter() - start)
    return fastest["fp32"] / fastest["bf16"]


def choose(precision: Precision, device: torch.device, width: int) -> Chosen:
    """Resolve ``auto`` by measurement: bf16 must be a fifth faster to be worth its rounding.

    Raises :class:`UserError` for an unknown precision.
    """
    if precision not in get_args(Precision):
        hint = nearest(precision, get_args(Precision))
        raise UserError(f"precision {precision!r} is unknown; {hint}")
    if precision != "auto":
        return precision
    return "bf16" if bf16_speedup(str(device), width) > 1.2 else "fp32"


def autocast(precision: Chosen, device: torch.device) -> AbstractContextManager[None]:
    """A context for the forward pass: bf16 autocast, or nothing."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
