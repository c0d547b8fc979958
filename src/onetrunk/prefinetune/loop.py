"""The stage-1 training loop.

    L(θ, φ) = Σ_f λ_f · L_f(θ, φ_f)

A step draws one batch a family, runs each forward and backward, then updates once: the backbone θ
with every family's gradient, each task-primary LoRA φ_f with that of its own family only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onetrunk.config import OptimizerSettings, Recipe, parse
from onetrunk.data.batching import TokenIds, by_budget, pad
from onetrunk.data.evaluation import EvaluationSets, merged_report
from onetrunk.data.overlap import OverlapSettings
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.families.base import Chunk, Objective
from onetrunk.families.preparing import Preparing, Watch
from onetrunk.model import precision
from onetrunk.model.backbone import Backbone
from onetrunk.model.embedding import gathered
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import LoraAdapter, LoraStack
from onetrunk.prefinetune.strategies import Plan, plan

# Tokens that go through the encoder together, by device. Texts of a batch are sorted by length
# first, so a chunk carries little padding; smaller chunks carry less still, but cost more calls.
CHUNK_TOKENS = {"cpu": 512, "cuda": 16384}


@dataclass(frozen=True)
class StepRecord:
    """What one step did; ``losses`` are unweighted."""

    step: int
    losses: dict[str, float]
    gradient_norm: float
    tokens: int
    padded: int
    """Positions that went through the encoder: tokens and padding."""
    seconds: float


class Trainer:
    """Everything a stage-1 run holds. :meth:`run` trains; :meth:`backbone` is the result."""

    def __init__(
        self, recipe: Recipe, device: str = "cpu", watch: Watch = lambda name, done: None
    ) -> None:
        self.recipe, self.plan = recipe, plan(recipe)
        settings = {
            name: parse(FAMILIES[name].Settings, recipe.families[name], f"recipe: families.{name}")
            for name in recipe.families
        }
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.encoder = load_encoder(recipe.encoder)
        self.encoder.model.to(device)
        if recipe.k > self.encoder.depth:
            raise UserError(
                f"recipe: k = {recipe.k}, but the encoder has {self.encoder.depth} layers"
            )
        self.preparing = Preparing(self.encoder.tokenizer, _evaluation(recipe), watch=watch)
        self.objectives = nn.ModuleDict(
            {
                name: FAMILIES[name].objective(
                    settings[name], self.preparing, self.encoder, recipe.pooling, recipe.seed
                )
                for name in self.plan.families
            }
        ).to(device)
        self._padded = 0
        self.weights = {name: settings[name].weight for name in self.plan.families}
        self.stack = _primary_stack(self.encoder, self.plan, recipe)
        self.precision = precision.choose(recipe.precision, self.encoder.device, self.encoder.width)
        self.optimizer = _optimizer(self.encoder, self.stack, self.objectives, recipe.optimizer)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _rate(step, recipe.steps, recipe.optimizer)
        )

    def run(self, on_step: Callable[[StepRecord], None]) -> None:
        """Train for the recipe's number of steps, reporting each."""
        _prepare(self.encoder, self.recipe.dropout)
        for step in range(self.recipe.steps if self.plan.families else 0):
            on_step(self.step(step))

    def step(self, step: int) -> StepRecord:
        """One update. Raises :class:`UserError` if a loss is not finite."""
        start, tokens, losses = time.perf_counter(), 0, {}
        self._padded = 0
        self.optimizer.zero_grad(set_to_none=True)
        for name in self.plan.families:
            loss, count = self.backward(name, step)
            if not math.isfinite(loss):
                raise UserError(
                    f"step {step}: the {name} loss is {loss}; lower the recipe's learning rates"
                )
            losses[name] = loss
            tokens += count
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.recipe.optimizer.clip)
        self.optimizer.step()
        self.schedule.step()
        seconds = time.perf_counter() - start
        return StepRecord(step, losses, float(norm), tokens, self._padded, seconds)

    def backward(self, name: str, step: int) -> tuple[float, int]:
        """Add one family's weighted gradient; returns its loss and its useful tokens."""
        objective = self.objectives[name]
        assert isinstance(objective, Objective)
        batch = objective.draw(step)
        with precision.autocast(self.precision, self.encoder.device):
            loss = objective.loss(lambda ids: self.encode(ids, name), batch)
        (self.weights[name] * loss).backward()
        return float(loss.detach()), objective.tokens(batch)

    def encode(self, ids: Sequence[TokenIds], family: str) -> Iterator[Chunk]:
        """Run token ids through the backbone in chunks of like length, with the family's LoRA."""
        encoder, pad_id = self.encoder, self.encoder.tokenizer.pad_token_id
        read: list[TokenIds] = [*ids, [pad_id]]
        with gathered(encoder.token_embedding, read):
            for rows in by_budget([len(row) for row in ids], CHUNK_TOKENS[encoder.device.type]):
                input_ids, mask = pad([ids[row] for row in rows], pad_id)
                self._padded += mask.numel()
                input_ids, mask = input_ids.to(encoder.device), mask.to(encoder.device)
                yield Chunk(rows, self._states(input_ids, mask, family), mask)

    def _states(self, input_ids: Tensor, mask: Tensor, family: str) -> Tensor:
        if self.stack is None:
            return self.encoder.states(input_ids, mask)
        with self.stack.route(self.stack.slots([family])):
            return self.encoder.states(input_ids, mask)

    def backbone(self) -> Backbone:
        """The trained encoder, frozen, with its task-primary LoRAs."""
        self.encoder.freeze()
        primary = {}
        if self.stack is not None:
            primary = {name: self.stack.adapter(name) for name in self.plan.families}
            self.stack.detach()
        return Backbone(self.encoder, self.recipe.k, primary, self.recipe.pooling, self._record())

    def decontamination(self) -> dict[str, Any]:
        """What was left out because evaluation sets hold it; empty if the recipe names none."""
        reports: dict[str, Any] = {}
        for objective in self.objectives.values():
            assert isinstance(objective, Objective)
            reports |= objective.mixture.decontamination()
        return merged_report(reports) if reports else {}

    def _record(self) -> dict[str, Any]:
        reports = {}
        for name, objective in self.objectives.items():
            assert isinstance(objective, Objective)
            reports[name] = objective.report()
        return {
            "strategy": self.recipe.strategy,
            "precision": self.precision,
            "recipe": self.recipe.model_dump(),
            "data": reports,
        }


