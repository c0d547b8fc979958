"""Any number of labels for a text: another head on the states of text classification."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from onetrunk.data.formats.labelled import known_parts
from onetrunk.data.notes import Notes
from onetrunk.data.rows import LabelledText, Place, Span
from onetrunk.data.sources import Spec, read_classification
from onetrunk.families.classification import Classification
from onetrunk.losses.head import HeadLoss, binary_cross_entropy

if TYPE_CHECKING:
    from torch import Tensor


class MultiLabel(Classification):
    """A yes or no for each label. Apps start from the primary LoRA of text classification."""

    name: ClassVar[str] = "multi-label"
    decoder: ClassVar[str | None] = "multi-label"
    metric: ClassVar[str] = "micro_f1"
    starts_from: ClassVar[str | None] = Classification.name
    solved_start: ClassVar[bool] = True  # zeros were tried with one label a text alone

    def read(self, path: Spec, notes: Notes | None = None) -> list[LabelledText]:
        """Texts and labels; a string that joins several labels is split."""
        return read_classification(path, notes, several=True)

    def check_rows(self, examples: Sequence[LabelledText], place: Place) -> None:
        """A row may have any number of labels, none included."""

    def with_known(self, example: LabelledText, labels: Sequence[str]) -> LabelledText:
        """A string that joins labels of training is split, though its own file may not show it."""
        known = set(labels)
        if known.issuperset(example.labels):
            return example
        parts = chain.from_iterable(known_parts(label, known) for label in example.labels)
        return replace(example, labels=tuple(dict.fromkeys(parts)))

    def learnable(self, labels: Sequence[str], examples: Sequence[LabelledText]) -> bool:
        """One label is enough, if one text has it and another has not."""
        return len({frozenset(example.labels) for example in examples}) > 1

    def targets(
        self, example: LabelledText, units: Sequence[Span], labels: Sequence[str]
    ) -> np.ndarray:
        """``(1, C)`` float32 zeros and ones."""
        target = np.zeros((1, len(labels)), np.float32)
        target[0, [labels.index(label) for label in example.labels]] = 1.0
        return target

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy: the sum over labels, the mean over units. Each label is then
        learned and regularised as if it were the only one."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)

    @property
    def head_loss(self) -> HeadLoss:
        """:meth:`loss` in numpy."""
        return binary_cross_entropy

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """``(U, C)``: 1 for each label that a text has."""
        return targets

    def probabilities(self, logits: Tensor) -> Tensor:
        """Each label's probability."""
        return logits.sigmoid()

    def calibrate(
        self, pairs: Iterable[tuple[LabelledText, Tensor]], labels: Sequence[str]
    ) -> Tensor:
        """Moves each label's threshold to one half; the thresholds are those of the best micro
        F1."""
        import torch

        examples, parts = zip(*pairs, strict=True)
        logits = np.stack([part.float().mean(0).cpu().numpy() for part in parts])
        gold = np.array([[label in example.labels for label in labels] for example in examples])
        return -torch.from_numpy(best_thresholds(logits, gold)).float()


def best_thresholds(logits: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Thresholds ``(C,)`` float64 on logits ``(N, C)`` that together have the best micro F1
    against gold ``(N, C)`` bool.

    Each label's own best F1 would not do: a label that cannot be learnt would be given to half of
    all texts, at the cost of the others. Micro F1 is a ratio of sums over labels. At its maximum
    f, each label's threshold maximises ``2 * right - f * chosen``: the label's right answers, and
    all of its answers (Dinkelbach 1967, On nonlinear fractional programming). So thresholds are
    found label by label, for a growing f.

    A threshold lies halfway between two logits. Among equally good ones the nearest to 0 is taken;
    a label that no row has gets 0.
    """
    order = np.argsort(-logits, axis=0, kind="stable")
    ranked = np.take_along_axis(logits, order, 0).astype(np.float64)
    right = np.cumsum(np.take_along_axis(gold, order, 0), axis=0)
    after = np.vstack([ranked[1:], ranked[-1:] - 2.0])
    # Where 0 lies between two logits it is as good as the middle.
    cuts = np.where((after < 0) & (ranked >= 0), 0.0, (ranked + after) / 2)
    above_all = np.maximum(ranked[:1] + 1.0, 0.0)
    cuts, right = np.vstack([above_all, cuts]), np.vstack([np.zeros_like(right[:1]), right])
    chosen = np.arange(len(cuts))[:, None]
    # No threshold lies between equal logits.
    possible = np.vstack([np.ones_like(above_all, bool), ranked > after])
    known = gold.any(0)
    f1 = 0.0
    while True:
        gain = np.where(possible, 2.0 * right - f1 * chosen, -np.inf)
        best = gain >= gain.max(0) - 1e-9
        at = np.where(best, np.abs(cuts), np.inf).argmin(0)[None]
        hits = np.take_along_axis(right, at, 0)[0, known].sum()
        reached = 2.0 * hits / max(1.0, at[0, known].sum() + gold.sum())
        if reached <= f1 + 1e-12:
            return np.where(known, np.take_along_axis(cuts, at, 0)[0], 0.0)
        f1 = reached
