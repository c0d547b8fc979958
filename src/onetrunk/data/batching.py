"""Padding, buckets of similar length, and which rows make a pre-finetuning step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

TokenIds = Sequence[int]


def pad(rows: Sequence[TokenIds], pad_id: int) -> tuple[Tensor, Tensor]:
    """Right-pad token ids: B rows -> input_ids ``(B, T)`` and attention_mask ``(B, T)``, int64."""
    width = max(map(len, rows))
    input_ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return input_ids, mask


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Row indices in chunks of at most ``size`` rows of similar length (stable, shortest first)."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i : i + size] for i in range(0, len(order), size)]


def shuffled_buckets(
    lengths: Sequence[int], size: int, rng: np.random.Generator, window: int = 8
) -> list[list[int]]:
    """An epoch of batches: shuffle rows, sort by length inside windows of ``window`` batches,
    shuffle the batches. Every row occurs exactly once."""
    order = rng.permutation(len(lengths)).tolist()
    batches = []
    for at in range(0, len(order), size * window):
        part = sorted(order[at : at + size * window], key=lengths.__getitem__)
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def source_weights(
    rows: Sequence[int], fixed: Sequence[float | None], exponent: float
) -> list[float]:
    """Probability of each source: its fixed weight, or ``rows ** exponent`` where that is None.

    Exponent 1 samples rows evenly, 0 sources evenly; 0.5 keeps large sources from drowning small.
    """
    raw = [
        count**exponent if weight is None else weight
        for count, weight in zip(rows, fixed, strict=True)
    ]
    return [value / sum(raw) for value in raw]


def step_rng(seed: int, step: int, family: str) -> np.random.Generator:
    """The generator that draws the batch of one family at one step.

    It depends on nothing else, so training can restart at any step with the same batches.
    """
    return np.random.default_rng([seed, step, *family.encode()])
