"""A teacher's states of the windows of prepared corpora, computed live or read from the cache."""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from onetrunk.config import Settings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.features import build_features
from onetrunk.corpora.teacher import load_teacher, teacher_states
from onetrunk.corpora.tokenised import NerCorpus
from onetrunk.losses.distill import Match

Window = tuple[int, int]
"""The index of a corpus, and the index of one of its windows."""


class DistillSettings(Settings):
    """Distillation: the student's token states learn from those of a teacher."""

    teacher: str
    """Hub name, local folder or ``package:NAME`` of any encoder."""
    weight: float = Field(1.0, gt=0)
    """Factor on this loss."""
    loss: Match = "cosine"
    """How projected states are compared with the teacher's."""
    relations: float = Field(0.0, ge=0)
    """Factor, within this loss, on matching the similarities of a sentence's tokens; 0: none."""
    cache: bool = False
    """Run the teacher once over all sources and keep its states (2 bytes a number) on disk. This
    pays if rows are drawn more than once, by one run or by several. Otherwise the teacher runs on
    each batch."""


class TeacherStates:
    """A teacher's states of the tokens of windows. The corpora were prepared with their texts."""

    def __init__(
        self,
        settings: DistillSettings,
        corpora: Sequence[NerCorpus],
        device: torch.device,
        builder: CorpusBuilder,
    ) -> None:
        teacher = load_teacher(settings.teacher, device=device)
        self.width = teacher.width
        self.record = {"teacher": settings.teacher, "teacher_fingerprint": teacher.fingerprint()}
        self._corpora, self._device = corpora, device
        self._teacher, self._features = teacher, None
        if settings.cache:
            self._features = [
                build_features(
                    teacher, corpus.texts, corpus.offsets, builder.notes, builder.progress
                )
                for corpus in corpora
            ]

    def states(self, windows: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """States ``(total tokens, E)`` fp32 of all windows, and mask ``(total tokens,)`` bool.

        Where the mask is false, the teacher has no state, and the state is zero.
        """
        if self._features is None:
            texts = [self._corpora[corpus].texts[window] for corpus, window in windows]
            offsets = [self._corpora[corpus].offsets[window] for corpus, window in windows]
            return teacher_states(self._teacher, texts, offsets)
        rows = [self._features[corpus].row(window) for corpus, window in windows]
        states, mask = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
        return states.to(self._device).float(), mask.to(self._device)
