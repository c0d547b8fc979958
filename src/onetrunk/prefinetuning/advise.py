"""How many top layers the families want to themselves, from gradients of a handful of batches.

What is estimated, by layer, for the expected gradients μ_f, μ_g of two families, from m batches
each: <μ_f, μ_g> by the mean of all <g_f^i, g_g^j>, and |μ_f|² by the mean of <g_f^i, g_f^j> over
i ≠ j. Noise of single batches is in neither, so it neither hides a conflict nor makes one up. Two
cosines follow.

- The *batch cosine* <μ_f, μ_g> / (rms |g_f| · rms |g_g|) is what two single batches show on
  average, as a step of training does. It is always defined.
- The *expected cosine* <μ_f, μ_g> / (|μ_f| |μ_g|) has the noise taken out of the norms, too. It is
  told only where both norms are told from noise.

The *agreement* of a family, |μ_f|² / mean |g_f|², is the cosine of two of its own batches: the
batch cosine is the expected one times the geometric mean of the two agreements.

**The rule.** LoRA sits on the last k layers, and these are then each family's own. The advice is
the k whose remaining L - k shared layers have the largest sum of batch cosines (the smallest such
k): layers count against sharing as far as gradients conflict there, for it as far as they agree.
How sure this is, is the share of bootstrap resamples of the batches that give the same k.

The rule is a heuristic. It looks at one moment, to first order, and knows nothing of what a LoRA
of some rank can take over or of what apps need: hold it against a sweep of k. On the recipe of the
first run (all-MiniLM-L6-v2, 16 and 48 batches) every layer conflicts at the start, layers 2 to 5
most and the last least, and so it does after 20 steps of joint training; after 60 it is mostly
gone, and over 700 steps of tpl the gradients agree weakly in every layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from onetrunk.prefinetuning.conflict import layer_names
from onetrunk.prefinetuning.profile import Profile

RESAMPLES = 2000
# Two-sided: the 5 % and 95 % quantiles over resamples.
INTERVAL = (0.05, 0.95)
SURE, LEANING = 0.8, 0.5


@dataclass(frozen=True)
class Estimate:
    """A number and its 90 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Conflict:
    """Two families in one layer."""

    batch_cosine: Estimate
    expected_cosine: Estimate | None
    """None where a family's expected gradient is not told from noise."""
    norm_ratio: float
    """rms |g_f| / rms |g_g| of the unweighted losses."""


@dataclass(frozen=True)
class LayerAdvice:
    """One layer, or the embeddings."""

    name: str
    private: bool
    agreement: dict[str, float]
    """By family: cosine of two of its own batches."""
    conflicts: dict[str, Conflict]
    """By pair of families ``f|g``."""


@dataclass(frozen=True)
class Advice:
    """How many top layers to make private, and how sure that is."""

    k: int
    shares: list[float]
    """Share of the resamples that give k = 0 … L."""
    layers: list[LayerAdvice]
    """Bottom first."""

    @property
    def share(self) -> float:
        """Share of the resamples that give the advised k."""
        return self.shares[self.k]

    def sentence(self) -> str:
        """The advice in words."""
        depth = len(self.shares) - 1
        if self.k == depth:
            advice = f"Give the families all {depth} layers (k = {depth}): apps then share none."
        elif self.k:
            advice = f"Give the families the last {self.k} of {depth} layers (k = {self.k})."
        else:
            advice = (
                "No number of top layers conflicts more than it agrees (k = 0): share all of them, "
                "strategy joint; with tpl take k = 1."
            )
        words = (
            "fairly sure" if self.share >= SURE else "a leaning" if self.share >= LEANING else None
        )
        least = max(range(depth + 1), key=lambda k: self.shares[k])
        rest = f"{self.share:.0%} of {RESAMPLES:,} resamples of the batches give the same k"
        if words:
            return f"{advice} That is {words}: {rest}."
        return (
            f"{advice} That is not sure: {rest}, {self.shares[least]:.0%} give k = {least}; "
            "take more batches, or sweep k."
        )

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return _rounded(
            {
                "k": self.k,
                "share_of_resamples": self.share,
                "shares_by_k": self.shares,
                "advice": self.sentence(),
                "layers": [_plain(layer) for layer in self.layers],
            }
        )


