"""The best linear head on fixed features."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def solve_linear(
    features: Tensor,
    targets: Tensor,
    classes: int,
    l2: float,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> nn.Linear:
    """The head that minimises mean loss + l2/2 · |W|² over standardised features.

    ``features (U, D)``; ``targets (U, …)`` as ``loss(logits (U, C), targets)``, which is convex,
    wants them. Solved by L-BFGS from zero: the result depends on nothing but the arguments.
    Standardisation makes one ``l2`` mean the same on every encoder; it is folded into the weights.
    """
    mean, std = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    x = (features - mean) / std
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(x @ weight.T + bias, targets) + 0.5 * l2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    head = nn.Linear(x.shape[1], classes)
    with torch.no_grad():
        head.weight.copy_(weight / std)
        head.bias.copy_(bias - head.weight @ mean)
    return head.requires_grad_(False)
