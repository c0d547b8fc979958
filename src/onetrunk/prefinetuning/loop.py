"""The stage-1 training loop.

    L(θ, φ) = Σ_f λ_f · L_f(θ, φ_f)

A step draws one batch a family, runs each forward and backward, then updates once: the backbone θ
with every family's gradient, each task-primary LoRA φ_f with that of its own family only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from onetrunk.config import Recipe, parse
from onetrunk.contamination.evaluation_sets import EvaluationSets, merged_report
from onetrunk.contamination.index import OverlapSettings
from onetrunk.corpora.builder import CorpusBuilder, Watch
from onetrunk.data.batching import TokenIds, by_budget, by_tokens, step_seed
from onetrunk.errors import UserError
from onetrunk.model import precision
from onetrunk.model.backbone import Backbone
from onetrunk.model.embedding import gathered
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.padding import pad
from onetrunk.prefinetuning import conflict
from onetrunk.prefinetuning.balance import Balance
from onetrunk.prefinetuning.objectives import OBJECTIVES, settings_model
from onetrunk.prefinetuning.objectives.base import Chunk, Objective
from onetrunk.prefinetuning.objectives.supervised import SupervisedObjective
from onetrunk.prefinetuning.optimizer import adamw, set_rates
from onetrunk.prefinetuning.strategies import Plan, plan
from onetrunk.processes import ALONE, Processes

# Tokens that go through the encoder together, by device: what bounds memory. On a CPU texts are
# packed, without padding; an accelerator prefers few large calls to one call a length, so there
# texts of like length are padded.
CHUNK_TOKENS = {"cpu": 2048, "cuda": 16384}


@dataclass(frozen=True)
class StepRecord:
    """What one step did. Losses, norms and cosines are those of the unweighted losses."""

    step: int
    losses: dict[str, float]
    gradient_norm: float
    """Of the whole update before clipping."""
    tokens: int
    padded: int
    """Positions that went through the encoder: tokens and padding."""
    seconds: float
    weights: dict[str, float] = field(default_factory=dict)
    """Factor on each family's gradient of the backbone."""
    gradient_norms: dict[str, list[float]] = field(default_factory=dict)
    """By family: norm of its gradient of the backbone's embeddings, then of each layer."""
    cosines: dict[str, list[float]] = field(default_factory=dict)
    """By pair of families ``a|b``: cosine of their gradients, at the same places."""