def _evaluation(recipe: Recipe) -> EvaluationSets:
    if recipe.decontaminate is None:
        return EvaluationSets()
    settings = recipe.decontaminate.model_dump()
    return EvaluationSets.find(settings.pop("against"), OverlapSettings(**settings))


def _primary_stack(encoder: Encoder, plan: Plan, recipe: Recipe) -> LoraStack | None:
    if not plan.primary:
        return None
    shape = recipe.lora
    return LoraStack(
        encoder,
        {
            name: LoraAdapter.fresh(
                encoder, recipe.k, shape.rank, shape.alpha, shape.targets,
                seed=recipe.seed + i, rslora=shape.rslora,
            )
            for i, name in enumerate(plan.families)
        },
    )  # fmt: skip


def _prepare(encoder: Encoder, dropout: float) -> None:
    """Training mode with one dropout rate everywhere (attention reads it off its module)."""
    encoder.model.train()
    for module in encoder.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


def _optimizer(
    encoder: Encoder, stack: LoraStack | None, objectives: nn.Module, settings: OptimizerSettings
) -> torch.optim.AdamW:
    used = [p for name, p in encoder.model.named_parameters() if not name.startswith("pooler.")]
    matrices = [p for p in used if p.ndim > 1]
    vectors = [p for p in used if p.ndim < 2]
    groups = [
        {"params": matrices, "lr": settings.backbone_lr, "weight_decay": settings.weight_decay},
        {"params": vectors, "lr": settings.backbone_lr},
        {"params": list(objectives.parameters()), "lr": settings.objective_lr},
    ]
    if stack is not None:
        # No decay here: a slot whose gradient is zero must not move.
        groups.append({"params": list(stack.parameters()), "lr": settings.lora_lr})
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], weight_decay=0.0, foreach=True
    )


def _rate(step: int, steps: int, settings: OptimizerSettings) -> float:
    """Factor on the learning rates: linear warm-up, then the chosen decay to zero."""
    warmup = settings.warmup * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.decay == "constant":
        return 1.0
    left = 1 - (step - warmup) / max(1.0, steps - warmup)
    return left if settings.decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))
