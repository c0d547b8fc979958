"""Train a LoRA app: AdamW on its slot of the stack and on its head, epoch by epoch."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onetrunk.adaptation.task import AppTask
from onetrunk.adaptation.trunk_cache import top_states
from onetrunk.apps.top import Top
from onetrunk.data.batching import shuffled_buckets
from onetrunk.progress import Progress


class AppTrainer:
    """The training of one app: AdamW with a short warm-up and linear decay, epoch by epoch.

    The best epoch on the validation rows is kept, if there are any.
    """

    def __init__(self, task: AppTask, top: Top, head: nn.Linear) -> None:
        settings = task.settings
        self.task, self.top, self.head = task, top, head.requires_grad_()
        per_epoch = -(-len(task.targets) // settings.batch_size)
        self.epochs = settings.epochs or min(12, max(4, -(-200 // per_epoch)))
        self._total = self.epochs * per_epoch
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
        warmup = max(1, self._total // 10)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer,
            lambda s: min((s + 1) / warmup, (self._total - s) / max(1, self._total - warmup)),
        )
        self._rng = np.random.default_rng(settings.seed)
        self._losses: list[float] = []
        self._best: tuple[float, int, list[Tensor]] = (-math.inf, -1, [])

    def train(self, progress: Progress) -> None:
        """Train until the last epoch, or until the validation score has not risen for a while."""
        task, done = self.task, 0
        for epoch in range(1, self.epochs + 1):
            batches = shuffled_buckets(task.train.lengths, task.settings.batch_size, self._rng)
            losses = []
            for windows in batches:
                if any(len(task.targets[window]) for window in windows):
                    losses.append(self._step(windows))
                # else: the tokenizer deletes every word of this batch
                self._schedule.step()
                done += 1
                progress(f"epoch {epoch}/{self.epochs}", done, self._total)
            self._losses.append(round(sum(losses) / max(1, len(losses)), 6))
            if task.data.validation and not self._improves():
                progress(f"epoch {epoch}/{self.epochs}", done, done)
                break
        if task.data.validation:
            with torch.no_grad():
                for parameter, weight in zip(self.parameters, self._best[2], strict=True):
                    parameter.copy_(weight)

    def _step(self, windows: list[int]) -> float:
        """Update the app on a batch; return the loss before."""
        self.top.stack.zero_grad()
        loss = self.task.loss(self.head, windows, *top_states(self.task.trunk, windows))
        loss.backward()
        for parameter, stacked in zip(self._lora, self._stacked, strict=True):
            parameter.grad = None if stacked.grad is None else stacked.grad[self._slot]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()

    def _improves(self) -> bool:
        """Score the validation rows and keep the best weights. Whether to go on."""
        score, epoch = self.task.score(self.head), len(self._losses) - 1
        if score > self._best[0]:
            self._best = score, epoch, [p.detach().clone() for p in self.parameters]
        return epoch - self._best[1] < self.task.settings.patience

    def record(self) -> dict[str, Any]:
        """Epochs, mean loss of each, and the best validation score if there is one."""
        if not self.task.data.validation:
            return {"epochs": self.epochs, "losses": self._losses}
        score, epoch, _ = self._best
        return {"epochs": epoch + 1, "validation": round(score, 2), "losses": self._losses}


def _trained(top: Top, task: AppTask) -> Iterator[nn.Parameter]:
    """The stacked matrices on the layers that an app trains."""
    first = task.backbone.encoder.depth - task.k
    for layer, parameters in top.stack.by_layer():
        if layer >= first:
            yield from parameters
