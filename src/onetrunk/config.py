"""Recipes: what a stage-1 run is told, as typed models. An unknown key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onetrunk.errors import UserError, nearest


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Dataset(_Settings):
    """One data set: a file, a folder that holds a training split, or ``hub:NAME[:CONFIG]``."""

    path: str
    weight: float | None = Field(None, gt=0)
    """Share in the mixture; None: rows ** exponent. A higher weight repeats its rows more often."""
    max_rows: int | None = Field(None, gt=0)
    """Use only the first so many rows."""


class Source(Dataset):
    """One corpus of a family's own objective."""

    scheme: Literal["auto", "iob1", "iob2", "bioes", "bilou"] = "auto"
    """How entities are tagged; auto: as the whole file shows, which is said aloud."""


class FamilySettings(_Settings):
    """What every task family is told in stage 1."""

    sources: list[Source] = []
    """What the family's own objective trains on: all strategies but muppet need them."""
    labelled: list[Dataset] = []
    """What strategy muppet trains on: labelled sets, as apps are trained on (stage 2)."""
    weight: float = Field(1.0, gt=0)
    """Factor on the family's loss (λ in the design). Raising it favours this family."""
    batch_size: int = Field(64, ge=2)
    max_length: int = Field(64, ge=8)
    """Tokens a text, special tokens included. Longer sentences are read in overlapping windows;
    longer texts of pairs and of labelled sets are cut, and the share of those is reported."""
    exponent: float = Field(0.5, ge=0, le=1)
    """How source size counts in the mixture: 1 rows evenly, 0 sources evenly."""


class Decontaminate(_Settings):
    """Leave out rows that evaluation sets hold too (:mod:`onetrunk.contamination.index`)."""

    against: list[str] = Field(min_length=1)
    """Files, or folders with a validation or test split; ``*`` stands for any name. Of
    ``hub:NAME[:CONFIG]`` it is the test split."""
    min_words: int = Field(5, ge=1)
    """Texts with fewer words are not judged."""
    near_words: int = Field(8, ge=1)
    """Texts with fewer words are judged by identity alone."""
    threshold: float = Field(0.65, ge=0.6, le=1)
    """Jaccard similarity of words and word pairs from which on a text is a near-duplicate."""


class LoraSettings(_Settings):
    """Shape of the task-primary LoRAs."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    targets: list[str] = ["query", "key", "value", "attention_output", "ffn_up", "ffn_down"]
    rslora: bool = False


class OptimizerSettings(_Settings):
    """AdamW with a learning rate for each kind of parameter."""

    backbone_lr: float = Field(1e-4, gt=0)
    lora_lr: float = Field(5e-4, gt=0)
    objective_lr: float = Field(1e-3, gt=0)
    """For projections that belong to an objective and are thrown away after stage 1."""
    weight_decay: float = Field(0.01, ge=0)
    """On the backbone's matrices only: decay on a LoRA would move it without its family's loss."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps during which learning rates rise from zero."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    clip: float = Field(1.0, gt=0)
    """Largest global norm of the gradient of a step."""


class Recipe(_Settings):
    """A stage-1 run. ``families`` maps a family's name to its settings, checked by the family."""

    encoder: str
    strategy: str = "tpl"
    """How families share the backbone: see :func:`onetrunk.prefinetuning.strategies.plan`."""
    steps: int = Field(400, ge=1)
    seed: int = Field(0, ge=0)
    k: int = Field(3, ge=1)
    """LoRA sits on the last k layers. Raising it gives families more room and apps less sharing."""
    pooling: Literal["mean", "cls"] = "mean"
    dropout: float = Field(0.0, ge=0, lt=1)
    """Inside the encoder while it trains; 0 suits runs that see no row twice."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast only if a measurement at start finds it faster on this machine."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; None: PyTorch's own choice."""
    balance: Literal["fixed", "uncertainty", "gradient_norm"] = "fixed"
    """How the families' weights go on from those given: see
    :class:`onetrunk.prefinetuning.balance.Balance`."""
    lora: LoraSettings = LoraSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    decontaminate: Decontaminate | None = None
    """Evaluation sets whose rows must not be trained on; None: nothing is checked."""
    families: dict[str, dict[str, Any]]


Model = TypeVar("Model", bound=BaseModel)


def load_recipe(path: Path, **overrides: Any) -> Recipe:
    """Read a YAML recipe; ``overrides`` that are not None replace its top-level keys.

    Relative source, encoder and teacher paths are taken from the recipe's folder. Raises
    :class:`UserError` naming file, key, value and the nearest valid key.
    """
    data = read_yaml(path, "recipe")
    data |= {key: value for key, value in overrides.items() if value is not None}
    recipe = parse(Recipe, data, str(path))
    for family in recipe.families.values():
        for source in [*(family.get("sources") or []), *(family.get("labelled") or [])]:
            if isinstance(source, dict) and "path" in source:
                source["path"] = absolute(path.parent, str(source["path"]))
        distill = family.get("distill")
        if isinstance(distill, dict) and str(distill.get("teacher")).startswith("."):
            distill["teacher"] = absolute(path.parent, distill["teacher"])
    if recipe.decontaminate is not None:
        against = recipe.decontaminate.against
        recipe.decontaminate.against = [absolute(path.parent, pattern) for pattern in against]
    if recipe.encoder.startswith("."):
        recipe.encoder = absolute(path.parent, recipe.encoder)
    return recipe


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML mapping; ``what`` says in the error what the file should have been."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"no such {what}: {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a {what}: a mapping of keys was expected")
    return data


def absolute(folder: Path, path: str) -> str:
    """A path that is written relative to ``folder``; a hub name as it is."""
    if path.startswith("hub:"):
        return path
    return str((folder / Path(path).expanduser()).resolve())


def parse(model: type[Model], data: Any, where: str) -> Model:
    """Validate ``data``; the first fault becomes a one-line :class:`UserError` led by ``where``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key first: it is often why another one is missing.
        fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            hint = nearest(str(fault["loc"][-1]), _fields(model, fault["loc"][:-1]))
            raise UserError(f"{where}: unknown key {key!r}; {hint}") from None
        value = "" if fault["type"] == "missing" else f" (got {fault['input']!r})"
        raise UserError(f"{where}: {key}: {fault['msg'].lower()}{value}") from None


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the keys that are valid at ``location`` inside ``model``."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = [annotation, *get_args(annotation)]
        model = next(a for a in inner if isinstance(a, type) and issubclass(a, BaseModel))
    return list(model.model_fields)
