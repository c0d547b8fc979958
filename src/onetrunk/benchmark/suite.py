"""A suite: what a benchmark is told, as typed models. An unknown key is an error."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from onetrunk.adaptation.draws import Draw
from onetrunk.adaptation.task import AdaptSettings
from onetrunk.apps.app import AdapterKind
from onetrunk.benchmark.checks import check_adapt, check_name
from onetrunk.config import Recipe, absolute, load_recipe, parse, read_yaml
from onetrunk.data.locate import Located, locate, missing
from onetrunk.errors import UserError, nearest
from onetrunk.families import family as family_named
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.strategies import plan

SEED = "{seed}"
"""Stands for the seed of stage 1 in the folder of a strategy."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Strategy(_Settings):
    """A row of the tables. A name alone is a strategy of the suite's recipe."""

    name: str
    strategy: str | None = None
    """How families share the backbone in stage 1; None: as ``name`` says."""
    recipe: str | None = None
    """Instead of the suite's."""
    folder: str | None = None
    """Backbones that are ready, instead of training: ``{seed}`` stands for the seed."""
    discard_primary: bool = False
    """Adapt without the backbone's task-primary LoRAs."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @property
    def trains(self) -> str:
        """The strategy of its stage 1."""
        return self.strategy or self.name


class DrawnRows(_Settings):
    """How labelled rows are drawn: one of the three."""

    rows: int | None = Field(None, ge=1)
    """So many at most, at random: a task with fewer gives all."""
    fraction: float | None = Field(None, gt=0, le=1)
    """A share, stratified by label."""
    shots: int | None = Field(None, ge=1)
    """So many rows a label (NER: mentions a type, at least)."""

    @property
    def name(self) -> str:
        """As it stands in tables and file names: ``1000-rows``, ``10-percent``, ``5-shot``."""
        if self.rows is not None:
            return f"{self.rows}-rows"
        return f"{self.shots}-shot" if self.fraction is None else f"{100 * self.fraction:g}-percent"

    def of(self, rows: int) -> Draw:
        """The draw from a task with so many rows."""
        most = None if self.rows is None else min(self.rows, rows)
        return Draw(most, self.fraction, self.shots)


class Files(_Settings):
    """Where a task lies: a folder with a train and a test split, or two files."""

    folder: str | None = None
    train: str | None = None
    test: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _folder_alone(cls, given: Any) -> Any:
        return {"folder": given} if isinstance(given, str) else given

    @property
    def paths(self) -> dict[str, Path]:
        """By split, what to locate it in."""
        return {split: Path(self.folder or getattr(self, split)) for split in ("train", "test")}


class BenchmarkTask(_Settings):
    """A labelled task."""

    name: str
    family: str
    data: Files | None = None
    hub: str | None = None
    """NAME[:CONFIG] of the data set at the hub, used where ``data`` is not there."""
    metric: str | None = None
    """One of the family's scores, for tables; None: the family's own choice."""

    @property
    def score(self) -> str:
        """The metric in tables."""
        return self.metric or family_named(self.family).metric

    @property
    def local(self) -> bool:
        """Whether its data are on this machine."""
        return self.data is not None and any(path.exists() for path in self.data.paths.values())

    def located(self) -> dict[str, Located]:
        """Its ``train`` and ``test``. Raises :class:`UserError`, naming the nearest, if absent."""
        if self.data is None or (self.hub and not self.local):
            return {split: locate(f"hub:{self.hub}", split) for split in ("train", "test")}
        for path in self.data.paths.values():
            if not path.exists():
                missing(path)
        return {split: locate(path, split) for split, path in self.data.paths.items()}

    def held_out(self) -> str:
        """What stage 1 must not train on, as a pattern for ``decontaminate.against``."""
        if self.data is None or (self.hub and not self.local):
            return f"hub:{self.hub}"
        return glob.escape(str(self.data.paths["test"]))


class Suite(_Settings):
    """A benchmark. Every strategy meets every task, draw, adapter and seed."""

    recipe: str | None = None
    """Stage 1 of the strategies that are trained; strategy and seed replace the recipe's."""
    steps: int | None = Field(None, ge=1)
    """Instead of the recipe's."""
    encoder: str | None = None
    """Instead of the recipe's: a folder, a hub name or package:NAME."""
    strategies: list[Strategy] = Field(min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    """Of stage 1."""
    adaptation_seeds: list[int] = Field([0], min_length=1)
    """Of drawing rows, LoRA start and batch order; the same rows for every strategy."""
    draws: list[DrawnRows] = Field(min_length=1)
    adapters: list[AdapterKind] = Field(["linear", "lora"], min_length=1)
    adapt: dict[str, Any] = {}
    """Changes to :class:`~onetrunk.adaptation.task.AdaptSettings`: epochs, batch_size, …"""
    tasks: list[BenchmarkTask] = Field(min_length=1)
    decontaminate: bool = True
    """Stage 1 leaves out every row that overlaps with a held-out row of a task."""
    _recipes: dict[tuple[str, int], Recipe] = PrivateAttr(default_factory=dict)

    def task(self, name: str) -> BenchmarkTask:
        """A task by its name."""
        return _named(self.tasks, name, "task")

    def strategy(self, name: str) -> Strategy:
        """A strategy by its name."""
        return _named(self.strategies, name, "strategy")

    def draw(self, name: str) -> DrawnRows:
        """A draw by its name."""
        return _named(self.draws, name, "draw")

    def seeds_of(self, strategy: Strategy) -> list[int]:
        """The seeds of stage 1: of a backbone that none of them changes, the first alone."""
        fixed = SEED not in strategy.folder if strategy.folder else strategy.trains == "none"
        return self.seeds[:1] if fixed else self.seeds

    def backbone(self, strategy: Strategy, seed: int, out: Path) -> Path:
        """The folder of a strategy's backbone. Strategies with the same stage 1 share it."""
        if strategy.folder:
            return Path(strategy.folder.replace(SEED, str(seed)))
        same = [
            other.name
            for other in sorted(self.strategies, key=lambda other: other.discard_primary)
            if not other.folder
            and (other.trains, other.recipe) == (strategy.trains, strategy.recipe)
        ]
        return out / "backbones" / f"{same[0]}.{seed}"

    def recipe_of(self, strategy: Strategy, seed: int) -> Recipe:
        """Stage 1 of a strategy that is trained."""
        key = (strategy.name, seed)
        if key not in self._recipes:
            path = Path(strategy.recipe or self.recipe or "")
            recipe = load_recipe(
                path,
                strategy=strategy.trains,
                seed=seed,
                steps=self.steps,
                encoder=self.encoder,
            )
            if self.decontaminate:
                given = recipe.decontaminate.model_dump() if recipe.decontaminate else {}
                held_out = [*given.get("against", ()), *(task.held_out() for task in self.tasks)]
                given["against"] = sorted(set(held_out))
                recipe = Recipe.model_validate(recipe.model_dump() | {"decontaminate": given})
            self._recipes[key] = recipe
        return self._recipes[key]

    def settings(self, adapter: str, seed: int) -> AdaptSettings:
        """How an app is trained."""
        return AdaptSettings(**self.adapt | {"adapter": adapter, "seed": seed})


def load_suite(path: Path, files: bool = True, encoder: str | None = None) -> Suite:
    """Read a YAML suite; relative paths are taken from its folder.

    ``files``: whether what it names must be there: recipes, backbones, data. A report needs none.
    ``encoder``: instead of the suite's; if it is a folder, from the working directory.
    Raises :class:`UserError` naming file, key, value and the nearest valid choice: for an unknown
    key, strategy, family or metric, a name that comes twice, and a recipe, a backbone folder or
    data that are not there.
    """
    suite = parse(Suite, read_yaml(path, "suite"), str(path))
    _resolve(suite, path.parent)
    if encoder is not None:
        suite.encoder = str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder
    with _within(str(path)):
        _check(suite, files)
    return suite


def _resolve(suite: Suite, folder: Path) -> None:
    """Make paths absolute."""
    if suite.encoder and suite.encoder.startswith("."):
        suite.encoder = absolute(folder, suite.encoder)
    for model in (suite, *suite.strategies, *(task.data for task in suite.tasks if task.data)):
        for key in ("recipe", "folder", "train", "test"):
            if value := getattr(model, key, None):
                setattr(model, key, absolute(folder, value))


def _check(suite: Suite, files: bool) -> None:
    check_adapt(suite.adapt)
    for draw in suite.draws:
        if len(draw.model_dump(exclude_none=True)) != 1:
            raise UserError("draws: each is one of rows, fraction and shots")
    _once("strategies", (strategy.name for strategy in suite.strategies))
    _once("tasks", (task.name for task in suite.tasks))
    _once("draws", (draw.name for draw in suite.draws))
    for key in ("seeds", "adaptation_seeds", "adapters"):
        _once(key, map(str, getattr(suite, key)))
    for task in suite.tasks:
        with _within(f"task {task.name!r}"):
            _check_task(task, files)
    for strategy in suite.strategies:
        with _within(f"strategy {strategy.name!r}"):
            _check_strategy(suite, strategy, files)


def _check_task(task: BenchmarkTask, files: bool) -> None:
    check_name(task.name)
    metrics = family_named(task.family).metrics
    if task.metric and metrics and task.metric not in metrics:
        raise UserError(f"unknown metric {task.metric!r}; {nearest(task.metric, metrics)}")
    if task.data is None and task.hub is None:
        raise UserError("it has neither data nor hub")
    if task.data and (task.data.folder is None) == (None in (task.data.train, task.data.test)):
        raise UserError("data is a folder, or train and test")
    if files:
        task.located()


def _check_strategy(suite: Suite, strategy: Strategy, files: bool) -> None:
    check_name(strategy.name)
    if strategy.folder is None:
        if not (strategy.recipe or suite.recipe):
            raise UserError("neither it nor the suite has a recipe")
        if files:
            plan(suite.recipe_of(strategy, suite.seeds[0]))
        return
    if strategy.recipe or strategy.strategy:
        raise UserError("its folder is ready: recipe and strategy do not apply")
    for seed in suite.seeds_of(strategy) if files else ():
        folder = suite.backbone(strategy, seed, Path())
        if not folder.is_dir():
            missing(folder)
        if not (folder / RECORD).exists():
            raise UserError(f"{folder} is not a backbone folder: it has no {RECORD}")


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Say of errors in the block where they are."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _once(key: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{key}: {name!r} comes {count} times")


def _named(of: list[Any], name: str, what: str) -> Any:
    for one in of:
        if one.name == name:
            return one
    raise UserError(f"unknown {what} {name!r}; {nearest(name, [one.name for one in of])}")
