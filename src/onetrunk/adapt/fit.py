"""Train an app on the frozen backbone.

A linear app is a convex problem, solved to the end. A LoRA app starts from its family's primary
LoRA and from the linear app's head, then trains both by AdamW: a head that already fits does not
distort the LoRA with the gradients of a random one (Kumar et al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onetrunk.adapt.app import AdapterKind, App
from onetrunk.adapt.features import Examples, States, cached_states, full_states, unit_features
from onetrunk.adapt.linear import solve_linear
from onetrunk.data.batching import shuffled_buckets
from onetrunk.errors import UserError
from onetrunk.families.base import Family, head_loss
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE, LoraAdapter, LoraStack

Progress = Callable[[str, int, int], None]
"""Called with (what is going on, steps done, steps in all)."""


@dataclass(frozen=True)
class AdaptSettings:
    """How an app is trained. Defaults suit a few dozen to a few thousand rows."""

    adapter: AdapterKind = "lora"
    k: int | None = None
    """The app's LoRA is trained on the last k layers; None: the backbone's k. What the primary LoRA
    has below them stays as it is."""
    rank: int = 16
    """Used where the family has no primary LoRA; otherwise the primary's rank holds."""
    alpha: float = 32.0
    epochs: int | None = None
    """None: enough for about 200 updates, 4 to 12 epochs."""
    batch_size: int = 16
    lora_lr: float = 1e-3
    head_lr: float = 2e-3
    l2: float = 1e-2
    """Ridge penalty on the standardised linear head. With validation rows a tenth and ten times
    this are tried too and the best is kept."""
    max_length: int = 128
    patience: int = 3
    """Epochs without a better validation score before stopping."""
    multi_label: bool = False
    cache: bool = True
    """Keep trunk activations in memory; False recomputes them at every step."""
    seed: int = 0


@dataclass
class Data:
    """Rows of one app, with the labels of the whole training file."""

    labels: list[str]
    train: list[Any]
    validation: list[Any] = field(default_factory=list)


def fit(
    backbone: Backbone,
    family: Family[Any, Any],
    data: Data,
    settings: AdaptSettings = AdaptSettings(),
    progress: Progress = lambda what, done, total: None,
) -> App:
    """Train an app. The backbone is frozen by this call; its weights are not changed.

    ``App.record`` holds rows, seconds, trainable parameters, and epochs, validation score and mean
    loss of each epoch where there are any. Raises :class:`UserError` if there is nothing to learn:
    no rows, fewer than two classes, or no word that the tokenizer keeps.
    """
    start = time.perf_counter()
    if not data.train:
        raise UserError("there are no training rows")
    if family.classes(data.labels) < 2:
        raise UserError(
            f"training rows have only the label(s) {data.labels}: nothing to tell apart"
        )
    backbone.encoder.freeze()
    fitting = _Fitting(backbone, family, data, settings, progress)
    app, details = fitting.linear() if settings.adapter == "linear" else fitting.lora()
    app.record = {
        "strategy": backbone.record.get("strategy"),
        "train_rows": len(data.train),
        "validation_rows": len(data.validation),
        "train_long": fitting.train.long,
        "train_unread": len(fitting.train.unread()),
        "seed": settings.seed,
        "trainable_parameters": _trainable(app, backbone.encoder.depth - fitting.k),
        "seconds": round(time.perf_counter() - start, 2),
        **details,
    }
    return app


def _trainable(app: App, first_layer: int) -> int:
    lora = app.adapter.matrices.items() if app.adapter else []
    return sum(p.numel() for p in app.head.parameters()) + sum(
        a.numel() + b.numel() for (layer, _), (a, b) in lora if layer >= first_layer
    )


