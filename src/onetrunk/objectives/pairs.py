"""Weakly supervised contrastive learning on text pairs (E5: Wang et al. 2022, arXiv 2212.03533)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(queries: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE with in-batch negatives: ``(N, D)`` twice -> scalar.

    Row i of ``positives`` belongs to row i of ``queries``; the other N - 1 rows are its negatives.
    Similarity is the cosine over ``temperature``; the loss is the mean of both directions.
    """
    logits = F.normalize(queries, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
