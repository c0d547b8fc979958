"""Token states against embeddings of concept names (NuNER: Bogdanov et al. 2024, arXiv 2402.15343).

A token inside an entity of concept c should match c's name and no other concept of its corpus.
Concept names are embedded once by a frozen text encoder, so the number of concepts costs nothing.
The learned scale and bias follow the sigmoid loss of SigLIP (Zhai et al. 2023, arXiv 2303.15343).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConceptContrastive(nn.Module):
    """Binary cross-entropy of every (token, concept) that the token's corpus annotates.

    ``width`` is D of the token states, ``concepts`` the frozen name embeddings ``(C, E)``.
    """

    concepts: Tensor

    def __init__(self, width: int, concepts: Tensor, projection: int = 256) -> None:
        super().__init__()
        self.register_buffer("concepts", concepts, persistent=False)
        self.token_projection = nn.Linear(width, projection)
        self.concept_projection = nn.Linear(concepts.shape[1], projection)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def names(self) -> Tensor:
        """Projected, normalised concept names ``(C, P)``."""
        return F.normalize(self.concept_projection(self.concepts), dim=-1)

    def forward(
        self, states: Tensor, concept: Tensor, annotated: Tensor, names: Tensor | None = None
    ) -> Tensor:
        """Loss of N tokens, summed.

        ``states (N, D)``; ``concept (N,)`` int64, the index of each token's concept or -1 outside
        any entity; ``annotated (N, C)`` bool, the concepts that the token's corpus annotates: what
        a corpus never annotates is unknown there, not negative; ``names`` what :meth:`names` gave.
        """
        token = F.normalize(self.token_projection(states), dim=-1)
        names = self.names() if names is None else names
        logits = token @ names.T * self.log_scale.exp() + self.bias  # (N, C)
        target = F.one_hot(concept + 1, logits.shape[1] + 1)[:, 1:].to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (loss * annotated).sum()
