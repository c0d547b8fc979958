"""A checkpoint: a folder with everything that a stage-1 run needs to go on. It is whole or refused.

    step-000200/state.safetensors   encoder, LoRAs, objectives, balance, AdamW's moments
    step-000200/state.json          step, precision, threads, counts, hashes of run and contents

Learning rates, batches and random numbers are functions of the step (:meth:`Trainer.step` sets the
seed), so no scheduler, sampler or random generator is stored.
"""

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
from onetrunk.storage import ANYTHING, atomic_folder, read_json, sha256_of_files, write_json

TENSORS, STATE = "state.safetensors", "state.json"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found to be whole."""

    folder: Path
    step: int
    """The number of steps that are done, which is also the number of the next step."""
    precision: Chosen
    threads: int
    counts: dict[str, dict[str, Any]]
    """By family: how much its mixture has drawn."""

    def pinned(self, recipe: Recipe) -> Recipe:
        """The recipe with the precision and the threads that the run began with."""
        return recipe.model_copy(update={"precision": self.precision, "threads": self.threads})


def name_of(step: int) -> str:
    """Name of a checkpoint's folder."""
    return f"step-{step:06d}"


def save_checkpoint(trainer: Trainer, step: int, folder: Path, run: str) -> None:
    """Write ``folder/step-…`` after ``step`` steps. ``run`` is the hash of the run's identity."""
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
        "counts": {name: trainer.objective(name).mixture.counts() for name in trainer.objectives},
    }
    with atomic_folder(folder / name_of(step), True, ANYTHING) as beside:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            beside / TENSORS,
        )
        write_json(beside / STATE, state | {"sha256": _seal(state, beside / TENSORS)})


def open_checkpoint(folder: Path, run: str) -> Checkpoint:
    """Open a checkpoint of the run with this hash.

    Raises :class:`UserError` with the reason if it is incomplete, was altered or belongs to another
    run.
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
    return Checkpoint(folder, state["step"], state["precision"], state["threads"], state["counts"])


def restore_checkpoint(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a fresh trainer to the state in which the checkpoint was written.

    The trainer's recipe is the one that :meth:`Checkpoint.pinned` returns. Raises
    :class:`UserError` if trainer and checkpoint do not have the same tensors.
    """
    tensors = load_file(checkpoint.folder / TENSORS)
    modules, parameters = _modules(trainer), _parameters(trainer)
    optimizer_names = {name for name in tensors if name.startswith("optimizer.")}
    module_names = tensors.keys() - optimizer_names
    for name in sorted(module_names ^ modules.keys()) or sorted(module_names):
        if name not in tensors or name not in modules or tensors[name].shape != modules[name].shape:
            raise UserError(
                f"{checkpoint.folder} was written by another version of onetrunk: "
                f"tensor {name!r} differs; start again with overwrite"
            )
    with torch.no_grad():
        for name in module_names:
            modules[name].copy_(tensors[name])
    for name in optimizer_names:
        _, number, key = name.split(".")
        parameter = parameters[int(number)]
        # A copy: the loaded tensor is mapped to a file that will be deleted.
        trainer.optimizer.state[parameter][key] = tensors[name].clone().to(parameter.device)
    for name, counts in checkpoint.counts.items():
        trainer.objective(name).mixture.restore_counts(counts)


def _modules(trainer: Trainer) -> dict[str, Tensor]:
    """The tensors of everything that learns; they share its memory."""
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
    """The parameters that the optimizer updates, in its order."""
    return [p for group in trainer.optimizer.param_groups for p in group["params"]]


def _seal(state: dict[str, Any], tensors: Path) -> str:
    """A hash of the tensor file and of everything in the state."""
    text = json.dumps([state, sha256_of_files(tensors)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
