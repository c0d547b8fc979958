"""Gradient conflict: how the families' gradients of the backbone agree, and how to combine them.

All that gradient surgery needs of the gradients g_1 … g_m is their Gram matrix G_ij = <g_i, g_j>:
PCGrad, CAGrad, IMTL-G and UPGrad all answer with weights α(G), and the backbone steps along
Σ α_i g_i. The weights are TorchJD's (Quinton and Rey 2024, arXiv 2406.16232).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from onetrunk.errors import UserError
from onetrunk.model.encoder import Encoder
from onetrunk.prefinetune.strategies import Surgery

Gradients = Sequence[Tensor]
"""One family's gradient, a tensor a shared parameter."""


def layer_of(encoder: Encoder, parameter: str) -> int:
    """Where a parameter of the encoder belongs: 0 for embeddings, i + 1 for layer i."""
    match = re.match(rf"{re.escape(encoder.architecture.layers)}\.(\d+)\.", parameter)
    return int(match[1]) + 1 if match else 0


def grams(gradients: Sequence[Gradients], layers: Sequence[int]) -> Tensor:
    """Inner products of m families' gradients, summed by layer: ``(layers, m, m)`` float64.

    ``layers[p]`` is the layer of parameter p; layers count from 0 without gaps.
    """
    m = len(gradients)
    found = torch.zeros(max(layers) + 1, m, m, dtype=torch.float64)
    for i in range(m):
        for j in range(i, m):
            products = torch.stack(
                [
                    a.flatten().dot(b.flatten())
                    for a, b in zip(gradients[i], gradients[j], strict=True)
                ]
            )
            sums = torch.zeros(len(found), dtype=torch.float64)
            sums.index_add_(0, torch.tensor(layers), products.double().cpu())
            found[:, i, j] = found[:, j, i] = sums
    return found


def norms(gram: Tensor) -> Tensor:
    """Gradient norms ``(layers, m)`` from :func:`grams`."""
    return gram.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()


def cosines(gram: Tensor, families: Sequence[str]) -> dict[str, list[float]]:
    """cos(g_f, g_g) of every pair of families by layer; 0 where a gradient vanishes."""
    length = norms(gram)
    found = {}
    for i, j in combinations(range(len(families)), 2):
        cosine = gram[:, i, j] / (length[:, i] * length[:, j]).clamp_min(1e-30)
        found[f"{families[i]}|{families[j]}"] = [round(float(value), 4) for value in cosine]
    return found


def combining_weights(gram: Tensor, surgery: Surgery | None) -> list[float]:
    """Weights α ``(m,)`` of the families' gradients, from their Gram matrix ``(m, m)``.

    Scaled so that families that do not conflict are added as without surgery. Raises
    :class:`UserError` if the library that solves for them is not installed.
    """
    m = len(gram)
    if surgery is None or m == 1:
        return [1.0] * m
    scale = max(float(gram.diagonal().mean()), 1e-30)  # solvers dislike tiny numbers
    weighting, factor = _weighting(surgery, m)
    return [factor * float(weight) for weight in weighting(gram / scale)]


def _weighting(surgery: Surgery, m: int) -> tuple[torch.nn.Module, float]:
    """TorchJD's solver, and what its weights are to be multiplied with to be a sum's, not a
    mean's."""
    try:
        from torchjd import aggregation as jd

        if surgery == "pcgrad":
            return jd.PCGradWeighting(), 1.0
        if surgery == "imtl-g":
            return jd.IMTLGWeighting(), float(m)
        if surgery == "cagrad":
            return jd.CAGradWeighting(c=0.5), float(m)
        return jd.UPGradWeighting(), float(m)
    except ImportError as error:
        raise UserError(
            f"strategy {surgery!r} needs onetrunk's extra 'surgery': "
            f"pip install 'onetrunk[surgery]' ({error})"
        ) from None


def combine(gradients: Sequence[Gradients], weights: Sequence[float]) -> Gradients:
    """Σ α_i g_i, in the memory of the first family's gradients."""
    first, *others = (list(family) for family in gradients)
    if weights[0] != 1:
        torch._foreach_mul_(first, weights[0])
    for family, weight in zip(others, weights[1:], strict=True):
        torch._foreach_add_(first, family, alpha=weight)
    return first
