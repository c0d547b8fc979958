"""What a teacher says about the windows of prepared corpora, live or from a cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from onetrunk.corpora.store import cache_folder
from onetrunk.corpora.teacher import build_features, load_teacher, teacher_states
from onetrunk.corpora.tokenised import NerCorpus
from onetrunk.data.notes import Notes
from onetrunk.losses.distill import Match

Window = tuple[int, int]
"""A corpus and one of its windows."""


class DistillSettings(BaseModel, extra="forbid", allow_inf_nan=False):
    """Distillation: token states against those of a teacher."""

    teacher: str
    """Hub name, local folder or ``package:NAME`` of any encoder."""
    weight: float = Field(1.0, gt=0)
    """Factor on this loss."""
    loss: Match = "cosine"
    """How projected states are matched."""
    relations: float = Field(0.0, ge=0)
    """Factor, within this loss, on matching the similarities of a sentence's tokens; 0: none."""
    cache: bool = False
    """Run the teacher once over all sources and keep its states (2 bytes a number) on disk. Pays if
    rows are drawn more than once, by one run or several; otherwise the teacher runs on what is
    drawn."""


class TeacherStates:
    """A teacher's states of the tokens of windows that were prepared with their texts."""

    def __init__(
        self,
        settings: DistillSettings,
        corpora: Sequence[NerCorpus],
        device: torch.device,
        notes: Notes,
    ) -> None:
        teacher = load_teacher(settings.teacher, device=device)
        self.width = teacher.width
        self.record = {"teacher": settings.teacher, "teacher_fingerprint": teacher.fingerprint()}
        self._corpora, self._device = corpora, device
        self._teacher = None if settings.cache else teacher
        self._features = []
        if settings.cache:
            for corpus in corpora:
                root = cache_folder() / "teacher"
                features = build_features(teacher, corpus.texts, corpus.offsets, root)
                notes.update(features.notes)
                self._features.append(features)

    def states(self, windows: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """States ``(total tokens, E)`` fp32 of all windows, and which tokens have any.

        The mask is ``(total tokens,)`` bool; without it the states are zero.
        """
        if self._teacher is not None:
            texts = [self._corpora[corpus].texts[row] for corpus, row in windows]
            offsets = [self._corpora[corpus].offsets[row] for corpus, row in windows]
            return teacher_states(self._teacher, texts, offsets)
        rows = [self._features[corpus].row(row) for corpus, row in windows]
        states, mask = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
        return states.to(self._device).float(), mask.to(self._device)