class _Fitting:
    """The steps of :func:`fit`, sharing what is computed once."""

    def __init__(
        self,
        backbone: Backbone,
        family: Family[Any, Any],
        data: Data,
        settings: AdaptSettings,
        progress: Progress,
    ) -> None:
        self.backbone, self.family, self.data = backbone, family, data
        self.settings, self.progress = settings, progress
        self.encoder = backbone.encoder
        self.k = settings.k or backbone.k
        self.max_length = min(settings.max_length, self.encoder.max_length)
        self.train = Examples.prepare(family, data.train, self.encoder, self.max_length)
        self.validation = Examples.prepare(family, data.validation, self.encoder, self.max_length)
        self.targets = [
            family.targets(data.train[example], units, data.labels, settings.multi_label)
            for example, units in zip(self.train.example_of, self.train.units, strict=True)
        ]
        if not sum(map(len, self.targets)):
            raise UserError("the tokenizer leaves nothing of the training texts to learn from")

    def linear(self) -> tuple[App, dict[str, Any]]:
        """A head alone, on the final states of the primary LoRA (or of the bare backbone)."""
        primary = self.family.name if self.family.name in self.backbone.primary else NONE
        stack = LoraStack(self.encoder, self.backbone.primary)
        try:
            with stack.route(stack.slots([primary])):
                head, details = self._solve_head(
                    full_states(self.train, self.encoder),
                    full_states(self.validation, self.encoder),
                )
        finally:
            stack.detach()
        return self._app(head, None, primary), details

    def lora(self) -> tuple[App, dict[str, Any]]:
        """A LoRA from the family's primary, and a head, trained together."""
        encoder, settings = self.encoder, self.settings
        stack = LoraStack(encoder, {"app": self._initial_adapter(k := self.k)})
        stack.freeze_below(encoder.depth - k)
        try:
            with stack.route(stack.slots(["app"])):
                train, validation = (
                    cached_states(examples, encoder, k)
                    if settings.cache
                    else full_states(examples, encoder)
                    for examples in (self.train, self.validation)
                )
                head, _ = self._solve_head(train, validation)
                details = self._train(stack, head.requires_grad_(), train, validation)
            adapter = stack.adapter("app")
        finally:
            stack.detach()
        return self._app(head, adapter, NONE), details

    def _initial_adapter(self, k: int) -> LoraAdapter:
        """The primary LoRA, extended downwards by fresh layers where the app asks for more."""
        settings, primary = self.settings, self.backbone.primary.get(self.family.name)
        if primary is None:
            return LoraAdapter.fresh(
                self.encoder, k, settings.rank, settings.alpha, seed=settings.seed
            )
        fresh = LoraAdapter.fresh(
            self.encoder, k, primary.rank, primary.alpha, primary.targets, settings.seed,
            primary.rslora,
        )  # fmt: skip
        return replace(fresh, matrices={**fresh.matrices, **primary.matrices})

    def _solve_head(self, train: States, validation: States) -> tuple[nn.Linear, dict[str, Any]]:
        """The best linear head on the states as they are now."""
        settings, pooling = self.settings, self.backbone.pooling
        features = torch.cat(unit_features(self.train, self.family, train, pooling))
        targets = torch.cat(self.targets)
        classes = self.family.classes(self.data.labels)
        if not self.data.validation:
            return solve_linear(features, targets, classes, settings.l2), {"l2": settings.l2}
        tried = []
        for l2 in (settings.l2 * factor for factor in (0.1, 1.0, 10.0)):
            head = solve_linear(features, targets, classes, l2)
            tried.append((self._score(head, validation), l2, head))
        score, l2, head = max(tried, key=lambda entry: entry[0])
        return head, {"l2": l2, "validation": round(score, 2)}

    def _train(
        self, stack: LoraStack, head: nn.Linear, train: States, validation: States
    ) -> dict[str, Any]:
        """AdamW with a short warm-up and linear decay; keeps the best epoch on validation."""
        settings = self.settings
        per_epoch = -(-len(self.targets) // settings.batch_size)
        epochs = settings.epochs or min(12, max(4, -(-200 // per_epoch)))
        total = epochs * per_epoch
        lora = [parameter for parameter in stack.parameters() if parameter.requires_grad]
        parameters = [*lora, *head.parameters()]
        optimizer = torch.optim.AdamW(
            [
                {"params": lora, "lr": settings.lora_lr},
                {"params": list(head.parameters()), "lr": settings.head_lr},
            ],
            weight_decay=0.0,
        )
        warmup = max(1, total // 10)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda s: min((s + 1) / warmup, (total - s) / max(1, total - warmup))
        )
        rng = np.random.default_rng(settings.seed)
        best, losses, done = _Best(), [], 0
        for epoch in range(epochs):
            sums = [0.0, 0]
            for rows in shuffled_buckets(self.train.lengths, settings.batch_size, rng):
                targets = torch.cat([self.targets[row] for row in rows])
                if len(targets):  # the tokenizer may delete every word of a batch
                    loss = head_loss(
                        head(self._features(rows, train)), targets.to(self.encoder.device)
                    )
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    nn.utils.clip_grad_norm_(parameters, 1.0)
                    optimizer.step()
                    sums = [sums[0] + float(loss.detach()), sums[1] + 1]
                schedule.step()
                done += 1
                self.progress(f"epoch {epoch + 1}/{epochs}", done, total)
            losses.append(round(sums[0] / max(1, sums[1]), 6))
            if self.data.validation:
                best.update(self._score(head, validation), epoch, parameters)
                if epoch - best.epoch >= settings.patience:
                    break
        if not self.data.validation:
            return {"epochs": epochs, "losses": losses}
        best.restore(parameters)
        return {"epochs": best.epoch + 1, "validation": round(best.score, 2), "losses": losses}

    def _features(self, rows: Sequence[int], states: States) -> Tensor:
        units = [self.train.units[row] for row in rows]
        return self.family.gather(*states(rows), units, self.backbone.pooling)

    def _score(self, head: nn.Linear, states: States) -> float:
        """The family's metric on the validation rows."""
        validation = self.validation
        features = unit_features(validation, self.family, states, self.backbone.pooling)
        with torch.no_grad():
            logits = [head(part) for part in features]
        predictions = [
            self.family.decode(part, row, units, self.data.labels, self.settings.multi_label)
            for row, part, units in validation.joined(logits)
        ]
        return self.family.score(self.validation.rows, predictions)[self.family.metric]

    def _app(self, head: nn.Linear, adapter: LoraAdapter | None, primary: str) -> App:
        return App(
            family=self.family,
            labels=self.data.labels,
            head=head.requires_grad_(False),
            adapter=adapter,
            primary=primary,
            max_length=self.max_length,
            fingerprint=self.backbone.fingerprint,
            multi_label=self.settings.multi_label,
        )


@dataclass
class _Best:
    """The best weights so far."""

    score: float = -1.0
    epoch: int = -1
    weights: list[Tensor] = field(default_factory=list)

    def update(self, score: float, epoch: int, parameters: list[nn.Parameter]) -> None:
        """Keep a copy of the weights if they score better."""
        if score > self.score:
            self.score, self.epoch = score, epoch
            self.weights = [parameter.detach().clone() for parameter in parameters]

    def restore(self, parameters: list[nn.Parameter]) -> None:
        """Put the best weights back."""
        with torch.no_grad():
            for parameter, weight in zip(parameters, self.weights, strict=True):
                parameter.copy_(weight)
