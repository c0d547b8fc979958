"""Texts side by side, without padding.

    padded   (3 texts, 5)    a a a . .      packed   (1, 11)    a a a b b b c c c c c
                             b b b . .
                             c c c c c      attention is told: 2 texts of 3 tokens, 1 of 5

Everything in an encoder but attention looks at one token at a time, so it need not know where a
text ends. (A batch of B packs holds texts of the same lengths in each: the same texts, under B
adapters.) Attention takes neighbours of about equal length together, padded for it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "onetrunk"
"""The attention that encoders are loaded with: PyTorch's, and that of packed texts."""

# A group's longest text is at most so much longer than its shortest: fewer, fuller products
# against those of padding. From 0.25 to 1 a training step takes the same time.
SLACK = 0.5


class Group(NamedTuple):
    """Neighbours that attention takes together."""

    tokens: slice
    """Which of the packed tokens are theirs."""
    texts: int
    width: int
    """Tokens of the longest."""
    places: Tensor | None
    """Where the tokens stand among ``texts * width``, int64; None if the texts are equally long."""
    bias: Tensor | None
    """``(texts, 1, width)``: -inf on padding; None if there is none."""


def groups_of(lengths: Sequence[int], device: torch.device) -> list[Group]:
    """Texts of these lengths, side by side in this order, in groups."""
    groups, first, at = [], 0, 0
    for after in range(1, len(lengths) + 1):
        if after < len(lengths):
            shortest = lengths[first]
            if shortest <= lengths[after] <= (1 + SLACK) * shortest:
                continue
        own = lengths[first:after]
        tokens, width = sum(own), max(own)
        places = bias = None
        if min(own) < width:
            real = torch.arange(width) < torch.tensor(own)[:, None]
            places = real.flatten().nonzero().squeeze(1).to(device)
            bias = torch.zeros(len(own), 1, width).masked_fill_(~real[:, None], float("-inf"))
            bias = bias.to(device)
        groups.append(Group(slice(at, at + tokens), len(own), width, places, bias))
        first, at = after, at + tokens
    return groups


def unpack(states: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Packed ``(..., N, D)`` -> padded ``(..., B, T, D)`` and its mask ``(B, T)`` int64.

    What stands on padding is zero.
    """
    count, width = torch.tensor(lengths, device=states.device), max(lengths)
    mask = torch.arange(width, device=states.device) < count[:, None]
    *packs, _, size = states.shape
    padded = states.new_zeros(*packs, mask.numel(), size)
    padded = padded.index_copy(-2, mask.flatten().nonzero().squeeze(1), states)
    return padded.view(*packs, *mask.shape, size), mask.long()


class _PackedAttention(torch.autograd.Function):
    """softmax(q kᵀ s) v within each text: heads ``(B, N, H, d)`` three times -> the same.

    In one piece, and in the precision of its input: as a chain of operations for each group it
    takes a quarter of a training step, and PyTorch's fused attention, whose backward is slow for
    short texts on a CPU (in bf16 most of all), takes more.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, drop: float, groups: list[Group]
    ) -> Tensor:
        out, kept = q.new_empty(q.shape), []
        for group in groups:
            a, b, c = (_apart(x, group) for x in (q, k, v))
            scores = torch.bmm(a, b.transpose(1, 2)).mul_(scale)
            if group.bias is not None:
                scores.view(-1, group.texts, *scores.shape[1:]).add_(group.bias)
            seen = scores.softmax(-1)
            used, factors = seen, seen.new_empty(0)
            if drop:
                factors = torch.empty_like(seen).bernoulli_(1 - drop).div_(1 - drop)
                used = seen * factors
            _put(out, torch.bmm(used, c), group)
            kept += [a, b, c, seen, factors]
        ctx.groups, ctx.scale = groups, scale
        ctx.save_for_backward(*kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        to_q, to_k, to_v = (gradient.new_empty(gradient.shape) for _ in range(3))
        for group, a, b, c, seen, factors in _kept(ctx.groups, ctx.saved_tensors):
            own = _apart(gradient, group)
            to_seen = torch.bmm(own, c.transpose(1, 2))
            used = seen
            if factors.numel():
                used, to_seen = seen * factors, to_seen.mul_(factors)
            to_scores = torch._softmax_backward_data(to_seen, seen, -1, seen.dtype).mul_(ctx.scale)
            _put(to_q, torch.bmm(to_scores, b), group)
            _put(to_k, torch.bmm(to_scores.transpose(1, 2), a), group)
            _put(to_v, torch.bmm(used.transpose(1, 2), own), group)
        return to_q, to_k, to_v, None, None, None


def _kept(groups: list[Group], saved: Sequence[Tensor]) -> Iterator[tuple[Any, ...]]:
    for number, group in enumerate(groups):
        yield group, *saved[5 * number : 5 * number + 5]


def _apart(packed: Tensor, group: Group) -> Tensor:
    """A group's part of ``(B, N, H, d)``, padded with zeros: ``(B H texts, width, d)``."""
    own = packed[:, group.tokens].transpose(1, 2)
    if group.places is not None:
        room = own.new_zeros(*own.shape[:2], group.texts * group.width, own.shape[-1])
        own = room.index_copy_(2, group.places, own)
    return own.reshape(-1, group.width, own.shape[-1])


def _put(packed: Tensor, rows: Tensor, group: Group) -> None:
    """The reverse of :func:`_apart`, into ``packed``; what stands on padding is left out."""
    own = packed[:, group.tokens].transpose(1, 2)
    rows = rows.view(*own.shape[:2], -1, own.shape[-1])
    own.copy_(rows if group.places is None else rows[:, :, group.places])


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    groups: list[Group] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it: heads ``(B, H, T, d)`` -> ``(B, T, H, d)``."""
    if groups is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    heads = (x.transpose(1, 2) for x in (query, key, value))  # (B, N, H, d)
    return _PackedAttention.apply(*heads, scale, dropout, groups), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