class Trainer:
    """Everything a stage-1 run holds. :meth:`run` trains; :meth:`backbone` is the result.

    Of several ``processes`` each holds all of it, and works on its part of every batch.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: str = "cpu",
        watch: Watch = lambda name, done: None,
        processes: Processes = ALONE,
    ) -> None:
        self.recipe, self.plan, self.processes = recipe, plan(recipe), processes
        # A surgery whose library is missing fails now, not after the sources are prepared.
        conflict.combining_weights(torch.eye(len(self.plan.families)), self.plan.sharing.surgery)
        settings = {
            name: parse(settings_model(name), of_family, f"recipe: families.{name}")
            for name, of_family in recipe.families.items()
        }
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.encoder = load_encoder(recipe.encoder)
        self.encoder.model.to(device)
        _check(recipe, settings, self.encoder)
        self.builder = CorpusBuilder(self.encoder.tokenizer, _evaluation(recipe), watch=watch)
        self.objectives = nn.ModuleDict(
            {
                name: objective.open(
                    name, settings[name], self.builder, self.encoder, recipe.pooling, recipe.seed
                )
                for name, objective in _objectives(self.plan).items()
            }
        ).to(device)
        self.balance = Balance(
            recipe.balance, {name: settings[name].weight for name in self.plan.families}
        )
        self.stack = _primary_stack(self.encoder, self.plan, recipe)
        chosen = precision.choose(recipe.precision, self.encoder.device, self.encoder.width)
        slow = processes.total(chosen == "fp32", self.encoder.device)  # all measure, one answer
        self.precision: precision.Chosen = "fp32" if slow else "bf16"
        self.shared = self._shared()
        stack = [] if self.stack is None else list(self.stack.parameters())
        objectives = [*self.objectives.parameters(), *self.balance.parameters()]
        self.optimizer = adamw(list(self.shared.values()), stack, objectives, recipe.optimizer)
        self._layers = [conflict.layer_of(self.encoder, name) for name in self.shared]
        self._own = [p for p in [*self.objectives.parameters(), *stack] if p.requires_grad]
        self._padded = 0

    def _shared(self) -> dict[str, nn.Parameter]:
        """What the families share: the backbone's parameters, unless it stays frozen."""
        _prepare(self.encoder, self.recipe.dropout)
        if not self.plan.sharing.backbone:
            self.encoder.model.requires_grad_(False)
            return {}
        named = self.encoder.model.named_parameters()
        return {name: p for name, p in named if not name.startswith("pooler.")}

    def run(self, on_step: Callable[[StepRecord], None], start: int = 0) -> None:
        """Train from step ``start`` to the recipe's number of steps, reporting each."""
        for step in range(start, self.recipe.steps if self.plan.families else 0):
            on_step(self.step(step))

    def step(self, step: int) -> StepRecord:
        """One update. Raises :class:`UserError` if a loss or the gradient is not finite."""
        began, tokens, losses = time.perf_counter(), 0, {}
        gradients: list[conflict.Gradients] = []
        self._padded = 0
        set_rates(self.optimizer, step, self.recipe.steps, self.recipe.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        weights = self.balance.weights()
        torch.manual_seed(step_seed(self.recipe.seed, step, f"dropout {self.processes.rank}"))
        for name in self.plan.families:
            losses[name], count = self.backward(name, step, weights[name])
            _check_finite(f"step {step}: the {name} loss", losses[name])
            gradients.append(self._take())
            tokens += count
        self.processes.add([_gradient(p) for p in self._own])
        torch.manual_seed(step_seed(self.recipe.seed, step, "surgery"))  # the same everywhere
        seen = self._combine(gradients, weights, losses)
        parameters = [*self.shared.values(), *self._own]  # not the balance's: its loss is another
        norm = float(nn.utils.clip_grad_norm_(parameters, self.recipe.optimizer.clip))
        _check_finite(f"step {step}: the norm of the gradient", norm)
        self.optimizer.step()
        device = self.encoder.device
        return StepRecord(
            step, losses, norm,
            int(self.processes.total(tokens, device)),
            int(self.processes.total(self._padded, device)),
            time.perf_counter() - began, **seen,
        )  # fmt: skip

    def backward(self, name: str, step: int, weight: float = 1.0) -> tuple[float, int]:
        """Add one family's gradient times ``weight``; returns its loss and its useful tokens.

        Both loss and gradients are those of this process's part of the batch, which for the loss
        is added up over all.
        """
        objective = self.objectives[name]
        assert isinstance(objective, Objective)
        batch = objective.draw(step, self.processes.rank, self.processes.world)
        texts = objective.texts(batch)
        loss = 0.0
        pad_id = self.encoder.tokenizer.pad_token_id
        merged = nullcontext() if self.stack is None else self.stack.merged(name)
        with merged, gathered(self.encoder.token_embedding, [*texts, [pad_id]]):
            for part in objective.parts(self.encode, batch, self.processes):
                (weight * part).backward()
                loss += float(part.detach())
        return self.processes.total(loss, self.encoder.device), sum(map(len, texts))

    def _take(self) -> conflict.Gradients:
        """The backbone's gradient as it stands, summed over processes and removed."""
        gradient = [_gradient(p) for p in self.shared.values()]
        for parameter in self.shared.values():
            parameter.grad = None
        self.processes.add(gradient)
        return gradient

    def _combine(
        self,
        gradients: Sequence[conflict.Gradients],
        weights: dict[str, float],
        losses: dict[str, float],
    ) -> dict[str, Any]:
        """Give the backbone the families' gradients; returns what :class:`StepRecord` tells."""
        if not self.shared:
            self.balance.observe(losses, dict.fromkeys(losses, 1.0))
            return {"weights": weights}
        families = list(weights)
        grams = conflict.grams(gradients, self._layers)
        total = grams.sum(0)
        factors = conflict.combining_weights(total, self.plan.sharing.surgery)
        for parameter, gradient in zip(
            self.shared.values(), conflict.combine(gradients, factors), strict=True
        ):
            parameter.grad = gradient
        by_layer = conflict.norms(grams) / torch.tensor(list(weights.values()))
        overall = by_layer.square().sum(0).sqrt().tolist()
        self.balance.observe(losses, dict(zip(families, overall, strict=True)))
        return {
            "weights": {n: weights[n] * f for n, f in zip(families, factors, strict=True)},
            "gradient_norms": {
                name: [round(value, 6) for value in by_layer[:, i].tolist()]
                for i, name in enumerate(families)
            },
            "cosines": conflict.cosines(grams, families),
        }

    def encode(self, ids: Sequence[TokenIds]) -> Iterator[Chunk]:
        """Run token ids through the backbone in chunks of like length; states are fp32."""
        encoder, lengths = self.encoder, list(map(len, ids))
        packs = encoder.device.type == "cpu"  # an accelerator prefers few large calls
        chunks = (by_tokens if packs else by_budget)(lengths, CHUNK_TOKENS[encoder.device.type])
        for rows in chunks:
            texts = [ids[row] for row in rows]
            with precision.autocast(self.precision, encoder.device):
                if packs:
                    states, mask = encoder.packed(texts)
                else:
                    input_ids, mask = pad(texts, encoder.tokenizer.pad_token_id)
                    mask = mask.to(encoder.device)
                    states = encoder.states(input_ids.to(encoder.device), mask)
            if torch.is_grad_enabled():  # not again in a pass ahead of cached gradients
                self._padded += sum(map(len, texts)) if packs else mask.numel()
            yield Chunk(rows, states.float(), mask)

    def backbone(self) -> Backbone:
        """The trained encoder, frozen, with its task-primary LoRAs."""
        self.encoder.freeze()
        primary = {}
        if self.stack is not None:
            primary = {name: self.stack.adapter(name) for name in self.plan.families}
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
            "processes": self.processes.world,
            "recipe": self.recipe.model_dump(),
            "data": reports,
        }


