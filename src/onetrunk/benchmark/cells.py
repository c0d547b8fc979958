"""A cell: one app's scores, whose they are, and what they follow from; a JSON file each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
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
    """Which cell of a benchmark."""

    strategy: str
    task: str
    draw: str
    """:attr:`onetrunk.benchmark.suite.DrawnRows.name`"""
    adapter: str
    seed: int
    """Of stage 1."""
    adaptation_seed: int

    def file(self, out: Path) -> Path:
        """Its file in the benchmark's folder."""
        name = f"{self.draw}.{self.adapter}.seed{self.seed}.adapt{self.adaptation_seed}.json"
        return out / FOLDER / self.strategy / self.task / name


@dataclass
class Cell:
    """What was measured, and the hashes that say whether it still holds."""

    id: CellId
    family: str
    scores: dict[str, float]
    """Every score of the family, in percent."""
    train_rows: int
    """Really drawn."""
    test_rows: int
    fit_seconds: float
    test_seconds: float
    """Of the one pass over the test set that gave this cell and ``test_apps - 1`` others."""
    test_apps: int
    trainable_parameters: int
    adapter_bytes: int
    """Of the tensors that an app adds to the backbone: its head and its LoRA."""
    precision: str
    """That the test set was read in: fp32 or bf16, as was measured to be faster there."""
    settings: dict[str, Any]
    hashes: dict[str, str]
    """Of code, data and backbone: :class:`~onetrunk.benchmark.staleness.Provenance`."""
    versions: dict[str, str]
    outcomes: Outcomes | None
    """Row by row; None for a family whose predictions are neither tags nor one label."""


def save_cell(cell: Cell, out: Path) -> None:
    """Write the cell's file, whole or not at all."""
    file = cell.id.file(out)
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {field.name: getattr(cell, field.name) for field in fields(cell)}
    del content["id"]
    content["outcomes"] = cell.outcomes and cell.outcomes.as_json()
    write_json(file, {"format": FORMAT, **asdict(cell.id), **content})


def load_cell(file: Path) -> Cell:
    """Read a cell. Raises :class:`UserError` with the file's name if it is damaged."""
    found = read_json(file, "a folder of cells")
    if found.pop("format", None) != FORMAT:
        raise UserError(f"{file} is not a cell of format {FORMAT}")
    try:
        id = CellId(**{field.name: found.pop(field.name) for field in fields(CellId)})
        found["outcomes"] = found["outcomes"] and Outcomes.from_json(found["outcomes"])
        cell = Cell(id, **found)
        if not all(isinstance(score, int | float) for score in cell.scores.values()):
            raise ValueError("a score is no number")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{file} is damaged: {why}") from None
    if id.file(Path()).parts[-3:] != file.parts[-3:]:
        raise UserError(f"{file} was moved: it is {id.file(Path())}")
    return cell


def load_cells(out: Path) -> list[Cell]:
    """All cells of a benchmark's folder, in the order of their ids.

    Raises :class:`UserError` with the file's name if one is damaged, or if there is no such folder.
    """
    if not out.is_dir():
        raise UserError(f"no such folder: {out}")
    cells = map(load_cell, (out / FOLDER).glob("*/*/*.json"))
    return sorted(cells, key=lambda cell: cell.id)


def every_id(suite: Suite) -> Iterator[CellId]:
    """Every cell of a suite: those of one backbone and task together, first seeds first."""
    for seed in suite.seeds:
        for strategy in suite.strategies:
            if seed not in suite.seeds_of(strategy):
                continue
            for task in suite.tasks:
                for draw in suite.draws:
                    for adaptation_seed in suite.adaptation_seeds:
                        for adapter in suite.adapters:
                            yield CellId(
                                strategy.name, task.name, draw.name, adapter, seed, adaptation_seed
                            )
