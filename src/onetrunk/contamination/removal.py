"""Remove the rows of a pre-finetuning source that evaluation sets hold too, and report them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, TypeVar

from onetrunk.contamination.index import (
    KINDS,
    EvaluationIndex,
    Kind,
    Overlap,
    chunks,
    normalised_words,
)

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


def decontamination_report(
    index: EvaluationIndex, sources: Mapping[str, SourceReport]
) -> dict[str, Any]:
    """The reports of several sources, by name, with the comparison and the sets that they share."""
    reports = {name: asdict(source) for name, source in sources.items()}
    return {**index.describe(), "sources": reports}


def decontaminate(
    rows: Iterable[_Row],
    texts_of: Callable[[_Row], Sequence[str]],
    index: EvaluationIndex,
    report: SourceReport,
) -> Iterator[_Row]:
    """Yield the rows none of whose texts overlaps with an evaluation set. A pair has two texts.

    Rows stream through in chunks. Those that are left out are counted in ``report``.
    """
    for chunk in chunks(rows):
        texts_of_row = [texts_of(row) for row in chunk]
        texts = [text for row_texts in texts_of_row for text in row_texts]
        words = list(map(normalised_words, texts))
        report.texts += len(texts)
        report.too_short += sum(len(each) < index.settings.min_words for each in words)
        overlap_of_text = iter(index.check(texts, words))
        for row, row_texts in zip(chunk, texts_of_row, strict=True):
            overlaps = [overlap for overlap in islice(overlap_of_text, len(row_texts)) if overlap]
            if overlaps:
                surest = min(overlaps, key=lambda overlap: KINDS.index(overlap.kind))
                report.count(report.rows, surest)
            report.rows += 1
            if not overlaps:
                yield row
