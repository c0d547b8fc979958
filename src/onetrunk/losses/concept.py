"""Compare token states with embeddings of concept names.

This is the objective of NuNER (Bogdanov et al. 2024, arXiv 2402.15343): a token inside an entity of
concept c should match the name of c, and no other concept of the batch. A frozen text encoder
embeds each name once, and a batch uses few names, so the number of concepts costs nothing. Logits
are cosines with a scale and a bias that may be learned, as in the sigmoid loss of SigLIP (Zhai et
al. 2023, arXiv 2303.15343).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConceptContrastive(nn.Module):
    """Binary cross-entropy of (token, concept) pairs in a space of ``projection`` dimensions.

    ``width`` is D, the size of a token state, and ``name_width`` is E, the size of a frozen name
    embedding. Logits are cosines divided by ``temperature`` plus ``bias``. If ``learned``, the two
    are parameters that start from these values.
    """

    log_scale: Tensor
    bias: Tensor

    def __init__(
        self,
        width: int,
        name_width: int,
        projection: int = 256,
        temperature: float = 0.1,
        bias: float = -5.0,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.token_projection = nn.Linear(width, projection)
        self.concept_projection = nn.Linear(name_width, projection)
        for name, value in (("log_scale", -math.log(temperature)), ("bias", bias)):
            tensor = torch.tensor(value)
            if learned:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor, persistent=False)

    def project(self, names: Tensor) -> Tensor:
        """Name embeddings ``(C, E)`` -> unit vectors ``(C, P)``."""
        return F.normalize(self.concept_projection(names), dim=-1)

    def forward(self, states: Tensor, concept: Tensor, known: Tensor, names: Tensor) -> Tensor:
        """Loss of N tokens against C concepts, summed over the pairs that are known.

        - ``states (N, D)``
        - ``concept (N,)`` int64: the index of each token's concept, negative outside any entity
        - ``known (N, C)`` bool: the pairs that count. If a corpus never annotates a concept, it is
          not known whether its tokens belong to that concept.
        - ``names (C, P)`` from :meth:`project`
        """
        token = F.normalize(self.token_projection(states), dim=-1)
        logits = token @ names.T * self.log_scale.exp() + self.bias
        target = concept[:, None] == torch.arange(len(names), device=concept.device)
        loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
        return (loss * known).sum()


def synonyms(names: Tensor, mean: Tensor, threshold: float) -> Tensor:
    """Which names mean about the same: embeddings ``(C, E)`` -> ``(C, C)`` bool, diagonal false.

    These are the pairs with a cosine above ``threshold`` after ``mean (E,)``, the mean of all
    names, is subtracted. Many encoders put all texts into a narrow cone, where every plain cosine
    is high (Mu and Viswanath 2018, arXiv 1702.01417). Without the mean, unrelated names have
    cosines near 0, whatever the encoder.
    """
    centred = F.normalize(names - mean, dim=-1)
    return (centred @ centred.T > threshold).fill_diagonal_(False)