def advise(profile: Profile, seed: int = 0) -> Advice:
    """Estimate conflict by layer and apply the rule above. Needs two batches a family."""
    m = profile.grams.shape[2]
    families = range(len(profile.families))
    weights = [_resamples(m, seed + family) for family in families]
    squares = [_square(profile.grams[:, f, :, f], weights[f]) for f in families]
    lengths = [_mean_square(profile.grams[:, f, :, f], weights[f]) for f in families]
    found: dict[str, list[Conflict]] = {}
    total = torch.zeros_like(lengths[0])
    for f, g in combinations(families, 2):
        inner = _inner(profile.grams[:, f, :, g], weights[f], weights[g])
        cosine = inner / (lengths[f] * lengths[g]).sqrt().clamp_min(1e-30)
        total += cosine
        ratio = (lengths[f][0] / lengths[g][0].clamp_min(1e-30)).sqrt()
        found[f"{profile.families[f]}|{profile.families[g]}"] = [
            Conflict(_estimate(batch), expected, float(r))
            for batch, expected, r in zip(
                cosine.T, _expected(inner, squares[f], squares[g]), ratio, strict=True
            )
        ]
    ks = best_k(total)
    depth = total.shape[1] - 1
    k = int(ks[0])
    layers = [
        LayerAdvice(
            name,
            private=at > depth - k,
            agreement={
                family: float(squares[f][0, at] / lengths[f][0, at].clamp_min(1e-30))
                for f, family in enumerate(profile.families)
            },
            conflicts={pair: by_layer[at] for pair, by_layer in found.items()},
        )
        for at, name in enumerate(layer_names(depth + 1))
    ]
    shares = torch.bincount(ks[1:], minlength=depth + 1) / RESAMPLES
    return Advice(k, shares.tolist(), layers)


def best_k(cosines: Tensor) -> Tensor:
    """Batch cosines ``(B, L + 1)``, embeddings first -> the rule's k, ``(B,)`` int64.

    The embeddings are always shared, so they have no say.
    """
    shared = torch.nn.functional.pad(cosines[:, 1:].cumsum(1), (1, 0))  # by number shared, 0 … L
    return shared.flip(1).argmax(1)  # by k = 0 … L; the first of equals


def _resamples(m: int, seed: int) -> Tensor:
    """How often each batch counts ``(1 + RESAMPLES, m)``: once in row 0, then as drawn."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(m, (RESAMPLES, m), generator=generator)
    counts = torch.zeros(RESAMPLES, m, dtype=torch.float64)
    counts.scatter_add_(1, drawn, torch.ones_like(counts))
    return torch.cat([torch.ones(1, m, dtype=torch.float64), counts])


def _inner(gram: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """<μ_f, μ_g> from ``(L, m, m)`` and two ``(B, m)`` -> ``(B, L)``."""
    pairs = first.sum(1) * second.sum(1)
    return torch.einsum("bi,lij,bj->bl", first, gram, second) / pairs[:, None]


def _square(gram: Tensor, counts: Tensor) -> Tensor:
    """|μ|² from pairs of different batches: ``(L, m, m)``, ``(B, m)`` -> ``(B, L)``.

    It can be negative. NaN for a resample of one batch alone.
    """
    same = torch.einsum("bi,li->bl", counts.square(), gram.diagonal(dim1=1, dim2=2))
    pairs = counts.sum(1).square() - counts.square().sum(1)
    return (torch.einsum("bi,lij,bj->bl", counts, gram, counts) - same) / pairs[:, None]


def _mean_square(gram: Tensor, counts: Tensor) -> Tensor:
    """Mean |g|² of single batches: ``(L, m, m)``, ``(B, m)`` -> ``(B, L)``."""
    return counts @ gram.diagonal(dim1=1, dim2=2).T / counts.sum(1, keepdim=True)


def _expected(inner: Tensor, first: Tensor, second: Tensor) -> list[Estimate | None]:
    """Expected cosines by layer, where both norms are above 0 in 95 % of the resamples."""
    usable = (first > 0) & (second > 0)
    known = (first + second).isfinite().sum(0)  # all but resamples of one batch alone
    cosine = inner / (first * second).clamp_min(1e-30).sqrt()
    return [
        _estimate(cosine[usable[:, layer], layer])
        if usable[0, layer] and usable[:, layer].sum() >= INTERVAL[1] * known[layer]
        else None
        for layer in range(inner.shape[1])
    ]


def _estimate(values: Tensor) -> Estimate:
    """Row 0 is the value, the others are resamples."""
    low, high = values[1:].quantile(values.new_tensor(INTERVAL)).tolist()
    return Estimate(float(values[0]), low, high)


def _plain(layer: LayerAdvice) -> dict[str, Any]:
    def interval(estimate: Estimate | None) -> list[float] | None:
        return None if estimate is None else [estimate.value, estimate.low, estimate.high]

    return {
        "name": layer.name,
        "private": layer.private,
        "agreement": layer.agreement,
        "pairs": {
            pair: {
                "batch_cosine": interval(found.batch_cosine),
                "expected_cosine": interval(found.expected_cosine),
                "norm_ratio": found.norm_ratio,
            }
            for pair, found in layer.conflicts.items()
        },
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
