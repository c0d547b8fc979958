"""The stage-1 training loop.

    L(θ, φ) = Σ_f λ_f · L_f(θ, φ_f)

A step draws one batch for each family f, runs forward and backward for each, and then updates once:
the backbone θ with the gradients of all families, and each task-primary LoRA φ_f with the gradient
of its own family only.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from onetrunk.config import FamilySettings, Recipe, parse
from onetrunk.contamination.evaluation_sets import EvaluationSets, merged_report
from onetrunk.contamination.index import OverlapSettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.data.batching import TokenIds, by_budget, by_tokens, step_seed
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.model import precision
from onetrunk.model.backbone import Backbone
from onetrunk.model.embedding import gathered
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.padding import pad
from onetrunk.model.place import check_k
from onetrunk.prefinetuning import conflict
from onetrunk.prefinetuning.balance import Balance
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.objectives import objective_of, settings_model
from onetrunk.prefinetuning.objectives.base import Chunk, Objective, Setup
from onetrunk.prefinetuning.objectives.supervised import SupervisedObjective
from onetrunk.prefinetuning.optimizer import adamw, set_rates
from onetrunk.prefinetuning.strategies import Plan, plan
from onetrunk.processes import ALONE, Processes
from onetrunk.progress import Progress, silent

# Tokens that go through the encoder together, by device; this bounds memory. On a CPU, texts are
# packed without padding. An accelerator prefers few large calls to one call for each length, so
# there texts of similar length are padded.
CHUNK_TOKENS = {"cpu": 2048, "cuda": 16384}


class Trainer:
    """Everything that a stage-1 run holds. :meth:`run` trains; :meth:`backbone` is the result.

    Each of several ``processes`` holds all of it, and works on its part of every batch.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: str = "cpu",
        processes: Processes = ALONE,
        progress: Progress = silent,
    ) -> None:
        self.recipe, self.plan, self.processes = recipe, plan(recipe), processes
        # If the library for gradient surgery is missing, fail before the sources are prepared.
        conflict.combining_weights(torch.eye(len(self.plan.families)), self.plan.sharing.surgery)
        settings = {
            name: parse(settings_model(name), family, f"recipe: families.{name}")
            for name, family in recipe.families.items()
        }
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.encoder = load_encoder(recipe.encoder)
        self.encoder.model.to(device)
        _check_sizes(recipe, settings, self.encoder)
        self.builder = CorpusBuilder(
            self.encoder.tokenizer, _evaluation_sets(recipe), progress=progress
        )
        self.objectives = self._build_objectives(settings).to(device)
        self.balance = Balance(
            recipe.balance, {name: settings[name].weight for name in self.plan.families}
        )
        self.stack = _primary_loras(self.encoder, self.plan, recipe)
        choice = precision.choose(recipe.precision, self.encoder.device, self.encoder.width)
        # Every process measures for itself; if one of them chooses fp32, all do.
        fp32 = processes.total(choice == "fp32", self.encoder.device) > 0
        self.precision: precision.Chosen = "fp32" if fp32 else "bf16"
        self.shared = self._shared_parameters()
        lora = [] if self.stack is None else list(self.stack.parameters())
        objectives = [*self.objectives.parameters(), *self.balance.parameters()]
        self.optimizer = adamw(list(self.shared.values()), lora, objectives, recipe.optimizer)
        self._layers = [conflict.layer_of(self.encoder, name) for name in self.shared]
        self._private = [p for p in [*self.objectives.parameters(), *lora] if p.requires_grad]
        self._padded = 0

    def objective(self, family: str) -> Objective:
        """The objective of a family."""
        objective = self.objectives[family]
        assert isinstance(objective, Objective)
        return objective

    def _build_objectives(self, settings: Mapping[str, FamilySettings]) -> nn.ModuleDict:
        supervised = self.plan.sharing.supervised
        pooling, seed = self.recipe.pooling, self.recipe.seed
        return nn.ModuleDict(
            {
                name: (SupervisedObjective if supervised else objective_of(name))(
                    Setup(FAMILIES[name], settings[name], self.builder, self.encoder, pooling, seed)
                )
                for name in self.plan.families
            }
        )

    def _shared_parameters(self) -> dict[str, nn.Parameter]:
        """The backbone's parameters, which the families share; none if the backbone is frozen."""
        _train_mode(self.encoder, self.recipe.dropout)
        if not self.plan.sharing.backbone:
            self.encoder.model.requires_grad_(False)
            return {}
        named = self.encoder.model.named_parameters()
        return {name: p for name, p in named if not name.startswith("pooler.")}

    def run(self, on_step: Callable[[StepRecord], None], start: int = 0) -> None:
        """Train from step ``start`` to the recipe's number of steps, and report each step."""
        for step in range(start, self.recipe.steps if self.plan.families else 0):
            on_step(self.step(step))

    def step(self, step: int) -> StepRecord:
        """One update. Raises :class:`UserError` if a loss or the gradient is not finite."""
        start, tokens, losses = time.perf_counter(), 0, {}
        gradients: list[conflict.Gradients] = []
        self._padded = 0
        set_rates(self.optimizer, step, self.recipe.steps, self.recipe.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        weights = self.balance.weights()
        torch.manual_seed(step_seed(self.recipe.seed, step, f"dropout {self.processes.rank}"))
        for name in self.plan.families:
            losses[name], tokens_of_family = self.backward(name, step, weights[name])
            _check_finite(f"step {step}: the {name} loss", losses[name])
            gradients.append(self._take_gradient())
            tokens += tokens_of_family
        self.processes.add([_gradient(p) for p in self._private])
        torch.manual_seed(step_seed(self.recipe.seed, step, "surgery"))  # the same in all processes
        measured = self._combine(gradients, weights, losses)
        # Without the balance's parameters: they have a loss of their own.
        norm = nn.utils.clip_grad_norm_(
            [*self.shared.values(), *self._private], self.recipe.optimizer.clip
        )
        _check_finite(f"step {step}: the norm of the gradient", float(norm))
        self.optimizer.step()
        device = self.encoder.device
        return StepRecord(
            step,
            losses,
            float(norm),
            int(self.processes.total(tokens, device)),
            int(self.processes.total(self._padded, device)),
            time.perf_counter() - start,
            **measured,
        )

    def backward(self, name: str, step: int, weight: float = 1.0) -> tuple[float, int]:
        """Add one family's gradient times ``weight``; returns its loss and its number of tokens.

        The gradient is that of this process's part of the batch; the loss is that of the whole.
        """
        objective = self.objective(name)
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

    def _take_gradient(self) -> conflict.Gradients:
        """Remove the backbone's gradient from the backbone; returns its sum over processes."""
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
        """Give the backbone the combined gradient; returns fields of :class:`StepRecord`."""
        if not self.shared:
            self.balance.observe(losses, dict.fromkeys(losses, 1.0))
            return {"weights": weights}
        families = list(weights)
        grams = conflict.grams(gradients, self._layers)
        factors = conflict.combining_weights(grams.sum(0), self.plan.sharing.surgery)
        for parameter, gradient in zip(
            self.shared.values(), conflict.combine(gradients, factors), strict=True
        ):
            parameter.grad = gradient
        norms = conflict.norms(grams) / torch.tensor(list(weights.values()))  # (layers, families)
        total_norms = norms.square().sum(0).sqrt().tolist()
        self.balance.observe(losses, dict(zip(families, total_norms, strict=True)))
        return {
            "weights": {n: weights[n] * f for n, f in zip(families, factors, strict=True)},
            "gradient_norms": {
                name: [round(value, 6) for value in norms[:, i].tolist()]
                for i, name in enumerate(families)
            },
            "cosines": conflict.cosines(grams, families),
        }

    def encode(self, ids: Sequence[TokenIds]) -> Iterator[Chunk]:
        """Run token ids through the backbone in chunks of similar length; states are fp32."""
        encoder, lengths = self.encoder, list(map(len, ids))
        packed = encoder.device.type == "cpu"  # see CHUNK_TOKENS
        chunks = (by_tokens if packed else by_budget)(lengths, CHUNK_TOKENS[encoder.device.type])
        for rows in chunks:
            texts = [ids[row] for row in rows]
            with precision.autocast(self.precision, encoder.device):
                if packed:
                    states, mask = encoder.packed(texts)
                else:
                    input_ids, mask = pad(texts, encoder.tokenizer.pad_token_id)
                    mask = mask.to(encoder.device)
                    states = encoder.states(input_ids.to(encoder.device), mask)
            if torch.is_grad_enabled():  # the first pass of cached gradients does not count
                self._padded += sum(map(len, texts)) if packed else mask.numel()
            yield Chunk(rows, states.float(), mask)

    def backbone(self) -> Backbone:
        """The trained encoder, frozen, with its task-primary LoRAs."""
        self.encoder.freeze()
        primary_loras = {}
        if self.stack is not None:
            primary_loras = {name: self.stack.adapter(name) for name in self.plan.families}
        record = {
            "strategy": self.recipe.strategy,
            "precision": self.precision,
            "processes": self.processes.world,
            "recipe": self.recipe.model_dump(),
            "data": {name: self.objective(name).report() for name in self.objectives},
        }
        return Backbone(self.encoder, self.recipe.k, primary_loras, self.recipe.pooling, record)

    def decontamination(self) -> dict[str, Any]:
        """What was left out because evaluation sets hold it; empty if the recipe names none."""
        reports: dict[str, Any] = {}
        for name in self.objectives:
            reports |= self.objective(name).mixture.decontamination()
        return merged_report(reports) if reports else {}


def _check_finite(quantity: str, value: float) -> None:
    if not math.isfinite(value):
        raise UserError(f"{quantity} is {value}; lower the recipe's learning rates")


def _evaluation_sets(recipe: Recipe) -> EvaluationSets:
    if recipe.decontaminate is None:
        return EvaluationSets()
    settings = recipe.decontaminate.model_dump()
    return EvaluationSets.find(settings.pop("against"), OverlapSettings(**settings))


def _check_sizes(recipe: Recipe, settings: Mapping[str, FamilySettings], encoder: Encoder) -> None:
    """Raise :class:`UserError` for more layers or tokens than the encoder has."""
    check_k(recipe.k, encoder.depth)
    for name, family in settings.items():
        if family.max_length > encoder.max_length:
            raise UserError(
                f"recipe: families.{name}.max_length is {family.max_length}, but the encoder reads "
                f"{encoder.max_length} tokens at most"
            )


def _primary_loras(encoder: Encoder, plan: Plan, recipe: Recipe) -> LoraStack | None:
    """A fresh task-primary LoRA for each family, if the strategy has them."""
    if not plan.sharing.primary_loras:
        return None
    adapters = {
        name: LoraAdapter.fresh(encoder, recipe.k, seed=recipe.seed + i, **recipe.lora.model_dump())
        for i, name in enumerate(plan.families)
    }
    return LoraStack(encoder, adapters)


def _train_mode(encoder: Encoder, dropout: float) -> None:
    """Training mode, with the same dropout rate in all modules (attention reads it off its own)."""
    encoder.model.train()
    for module in encoder.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


def _gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient: zeros if this process's part of the batch gave it none."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
