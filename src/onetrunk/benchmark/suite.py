"""A suite: the description of a benchmark, as typed models. An unknown key is an error."""

import glob
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, model_validator

from onetrunk.adaptation.draws import Draw
from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.apps.app import AdapterKind
from onetrunk.config import MOST_STEPS, SEEDS, Recipe, Settings, load_recipe
from onetrunk.data.locate import Located, locate
from onetrunk.errors import UserError, nearest
from onetrunk.families import family as family_named

SEED = "{seed}"
"""Stands for the seed of stage 1 in the folder of a strategy."""
MOST_DRAWN = 10**9
"""Rows of a draw."""
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]


class Strategy(Settings):
    """A way to make a backbone: one column of the tables.

    In YAML a name alone is the strategy of that name, trained by the suite's recipe.
    """

    name: str
    strategy: str | None = None
    """How families share the backbone in stage 1; None: the strategy called ``name``."""
    recipe: str | None = None
    """Replaces the suite's recipe."""
    folder: str | None = None
    """Backbones that exist already, in place of training; ``{seed}`` stands for the seed."""
    discard_primary: bool = False
    """Adapt without the backbone's task-primary LoRAs."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def stage1(self) -> str:
        """The strategy that its backbone is trained by."""
        return self.strategy or self.name


class DrawnRows(Settings):
    """How labelled rows are drawn, by exactly one of the three."""

    rows: int | None = Field(None, ge=1, le=MOST_DRAWN)
    """This many rows at random; a task with fewer gives all of them."""
    fraction: float | None = Field(None, gt=0, le=1)
    """A share of the rows, stratified by label."""
    shots: int | None = Field(None, ge=1, le=MOST_DRAWN)
    """This many rows for each label (NER: at least this many mentions of each type)."""

    @property
    def name(self) -> str:
        """The name in tables and files: ``1000-rows``, ``10-percent``, ``5-shot``."""
        if self.rows is not None:
            return f"{self.rows}-rows"
        return f"{self.shots}-shot" if self.fraction is None else f"{100 * self.fraction:g}-percent"

    def of(self, rows: int) -> Draw:
        """The draw from a task that has ``rows`` rows."""
        most = None if self.rows is None else min(self.rows, rows)
        return Draw(most, self.fraction, self.shots)


class Files(Settings):
    """Where the data of a task are: a folder with a train and a test split, or two files."""

    folder: str | None = None
    train: str | None = None
    test: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_folder(cls, value: Any) -> Any:
        return {"folder": value} if isinstance(value, str) else value

    @property
    def paths(self) -> dict[str, str]:
        """The path of each split."""
        return {split: self.folder or getattr(self, split) for split in ("train", "test")}


class BenchmarkTask(Settings):
    """A labelled task."""

    name: str
    family: str
    data: Files | None = None
    hub: str | None = None
    """NAME[:CONFIG] of the data set at the hub, used where the files of ``data`` are absent."""
    metric: str | None = None
    """The score for tables; None: the usual one of the family."""

    @property
    def score(self) -> str:
        """The name of the score for tables."""
        return self.metric or family_named(self.family).metric

    @property
    def sources(self) -> dict[str, str]:
        """Where each split is: its path, or ``hub:NAME`` if none of the paths exists."""
        paths = self.data.paths if self.data else {}
        if self.hub and not any(Path(path).exists() for path in paths.values()):
            return dict.fromkeys(("train", "test"), f"hub:{self.hub}")
        return paths

    def located(self) -> dict[str, Located]:
        """The ``train`` and ``test`` splits.

        Raises :class:`UserError` with the nearest name if the data are absent.
        """
        return {split: locate(source, split) for split, source in self.sources.items()}

    def held_out(self) -> str:
        """The rows that stage 1 must not see, as a pattern for ``decontaminate.against``."""
        return glob.escape(self.sources["test"])


class Suite(Settings):
    """A benchmark: every strategy meets every task, draw, adapter and seed."""

    recipe: str | None = None
    """Recipe of stage 1; the strategy and the seed in it are replaced."""
    steps: int | None = Field(None, ge=1, le=MOST_STEPS)
    """Replaces the number of steps in the recipe."""
    encoder: str | None = None
    """Replaces the encoder in the recipe: a folder, a hub name or package:NAME."""
    strategies: list[Strategy] = Field(min_length=1)
    seeds: list[Seed] = Field([0], min_length=1)
    """Seeds of stage 1."""
    adaptation_seeds: list[Seed] = Field([0], min_length=1)
    """Seeds of drawing rows, LoRA start and batch order. Every strategy gets the same rows."""
    draws: list[DrawnRows] = Field(min_length=1)
    adapters: list[AdapterKind] = Field(["linear", "lora"], min_length=1)
    adapt: dict[str, Any] = Field({})
    """Changes to :class:`~onetrunk.adaptation.settings.AdaptSettings`: epochs, batch_size, …"""
    tasks: list[BenchmarkTask] = Field(min_length=1)
    decontaminate: bool = True
    """Stage 1 leaves out every row that overlaps with a held-out row of a task."""

    def task(self, name: str) -> BenchmarkTask:
        """The task of this name."""
        return _named(self.tasks, name, "task")

    def strategy(self, name: str) -> Strategy:
        """The strategy of this name."""
        return _named(self.strategies, name, "strategy")

    def draw(self, name: str) -> DrawnRows:
        """The draw of this name."""
        return _named(self.draws, name, "draw")

    def seeds_of(self, strategy: Strategy) -> list[int]:
        """The seeds of stage 1; only the first one where no seed changes the backbone."""
        fixed = SEED not in strategy.folder if strategy.folder else strategy.stage1 == "none"
        return self.seeds[:1] if fixed else self.seeds

    def backbone(self, strategy: Strategy, seed: int, out: Path) -> Path:
        """The folder of a strategy's backbone. Strategies with the same stage 1 share it."""
        if strategy.folder:
            return Path(strategy.folder.replace(SEED, str(seed)))
        same = [
            other.name
            for other in sorted(self.strategies, key=lambda other: other.discard_primary)
            if not other.folder
            and (other.stage1, other.recipe) == (strategy.stage1, strategy.recipe)
        ]
        return out / "backbones" / f"{same[0]}.{seed}"

    def recipe_of(self, strategy: Strategy, seed: int) -> Recipe:
        """Stage 1 of a strategy that is trained."""
        recipe = load_recipe(
            Path(strategy.recipe or self.recipe or ""),
            strategy=strategy.stage1,
            seed=seed,
            steps=self.steps,
            encoder=self.encoder,
        )
        if not self.decontaminate:
            return recipe
        settings = recipe.decontaminate.model_dump() if recipe.decontaminate else {}
        held_out = {*settings.get("against", ()), *(task.held_out() for task in self.tasks)}
        settings["against"] = sorted(held_out)
        return Recipe.model_validate(recipe.model_dump() | {"decontaminate": settings})

    def settings(self, adapter: str, seed: int) -> AdaptSettings:
        """How an app is trained."""
        return AdaptSettings(**self.adapt | {"adapter": adapter, "seed": seed})


_Named = TypeVar("_Named", BenchmarkTask, Strategy, DrawnRows)


def _named(items: list[_Named], name: str, kind: str) -> _Named:
    by_name = {item.name: item for item in items}
    if name not in by_name:
        raise UserError(f"unknown {kind} {name!r}; {nearest(name, by_name)}")
    return by_name[name]
