"""Texts side by side, without padding.

    padded   (3 texts, 5)    a a a . .      packed   (1, 11)    a a a b b b c c c c c
                             b b b . .
                             c c c c c      attention is told: 2 texts of 3 tokens, 1 of 5

Everything in an encoder but attention looks at one token at a time, so it need not know where a
text ends. Attention runs once for each run of texts of equal length, which needs no mask either.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "onetrunk"
"""The attention that encoders are loaded with: PyTorch's, and that of packed texts."""

Runs = Sequence[tuple[int, int]]
"""Texts and their length, one pair for each run of texts of equal length."""


def runs_of(lengths: Sequence[int]) -> Runs:
    """The runs of texts that lie side by side in this order."""
    return [(len(list(run)), length) for length, run in groupby(lengths)]


def positions_of(lengths: Sequence[int]) -> Tensor:
    """Place of each packed token in its text: ``(N,)`` int64."""
    return torch.cat([torch.arange(length) for length in lengths])


def unpack(states: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Packed ``(N, D)`` -> padded ``(B, T, D)`` and its mask ``(B, T)`` int64.

    What stands on padding is zero.
    """
    count, width = torch.tensor(lengths, device=states.device), max(lengths)
    mask = torch.arange(width, device=states.device) < count[:, None]
    padded = states.new_zeros(mask.numel(), states.shape[-1])
    padded = padded.index_copy(0, mask.flatten().nonzero().squeeze(1), states)
    return padded.view(*mask.shape, -1), mask.long()


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    runs: Runs | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it: heads ``(B, H, T, d)`` -> ``(B, T, H, d)``; packed, B is 1."""
    if runs is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    sizes = [texts * length for texts, length in runs]
    heads = (x.squeeze(0).transpose(0, 1).split(sizes) for x in (query, key, value))  # (N, H, d)
    out = []
    for (texts, _), *parts in zip(runs, *heads, strict=True):
        q, k, v = (x.unflatten(0, (texts, -1)).transpose(1, 2) for x in parts)
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        out.append(seen.transpose(1, 2).flatten(0, 1))
    return torch.cat(out).unsqueeze(0), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
