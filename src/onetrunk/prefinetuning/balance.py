"""The factor on each family's loss: fixed, or adapted step by step."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["fixed", "uncertainty", "gradient_norm"]

# The weight of the past in the running mean of the gradient norms.
MEMORY = 0.95


class Balance(nn.Module):
    """Factors on the families' losses.

    - ``fixed``: the recipe's weights λ_f.
    - ``uncertainty``: λ_f · exp(-s_f). The s_f minimise Σ λ_f (exp(-s_f) L_f + s_f), so a loss that
      stays large counts less (Kendall et al. 2018, arXiv 1705.07115). They learn at the objectives'
      rate, without decay, and are left out when gradients are clipped. AdamW moves them by about
      that rate per step: at 2e-3, with warm-up and decay, by at most 0.7 in 600 steps.
    - ``gradient_norm``: λ_f times the factor that makes the families' gradients of the backbone
      equally long, by a running mean of their norms. This is the balance of Chen et al. 2018 (arXiv
      1711.02257) with equal training rates.
    """

    norms: Tensor

    def __init__(self, kind: Kind, fixed: Mapping[str, float]) -> None:
        super().__init__()
        self.kind, self.fixed = kind, dict(fixed)
        count = len(self.fixed) if kind == "uncertainty" else 0
        self.log_variance = nn.Parameter(torch.zeros(count))
        self.register_buffer("norms", torch.zeros(len(self.fixed), dtype=torch.float64))

    def weights(self) -> dict[str, float]:
        """The factor on each family's loss in the next step."""
        factors = [1.0] * len(self.fixed)
        if self.kind == "uncertainty":
            factors = (-self.log_variance.detach()).exp().tolist()
        elif self.kind == "gradient_norm" and bool((self.norms > 0).all()):
            factors = (self.norms.mean() / self.norms).tolist()
        return {
            name: weight * factor
            for (name, weight), factor in zip(self.fixed.items(), factors, strict=True)
        }

    def observe(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """Learn from one step: each family's loss and gradient norm, both without its factor."""
        if self.kind == "uncertainty":
            loss = torch.tensor([losses[name] for name in self.fixed])
            weight = torch.tensor(list(self.fixed.values()))
            gradient = weight * (1 - (-self.log_variance.detach()).exp() * loss)
            self.log_variance.grad = gradient.to(self.log_variance)
        elif self.kind == "gradient_norm":
            latest = self.norms.new_tensor([norms[name] for name in self.fixed])
            mean = MEMORY * self.norms + (1 - MEMORY) * latest
            self.norms.copy_(torch.where(self.norms > 0, mean, latest))
