"""Which cells of a suite are done, stale or missing, and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from onetrunk.adaptation.task import AdaptSettings
from onetrunk.benchmark.cells import Cell, CellId, every_id, load_cell
from onetrunk.benchmark.code import code_sha256
from onetrunk.benchmark.suite import Suite
from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.families import family as family_named
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.resume import differences
from onetrunk.storage import read_json, sha256_of_files

State = Literal["done", "stale", "missing"]


@dataclass
class Survey:
    """The state of every cell of a suite, and of its backbones."""

    states: dict[CellId, State] = field(default_factory=dict)
    reasons: dict[CellId, list[str]] = field(default_factory=dict)
    """Of stale cells: ``code``, ``data``, ``backbone``, ``settings (…)``."""
    untrained: list[str] = field(default_factory=list)
    """Backbones that are not there and have cells to fill."""

    def count(self, strategy: str, task: str) -> Counter[State]:
        """How many cells of a strategy and a task are in each state."""
        return Counter(
            state for id, state in self.states.items() if (id.strategy, id.task) == (strategy, task)
        )

    def lines(self) -> list[str]:
        """Stale cells in words: a line for each strategy, task and reason."""
        why = Counter(
            (id.strategy, id.task, ", ".join(reasons)) for id, reasons in self.reasons.items()
        )
        return [
            f"{strategy}, {task}: {count} cell{'s' * (count > 1)} stale: {reasons}"
            for (strategy, task, reasons), count in sorted(why.items())
        ]


class Provenance:
    """What the cells of a suite must follow from to be kept.

    Hashes of data and code are those of the moment they are first asked for.
    """

    def __init__(self, suite: Suite, out: Path) -> None:
        self.suite, self.out = suite, out
        self._data: dict[str, str] = {}
        self._code: dict[str, str] = {}
        self._backbones: dict[tuple[str, int, str], str] = {}

    def folder(self, id: CellId) -> Path:
        """The backbone of a cell."""
        return self.suite.backbone(self.suite.strategy(id.strategy), id.seed, self.out)

    def settings(self, id: CellId) -> dict[str, Any]:
        """How the cell is made, besides what its id says (JSON values)."""
        suite, own = self.suite, asdict(AdaptSettings(**self.suite.adapt))
        return {
            "family": suite.task(id.task).family,
            "draw": suite.draw(id.draw).model_dump(exclude_none=True),
            "discard_primary": suite.strategy(id.strategy).discard_primary,
            **{key: value for key, value in own.items() if key not in ("adapter", "seed")},
        }

    def hashes(self, id: CellId) -> dict[str, str]:
        """Of code, data and backbone; without the last where there is no backbone yet."""
        family = self.suite.task(id.task).family
        if family not in self._code:
            self._code[family] = code_sha256(family_named(family))
        if id.task not in self._data:
            located = self.suite.task(id.task).located().values()
            self._data[id.task] = _sha256([split.sha256() for split in located])
        hashes = {"code": self._code[family], "data": self._data[id.task]}
        if there := self._backbone(id, family):
            hashes["backbone"] = there
        return hashes

    def state(self, id: CellId) -> tuple[State, list[str]]:
        """How a cell stands, and why it is stale.

        As long as there is no backbone, it is taken to be the one that the cell was made on.
        Raises :class:`UserError` if its file is damaged.
        """
        file = id.file(self.out)
        if not file.exists():
            return "missing", []
        reasons = self._reasons(load_cell(file))
        return ("stale" if reasons else "done"), reasons

    def survey(self) -> Survey:
        """The state of every cell."""
        found = Survey()
        for id in every_id(self.suite):
            found.states[id], reasons = self.state(id)
            if reasons:
                found.reasons[id] = reasons
            if found.states[id] != "done" and not (self.folder(id) / RECORD).exists():
                found.untrained.append(self.folder(id).name)
        found.untrained = list(dict.fromkeys(found.untrained))
        return found

    def check_backbones(self) -> None:
        """Raise :class:`UserError` if a backbone here was trained by another recipe."""
        for strategy in self.suite.strategies:
            for seed in self.suite.seeds_of(strategy) if not strategy.folder else ():
                folder = self.suite.backbone(strategy, seed, self.out)
                if not (folder / RECORD).exists():
                    continue
                was = read_json(folder / RECORD, "a backbone folder").get("recipe")
                for key, before, now in differences(
                    _portable(was), _portable(self.suite.recipe_of(strategy, seed).model_dump())
                ):
                    raise UserError(
                        f"{folder} was trained by another recipe: {key} was {before}, now {now}; "
                        "delete it, choose another --out, or pass --keep-stale to use it"
                    )

    def _reasons(self, cell: Cell) -> list[str]:
        now = self.hashes(cell.id)
        reasons = [key for key, value in now.items() if cell.hashes.get(key) != value]
        changed = [
            f"{key} was {before}, now {after}"
            for key, before, after in differences(cell.settings, self.settings(cell.id))
        ]
        return [*reasons, *([f"settings ({'; '.join(changed)})"] if changed else [])]

    def _backbone(self, id: CellId, family: str) -> str:
        """Hash of the weights that an app of a family starts from; empty: not trained yet."""
        key = (id.strategy, id.seed, family)
        folder = self.folder(id)
        if key not in self._backbones and (folder / RECORD).exists():
            record = read_json(folder / RECORD, "a backbone folder")
            primary = folder / "primary" / family_named(family).family_of_primary
            discarded = self.suite.strategy(id.strategy).discard_primary
            files = [] if discarded or not primary.is_dir() else sorted(primary.iterdir())
            parts = [record.get(part) for part in ("fingerprint", "k", "pooling")]
            self._backbones[key] = _sha256([*parts, *map(sha256_of_files, files)])
        return self._backbones.get(key, "")


def _sha256(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _portable(recipe: Any) -> Any:
    """A recipe as JSON, with defaults of keys that it is too old for, and the ends of its paths:
    machines that share a folder may find it, and the data, at different places."""
    try:
        content = Recipe.model_validate(recipe).model_dump(mode="json")
    except ValueError:
        return recipe
    content["threads"] = None  # how fast, not what
    return _ends(content)


def _ends(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ends(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_ends(each) for each in value]
    return "/".join(Path(value).parts[-2:]) if isinstance(value, str) and "/" in value else value
