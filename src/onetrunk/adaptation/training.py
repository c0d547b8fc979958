"""Train LoRA apps side by side: one pass a step for all, an optimizer for each.

    app 1: a batch ─┐                                       ┌─► head 1 ─► loss 1 ─► AdamW 1
    app 2: a batch ─┼─► last k layers, a slot for each app ─┼─► head 2 ─► loss 2 ─► AdamW 2
    app 3: a batch ─┘      (the frozen maps see one batch)  └─► head 3 ─► loss 3 ─► AdamW 3

An app's loss reaches its own slot and head alone, so each is trained as if it were trained alone.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onetrunk.adaptation.task import AppTask
from onetrunk.adaptation.trunk_cache import top_states
from onetrunk.apps.top import Top
from onetrunk.data.batching import shuffled_buckets
from onetrunk.progress import Progress

# Tokens of a pass: what bounds memory. Apps beyond it take the next pass of the same step.
PASS_TOKENS = 4096


class AppTrainer:
    """The training of one app: AdamW with a short warm-up and linear decay, epoch by epoch.

    The best epoch on the validation rows is kept, if there are any.
    """

    def __init__(self, task: AppTask, top: Top, head: nn.Linear) -> None:
        settings = task.settings
        self.task, self.head = task, head.requires_grad_()
        per_epoch = -(-len(task.targets) // settings.batch_size)
        self.epochs = settings.epochs or min(12, max(4, -(-200 // per_epoch)))
        self.total = self.epochs * per_epoch
        self.done, self.finished = 0, False
        self._stacked = list(_trained(top, task))
        self._slot = top.stack.slot(task.slot)
        # The slot's part of each stacked matrix, as a parameter of its own in the same memory.
        self._lora = [stacked.data[self._slot].requires_grad_() for stacked in self._stacked]
        self.parameters = [*self._lora, *head.parameters()]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": self._lora, "lr": settings.lora_lr},
                {"params": list(head.parameters()), "lr": task.head_lr},
            ],
            weight_decay=0.0,
            fused=True,
        )
        warmup = max(1, self.total // 10)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer,
            lambda s: min((s + 1) / warmup, (self.total - s) / max(1, self.total - warmup)),
        )
        self._rng = np.random.default_rng(settings.seed)
        self._left: list[list[int]] = []
        self._epoch_losses: list[float] = []
        self._losses: list[float] = []
        self._best: tuple[float, int, list[Tensor]] = (-math.inf, -1, [])

    def draw(self) -> list[int]:
        """The next batch: windows of the training examples."""
        if not self._left:
            task = self.task
            self._left = shuffled_buckets(task.train.lengths, task.settings.batch_size, self._rng)[
                ::-1
            ]
        return self._left.pop()

    def update(self, loss: float | None) -> None:
        """One update from the gradients that ``backward`` left (None: the batch had no units)."""
        if loss is not None:
            for parameter, stacked in zip(self._lora, self._stacked, strict=True):
                parameter.grad = None if stacked.grad is None else stacked.grad[self._slot]
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad()
            self._epoch_losses.append(loss)
        self._schedule.step()
        self.done += 1
        if not self._left:
            self._end_epoch()

    def _end_epoch(self) -> None:
        losses, self._epoch_losses = self._epoch_losses, []
        self._losses.append(round(sum(losses) / max(1, len(losses)), 6))
        epoch = len(self._losses) - 1
        self.finished = epoch + 1 == self.epochs
        if not self.task.data.validation:
            return
        score = self.task.score(self.head)
        if score > self._best[0]:
            self._best = score, epoch, [p.detach().clone() for p in self.parameters]
        self.finished |= epoch - self._best[1] >= self.task.settings.patience
        if self.finished:
            with torch.no_grad():
                for parameter, weight in zip(self.parameters, self._best[2], strict=True):
                    parameter.copy_(weight)

    def record(self) -> dict[str, Any]:
        """Epochs, mean loss of each, and the best validation score if there is one."""
        if not self.task.data.validation:
            return {"epochs": self.epochs, "losses": self._losses}
        score, epoch, _ = self._best
        return {"epochs": epoch + 1, "validation": round(score, 2), "losses": self._losses}


def train(trainers: Sequence[AppTrainer], top: Top, progress: Progress) -> None:
    """Train all apps to their ends; those that end early leave room for the others."""
    while active := [trainer for trainer in trainers if not trainer.finished]:
        batches = [(trainer, trainer.draw()) for trainer in active]
        for group in _passes(batches):
            _step(group, top)
        done = sum(trainer.done for trainer in trainers)
        total = sum(trainer.done if trainer.finished else trainer.total for trainer in trainers)
        trainer = active[0]
        epoch = -(-trainer.done * trainer.epochs // trainer.total)
        progress(f"epoch {epoch}/{trainer.epochs}", done, total)


def _step(batches: Sequence[tuple[AppTrainer, list[int]]], top: Top) -> None:
    """One update of each app, in one pass."""
    real = []
    for trainer, windows in batches:
        if any(len(trainer.task.targets[window]) for window in windows):
            real.append((trainer, windows))
        else:  # the tokenizer deletes every word of this batch
            trainer.update(None)
    if not real:
        return
    top.stack.zero_grad()
    states = top_states(top, [(trainer.task.trunk, windows) for trainer, windows in real])
    losses = torch.stack(
        [
            trainer.task.loss(trainer.head, windows, *of_windows)
            for (trainer, windows), of_windows in zip(real, states, strict=True)
        ]
    )
    losses.sum().backward()
    for (trainer, _), loss in zip(real, losses.tolist(), strict=True):
        trainer.update(loss)


def _passes(
    batches: Sequence[tuple[AppTrainer, list[int]]],
) -> Iterator[list[tuple[AppTrainer, list[int]]]]:
    """Batches of a step in groups of at most about :data:`PASS_TOKENS` tokens."""
    group: list[tuple[AppTrainer, list[int]]] = []
    tokens = 0
    for trainer, windows in batches:
        tokens_read = sum(trainer.task.trunk.lengths[window] for window in windows)
        if group and tokens + tokens_read > PASS_TOKENS:
            yield group
            group, tokens = [], 0
        group.append((trainer, windows))
        tokens += tokens_read
    yield group


def _trained(top: Top, task: AppTask) -> Iterator[nn.Parameter]:
    """The stacked matrices on the layers that an app trains."""
    first = task.backbone.encoder.depth - task.k
    for layer, parameters in top.stack.by_layer():
        if layer >= first:
            yield from parameters
