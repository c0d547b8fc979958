"""Distillation of token states: a student's against those of a teacher of any width.

Features are matched through a learned linear projection, as in FitNets (Romero et al. 2015,
arXiv 1412.6550); relations between tokens need none (relational knowledge distillation: Park et al.
2019, arXiv 1904.05068).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Match = Literal["cosine", "mse"]


class Distillation(nn.Module):
    """Student states, projected, against the teacher's; ``relations`` weighs :func:`relational`.

    ``width`` is D of the student, ``teacher_width`` E of the teacher. ``cosine`` is one minus the
    cosine, ``mse`` the squared error averaged over E.
    """

    def __init__(
        self, width: int, teacher_width: int, match: Match = "cosine", relations: float = 0.0
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(width, teacher_width)
        self.match, self.relations = match, relations

    def forward(self, states: Tensor, teacher: Tensor, known: Tensor) -> Tensor:
        """Loss of the tokens that the teacher knows, summed.

        ``states (B, T, D)``, ``teacher (B, T, E)``, ``known (B, T)`` bool.
        """
        projected, target = self.projection(states[known]), teacher[known]
        if self.match == "cosine":
            loss = (1 - F.cosine_similarity(projected, target, dim=-1)).sum()
        else:
            loss = (projected - target).square().mean(-1).sum()
        if self.relations:
            loss = loss + self.relations * relational(states, teacher, known)
        return loss


def relational(states: Tensor, teacher: Tensor, known: Tensor) -> Tensor:
    """How far the cosines between a sentence's tokens differ from the teacher's, summed.

    Each token gives the mean squared difference over the other known tokens of its sentence, so
    that long sentences count by their tokens, not by their pairs. Shapes as in
    :meth:`Distillation.forward`.
    """
    others = known[:, :, None] & known[:, None, :]
    others &= ~torch.eye(known.shape[1], dtype=torch.bool, device=known.device)
    difference = (_cosines(states) - _cosines(teacher)).square() * others
    return (difference.sum(-1) / others.sum(-1).clamp(min=1)).sum()


def _cosines(states: Tensor) -> Tensor:
    """``(B, T, D)`` -> ``(B, T, T)``."""
    unit = F.normalize(states, dim=-1)
    return unit @ unit.mT
