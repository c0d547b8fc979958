"""Which cells of a suite are done, stale or missing, and why."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.benchmark.cells import Cell, CellId, every_id
from onetrunk.benchmark.store import CellStore
from onetrunk.benchmark.suite import Suite
from onetrunk.benchmark.versions import package_version
from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.families import family as family_named
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.resume import differences
from onetrunk.storage import read_json, sha256_of_files


@dataclass
class Survey:
    """The state of every cell of a suite, and of its backbones."""

    states: dict[CellId, Literal["done", "stale", "missing"]] = field(default_factory=dict)
    reasons: dict[CellId, list[str]] = field(default_factory=dict)
    """For stale cells: ``data``, ``backbone``, ``version (…)``, ``settings (…)``."""
    untrained: list[str] = field(default_factory=list)
    """Backbones that do not exist and that cells have yet to be made on."""

    def lines(self) -> list[str]:
        """One line about stale cells for each strategy, task and reason."""
        counts = Counter(
            (id.strategy, id.task, ", ".join(reasons)) for id, reasons in self.reasons.items()
        )
        return [
            f"{strategy}, {task}: {count} cell{'s' * (count > 1)} stale: {reasons}"
            for (strategy, task, reasons), count in sorted(counts.items())
        ]


def survey(suite: Suite, out: Path) -> Survey:
    """The cells that :func:`~onetrunk.benchmark.run.run_suite` would find done, stale, missing."""
    return Provenance(suite, out).survey()


class Provenance:
    """What the cells of a suite follow from now; a cell that followed from anything else is stale.

    Hashes of data and backbones are computed once.
    """

    def __init__(self, suite: Suite, out: Path) -> None:
        self.suite, self.out, self.store = suite, out, CellStore(out)
        self._data: dict[str, str] = {}
        self._backbones: dict[tuple[str, int, str], str] = {}

    def folder(self, id: CellId) -> Path:
        """The backbone of a cell."""
        return self.suite.backbone(self.suite.strategy(id.strategy), id.seed, self.out)

    def settings(self, id: CellId) -> dict[str, Any]:
        """How the cell is made, beside what its id says (JSON values)."""
        suite, settings = self.suite, asdict(AdaptSettings(**self.suite.adapt))
        settings = {"reads" if key == "head_layers" else key: v for key, v in settings.items()}
        return {
            "family": suite.task(id.task).family,
            "draw": suite.draw(id.draw).model_dump(exclude_none=True),
            "discard_primary": suite.strategy(id.strategy).discard_primary,
            **{key: value for key, value in settings.items() if key not in ("adapter", "seed")},
        }

    def hashes(self, id: CellId) -> dict[str, str]:
        """SHA-256 of ``data`` and ``backbone``, without the latter as long as it is not trained."""
        if id.task not in self._data:
            splits = self.suite.task(id.task).located().values()
            self._data[id.task] = _sha256([split.sha256() for split in splits])
        hashes = {"data": self._data[id.task]}
        if backbone := self._backbone(id):
            hashes["backbone"] = backbone
        return hashes

    def reasons(self, id: CellId) -> list[str] | None:
        """Why a cell is stale; empty if it still holds, None if it is missing.

        As long as there is no backbone, it is taken to be the one that the cell was made on.
        Raises :class:`UserError` if the cell is damaged.
        """
        cell = self.store.get(id)
        if cell is None:
            return None
        hashes = self.hashes(id)
        reasons = [key for key, value in hashes.items() if cell.hashes.get(key) != value]
        if (version := measured_by(cell)) != package_version():
            reasons.append(f"version (was {version}, now {package_version()})")
        changes = [
            f"{key} was {before}, now {now}"
            for key, before, now in differences(cell.settings, self.settings(id))
        ]
        return [*reasons, *([f"settings ({'; '.join(changes)})"] if changes else [])]

    def survey(self) -> Survey:
        """The state of every cell."""
        survey = Survey()
        untrained: dict[str, None] = {}
        for id in every_id(self.suite):
            reasons = self.reasons(id)
            survey.states[id] = "missing" if reasons is None else "stale" if reasons else "done"
            if reasons:
                survey.reasons[id] = reasons
            if survey.states[id] != "done" and not (self.folder(id) / RECORD).exists():
                untrained[self.folder(id).name] = None
        survey.untrained = list(untrained)
        return survey

    def check_backbones(self) -> None:
        """Raise :class:`UserError` if a backbone in the folder was trained by another recipe."""
        for strategy in self.suite.strategies:
            for seed in self.suite.seeds_of(strategy) if not strategy.folder else ():
                folder = self.suite.backbone(strategy, seed, self.out)
                if not (folder / RECORD).exists():
                    continue
                trained = read_json(folder / RECORD, "a backbone folder").get("recipe")
                recipe = self.suite.recipe_of(strategy, seed).model_dump()
                for key, before, now in differences(_portable(trained), _portable(recipe)):
                    raise UserError(
                        f"{folder} was trained by another recipe: {key} was {before}, now {now}; "
                        "delete it, choose another --out, or pass --keep-stale to use it"
                    )

    def _backbone(self, id: CellId) -> str:
        """Hash of the weights that an app of the task's family starts from; empty: none yet."""
        family = self.suite.task(id.task).family
        key, folder = (id.strategy, id.seed, family), self.folder(id)
        if key not in self._backbones and (folder / RECORD).exists():
            record = read_json(folder / RECORD, "a backbone folder")
            primary = folder / "primary" / family_named(family).family_of_primary
            discarded = self.suite.strategy(id.strategy).discard_primary
            files = [] if discarded or not primary.is_dir() else sorted(primary.iterdir())
            parts = [record.get(part) for part in ("fingerprint", "k", "pooling")]
            self._backbones[key] = _sha256([*parts, *map(sha256_of_files, files)])
        return self._backbones.get(key, "")


def measured_by(cell: Cell) -> str:
    """The version of this package that a cell was measured by.

    Cells from before versions named a commit have a hash of code instead.
    """
    version, code = cell.versions.get("onetrunk", "unknown"), cell.hashes.get("code")
    return f"{version} with code {code[:12]}" if code else version


def _sha256(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _portable(recipe: Any) -> Any:
    """A recipe as JSON that can be compared with one from another time and machine.

    Keys that it is too old for have their defaults. Of paths only the ends are kept: machines that
    share a folder may find it, and the data, at different places.
    """
    try:
        content = Recipe.model_validate(recipe).model_dump_json()
    except ValueError:
        return recipe
    ends_of_paths = re.sub(r'"[^"]*/([^"/]+/[^"/]+)"', r'"\1"', content)
    return json.loads(ends_of_paths) | {"threads": None}  # which change the speed, not the result
