"""A number for a text: stars, a score, an intensity. Another head on text classification's states.

Ordinal scales are numbers too: with few labelled rows it pays more to know the order of the steps
than to leave their distances free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.data.numbers import number_of
from onetrunk.data.rows import LabelledText, Place, Span
from onetrunk.data.sources import Spec, read_classification
from onetrunk.errors import UserError
from onetrunk.families.classification import Classification, WholeText
from onetrunk.losses.head import HeadLoss, squared_error

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1e15


class Rating(WholeText[float]):
    """Least squares on a scale. The ends of the scale are the lowest and the highest value of the
    training rows; they are the two "labels" of an app. Predictions stay on the scale."""

    name: ClassVar[str] = "rating"
    decoder: ClassVar[str | None] = "rating"
    metric: ClassVar[str] = "spearman"
    metrics: ClassVar[tuple[str, ...]] = ("spearman", "pearson", "mae", "accuracy", "kappa")
    starts_from: ClassVar[str | None] = Classification.name

    def read(self, path: Spec, notes: Notes | None = None) -> list[LabelledText]:
        """Texts and numbers, whole or not."""
        return read_classification(path, notes, numbers=True)

    def check_rows(self, examples: Sequence[LabelledText], place: Place) -> None:
        """Every row has exactly one label, a finite number in decimal digits."""
        for row, example in enumerate(examples):
            value = number_of(example.labels[0]) if len(example.labels) == 1 else None
            # Squares of what is beyond could not be computed.
            if value is None or abs(value) > LARGEST:
                with_point = "".join(example.labels).replace(",", ".")
                hint = "a rating is exactly one"
                if value is not None:
                    hint = "this one is larger"
                elif len(example.labels) == 1 and number_of(with_point) is not None:
                    hint = f"write a point for the comma, {with_point}"
                raise UserError(
                    f"{place(row)}: {list(example.labels)} is no number from "
                    f"-{LARGEST:g} to {LARGEST:g}, in digits alone; {hint}"
                )

    def label_set(self, examples: Any) -> list[str]:
        """The ends of the scale."""
        values = [value for example in examples for value in map(float, example.labels)]
        return [_written(end) for end in (min(values), max(values))] if values else []

    def unseen(
        self, examples: Sequence[LabelledText], labels: Sequence[str]
    ) -> Iterator[tuple[int, str]]:
        """None: any number may occur, beyond the ends of the scale too."""
        return iter(())

    def learnable(self, labels: Sequence[str], examples: Sequence[LabelledText]) -> bool:
        """The ends must differ."""
        return len(set(labels)) > 1

    def targets(
        self, example: LabelledText, units: Sequence[Span], labels: Sequence[str]
    ) -> np.ndarray:
        """``(1, 1)`` float32: 0 at the low end of the scale, 1 at the high one."""
        low, high = map(float, labels)
        return np.array([[(float(example.labels[0]) - low) / (high - low)]], np.float32)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error; the length of the scale is 1."""
        from torch.nn.functional import mse_loss

        return mse_loss(logits, targets)

    @property
    def head_loss(self) -> HeadLoss:
        """:meth:`loss` in numpy."""
        return squared_error

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """The value itself: the vote of neighbours is the mean of their values."""
        return targets

    def probabilities(self, logits: Tensor) -> Tensor:
        """The value, on the scale."""
        return logits.clamp(0, 1)

    def score(
        self, examples: Sequence[LabelledText], predictions: Sequence[float]
    ) -> dict[str, float]:
        """Rank and linear correlation in percent (0 if all predictions are equal) and the mean
        absolute error. Where all values are whole numbers, predictions are also rounded and scored
        by accuracy and quadratic kappa."""
        gold = np.array([float(example.labels[0]) for example in examples])
        guess = np.array(predictions)
        varied = bool(np.ptp(gold) > 0 and np.ptp(guess) > 0)
        scores = {
            "spearman": 100 * float(np.corrcoef(ranks(gold), ranks(guess))[0, 1])
            if varied
            else 0.0,
            "pearson": 100 * float(np.corrcoef(gold, guess)[0, 1]) if varied else 0.0,
            "mae": float(np.abs(gold - guess).mean()),
        }
        if (gold == gold.round()).all():
            whole = np.floor(guess + 0.5).astype(int)
            scores["accuracy"] = 100 * float((whole == gold).mean())
            scores["kappa"] = 100 * quadratic_kappa(gold.astype(int), whole)
        return scores


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value ``(N,)``; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return mean_rank


def quadratic_kappa(gold: np.ndarray, guess: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968, Psychol. Bull. 70) of whole numbers
    ``(N,)``; 0 if all are the same number.

    How far apart two values are is counted in steps between the values that occur. The mean squared
    distance is divided by that of pairs drawn by chance.
    """
    steps = np.unique(np.concatenate([gold, guess]), return_inverse=True)[1].astype(float)
    one, other = steps[: len(gold)], steps[len(gold) :]
    by_chance = one.var() + other.var() + (one.mean() - other.mean()) ** 2
    return float(1 - np.square(one - other).mean() / by_chance) if by_chance else 0.0


def _written(value: float) -> str:
    """A number with all its digits; a whole one without a point."""
    return str(int(value)) if value.is_integer() else repr(value)
