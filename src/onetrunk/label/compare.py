"""How far two labelers agree, on a sample of the texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from onetrunk.label.base import Labeler
from onetrunk.label.job import Labelled

TYPES_LISTED = 20


@dataclass(frozen=True)
class Sample:
    """A second labeler, and how many rows it is to see, drawn with ``seed``."""

    labeler: Labeler
    rows: int = 200
    seed: int = 0


def compare(labelled: Iterable[Labelled], total: int, sample: Sample) -> dict[str, Any]:
    """Label a sample of ``total`` rows once more and compare.

    ``span_f1`` is strict: both borders are equal, whatever the type; with two labelers neither of
    which is the truth, it is symmetric. ``typed_agreement`` is the share of the equal spans that
    also have the same type, apart from case. Both are None where nothing can be compared.
    """
    drawn = set(random.Random(sample.seed).sample(range(total), min(sample.rows, total)))
    first = [one for one in labelled if one.source_row in drawn]
    second = sample.labeler.label(one.text for one in first)
    compared = ours = theirs = same = 0
    types: Counter[tuple[str, str]] = Counter()
    for one, answer in zip(first, second, strict=True):
        if one.answer.error or answer.error:
            continue
        compared += 1
        found = {entity[:2]: entity.type for entity in one.answer.entities}
        other = {entity[:2]: entity.type for entity in answer.entities}
        shared = found.keys() & other.keys()
        ours, theirs, same = ours + len(found), theirs + len(other), same + len(shared)
        types.update((found[span], other[span]) for span in shared)
    agreed = sum(n for (a, b), n in types.items() if a.casefold() == b.casefold())
    return {
        "labeler": sample.labeler.fingerprint,
        "texts": len(first),
        "texts_compared": compared,
        "entities": ours,
        "entities_of_the_second": theirs,
        "span_f1": _ratio(2 * same, ours + theirs),
        "typed_agreement": _ratio(agreed, same),
        "typed_f1": _ratio(2 * agreed, ours + theirs),
        "types": [
            {"type": kind, "other": other, "count": count}
            for (kind, other), count in sorted(types.items(), key=lambda one: (-one[1], one[0]))
        ][:TYPES_LISTED],
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
