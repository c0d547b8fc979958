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
from onetrunk.prefinetuning.strategies import Surgery

Gradients = Sequence[Tensor]
"""One family's gradient, a tensor a shared parameter."""


def layer_of(encoder: Encoder, parameter: str) -> int:
    """Where a parameter of the encoder belongs: 0 for embeddings, i + 1 for layer i."""
    match = re.match(rf"{re.escape(encoder.architecture.layers)}\.(\d+)\.", parameter)
    return int(match[1]) + 1 if match else 0


def layer_names(count: int) -> list[str]:
    """Names of the first ``count`` places that :func:`layer_of` counts."""
    return ["embeddings", *(f"layer {layer}" for layer in range(1, count))]


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

    The update is Σ α_i g_i. Without surgery every α is 1, and all else is on that scale:

    - ``pcgrad`` (Yu et al. 2020, arXiv 2001.06782) and ``upgrad`` (Quinton and Rey 2024,
      arXiv 2406.16232) leave α = 1 where no two gradients conflict. Elsewhere each gradient gives
      up what conflicts; a weight λ still scales what is left of its own. No family's gradient has
      a negative inner product with UPGrad's update, nor with PCGrad's of two families: to first
      order no loss rises. With two families the two answers are the same.
    - ``cagrad`` (Liu et al. 2021, arXiv 2110.14048, c = 0.5) maximises the worst family's gain in
      a ball around the sum; its update is longer than the sum, by half where gradients are equal.
    - ``imtl-g`` (Liu et al. 2021) is equally long along every family's gradient: with two families
      α_1 = 2 |g_2| / (|g_1| + |g_2|). It is the plain sum only where norms are equal. What a weight
      does to a gradient's length it undoes: the recipe's weights change the length of the update,
      not its direction.

    With more than two families PCGrad draws the order of its projections from torch's global
    generator. Raises :class:`UserError` if the library that solves for them is not installed.
    """
    m = len(gram)
    if surgery is None or m == 1:
        return [1.0] * m
    scale = max(float(gram.diagonal().mean()), 1e-30)  # solvers dislike tiny numbers
    try:
        return _solve(surgery, gram / scale).tolist()
    except ImportError as error:
        raise UserError(
            f"strategy {surgery!r} needs onetrunk's extra 'surgery': "
            f"pip install 'onetrunk[surgery]' ({error})"
        ) from None


def _solve(surgery: Surgery, gram: Tensor) -> Tensor:
    """TorchJD's weights, times m where they are a mean's and not a sum's."""
    from torchjd import aggregation as jd

    m = len(gram)
    if surgery == "pcgrad":
        return jd.PCGradWeighting()(gram)
    if surgery == "imtl-g":
        return m * jd.IMTLGWeighting()(gram)
    if surgery == "cagrad":
        return m * jd.CAGradWeighting(c=0.5)(gram)
    # The solver adds 1e-4 to the diagonal, which would blur a gradient much shorter than another:
    # it gets unit gradients, and their lengths as the preference.
    length = gram.diagonal().sqrt().clamp_min(1e-15)
    return jd.UPGradWeighting(pref_vector=length)(gram / length.outer(length)) / length


def combine(gradients: Sequence[Gradients], weights: Sequence[float]) -> Gradients:
    """Σ α_i g_i, in the memory of the first family's gradients."""
    first, *others = (list(family) for family in gradients)
    if weights[0] != 1:
        torch._foreach_mul_(first, weights[0])
    for family, weight in zip(others, weights[1:], strict=True):
        torch._foreach_add_(first, family, alpha=weight)
    return first
