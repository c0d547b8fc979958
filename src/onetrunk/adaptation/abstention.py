"""When an app gives no answer: below a probability that the user names, or that a wanted precision
asks for on validation rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.decoding import DECODERS, Entities, check_none_below
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone

Answer = tuple[float, bool]
"""The probability of a label or an entity that an app answers, and whether it is right."""


@dataclass(frozen=True)
class Threshold:
    """A value of ``none_below``, with the precision and the number of the answers given at it."""

    none_below: float
    precision: float
    """In percent."""
    given: int


@dataclass(frozen=True)
class Abstention:
    """When an app gives no answer. Set one field at most; if both are None, it always answers."""

    none_below: float | None = None
    """An answer that is less probable, from 0 to 1, is not given."""
    wanted_precision: float | None = None
    """In percent. The lowest ``none_below`` is chosen at which at least this share of the answers
    given on the validation rows is right."""

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for both at once, and for a number out of range."""
        wanted = self.wanted_precision
        if self.none_below is not None and wanted is not None:
            raise UserError("wanted_precision chooses none_below: leave one of them out")
        check_none_below(self.none_below)
        if self.none_below == 1:
            raise UserError(
                "none_below is 1: hardly any answer is that sure, so the app would give none; did "
                "you mean 0.01?"
            )
        is_number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
        if wanted is not None and not (is_number and 1 <= wanted <= 100):
            meant = f"; did you mean {100 * wanted:g}?" if is_number and 0 < wanted < 1 else ""
            raise UserError(
                f"wanted_precision is {wanted!r}, not a percentage from 1 to 100{meant}"
            )

    def check(self, family: Family[Any, Any], has_validation: bool) -> None:
        """Raise :class:`UserError` if apps of the family cannot abstain, or if there are no rows to
        choose a threshold on."""
        name = "none_below" if self.wanted_precision is None else "wanted_precision"
        if self == Abstention():
            return
        if family.decoder is None or not DECODERS[family.decoder].abstains:
            raise UserError(
                f"apps of family {family.name!r} cannot abstain, because their answers have no "
                f"probability: leave {name} out"
            )
        if self.wanted_precision is not None and not has_validation:
            raise UserError(
                "wanted_precision chooses a threshold on validation rows, and there are none: pass "
                "some as validation (--validation FILE), or name a threshold as none_below "
                "(--none-below 0.7)"
            )

    def apply(self, app: App, backbone: Backbone, rows: Sequence[Any]) -> None:
        """Set ``app.none_below``. How it was chosen on validation ``rows`` is kept in the record.

        Raises :class:`UserError` if no threshold reaches the wanted precision.
        """
        app.none_below = self.none_below
        if self.wanted_precision is None:
            return
        predictions = Engine(backbone, {"app": app}).predict_examples("app", rows)
        answers = answers_of(app.family, rows, predictions)
        # With one label a text, all rows count: an empty text has no answer, so it is not given.
        one_label = app.family.decoder == "tc"
        what, count = ("rows", len(rows)) if one_label else ("answers", len(answers))
        cuts = thresholds(answers)
        chosen = next((cut for cut in cuts if cut.precision >= self.wanted_precision), None)
        if chosen is None:
            raise UserError(_unreached(self.wanted_precision, cuts, what, count))
        app.none_below = chosen.none_below
        app.record["abstention"] = {
            "wanted_precision": self.wanted_precision,
            "precision": round(chosen.precision, 2),
            "given": chosen.given,
            "of": count,
            "what": what,
        }


def answers_of(
    family: Family[Any, Any], rows: Sequence[Any], predictions: Sequence[Any]
) -> list[Answer]:
    """Every label or entity that is predicted for labelled rows."""
    answers: list[Answer] = []
    for row, prediction in zip(rows, predictions, strict=True):
        if isinstance(prediction, Entities):
            scored = zip(prediction.entities, prediction.scores, strict=True)
            answers += [(score, entity in row.entities) for entity, score in scored]
        else:
            labels, of_labels = set(family.labels_of(row)), prediction.probabilities
            answers += [(of_labels[label], label in labels) for label in prediction.labels]
    return answers


def thresholds(answers: Sequence[Answer]) -> list[Threshold]:
    """One threshold for each set of answers that can be given, the lowest threshold first.

    The lowest is 0, which gives all; each other one lies halfway between two probabilities, so that
    rounding, which differs between machines, changes no answer.
    """
    ranked = sorted(answers, reverse=True)
    right = np.cumsum([is_right for _, is_right in ranked])
    cuts: list[Threshold] = []
    for given, (probability, _) in enumerate(ranked, start=1):
        after = ranked[given][0] if given < len(ranked) else None
        if probability != after:  # no threshold lies between equal ones
            none_below = 0.0 if after is None else (probability + after) / 2
            cuts.append(Threshold(none_below, 100 * int(right[given - 1]) / given, given))
    return cuts[::-1]


def _unreached(wanted: float, cuts: Sequence[Threshold], what: str, count: int) -> str:
    if not cuts:
        return f"precision {wanted:g} % is not reached: the app answers none of the validation rows"
    best = max(cuts, key=lambda cut: (cut.precision, cut.given))
    return (
        f"no threshold has {wanted:g} % precision on the validation rows; the best has "
        f"{best.precision:.1f} %: none_below {best.none_below:.4f}, where {best.given:,} of "
        f"{count:,} {what} are given"
    )
