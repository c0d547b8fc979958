"""A cell of a benchmark: the scores of one app, what they cost and what they follow from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from onetrunk.benchmark.outcomes import Outcomes
from onetrunk.benchmark.suite import Suite
from onetrunk.errors import UserError
from onetrunk.storage import read_json, write_json

FORMAT = 1
FOLDER = "cells"


@dataclass(frozen=True, order=True)
class CellId:
    """The place of a cell in the benchmark."""

    strategy: str
    task: str
    draw: str
    """:attr:`onetrunk.benchmark.suite.DrawnRows.name`"""
    adapter: str
    seed: int
    """Seed of stage 1."""
    adaptation_seed: int

    def file(self, out: Path) -> Path:
        """The file of the cell in the benchmark's folder, as long as it is not packed."""
        name = f"{self.draw}.{self.adapter}.seed{self.seed}.adapt{self.adaptation_seed}.json"
        return out / FOLDER / self.strategy / self.task / name


@dataclass
class Cell:
    """The measurements of a cell, and the hashes that say whether they still hold."""

    id: CellId
    family: str
    scores: dict[str, float]
    """All scores of the family: in percent, but ``mae`` in the unit of the labels."""
    train_rows: int
    """Number of labelled rows that were drawn."""
    test_rows: int
    fit_seconds: float
    test_seconds: float
    """Duration of the pass over the test set that this cell shares with others."""
    test_apps: int
    """Number of cells that share the pass."""
    trainable_parameters: int
    adapter_bytes: int
    """Size of the tensors that an app adds to the backbone: its head and its LoRA."""
    precision: str
    """Precision of the pass over the test set: fp32 or bf16."""
    settings: dict[str, Any]
    """Settings of the app (JSON values), beside those that the id gives."""
    hashes: dict[str, str]
    """SHA-256 of ``data`` and ``backbone``. Older cells also have one of ``code``."""
    versions: dict[str, str]
    """Versions of Python, of this package and of libraries."""
    outcomes: Outcomes | None
    """Right and wrong by test row; None for a family that predicts neither tags nor one label."""

    def as_dict(self) -> dict[str, Any]:
        """The fields of the id and those of the cell side by side."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**asdict(values.pop("id")), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any], file: Path) -> Cell:
        """Undo :meth:`as_dict`. Raises :class:`UserError` with the name of ``file`` if damaged."""
        try:
            id = CellId(**{field.name: values.pop(field.name) for field in fields(CellId)})
            outcomes = values.pop("outcomes")
            if isinstance(outcomes, dict):
                outcomes = Outcomes.from_json(outcomes)
            cell = cls(id, outcomes=outcomes, **values)
            if not all(isinstance(score, int | float) for score in cell.scores.values()):
                raise ValueError("a score is no number")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            raise UserError(f"{file} is damaged: {reason}") from None
        return cell


def save_cell(cell: Cell, out: Path) -> None:
    """Write the file of a cell, whole or not at all."""
    file = cell.id.file(out)
    file.parent.mkdir(parents=True, exist_ok=True)
    values = cell.as_dict()
    values["outcomes"] = cell.outcomes and cell.outcomes.as_json()
    write_json(file, {"format": FORMAT, **values})


def load_cell(file: Path) -> Cell:
    """Read the file of a cell. Raises :class:`UserError` with the file's name if it is damaged."""
    values = read_json(file, "a folder of cells")
    if values.pop("format", None) != FORMAT:
        raise UserError(f"{file} is not a cell of format {FORMAT}")
    cell = Cell.from_dict(values, file)
    if cell.id.file(Path()).parts[-3:] != file.parts[-3:]:
        raise UserError(f"{file} was moved: it is {cell.id.file(Path())}")
    return cell


def every_id(suite: Suite) -> Iterator[CellId]:
    """Every cell of a suite: first seeds first, the cells of a backbone and task together."""
    for seed, strategy in product(suite.seeds, suite.strategies):
        if seed in suite.seeds_of(strategy):
            for task, draw, adaptation_seed, adapter in product(
                suite.tasks, suite.draws, suite.adaptation_seeds, suite.adapters
            ):
                yield CellId(strategy.name, task.name, draw.name, adapter, seed, adaptation_seed)
