"""Recipes: the settings of a stage-1 run as typed models. An unknown key is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from onetrunk.errors import UserError, as_path, nearest
from onetrunk.yaml_files import read_yaml

SEEDS = 2**63
"""A seed is below this; larger ones do not fit into the generators of PyTorch."""
MOST_ROWS = 100_000
"""Of a batch."""
MOST_TOKENS = 100_000
"""Of a text or a window."""
MOST_STEPS = 10**9
"""Updates, or epochs."""
MOST_RANK = 10_000
"""Of a LoRA."""
MOST_LAYERS = 1000
"""Of an encoder."""


class Settings(BaseModel):
    """Settings with known keys. Numbers are finite, and true and false are none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_true(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = (annotation, *get_args(annotation))
        items = value if isinstance(value, list) else [value]
        if not (bool in kinds or Any in kinds) and bool in map(type, items):
            raise PydanticCustomError("no_bool", "true and false are no value of it")
        return value


class Dataset(Settings):
    """One data set: a file, a folder that holds a training split, ``hub:NAME[:CONFIG]``, or the
    address of a file or a folder (``s3://…``), which fsspec opens."""

    path: str
    """Where it is."""
    split: str = "train"
    """The split to read, of a folder or of a set of the hub."""
    weight: float | None = Field(None, gt=0)
    """Share in the mixture; None: rows ** exponent. With a higher weight its rows are repeated more
    often."""
    max_rows: int | None = Field(None, gt=0, le=10**12)
    """Use only this number of rows, the first ones."""
    text_column: str | None = None
    """The column of texts in a table; None: found by its name."""
    label_column: str | list[str] | None = None
    """The column of labels; of entities perhaps several, one for each type."""


class Source(Dataset):
    """One corpus of a family's own objective."""

    scheme: Literal["auto", "iob1", "iob2", "bioes", "bilou"] = "auto"
    """How entities are tagged; auto: as the file shows, which is reported."""


class FamilySettings(Settings):
    """The stage-1 settings that all task families have."""

    sources: list[Source] = []
    """The data of the family's own objective. All strategies except muppet need them."""
    labelled: list[Dataset] = []
    """The data of strategy muppet: labelled sets such as apps train on (stage 2)."""
    weight: float = Field(1.0, gt=0)
    """Factor on the family's loss. Raising it favours this family."""
    batch_size: int = Field(64, ge=2, le=MOST_ROWS)
    """Rows of the family in a step, over all processes: pairs, or sentences on the average. (Steps
    of NER have about equally many tokens: more sentences where these are short.)"""
    max_length: int = Field(64, ge=8, le=MOST_TOKENS)
    """Tokens of a text, special tokens included. Longer sentences are read in overlapping windows.
    Longer texts of pairs and of labelled sets are cut, and their share is reported."""
    exponent: float = Field(0.5, ge=0, le=1)
    """How the size of a source counts in the mixture: 1 draws rows evenly, 0 draws sources evenly.
    """


class Decontaminate(Settings):
    """Leave out rows that evaluation sets hold, too."""

    against: list[str] = Field(min_length=1)
    """Files, or folders with a validation or a test split; ``*`` stands for any name.
    ``hub:NAME[:CONFIG]`` names the test split of a set of the hub."""
    min_words: int = Field(5, ge=1, le=MOST_TOKENS)
    """Texts with fewer words are not judged."""
    near_words: int = Field(8, ge=1, le=MOST_TOKENS)
    """Texts with fewer words count as the same only if they are identical."""
    threshold: float = Field(0.65, ge=0.6, le=1)
    """A text is a near-duplicate from this Jaccard similarity of words and word pairs on."""


class LoraSettings(Settings):
    """Shape of the task-primary LoRAs."""

    rank: int = Field(16, ge=1, le=MOST_RANK)
    """Width between the two matrices. The bytes of a LoRA grow with it."""
    alpha: float = Field(32.0, gt=0)
    """What a LoRA adds is multiplied by alpha / rank."""
    targets: list[str] = ["query", "key", "value", "attention_output", "ffn_up", "ffn_down"]
    """The linear maps of a layer that have LoRA."""
    rslora: bool = False
    """Multiply by alpha / √rank instead (Kalajdzievski 2023, arXiv 2312.03732)."""


class OptimizerSettings(Settings):
    """AdamW with a learning rate for each kind of parameter."""

    backbone_lr: float = Field(1e-4, gt=0)
    """Of the encoder's own weights."""
    lora_lr: float = Field(5e-4, gt=0)
    """Of the task-primary LoRAs."""
    objective_lr: float = Field(1e-3, gt=0)
    """For the parameters of objectives, which are thrown away after stage 1."""
    weight_decay: float = Field(0.01, ge=0)
    """On the backbone's matrices only: decay would move a LoRA without its family's loss."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps during which learning rates rise from zero."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How learning rates fall after that."""
    clip: float = Field(1.0, gt=0)
    """The largest global norm that the gradient of a step may have."""


class Recipe(Settings):
    """A stage-1 run. ``families`` maps a family's name to its settings, checked by the family."""

    encoder: str
    """A hub name, a local folder or ``package:NAME``."""
    strategy: str = "tpl"
    """How families share the backbone; docs/prefinetune.md lists the strategies."""
    steps: int = Field(400, ge=1, le=MOST_STEPS)
    """Updates. Each draws a batch of every family."""
    seed: int = Field(0, ge=0, lt=SEEDS)
    """Of the order of rows, and of all weights that start at random."""
    k: int = Field(3, ge=1, le=MOST_LAYERS)
    """LoRA is on the last k layers. A higher k gives families more capacity of their own, and
    leaves fewer layers that apps share."""
    pooling: Literal["mean", "cls"] = "mean"
    """The state of a whole text: the mean over its tokens, or its first token's."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout inside the encoder while it trains. 0 suits runs that see no row twice."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast only if a measurement at start finds it faster on this machine."""
    threads: int | None = Field(None, ge=1, le=4096)
    """CPU threads; None: PyTorch's own choice."""
    balance: Literal["fixed", "uncertainty", "gradient_norm"] = "fixed"
    """Whether the families' weights change in training (:mod:`onetrunk.prefinetuning.balance`)."""
    lora: LoraSettings = LoraSettings()
    """Shape of the task-primary LoRAs."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """Learning rates and the like."""
    decontaminate: Decontaminate | None = None
    """Evaluation sets whose rows are left out of training; None: nothing is checked."""
    families: dict[str, dict[str, Any]]
    """The settings of each family, by its name: ``ner``, ``tc`` or a plug-in's."""


Model = TypeVar("Model", bound=BaseModel)


def as_recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    """A recipe, the path of a YAML file (:func:`load_recipe`), or a mapping with a recipe's keys.

    Relative paths in a mapping are taken from the current folder. Raises :class:`UserError` as
    :func:`load_recipe` does.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return parse(Recipe, dict(recipe), "recipe")
    return load_recipe(recipe)


def load_recipe(path: str | Path, **overrides: Any) -> Recipe:
    """Read a YAML recipe. Those ``overrides`` that are not None replace its top-level keys.

    Relative source, encoder and teacher paths are taken from the recipe's folder. Raises
    :class:`UserError` naming file, key, value and the nearest valid key.
    """
    path = as_path(path, "recipe")
    data = read_yaml(path, "recipe")
    data |= {key: value for key, value in overrides.items() if value is not None}
    recipe = parse(Recipe, data, str(path))
    for family in recipe.families.values():
        for key in ("sources", "labelled"):
            listed = family.get(key)
            for source in listed if isinstance(listed, list) else []:
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


def absolute(folder: Path, path: str) -> str:
    """The absolute path of a ``path`` that is relative to ``folder``; a hub name or an address as
    it is."""
    if path.startswith("hub:") or "://" in path:
        return path
    return str((folder / Path(path).expanduser()).resolve())


def parse(model: type[Model], data: Any, where: str) -> Model:
    """Validate ``data``. The first fault becomes a one-line :class:`UserError` that begins with
    ``where``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key first: it is often the reason why another key is missing.
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
