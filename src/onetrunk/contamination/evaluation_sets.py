"""The evaluation sets on which a run must not train."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from onetrunk.contamination.index import WORDS, EvaluationIndex, OverlapSettings
from onetrunk.contamination.removal import SourceReport, decontaminate
from onetrunk.data.locate import Located, locate
from onetrunk.data.sources import stream_texts
from onetrunk.errors import UserError
from onetrunk.storage import key_of

SPLITS = ("validation", "test")

_Row = TypeVar("_Row")


@dataclass
class EvaluationSets:
    """Evaluation sets by name. They are read only when a source has to be checked against them."""

    sets: Mapping[str, Located] = field(default_factory=dict)
    settings: OverlapSettings = field(default_factory=OverlapSettings)

    @classmethod
    def find(cls, patterns: Sequence[str], settings: OverlapSettings) -> EvaluationSets:
        """Locate files, and folders that have a validation or a test split.

        ``*`` in a pattern stands for any name. ``hub:NAME[:CONFIG]`` names the test split of a set
        of the hub. Raises :class:`UserError` for a pattern that matches nothing, and for a folder
        with neither split.
        """
        sets: dict[str, Located] = {}
        for pattern in patterns:
            if pattern.startswith("hub:"):
                sets[f"{pattern[4:]}/test"] = locate(pattern, "test")
                continue
            paths = [Path(match) for match in sorted(glob.glob(pattern))]
            if not paths:
                raise UserError(f"decontaminate: no such file or folder: {pattern}")
            for path in paths:
                for split, located in _splits(path).items():
                    sets["/".join([*path.parts[-2:], split])] = located
        return cls(sets, settings)

    @cached_property
    def index(self) -> EvaluationIndex:
        """The sets, read and indexed."""
        index = EvaluationIndex(self.settings)
        for name, located in self.sets.items():
            index.add(name, stream_texts(located))
        return index

    @cached_property
    def sha256(self) -> str:
        """Hash of the sets and of the settings of the comparison; empty if there are no sets."""
        if not self.sets:
            return ""
        hashes = {name: located.sha256() for name, located in self.sets.items()}
        return key_of(sets=hashes, settings=asdict(self.settings), words=WORDS)

    def filter(
        self, rows: Iterable[_Row], texts_of: Callable[[_Row], Sequence[str]]
    ) -> tuple[Iterator[_Row], Callable[[], dict[str, Any]]]:
        """The rows that no set holds, and a function that returns the report once they are read.

        The report describes the sets and the comparison, and under ``source`` what was removed.
        """
        if not self.sets:
            return iter(rows), dict
        report = SourceReport()
        clean = decontaminate(rows, texts_of, self.index, report)
        return clean, lambda: {**self.index.describe(), "source": asdict(report)}


def merged_report(reports: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One report of several sources that were checked against the same sets, by name."""
    merged = dict(next(iter(reports.values())))
    del merged["source"]
    return merged | {"sources": {name: report["source"] for name, report in reports.items()}}


def _splits(path: Path) -> dict[str, Located]:
    if not path.is_dir():
        return {"all": locate(path)}
    splits, fault = {}, ""
    for split in SPLITS:
        try:
            splits[split] = locate(path, split)
        except UserError as error:
            fault = str(error)
    if not splits:
        raise UserError(f"decontaminate: {path} has neither a validation nor a test split; {fault}")
    return splits
