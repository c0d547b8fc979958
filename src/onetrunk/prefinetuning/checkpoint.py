"""A checkpoint: all that a stage-1 run goes on from, in a folder that is whole or refused.

    step-000200/state.safetensors   encoder, LoRAs, objectives, balance, AdamW's moments
    step-000200/state.json          step, precision, threads, counts, whose it is, a hash of it all

Learning rates, batches and random numbers are functions of the step (:meth:`Trainer.step` sets the
seed), so no scheduler, sampler or generator is kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.model.precision import Chosen
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.objectives.base import Objective
from onetrunk.storage import atomic_folder, read_json, sha256_of_files, write_json

TENSORS, STATE = "state.safetensors", "state.json"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    folder: Path
    step: int
    """How many steps are done, and so the number of the next one."""
    precision: Chosen
    threads: int
    counts: dict[str, dict[str, Any]]
    """By family: what its mixture has drawn."""

    def pinned(self, recipe: Recipe) -> Recipe:
        """The recipe with the precision and threads that its first start chose."""
        return recipe.model_copy(update={"precision": self.precision, "threads": self.threads})


def name_of(step: int) -> str:
    """Name of the folder of a checkpoint."""
    return f"step-{step:06d}"


def save(trainer: Trainer, step: int, folder: Path, run: str) -> None:
    """Write ``folder/step-…`` after ``step`` steps; ``run`` is the hash of what the run is."""
    tensors = _modules(trainer)
    for number, parameter in enumerate(_parameters(trainer)):
        for key, value in trainer.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{number}.{key}"] = value
    state = {
        "format": FORMAT,
        "run": run,
        "step": step,
        "precision": trainer.precision,
        "threads": torch.get_num_threads(),
        "counts": {name: _objective(trainer, name).mixture.counts() for name in trainer.objectives},
    }
    with atomic_folder(folder / name_of(step), overwrite=True) as beside:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            beside / TENSORS,
        )
        write_json(beside / STATE, state | {"sha256": _seal(state, beside / TENSORS)})


def check(folder: Path, run: str) -> Checkpoint:
    """Open a checkpoint of the run with this hash.

    Raises :class:`UserError`, saying why, if it is torn, was altered or belongs to another run.
    """
    state = read_json(folder / STATE, "a checkpoint")
    seal = state.pop("sha256", None)
    if not (folder / TENSORS).is_file():
        raise UserError(f"{folder} is not whole: it has no {TENSORS}")
    if state.get("format") != FORMAT:
        raise UserError(f"{folder} has format {state.get('format')!r}; this version reads {FORMAT}")
    if state.get("run") != run:
        raise UserError(f"{folder} belongs to another run")
    if seal != _seal(state, folder / TENSORS):
        raise UserError(f"{folder} is damaged or was altered: its SHA-256 is not the one recorded")
    if folder.name != name_of(state["step"]):
        raise UserError(f"{folder} was renamed: it is of step {state['step']}")
    return Checkpoint(
        folder, state["step"], state["precision"], state["threads"], state["counts"]
    )  # fmt: skip


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a trainer to where the checkpoint was written.

    The trainer is fresh, of the recipe that :meth:`Checkpoint.pinned` gives. Raises
    :class:`UserError` if the two do not hold the same tensors.
    """
    tensors = load_file(checkpoint.folder / TENSORS)
    own, parameters = _modules(trainer), _parameters(trainer)
    optimizer = {name for name in tensors if name.startswith("optimizer.")}
    modules = tensors.keys() - optimizer
    for name in sorted(modules ^ own.keys()) or sorted(modules):
        if name not in tensors or name not in own or tensors[name].shape != own[name].shape:
            raise UserError(
                f"{checkpoint.folder} was written by another version of onetrunk: "
                f"tensor {name!r} differs; start again with --overwrite"
            )
    with torch.no_grad():
        for name in modules:
            own[name].copy_(tensors[name])
    for name in optimizer:
        _, number, key = name.split(".")
        parameter = parameters[int(number)]
        # A copy: the loaded tensor is a map of a file that will be deleted.
        trainer.optimizer.state[parameter][key] = tensors[name].clone().to(parameter.device)
    for name, counts in checkpoint.counts.items():
        _objective(trainer, name).mixture.recount(counts)


def _modules(trainer: Trainer) -> dict[str, Tensor]:
    """The tensors of everything that learns, sharing memory with it."""
    modules: dict[str, nn.Module | None] = {
        "encoder": trainer.encoder.model,
        "lora": trainer.stack,
        "objectives": trainer.objectives,
        "balance": trainer.balance,
    }
    return {
        f"{part}.{name}": tensor
        for part, module in modules.items()
        if module is not None
        for name, tensor in module.state_dict().items()
    }


def _parameters(trainer: Trainer) -> list[nn.Parameter]:
    """What the optimizer updates, in its order."""
    return [p for group in trainer.optimizer.param_groups for p in group["params"]]


def _objective(trainer: Trainer, name: str) -> Objective:
    objective = trainer.objectives[name]
    assert isinstance(objective, Objective)
    return objective


def _seal(state: dict[str, Any], tensors: Path) -> str:
    """One hash of the tensor file and of what is recorded beside it."""
    text = json.dumps([state, sha256_of_files(tensors)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
