"""Remove the rows of a pre-finetuning source that evaluation sets hold too, and report them."""

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

# How many removed rows of each kind a report lists.
_EXAMPLES = 3


@dataclass
class SourceReport:
    """What decontamination removed from one source. Rows are numbered from zero; no text is kept.

    A row counts once in ``removed``, under its surest overlap, and once in ``by_evaluation_set``
    for each set that holds the text of that overlap. ``too_short`` counts texts, not rows: those
    that are too short to be judged.
    """

    rows: int = 0
    texts: int = 0
    too_short: int = 0
    removed: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    by_evaluation_set: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def count(self, row: int, overlap: Overlap) -> None:
        """Count a removed row. The first few of each kind become examples."""
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
    """Settings, library versions, hashes of the evaluation sets, and one report for each source."""

    def __init__(self, index: EvaluationIndex) -> None:
        self.index = index
        self.sources: dict[str, SourceReport] = {}

    def source(self, name: str) -> SourceReport:
        """A fresh report of a source, for :func:`decontaminate` to fill."""
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
    """Yield the rows of which no text overlaps with an evaluation set; a pair has two texts.

    Rows stream through in chunks. Those that are left out are counted in ``report``.
    """
    for chunk in chunks(rows):
        texts_of_row = [texts_of(row) for row in chunk]
        texts = [text for row_texts in texts_of_row for text in row_texts]
        words = list(map(normalised_words, texts))
        report.texts += len(texts)
        report.too_short += sum(len(each) < index.settings.min_words for each in words)
        overlap_of_text = iter(index.check_words(texts, words))
        for row, row_texts in zip(chunk, texts_of_row, strict=True):
            overlaps = [overlap for overlap in islice(overlap_of_text, len(row_texts)) if overlap]
            if overlaps:
                surest = min(overlaps, key=lambda overlap: KINDS.index(overlap.kind))
                report.count(report.rows, surest)
            report.rows += 1
            if not overlaps:
                yield row
