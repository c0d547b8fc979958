"""What an app is made from: how it is trained, and its rows."""

import math
from dataclasses import dataclass, field
from typing import Any, get_args

from onetrunk.adaptation.linear_app import MAX_LENGTH, SHORTEST_WINDOW
from onetrunk.apps.app import AdapterKind
from onetrunk.apps.windows import OfUnits
from onetrunk.config import (
    MOST_LAYERS,
    MOST_RANK,
    MOST_ROWS,
    MOST_STEPS,
    MOST_TOKENS,
    SEEDS,
)
from onetrunk.errors import UserError, nearest
from onetrunk.model.precision import Precision

_WHOLE = {
    "k": (1, MOST_LAYERS),
    "rank": (1, MOST_RANK),
    "epochs": (1, MOST_STEPS),
    "batch_size": (1, MOST_ROWS),
    "max_length": (SHORTEST_WINDOW, MOST_TOKENS),
    "head_layers": (1, MOST_LAYERS),
    "patience": (1, MOST_STEPS),
    "seed": (0, SEEDS - 1),
}
"""The settings that are whole numbers, the least and the most that each may be."""
_MAY_BE_NONE = ("k", "epochs", "head_layers", "head_lr", "l2")


@dataclass(frozen=True)
class AdaptSettings:
    """How an app is trained. Defaults suit a few dozen to a few thousand rows."""

    adapter: AdapterKind = "lora"
    """``lora`` or ``linear``: with a LoRA, or a head alone."""
    k: int | None = None
    """The app's LoRA is trained on the last k layers; None: the backbone's k. What the primary LoRA
    has below them stays as it is."""
    rank: int = 16
    """Used where the family has no primary LoRA; otherwise the primary's rank holds."""
    alpha: float = 32.0
    """Likewise; what the LoRA adds is multiplied by alpha / rank."""
    epochs: int | None = None
    """None: enough for about 200 updates, 4 to 12 epochs."""
    batch_size: int = 16
    """Rows of an update."""
    lora_lr: float = 2e-3
    """Learning rate of the LoRA."""
    head_lr: float | None = None
    """Learning rate of the head, where there is a LoRA. None: 5e-4, or 5e-3 where the head starts
    as zeros."""
    l2: float | None = None
    """Ridge penalty on the standardised linear head; None: the family's, or if it has none, that of
    the lowest loss in cross-validation."""
    head_layers: int | None = None
    """The head reads the states of so many layers side by side, the last one and those before it,
    at most k + 1. None: k + 1 or 1, as the family has it; if it does not say, 1 with a LoRA, and
    without one whichever has the lower loss in cross-validation."""
    max_length: int = MAX_LENGTH
    """Tokens of a window; longer texts are read in several."""
    neighbours: bool = False
    """Blend the head with the votes of the nearest training texts, if held-out rows like it. The
    app then holds the state of every training text."""
    patience: int = 3
    """Epochs without a better validation score before stopping."""
    cache: bool = True
    """Keep trunk activations; False recomputes them at every step."""
    precision: Precision = "auto"
    """Of the frozen layers' products. auto: bf16 where it is measured to be faster here."""
    seed: int = 0
    """Of the order of rows and of the LoRA's start."""

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for an unknown choice, and for a number out of range."""
        for name, kind in (("adapter", AdapterKind), ("precision", Precision)):
            if (choice := getattr(self, name)) not in get_args(kind):
                raise UserError(
                    f"{name} {choice!r} is unknown; {nearest(str(choice), get_args(kind))}"
                )
        for name in ("neighbours", "cache"):
            if not isinstance(switch := getattr(self, name), bool):
                raise UserError(f"{name} {switch!r}: must be True or False")
        for name, (least, most) in _WHOLE.items():
            number = getattr(self, name)
            if number is None and name in _MAY_BE_NONE:
                continue
            if not isinstance(number, int) or isinstance(number, bool):
                raise UserError(f"{name} {number!r}: must be a whole number")
            if number < least:
                raise UserError(f"{name} {number}: must be at least {least}")
            if number > most:
                raise UserError(f"{name} {number}: must be at most {most}")
        for name in ("alpha", "lora_lr", "head_lr", "l2"):
            number = getattr(self, name)
            if number is None and name in _MAY_BE_NONE:
                continue
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            if not (is_number and 0 <= number < math.inf):
                raise UserError(f"{name} {number!r}: must be a number, 0 or more")


DEFAULTS = AdaptSettings()


@dataclass
class Data:
    """Rows of one app, with the labels of the whole training file."""

    labels: list[str]
    train: list[Any]
    validation: list[Any] = field(default_factory=list)
    unlabelled: list[Any] = field(default_factory=list)
    """More examples to train on, from ``soft_targets`` alone."""
    soft_targets: list[OfUnits] | None = None
    """By example of ``train`` and ``unlabelled``, what is to be learned in place of labels, in the
    form of :meth:`Family.soft_targets`."""
