"""Gradient conflict: how far families' gradients of the backbone agree, and how to combine them.

Gradient surgery needs only the Gram matrix G_ij = <g_i, g_j> of the gradients g_1 … g_m. PCGrad,
CAGrad, IMTL-G and UPGrad each compute weights α(G), and the backbone steps along Σ α_i g_i. The
weights come from TorchJD (Quinton and Rey 2024, arXiv 2406.16232).
"""

import re
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from onetrunk.errors import UserError
from onetrunk.model.encoder import Encoder
from onetrunk.prefinetuning.strategies import Surgery

Gradients = Sequence[Tensor]
"""One family's gradient: a tensor for each shared parameter."""


def layer_of(encoder: Encoder, parameter: str) -> int:
    """The place of a parameter in the encoder: 0 for embeddings, i + 1 for layer i."""
    match = re.match(rf"{re.escape(encoder.architecture.layers)}\.(\d+)\.", parameter)
    return int(match[1]) + 1 if match else 0


def layer_names(count: int) -> list[str]:
    """Names of the first ``count`` places that :func:`layer_of` counts."""
    return ["embeddings", *(f"layer {layer}" for layer in range(1, count))]


def grams(gradients: Sequence[Gradients], layers: Sequence[int]) -> Tensor:
    """The Gram matrix of m families' gradients in each layer: ``(layers, m, m)`` float64.

    ``layers[p]`` is the layer of parameter p. Layers are numbered from 0 without gaps.
    """
    m = len(gradients)
    by_layer = torch.zeros(max(layers) + 1, m, m, dtype=torch.float64)
    for i in range(m):
        for j in range(i, m):
            products = torch.stack(
                [
                    a.flatten().dot(b.flatten())
                    for a, b in zip(gradients[i], gradients[j], strict=True)
                ]
            )
            sums = torch.zeros(len(by_layer), dtype=torch.float64)
            sums.index_add_(0, torch.tensor(layers), products.double().cpu())
            by_layer[:, i, j] = by_layer[:, j, i] = sums
    return by_layer


def norms(gram: Tensor) -> Tensor:
    """Gradient norms ``(layers, m)`` from :func:`grams`."""
    return gram.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()


def cosines(gram: Tensor, families: Sequence[str]) -> dict[str, list[float]]:
    """By pair of families ``f|g``: cos(g_f, g_g) in each layer; 0 where a gradient vanishes."""
    length = norms(gram)
    by_pair = {}
    for i, j in combinations(range(len(families)), 2):
        cosine = gram[:, i, j] / (length[:, i] * length[:, j]).clamp_min(1e-30)
        by_pair[f"{families[i]}|{families[j]}"] = [round(float(value), 4) for value in cosine]
    return by_pair


def combining_weights(gram: Tensor, surgery: Surgery | None) -> list[float]:
    """Weights α ``(m,)`` of the families' gradients, from their Gram matrix ``(m, m)``.

    The update is Σ α_i g_i. Without surgery every α is 1; the others are on the same scale:

    - ``pcgrad`` (Yu et al. 2020, arXiv 2001.06782) and ``upgrad`` (Quinton and Rey 2024,
      arXiv 2406.16232) have α = 1 where no two gradients conflict. Elsewhere each gradient loses
      the part that conflicts; the recipe's weight λ scales what is left of it. No family's gradient
      has a negative inner product with UPGrad's update, so to first order no loss rises. For two
      families PCGrad and UPGrad give the same update.
    - ``cagrad`` (Liu et al. 2021, arXiv 2110.14048, c = 0.5) maximises the gain of the worst family
      in a ball around the sum. Its update is longer than the sum: by half if gradients are equal.
    - ``imtl-g`` (Liu et al. 2021) has equal projections on all families' gradients: for two
      families α_1 = 2 |g_2| / (|g_1| + |g_2|). It is the plain sum only if norms are equal. It
      cancels the recipe's weights: they change the length of the update, not its direction.

    For more than two families PCGrad draws the order of its projections from torch's global
    generator. Raises :class:`UserError` if the library that computes the weights is not installed.
    """
    m = len(gram)
    if surgery is None or m == 1:
        return [1.0] * m
    scale = max(float(gram.diagonal().mean()), 1e-30)  # the solvers are imprecise at tiny numbers
    try:
        return _solve(surgery, gram / scale).tolist()
    except ImportError as error:
        raise UserError(
            f"strategy {surgery!r} needs onetrunk's extra 'surgery': "
            f"pip install 'onetrunk[surgery]' ({error})"
        ) from None


def _solve(surgery: Surgery, gram: Tensor) -> Tensor:
    """TorchJD's weights; where they are those of a mean, times m for a sum."""
    from torchjd import aggregation as jd

    m = len(gram)
    if surgery == "pcgrad":
        return jd.PCGradWeighting()(gram)
    if surgery == "imtl-g":
        return m * jd.IMTLGWeighting()(gram)
    if surgery == "cagrad":
        return m * jd.CAGradWeighting(c=0.5)(gram)
    # The solver adds 1e-4 to the diagonal, which would distort a gradient that is much shorter than
    # another. So it gets unit gradients, and their lengths as the preference.
    length = gram.diagonal().sqrt().clamp_min(1e-15)
    return jd.UPGradWeighting(pref_vector=length)(gram / length.outer(length)) / length


def combine(gradients: Sequence[Gradients], weights: Sequence[float]) -> Gradients:
    """Σ α_i g_i. The result overwrites the first family's gradient."""
    total, *others = (list(gradient) for gradient in gradients)
    if weights[0] != 1:
        torch._foreach_mul_(total, weights[0])
    for gradient, weight in zip(others, weights[1:], strict=True):
        torch._foreach_add_(total, gradient, alpha=weight)
    return total
