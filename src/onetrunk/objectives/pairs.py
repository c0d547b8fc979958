"""Weakly supervised contrastive learning on text pairs (E5: Wang et al. 2022, arXiv 2212.03533)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(
    queries: Tensor, positives: Tensor, temperature: float, negatives: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE with in-batch negatives: ``(N, D)`` twice -> scalar.

    Row i of ``positives`` belongs to row i of ``queries``; the other N - 1 rows are its negatives,
    and for queries the rows of ``negatives (M, D)`` too. Similarity is the cosine over
    ``temperature``; the loss is the mean of both directions.
    """
    query, positive = F.normalize(queries, dim=-1), F.normalize(positives, dim=-1)
    logits = query @ positive.T / temperature
    target = torch.arange(len(logits), device=logits.device)
    backward = F.cross_entropy(logits.T, target)
    if negatives is not None and len(negatives):
        extra = query @ F.normalize(negatives, dim=-1).T / temperature
        logits = torch.cat([logits, extra], dim=1)
    return (F.cross_entropy(logits, target) + backward) / 2
