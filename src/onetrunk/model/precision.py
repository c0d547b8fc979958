"""Whether bf16 pays on this machine: measured, never assumed.

A CPU with AMX multiplies bf16 several times faster than fp32; one without can be far slower.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from statistics import median
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]


@lru_cache
def bf16_speedup(device: str, width: int = 384, repeats: int = 5) -> float:
    """Time of an fp32 matrix product over that of the same product in bf16, on shapes of a
    feed-forward map: ``(2048, width) @ (width, 4 * width)``."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(2048, width, dtype=dtype, device=device)
        b = torch.ones(width, 4 * width, dtype=dtype, device=device)
        runs = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            product = a @ b
            product[0, 0].item()  # waits for an accelerator
            runs.append(time.perf_counter() - start)
        seconds[dtype] = median(runs[1:])
    return seconds[torch.float32] / seconds[torch.bfloat16]


def choose(precision: Precision, device: torch.device, width: int) -> Literal["fp32", "bf16"]:
    """Resolve ``auto`` by measurement: bf16 must be a fifth faster to be worth its error."""
    if precision != "auto":
        return precision
    return "bf16" if bf16_speedup(str(device), width) > 1.2 else "fp32"


def autocast(
    precision: Literal["fp32", "bf16"], device: torch.device
) -> AbstractContextManager[None]:
    """bf16 autocast, or nothing."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
