"""How far two labelers agree on a sample of the texts."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from onetrunk.label.base import Labeler
from onetrunk.label.job import LabelledRow

TYPES_LISTED = 20


@dataclass(frozen=True)
class Sample:
    """A second labeler, and how many rows it labels; ``seed`` draws them."""

    labeler: Labeler
    rows: int = 200
    seed: int = 0


def compare(labelled: Iterable[LabelledRow], total: int, sample: Sample) -> dict[str, Any]:
    """Label a sample of ``total`` rows a second time and compare the entities.

    ``span_f1`` is strict: both borders must be equal; types do not count. It is symmetric, as
    neither labeler is the truth. ``typed_agreement`` is the share of the equal spans whose types
    are equal, too, apart from case. Each is None where there is nothing to compare.
    """
    drawn = set(random.Random(sample.seed).sample(range(total), min(sample.rows, total)))
    rows = [row for row in labelled if row.source_row in drawn]
    answers = sample.labeler.label(row.text for row in rows)
    texts = entities = of_second = 0
    types: Counter[tuple[str, str]] = Counter()
    for row, answer in zip(rows, answers, strict=True):
        if row.answer.error or answer.error:
            continue
        first = {entity[:2]: entity.type for entity in row.answer.entities}
        second = {entity[:2]: entity.type for entity in answer.entities}
        types.update((first[span], second[span]) for span in first.keys() & second.keys())
        texts, entities, of_second = texts + 1, entities + len(first), of_second + len(second)
    shared = types.total()
    same_type = sum(n for (one, other), n in types.items() if one.casefold() == other.casefold())
    return {
        "labeler": sample.labeler.fingerprint,
        "texts": len(rows),
        "texts_compared": texts,
        "entities": entities,
        "entities_of_the_second": of_second,
        "span_f1": _ratio(2 * shared, entities + of_second),
        "typed_agreement": _ratio(same_type, shared),
        "typed_f1": _ratio(2 * same_type, entities + of_second),
        "types": [
            {"type": one, "other": other, "count": count}
            for (one, other), count in sorted(types.items(), key=lambda item: (-item[1], item[0]))
        ][:TYPES_LISTED],
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
