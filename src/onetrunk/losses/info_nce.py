"""Weakly supervised contrastive learning on text pairs (E5: Wang et al. 2022, arXiv 2212.03533)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Anchors whose similarities are held at once. Of more, only a block's are, and it is computed
# again for its gradient, so memory grows with N and not with its square.
BLOCK = 1024


def info_nce(
    queries: Tensor,
    positives: Tensor,
    temperature: float | Tensor,
    negatives: Tensor | None = None,
    *,
    identities: Tensor | None = None,
    symmetric: bool = True,
    dimensions: Sequence[int] = (),
) -> Tensor:
    """InfoNCE with in-batch negatives: ``(N, D)`` twice -> scalar, the mean over pairs.

    Row i of ``positives`` belongs to row i of ``queries``; the other N - 1 rows are its negatives,
    and for queries the rows of ``negatives (M, D)`` too. Similarity is the cosine over
    ``temperature``. ``symmetric`` is the mean of both directions, otherwise queries alone choose.

    ``identities (2N + M,)`` int64 says which of queries, positives and negatives, in this order,
    are one text (None: no two): a text is no negative for itself, nor for its partner.

    With ``dimensions`` the loss is the mean over embeddings cut to their first d numbers, for each
    d of these and for D (Matryoshka: Kusupati et al. 2022, arXiv 2205.13147).
    """
    size, width = queries.shape
    candidates = positives if negatives is None else torch.cat([positives, negatives])
    if identities is None:
        identities = torch.arange(size + len(candidates), device=queries.device)
    query, positive, candidate = identities[:size], identities[size:][:size], identities[size:]
    losses = []
    for d in sorted({*dimensions, width}):
        cut_queries, cut = (F.normalize(x[:, :d], dim=-1) for x in (queries, candidates))
        losses.append(_choose(cut_queries, cut, temperature, (query, positive, candidate)))
        if symmetric:
            losses.append(_choose(cut[:size], cut_queries, temperature, (positive, query, query)))
    return torch.stack(losses).mean()


def _choose(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float | Tensor,
    identities: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Mean cross-entropy of anchor i choosing candidate i: ``(N, D)`` and ``(N + M, D)``.

    ``identities`` are those of anchors, of their partners and of candidates.
    """
    own, partner, candidate = identities
    blocks = torch.arange(len(anchors), device=anchors.device).split(BLOCK)
    total = anchors.new_zeros(())
    for rows in blocks:
        given = (
            anchors[rows], candidates, temperature, rows, own[rows], partner[rows], candidate
        )  # fmt: skip
        if len(blocks) == 1:
            total = total + _block(*given)
        else:
            total = total + checkpoint(
                _block, *given, use_reentrant=False, preserve_rng_state=False
            )
    return total / len(anchors)


def _block(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float | Tensor,
    right: Tensor,
    own: Tensor,
    partner: Tensor,
    candidate: Tensor,
) -> Tensor:
    """Summed cross-entropy of a block of anchors ``(n, D)``; ``right (n,)`` are their partners."""
    false = (candidate == own[:, None]) | (candidate == partner[:, None])  # negatives in name only
    false[torch.arange(len(right)), right] = False
    logits = (anchors @ candidates.T / temperature).masked_fill(false, -torch.inf)
    return F.cross_entropy(logits, right, reduction="sum")
