"""A LoRA adapter as a value: its matrices and its shape.

LoRA: Hu et al. 2021 (arXiv 2106.09685). rsLoRA scaling: Kalajdzievski 2023 (arXiv 2312.03732).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onetrunk.errors import UserError, nearest
from onetrunk.model.architecture import TARGETS
from onetrunk.model.place import check_k

if TYPE_CHECKING:
    from torch import Tensor

    from onetrunk.model.encoder import Encoder

Place = tuple[int, str]
"""The linear map that carries a LoRA: (layer index, one of TARGETS)."""

NONE = "none"
"""Name of slot 0, the bare backbone."""


def scaling_of(rank: int, alpha: float, rslora: bool) -> float:
    """The factor on A·B: alpha / r, or alpha / √r for rsLoRA."""
    return alpha / (math.sqrt(rank) if rslora else rank)


@dataclass(frozen=True)
class LoraAdapter:
    """One adapter: ``matrices[layer, target] = (A (d_in, r), B (r, d_out))``, fp32."""

    rank: int
    alpha: float
    matrices: Mapping[Place, tuple[Tensor, Tensor]]
    rslora: bool = False

    @property
    def scaling(self) -> float:
        """The factor on A·B: alpha / r, or alpha / √r for rsLoRA."""
        return scaling_of(self.rank, self.alpha, self.rslora)

    @property
    def layers(self) -> list[int]:
        """Indices of the layers that it changes, ascending."""
        return sorted({layer for layer, _ in self.matrices})

    @property
    def targets(self) -> list[str]:
        """The linear maps that it changes, in the order of TARGETS."""
        return [target for target in TARGETS if any(t == target for _, t in self.matrices)]

    @classmethod
    def fresh(
        cls,
        encoder: Encoder,
        k: int,
        rank: int,
        alpha: float,
        targets: Sequence[str] = TARGETS,
        seed: int = 0,
        rslora: bool = False,
    ) -> LoraAdapter:
        """A new adapter on the last ``k`` layers, with random A and zero B, so it changes nothing.

        A is drawn as PEFT draws it (Kaiming uniform with a = √5). Raises :class:`UserError` for an
        unknown target, and if the encoder has fewer than ``k`` layers.
        """
        import torch

        for target in targets:
            if target not in TARGETS:
                raise UserError(f"LoRA target {target!r} is unknown; {nearest(target, TARGETS)}")
        check_k(k, encoder.depth)
        generator = torch.Generator().manual_seed(seed)
        matrices = {}
        for layer in range(encoder.depth - k, encoder.depth):
            for target in targets:
                linear = encoder.linear(layer, target)
                bound = 1 / math.sqrt(linear.in_features)
                a = torch.empty(linear.in_features, rank).uniform_(
                    -bound, bound, generator=generator
                )
                matrices[layer, target] = (a, torch.zeros(rank, linear.out_features))
        return cls(rank, alpha, matrices, rslora)