def _objectives(plan: Plan) -> dict[str, type[Objective]]:
    """What trains each family of a plan."""
    if plan.sharing.supervised:
        return dict.fromkeys(plan.families, SupervisedObjective)
    return {name: OBJECTIVES[name] for name in plan.families}


def _check_finite(what: str, value: float) -> None:
    if not math.isfinite(value):
        raise UserError(f"{what} is {value}; lower the recipe's learning rates")


def _evaluation(recipe: Recipe) -> EvaluationSets:
    if recipe.decontaminate is None:
        return EvaluationSets()
    settings = recipe.decontaminate.model_dump()
    return EvaluationSets.find(settings.pop("against"), OverlapSettings(**settings))


def _check(recipe: Recipe, settings: Mapping[str, Any], encoder: Encoder) -> None:
    """Raise :class:`UserError` for more layers or tokens than the encoder has."""
    if recipe.k > encoder.depth:
        raise UserError(f"recipe: k = {recipe.k}, but the encoder has {encoder.depth} layers")
    for name, own in settings.items():
        if own.max_length > encoder.max_length:
            raise UserError(
                f"recipe: families.{name}.max_length is {own.max_length}, but the encoder reads "
                f"{encoder.max_length} tokens at most"
            )


def _primary_stack(encoder: Encoder, plan: Plan, recipe: Recipe) -> LoraStack | None:
    if not plan.sharing.primary_loras:
        return None
    adapters = {
        name: LoraAdapter.fresh(encoder, recipe.k, seed=recipe.seed + i, **recipe.lora.model_dump())
        for i, name in enumerate(plan.families)
    }
    return LoraStack(encoder, adapters)


def _prepare(encoder: Encoder, dropout: float) -> None:
    """Training mode with one dropout rate everywhere (attention reads it off its module)."""
    encoder.model.train()
    for module in encoder.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


def _gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient; zeros if nothing of this process's part of the batch reached it."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
