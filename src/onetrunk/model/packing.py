"""Packed texts: they lie one after another, without padding.

    padded   (3 texts, 5)    a a a . .      packed   (1, 11)    a a a b b b c c c c c
                             b b b . .
                             c c c c c      groups for attention: 2 texts of 3 tokens, 1 of 5

All parts of an encoder except attention look at one token at a time, so they need not know where a
text ends. Attention takes neighbours of about the same length together and pads them for itself.
Several packs in one batch have texts of the same lengths: they are the same texts under several
adapters.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "onetrunk"
"""Name of the attention that encoders are loaded with: PyTorch's, or ours for packed texts."""

# How much longer than the shortest text of a group the longest may be. A higher value means fewer,
# larger matrix products, but more padding. From 0.25 to 1, training steps are equally fast.
SLACK = 0.5


class Group(NamedTuple):
    """Neighbouring texts that attention takes together."""

    tokens: slice
    """Their part of the packed tokens."""
    texts: int
    width: int
    """Number of tokens of the longest text."""
    places: Tensor | None
    """Places of the tokens among ``texts * width`` padded ones, int64; None without padding."""
    bias: Tensor | None
    """``(texts, 1, width)``: -inf on padding; None without padding."""


def groups_of(lengths: Sequence[int], device: torch.device) -> list[Group]:
    """Divide packed texts of these lengths into groups of neighbours."""
    groups, first, start = [], 0, 0
    for after in range(1, len(lengths) + 1):
        if after < len(lengths):
            shortest = lengths[first]
            if shortest <= lengths[after] <= (1 + SLACK) * shortest:
                continue
        members = lengths[first:after]
        tokens, width = sum(members), max(members)
        places = bias = None
        if min(members) < width:
            real = torch.arange(width) < torch.tensor(members)[:, None]
            places = real.flatten().nonzero().squeeze(1).to(device)
            bias = torch.zeros(len(members), 1, width).masked_fill_(~real[:, None], float("-inf"))
            bias = bias.to(device)
        groups.append(Group(slice(start, start + tokens), len(members), width, places, bias))
        first, start = after, start + tokens
    return groups


def unpack(states: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Packed ``(..., N, D)`` -> padded ``(..., B, T, D)`` and its mask ``(B, T)`` int64.

    States on padding are zero.
    """
    count, width = torch.tensor(lengths, device=states.device), max(lengths)
    mask = torch.arange(width, device=states.device) < count[:, None]
    *packs, _, size = states.shape
    padded = states.new_zeros(*packs, mask.numel(), size)
    padded = padded.index_copy(-2, mask.flatten().nonzero().squeeze(1), states)
    return padded.view(*packs, *mask.shape, size), mask.long()


class _PackedAttention(torch.autograd.Function):
    """softmax(q kᵀ s) v within each text: heads ``(B, N, H, d)`` three times -> the same shape.

    It is one function, and computes in the precision of its input, because it is fast: a chain of
    operations for each group takes a quarter of a training step. PyTorch's fused attention takes
    more: its backward is slow for short texts on a CPU, most of all in bf16.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, drop: float, groups: list[Group]
    ) -> Tensor:
        out, saved = q.new_empty(q.shape), []
        for group in groups:
            query, key, value = (_unpack_group(heads, group) for heads in (q, k, v))
            scores = torch.bmm(query, key.transpose(1, 2)).mul_(scale)
            if group.bias is not None:
                scores.view(-1, group.texts, *scores.shape[1:]).add_(group.bias)
            attention = scores.softmax(-1)
            dropped, factors = attention, attention.new_empty(0)
            if drop:
                factors = torch.empty_like(attention).bernoulli_(1 - drop).div_(1 - drop)
                dropped = attention * factors
            _pack_group(out, torch.bmm(dropped, value), group)
            saved += [query, key, value, attention, factors]
        ctx.groups, ctx.scale = groups, scale
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        # A name with grad_ is the gradient of the loss with respect to what follows.
        grad_q, grad_k, grad_v = (gradient.new_empty(gradient.shape) for _ in range(3))
        saved = iter(ctx.saved_tensors)
        for group in ctx.groups:
            query, key, value, attention, factors = islice(saved, 5)
            grad_out = _unpack_group(gradient, group)
            grad_attention = torch.bmm(grad_out, value.transpose(1, 2))
            dropped = attention
            if factors.numel():
                dropped, grad_attention = attention * factors, grad_attention.mul_(factors)
            grad_scores = torch._softmax_backward_data(
                grad_attention, attention, -1, attention.dtype
            ).mul_(ctx.scale)
            _pack_group(grad_q, torch.bmm(grad_scores, key), group)
            _pack_group(grad_k, torch.bmm(grad_scores.transpose(1, 2), query), group)
            _pack_group(grad_v, torch.bmm(dropped.transpose(1, 2), grad_out), group)
        return grad_q, grad_k, grad_v, None, None, None


def _unpack_group(packed: Tensor, group: Group) -> Tensor:
    """A group's part of ``(B, N, H, d)``, padded with zeros: ``(B H texts, width, d)``."""
    part = packed[:, group.tokens].transpose(1, 2)
    if group.places is not None:
        padded = part.new_zeros(*part.shape[:2], group.texts * group.width, part.shape[-1])
        part = padded.index_copy_(2, group.places, part)
    return part.reshape(-1, group.width, part.shape[-1])


def _pack_group(packed: Tensor, padded: Tensor, group: Group) -> None:
    """The reverse of :func:`_unpack_group`, into ``packed``. Padding is left out."""
    part = packed[:, group.tokens].transpose(1, 2)
    padded = padded.view(*part.shape[:2], -1, part.shape[-1])
    part.copy_(padded if group.places is None else padded[:, :, group.places])


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
    """Called by transformers: heads ``(B, H, T, d)`` three times -> ``(B, T, H, d)``."""
    if groups is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    heads = (x.transpose(1, 2) for x in (query, key, value))  # (B, N, H, d)
    return _PackedAttention.apply(*heads, scale, dropout, groups), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
