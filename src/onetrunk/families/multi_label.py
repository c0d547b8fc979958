"""Any number of labels for a text: another head on the states of text classification."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onetrunk.data.rows import LabelledText
from onetrunk.decoding import Labelled, decode_labels
from onetrunk.families.classification import Classification


class MultiLabel(Classification):
    """A yes or no for each label. Apps start from the primary LoRA of text classification."""

    name: ClassVar[str] = "multi-label"
    metric: ClassVar[str] = "micro_f1"
    starts_from: ClassVar[str | None] = Classification.name

    def check_rows(self, examples: Sequence[LabelledText], where: str) -> None:
        """A row may have any number of labels, none included."""

    def learnable(self, labels: Sequence[str]) -> bool:
        """One label is enough: a text has it or not."""
        return bool(labels)

    def targets(self, example: LabelledText, units: Sequence[int], labels: Sequence[str]) -> Tensor:
        """``(1, C)`` zeros and ones."""
        target = torch.zeros(1, len(labels))
        target[0, [labels.index(label) for label in example.labels]] = 1.0
        return target

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, a mean over units of the sum over labels: a label is learned, and
        its weights held back, as if it were alone, however many there are."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """A vote for each label that a text has."""
        return targets

    def probabilities(self, logits: Tensor) -> Tensor:
        """Each label's probability."""
        return logits.sigmoid()

    def blend(self, logits: Tensor, votes: Tensor, share: float) -> Tensor:
        """Of each label's probability."""
        mixed = (1 - share) * logits.float().sigmoid() + share * votes
        return torch.logit(mixed, eps=1e-6)

    def calibrate(
        self, judged: Iterable[tuple[LabelledText, Tensor]], labels: Sequence[str]
    ) -> Tensor:
        """For each label, so that one half is the threshold; all together those of the best micro
        F1."""
        examples, parts = zip(*judged, strict=True)
        logits = np.stack([part.float().mean(0).cpu().numpy() for part in parts])
        gold = np.array([[label in e.labels for label in labels] for e in examples])
        return -torch.from_numpy(best_thresholds(logits, gold)).float()

    def decode(
        self,
        logits: Tensor,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Labelled:
        """Every label with a probability of at least one half."""
        return decode_labels(logits.float().cpu().numpy(), labels)


def best_thresholds(logits: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """The threshold of each label on logits ``(N, C)`` with which all together have the best micro
    F1 against gold ``(N, C)`` bool: ``(C,)`` float64.

    A label's own best F1 would cost the others: one that is right once, in the middle of its ranks,
    would be given to half of all texts. F1 is a ratio of sums over labels, so the best, f, is that
    at which no label's 2 right - f chosen can be larger (Dinkelbach 1967, On nonlinear fractional
    programming), which is found label by label.

    Halfway between two logits; of equally good ones the nearest to 0, which is also the answer for
    a label that no row has.
    """
    order = np.argsort(-logits, axis=0, kind="stable")
    ranked = np.take_along_axis(logits, order, 0).astype(np.float64)
    right = np.cumsum(np.take_along_axis(gold, order, 0), axis=0)
    after = np.vstack([ranked[1:], ranked[-1:] - 2.0])
    # Where 0 lies between the two neighbours it is as good as the middle.
    cuts = np.where((after < 0) & (ranked >= 0), 0.0, (ranked + after) / 2)
    none = np.maximum(ranked[:1] + 1.0, 0.0)
    cuts, right = np.vstack([none, cuts]), np.vstack([np.zeros_like(right[:1]), right])
    chosen = np.arange(len(cuts))[:, None]
    # Equal logits cannot be told apart.
    possible = np.vstack([np.ones_like(none, bool), ranked > after])
    known = gold.any(0)
    f1 = 0.0
    while True:
        gain = np.where(possible, 2.0 * right - f1 * chosen, -np.inf)
        best = gain >= gain.max(0) - 1e-9
        at = np.where(best, np.abs(cuts), np.inf).argmin(0)[None]
        hits = np.take_along_axis(right, at, 0)[0, known].sum()
        found = 2.0 * hits / max(1.0, at[0, known].sum() + gold.sum())
        if found <= f1 + 1e-12:
            return np.where(known, np.take_along_axis(cuts, at, 0)[0], 0.0)
        f1 = found
