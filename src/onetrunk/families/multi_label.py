"""Any number of labels for a text: another head on the states of text classification."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onetrunk.data.examples import LabelledText
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
        """Binary cross-entropy, a mean over units and labels."""
        return F.binary_cross_entropy_with_logits(logits, targets)

    def ballots(self, targets: Tensor, classes: int) -> Tensor:
        """A vote for each label that a text has."""
        return targets

    def expected(self, logits: Tensor) -> Tensor:
        """Each label's probability."""
        return logits.sigmoid()

    def blend(self, logits: Tensor, votes: Tensor, share: float) -> Tensor:
        """Of each label's probability."""
        mixed = (1 - share) * logits.float().sigmoid() + share * votes
        return torch.logit(mixed, eps=1e-6)

    def calibrate(
        self, judged: Iterable[tuple[LabelledText, Tensor]], labels: Sequence[str]
    ) -> Tensor:
        """For each label, so that one half is the threshold of the best F1."""
        examples, parts = zip(*judged, strict=True)
        logits = np.stack([part.float().mean(0).cpu().numpy() for part in parts])
        return -torch.tensor(
            [
                best_threshold(logits[:, column], np.array([label in e.labels for e in examples]))
                for column, label in enumerate(labels)
            ]
        )

    def decode(
        self,
        logits: Tensor,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Labelled:
        """Every label with a probability of at least one half."""
        return decode_labels(logits.float().cpu().numpy(), labels)


def best_threshold(logits: np.ndarray, gold: np.ndarray) -> float:
    """The threshold on logits ``(N,)`` with the best F1 against ``gold (N,)`` bool.

    Halfway between two logits; of equally good ones the nearest to 0, which is also the answer if
    no row has the label.
    """
    if not gold.any():
        return 0.0
    order = np.argsort(-logits, kind="stable")
    ranked, right = logits[order], np.cumsum(gold[order])
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + gold.sum())
    after = np.append(ranked[1:], ranked[-1] - 2.0)
    possible = ranked > after  # equal logits cannot be told apart
    cuts = (ranked + after) / 2
    # Where 0 lies between the two neighbours it is as good as the middle.
    cuts = np.where((after < 0) & (ranked >= 0), 0.0, cuts)
    best = possible & (f1 >= f1[possible].max() - 1e-12)
    return float(min(cuts[best], key=abs))
