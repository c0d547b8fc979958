"""Labels that are probably wrong: those that an app doubts which has not seen their row.

A linear app is solved five times, each time without a fifth of the rows, and answers those. How
much it doubts a label is 1 minus the probability that it gives it (self-confidence: Northcutt et
al. 2021, Confident learning, section 3.1); how much it doubts a rating, the distance to its own. A
row is as doubtful as its most doubtful unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from onetrunk.adaptation.fit import slot_of
from onetrunk.adaptation.linear import ROUGH, solve_linear
from onetrunk.adaptation.penalty import FOLDS
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.adaptation.task import AppTask
from onetrunk.apps.label_scores import Answer
from onetrunk.apps.top import Top
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.losses.head import HeadLoss, squared_error
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.precision import choose
from onetrunk.progress import Progress, silent


@dataclass(frozen=True)
class Doubt:
    """A row, counted from one, and how probable it is that its labels are wrong."""

    row: int
    doubt: float
    """From 0 to 1: 1 minus the probability of the least probable label of the row. Of a rating, how
    far it is from the app's, as a share of the scale."""
    text: str
    labelled: tuple[Answer, ...]
    likely: tuple[Answer, ...]
    """What an app answers that has not seen the row: labels, entities, or a number."""

    def as_json(self) -> dict[str, Any]:
        """The doubt for machines."""
        return asdict(self)


def doubts(
    backbone: Backbone,
    family: Family[Any, Any],
    rows: Sequence[Any],
    settings: AdaptSettings | None = None,
    progress: Progress = silent,
) -> list[Doubt]:
    """Every row with its doubt, the most doubtful first.

    ``settings`` are those of a linear app. Raises :class:`UserError` as
    :func:`~onetrunk.adaptation.fit.fit` does, and for fewer than ten rows.
    """
    settings = settings or AdaptSettings(adapter="linear")
    if len(rows) < 2 * FOLDS:
        raise UserError(f"{len(rows)} rows are too few to doubt any: {2 * FOLDS} are needed")
    labels, slot = family.label_set(rows), slot_of(backbone, family, settings)
    task = AppTask(backbone, family, Data(labels, list(rows)), settings, slot)
    progress("reading the texts", 0, FOLDS)
    primary = {name: lora for name, lora in backbone.primary_loras.items() if name == task.slot}
    precision = choose(settings.precision, backbone.encoder.device, backbone.encoder.width)
    task.read(Top(backbone.encoder, LoraStack(backbone.encoder, primary), task.k, precision), False)
    features, targets, l2 = task.linear_problem()
    counts = task.train.counts(range(len(task.train.encoded)))
    row_of_unit = np.repeat(task.train.example_of, counts)
    fold_of_row = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    fold_of_unit = fold_of_row[row_of_unit]
    classes, loss = family.classes(labels), family.head_loss
    logits = np.zeros((len(features), classes), np.float32)
    for fold in range(FOLDS):
        held_out = fold_of_unit == fold
        head = solve_linear(features[~held_out], targets[~held_out], classes, l2, loss, ROUGH)
        logits[held_out] = head(features[held_out])
        progress("answering a fifth that was left out", fold + 1, FOLDS)
    doubt_of_unit = _doubt_of_units(loss, logits, targets)
    doubt_of_row = np.zeros(len(rows))
    np.maximum.at(doubt_of_row, row_of_unit, doubt_of_unit)
    answered = task.train.joined(list(torch.from_numpy(logits).split(counts)))
    decoded = [family.decode(of_units, units, labels) for _, of_units, units in answered]
    return [
        Doubt(
            int(row) + 1,
            round(float(doubt_of_row[row]), 4),
            family.text(rows[row]),
            _answers(rows[row]),
            _answers(decoded[row]),
        )
        for row in np.argsort(-doubt_of_row, kind="stable")
    ]


def _doubt_of_units(loss: HeadLoss, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``(U,)``: by unit, how improbable its label is; of ratings, how far away on the scale."""
    if loss is squared_error:
        distances: np.ndarray = np.abs(np.clip(logits, 0, 1) - targets)[:, 0]
        return distances
    # By logits, the gradient of each loss is predicted minus labelled probability, divided by the
    # number of units (and of types, in nested NER) that the loss is a mean over. That is undone.
    _, gradient = loss(logits, targets)
    types = targets.shape[1] if targets.ndim == 2 and targets.dtype.kind == "i" else 1
    of_units: np.ndarray = np.abs(gradient).max(1) * len(gradient) * types
    return of_units


def _answers(said: Any) -> tuple[Answer, ...]:
    """The labels or entities of a row or of a prediction; a rating as a string."""
    if isinstance(said, float):
        return (f"{said:.3g}",)
    return tuple(said.entities if hasattr(said, "entities") else getattr(said, "labels", ()))
