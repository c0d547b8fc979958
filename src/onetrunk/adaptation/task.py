"""One app in the making: its rows, their units and targets, and the head on top."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onetrunk.adaptation.linear import EXACT, ROUGH, solve_linear
from onetrunk.adaptation.linear_app import (
    Units,
    check_entities,
    check_learnable,
    check_targets,
    choose_head,
    head_layer_choices,
    rows_of_units,
    targets_by_window,
)
from onetrunk.adaptation.penalty import solve_and_judge
from onetrunk.adaptation.retrieval import choose, cross_judges, judge
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.adaptation.trunk_cache import TrunkCache, unit_features
from onetrunk.apps.app import App
from onetrunk.apps.evaluation import evaluation_of
from onetrunk.apps.neighbours import Neighbours
from onetrunk.apps.top import Top
from onetrunk.apps.windows import Examples, OfUnits
from onetrunk.data.rows import Span
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.heads import linear_head
from onetrunk.model.place import check_k

# Learning rates of the head of an app with a LoRA, if it starts solved and if it starts as zeros.
SOLVED_HEAD_LR, ZERO_HEAD_LR = 5e-4, 5e-3
FEW_ROWS = 200
"""A linear app of up to so many rows without validation rows is scored by cross-validation."""


class AppTask:
    """One app in the making. ``slot`` names the adapter that its states are computed under.

    Raises :class:`UserError` if there is nothing to learn: no rows, fewer than two classes, or no
    word that the tokenizer keeps.
    """

    def __init__(
        self,
        backbone: Backbone,
        family: Family[Any, Any],
        data: Data,
        settings: AdaptSettings,
        slot: str,
    ) -> None:
        check_learnable(family, data.labels, data.train)
        if settings.neighbours:
            _check_neighbours(family, data, settings)
        if len(data.soft_targets or data.train) != len(data.train) + len(data.unlabelled):
            raise ValueError("soft_targets must be as many as labelled and unlabelled examples")
        self.backbone, self.family, self.data = backbone, family, data
        self.settings, self.slot = settings, slot
        encoder = backbone.encoder
        self.k = settings.k or backbone.k
        check_k(self.k, encoder.depth)
        if settings.head_layers is not None and not 1 <= settings.head_layers <= self.k + 1:
            most = f"with k = {self.k} a head reads 1 to {self.k + 1} states"
            raise UserError(f"{most}, not {settings.head_layers}")
        self.max_length = min(settings.max_length, encoder.max_length)
        rows = [*data.train, *data.unlabelled]
        self.train = Examples.prepare(family, rows, encoder, self.max_length)
        self.validation = Examples.prepare(family, data.validation, encoder, self.max_length)
        self.targets = self._targets(self.train, data.soft_targets)
        check_targets(self.targets)
        check_entities(self.train)

    def read(self, top: Top, cache: bool) -> None:
        """Run what is below the top over all texts, if it is to be kept."""
        self.trunk = TrunkCache(self.train, top, self.slot, cache, max(self._choices()))
        self._held_out = TrunkCache(self.validation, top, self.slot, cache, self.trunk.head_layers)

    def loss(self, head: nn.Linear, windows: list[int], states: Tensor, mask: Tensor) -> Tensor:
        """Mean loss of the units of some training windows, given their final states."""
        tokens = [self.train.tokens[window] for window in windows]
        targets = torch.cat([self.targets[window] for window in windows]).to(states.device)
        gathered = self.family.gather(states, mask, tokens, self.backbone.pooling)
        return self.family.loss(head(gathered), targets)

    @property
    def starts_solved(self) -> bool:
        """Whether the head starts solved; else as zeros."""
        return self.settings.adapter == "linear" or self.family.solved_start

    @property
    def head_lr(self) -> float:
        """Learning rate of the head, where there is a LoRA."""
        if self.settings.head_lr is not None:
            return self.settings.head_lr
        return SOLVED_HEAD_LR if self.starts_solved else ZERO_HEAD_LR

    def start_head(self, judged: bool = False) -> tuple[nn.Linear, dict[str, Any]]:
        """The head of a linear app, or that from which a LoRA's training starts; and details, as
        :meth:`solve_head` has them."""
        if self.starts_solved:
            return self.solve_head(judged)
        self._read_states(self._choices()[0])
        width = self.trunk.head_layers * self.backbone.encoder.width
        classes = self.family.classes(self.data.labels)
        return linear_head(torch.zeros(classes, width), torch.zeros(classes)), {"l2": 0.0}

    def solve_head(self, judged: bool = False) -> tuple[nn.Linear, dict[str, Any]]:
        """Solve the linear head on the present states, and read as many states as it does from now
        on (:meth:`linear_problem`).

        Returns the head, and a mapping with ``l2`` and, if there are validation rows,
        ``validation``; without any, if it is to be ``judged``, of a linear app of up to
        :data:`FEW_ROWS` rows, ``cross_validation`` and ``cross_validation_interval``.
        """
        features, targets, l2 = self.linear_problem()
        classes, loss = self.family.classes(self.data.labels), self.family.head_loss
        details: dict[str, Any] = {"l2": l2}
        is_linear = self.settings.adapter == "linear"
        if judged and is_linear and self._is_cross_validated():
            solved, logits, is_held_out = solve_and_judge(
                features, targets, self._groups(), classes, l2, loss
            )
            if is_held_out.all():
                details |= self._cross_validated(logits)
        else:  # with a LoRA the training goes on from here
            solved = solve_linear(
                features, targets, classes, l2, loss, EXACT if is_linear else ROUGH
            )
        head = linear_head(*map(torch.from_numpy, solved))
        if self.data.validation:
            details["validation"] = round(self.score(head), 2)
        return head, details

    def _is_cross_validated(self) -> bool:
        """Whether cross-validation costs little, and says how good the app will be."""
        data, neighbours = self.data, self.settings.neighbours
        others = data.validation or data.soft_targets is not None or neighbours
        return not others and len(data.train) <= FEW_ROWS

    def _cross_validated(self, logits: np.ndarray) -> dict[str, Any]:
        """The family's metric on the training rows, in percent, and its 95 % interval, from logits
        ``(U, C)`` of all their units."""
        counts = self.train.counts(range(len(self.train.encoded)))
        answered = self.train.joined(list(torch.from_numpy(logits).split(counts)))
        family, labels = self.family, self.data.labels
        evaluation = evaluation_of(family, labels, *self._decoded(answered))
        found: dict[str, Any] = {"cross_validation": round(evaluation.scores[family.metric], 4)}
        if interval := evaluation.intervals.get(family.metric):
            found["cross_validation_interval"] = [round(bound, 2) for bound in interval]
        return found

    def _decoded(
        self, answered: Iterable[tuple[Any, Tensor, Sequence[Span]]]
    ) -> tuple[list[Any], list[Any]]:
        """Examples and what is predicted for them, from the logits of their units, and these."""
        rows, predictions = [], []
        for row, logits, units in answered:
            rows.append(row)
            predictions.append(self.family.decode(logits, units, self.data.labels))
        return rows, predictions

    def linear_problem(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Features ``(U, head_layers D)`` of all training units, their targets ``(U, …)``, and the
        penalty; cross-validation chooses what the settings leave open. Sets ``head_layers`` of the
        trunk caches to the number of states that was chosen."""
        features = torch.cat(self._features(self.trunk)).numpy()
        units = Units(features, torch.cat(self.targets).numpy(), self._groups())
        classes, width = self.family.classes(self.data.labels), self.backbone.encoder.width
        head_layers, l2 = choose_head(
            self.family, units, classes, self._choices(), width, self.settings.l2
        )
        self._read_states(head_layers)
        return features[:, -head_layers * width :], units.targets, l2

    def _read_states(self, head_layers: int) -> None:
        self.trunk.head_layers = self._held_out.head_layers = head_layers

    def _choices(self) -> list[int]:
        """How many states the head may read, the fewest first."""
        if self.settings.head_layers is not None:
            return [self.settings.head_layers]
        choices = head_layer_choices(self.family, self.k)
        # A LoRA brings to the last state what the pooled text needs.
        return choices[:1] if self.settings.adapter == "lora" else choices

    def score(self, head: nn.Linear) -> float:
        """The family's metric on the validation rows, in percent."""
        rows, predictions = self._decoded(self._held_out_logits(head))
        return self.family.score(rows, predictions)[self.family.metric]

    def neighbours(self, head: nn.Linear, l2: float) -> Neighbours | None:
        """Neighbours made of the training texts; None if their votes do not lower the loss.

        The loss is that on validation rows. Without any, cross-validation judges; it needs states
        that were not trained on the training rows, so an app with a LoRA needs validation rows.
        """
        features, targets = torch.cat(self._features(self.trunk)), torch.cat(self.targets)
        family, classes = self.family, self.family.classes(self.data.labels)
        everyone = Neighbours.of(features, family.soft_targets(targets, classes), 1, 1.0, 0.5)
        if self.data.validation:
            held_out = torch.cat(self._features(self._held_out))
            wanted = torch.cat(self._targets(self.validation))
            judges = [judge(head, everyone, held_out, wanted)]
        else:
            judges = cross_judges(family, features, targets, self._groups(), classes, l2)
        return choose(family, everyone, judges) if judges else None

    def calibrate(self, app: App) -> None:
        """Shift an app's decisions to what its family finds best on the validation rows."""
        if not self.data.validation:
            return
        pairs = ((row, logits) for row, logits, _ in self._held_out_logits(app.logits))
        if (shift := self.family.calibrate(pairs, self.data.labels)) is not None:
            app.shift(shift)

    @torch.no_grad()
    def _held_out_logits(
        self, answer: Callable[[Tensor], Tensor]
    ) -> Iterator[tuple[Any, Tensor, Sequence[Span]]]:
        """By validation example: itself, its logits and its units. Nothing is computed before the
        first is asked for."""
        features = self._features(self._held_out)
        yield from self.validation.joined([answer(of_window) for of_window in features])

    def _features(self, trunk: TrunkCache) -> list[Tensor]:
        return unit_features(trunk, self.family, self.backbone.pooling)

    def _targets(
        self, examples: Examples, soft_targets: Sequence[OfUnits] | None = None
    ) -> list[Tensor]:
        """By window, the targets of its units: from ``soft_targets`` if given, else from the
        labels."""
        if soft_targets is not None:
            every = zip(soft_targets, examples.units, strict=True)
            return examples.by_window([soft.of(units) for soft, units in every])
        targets = targets_by_window(self.family, examples, self.data.labels)
        return [torch.as_tensor(of_window) for of_window in targets]

    def _groups(self) -> list[int]:
        """By training unit, which example it is of."""
        return rows_of_units(self.train, self.targets)


def _check_neighbours(family: Family[Any, Any], data: Data, settings: AdaptSettings) -> None:
    if data.soft_targets is not None:
        raise UserError("neighbours are labelled texts, and these are taught: leave one out")
    if not family.retrieves:
        raise UserError(
            f"apps of family {family.name!r} have no neighbours: {family.name} is not "
            "about whole texts"
        )
    if settings.adapter == "lora" and not data.validation:
        raise UserError(
            "neighbours of an app with a LoRA need validation rows: its states are trained on the "
            "training rows, which cannot judge them"
        )
