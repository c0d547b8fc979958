"""Pre-finetuning rows that evaluation sets hold too: removed, counted, written to a report."""

from __future__ import annotations

import platform
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from onetrunk.contamination.index import (
    BANDS,
    KINDS,
    SEED,
    SKETCH,
    EvaluationIndex,
    Kind,
    Overlap,
    chunks,
    normalised_words,
)
from onetrunk.errors import UserError
from onetrunk.storage import write_json

_Row = TypeVar("_Row")

_EXAMPLES = 3


@dataclass
class SourceReport:
    """What decontamination did to one source. Rows count from zero; no text is kept.

    A row counts once in ``removed``, under its surest overlap, and once in ``by_evaluation_set``
    for each set that holds the text of that overlap. ``too_short`` counts texts, not rows.
    """

    rows: int = 0
    texts: int = 0
    too_short: int = 0
    removed: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    by_evaluation_set: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def count(self, row: int, overlap: Overlap) -> None:
        """Count a removed row; the first few of each kind are kept as examples."""
        self.removed[overlap.kind] += 1
        for name in (overlap.evaluation_set, *overlap.also_in):
            self.by_evaluation_set[name] = self.by_evaluation_set.get(name, 0) + 1
        if self.removed[overlap.kind] <= _EXAMPLES:
            self.examples.append(
                {
                    "row": row,
                    "kind": overlap.kind,
                    "evaluation_set": overlap.evaluation_set,
                    "evaluation_row": overlap.row,
                    "similarity": round(overlap.similarity, 3),
                }
            )


class DecontaminationReport:
    """Settings, library versions, evaluation sets with their hashes, and a report a source."""

    def __init__(self, index: EvaluationIndex) -> None:
        self.index = index
        self.sources: dict[str, SourceReport] = {}

    def source(self, name: str) -> SourceReport:
        """The report of a source, to be filled by :func:`decontaminate`; a fresh one for each."""
        if name in self.sources:
            raise UserError(f"source {name!r} was decontaminated before: names are to differ")
        return self.sources.setdefault(name, SourceReport())

    def as_json(self) -> dict[str, Any]:
        """For a report file."""
        return {
            "settings": {
                **asdict(self.index.settings),
                "shingles": "words and pairs of neighbouring words",
                "minhash": {"values": SKETCH, "bands": BANDS, "seed": SEED},
            },
            "versions": {
                "python": platform.python_version(),
                "unicode": unicodedata.unidata_version,
                **{name: version(name) for name in ("onetrunk", "regex", "rensa")},
            },
            "evaluation_sets": self.index.sets,
            "sources": {name: asdict(source) for name, source in self.sources.items()},
        }

    def write(self, path: Path) -> None:
        """Write ``decontamination.json``, atomically."""
        write_json(path, self.as_json())


def decontaminate(
    rows: Iterable[_Row],
    texts_of: Callable[[_Row], Sequence[str]],
    index: EvaluationIndex,
    report: SourceReport,
) -> Iterator[_Row]:
    """Yield the rows none of whose texts (a pair has two) overlap with an evaluation set.

    Rows stream through in chunks; the others are counted in ``report``.
    """
    for chunk in chunks(rows):
        texts = [texts_of(row) for row in chunk]
        flat = [text for own in texts for text in own]
        words = list(map(normalised_words, flat))
        report.texts += len(flat)
        report.too_short += sum(len(own) < index.settings.min_words for own in words)
        verdicts = iter(index.check_words(flat, words))
        for row, own in zip(chunk, texts, strict=True):
            overlaps = [overlap for overlap in islice(verdicts, len(own)) if overlap]
            if overlaps:
                surest = min(overlaps, key=lambda overlap: KINDS.index(overlap.kind))
                report.count(report.rows, surest)
            report.rows += 1
            if not overlaps:
                yield row
