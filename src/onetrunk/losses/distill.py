"""Distillation of token states: a student learns from a teacher of any width.

A learned linear projection takes the student's states to the teacher's space, as in FitNets (Romero
et al. 2015, arXiv 1412.6550). Relations between tokens need no projection (relational knowledge
distillation: Park et al. 2019, arXiv 1904.05068).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Match = Literal["cosine", "mse"]


class Distillation(nn.Module):
    """The distance of projected student states to the teacher's states.

    ``width`` is D, the size of a student state, and ``teacher_width`` is E, that of a teacher
    state. ``match`` is ``cosine``, one minus the cosine, or ``mse``, the squared error averaged
    over E. ``relations`` is the factor on :func:`relational`; 0 leaves that loss out.
    """

    def __init__(
        self, width: int, teacher_width: int, match: Match = "cosine", relations: float = 0.0
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(width, teacher_width)
        self.match, self.relations = match, relations

    def forward(self, states: Tensor, teacher: Tensor, known: Tensor) -> Tensor:
        """Loss summed over the tokens for which the teacher has a state.

        ``states (B, T, D)``, ``teacher (B, T, E)``; ``known (B, T)`` bool marks those tokens.
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
    """How far the cosines between the tokens of a sentence differ from the teacher's, summed.

    Each token adds the mean squared difference over the other known tokens of its sentence. So a
    long sentence counts by its number of tokens, not by its number of pairs. Shapes are those of
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
