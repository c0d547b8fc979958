"""Reading a suite from its YAML file, and checking it."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.benchmark.suite import BenchmarkTask, Strategy, Suite
from onetrunk.config import absolute, parse
from onetrunk.errors import UserError, missing, nearest
from onetrunk.families import family as family_named
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.strategies import plan
from onetrunk.yaml_files import read_yaml

ELSEWHERE = ("adapter", "seed", "cache")
"""Adaptation settings that a suite gives under another key, or that it cannot change."""


def load_suite(path: Path, files: bool = True, encoder: str | None = None) -> Suite:
    """Read a YAML suite; relative paths start at its folder. The keys of the suite that it names as
    ``base`` count where it has none of its own.

    ``files``: whether the recipes, backbones and data that it names must exist. A report needs
    none of them. ``encoder`` replaces the suite's; a folder is taken from the working directory.

    Raises :class:`UserError` naming file, key, value and the nearest valid choice: for an unknown
    key, strategy, family or metric, a name that comes twice, and files that are absent.
    """
    suite = _read(path)
    if encoder is not None:
        suite.encoder = str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder
    with _within(str(path)):
        _check(suite, files)
    return suite


def _read(path: Path, below: tuple[Path, ...] = ()) -> Suite:
    """A suite with absolute paths; ``below`` are the files that it is the base of."""
    content = read_yaml(path, "suite")
    if path.resolve() in below:
        raise UserError(f"{path}: base: it is a base of itself")
    base = content.pop("base", None)
    if not isinstance(base, str | None):
        raise UserError(f"{path}: base: the name of a suite's file is expected (got {base!r})")
    if base is not None:
        of_base = _read(Path(absolute(path.parent, base)), (*below, path.resolve()))
        content = of_base.model_dump(exclude_unset=True) | content
    suite = parse(Suite, content, str(path))
    # In files the setting has its older name.
    suite.adapt = {"head_layers" if key == "reads" else key: v for key, v in suite.adapt.items()}
    if suite.encoder and suite.encoder.startswith("."):
        suite.encoder = absolute(path.parent, suite.encoder)
    for model in (suite, *suite.strategies, *(task.data for task in suite.tasks if task.data)):
        for key in ("recipe", "folder", "train", "test"):
            if value := getattr(model, key, None):
                setattr(model, key, absolute(path.parent, value))
    return suite


def _check(suite: Suite, files: bool) -> None:
    _check_adapt(suite.adapt)
    for draw in suite.draws:
        if len(draw.model_dump(exclude_none=True)) != 1:
            raise UserError("draws: each is one of rows, fraction and shots")
    for key in ("strategies", "tasks", "draws", "seeds", "adaptation_seeds", "adapters"):
        names = [str(getattr(value, "name", value)) for value in getattr(suite, key)]
        for name, count in Counter(names).items():
            if count > 1:
                raise UserError(f"{key}: {name!r} comes {count} times")
    for task in suite.tasks:
        with _within(f"task {task.name!r}"):
            _check_task(task, files)
    for strategy in suite.strategies:
        with _within(f"strategy {strategy.name!r}"):
            _check_strategy(suite, strategy, files)


def _check_adapt(changes: dict[str, Any]) -> None:
    known = [field.name for field in fields(AdaptSettings) if field.name not in ELSEWHERE]
    for key, value in changes.items():
        if key not in known:
            raise UserError(f"unknown key {f'adapt.{key}'!r}; {nearest(key, known)}")
        try:
            settings = TypeAdapter(AdaptSettings).validate_python({key: value}, strict=False)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise UserError(f"adapt.{key}: {reason} (got {value!r})") from None
        checked = getattr(settings, key)
        if isinstance(value, bool) and not isinstance(checked, bool):
            raise UserError(f"adapt.{key}: true and false are no value of it (got {value!r})")
        if not (isinstance(checked, float) and isinstance(value, int)):  # names results, as it is
            changes[key] = checked


def _check_task(task: BenchmarkTask, files: bool) -> None:
    _check_name(task.name)
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
    _check_name(strategy.name)
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


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[^/\\.\s]([^/\\]*[^/\\\s])?", name):
        raise UserError("a name becomes a folder's: no slash, no leading dot, no space at an end")


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Put the place in front of the message of a :class:`UserError` in the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
