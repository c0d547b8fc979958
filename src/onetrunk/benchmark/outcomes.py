"""Which test rows an app got right: enough to score any resample of the test set."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from onetrunk.decoding import Entities, Labelled
from onetrunk.families.base import Family
from onetrunk.families.scores import entity_counts, label_scores, scores_of_counts

COLUMNS = {"entities": ("gold", "predicted", "right"), "labels": ("gold", "predicted")}
_TYPE_BITS = {"u1": 8, "u2": 16, "u4": 32}


@dataclass(frozen=True)
class Outcomes:
    """One row of ``values`` for each test row, int64.

    ``entities``: ``(N, 3)``, the numbers of gold, predicted and rightly predicted entities (NER).
    ``labels``: ``(N, 2)``, gold and predicted label as index into ``labels`` (classification).

    Raises KeyError for another kind, ValueError for another shape or an index without a label.
    """

    kind: Literal["entities", "labels"]
    values: np.ndarray
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(COLUMNS[self.kind]):
            raise ValueError(f"outcomes of shape {self.values.shape}")
        last = self.values.max(initial=-1)
        if self.kind == "labels" and last >= len(self.labels):
            raise ValueError(f"outcomes name label {last} of {len(self.labels)}")

    def scores(self) -> dict[str, float]:
        """The family's ``score`` of these rows, in percent."""
        columns = self.values.T.tolist()
        if self.kind == "entities":
            return scores_of_counts(zip(*columns, strict=True))
        gold, predicted = ([[self.labels[index]] for index in column] for column in columns)
        return label_scores(gold, predicted)

    def take(self, rows: Sequence[int] | np.ndarray) -> Outcomes:
        """The outcomes of some rows; a row may come several times."""
        return Outcomes(self.kind, self.values[rows], self.labels)

    def as_json(self) -> dict[str, Any]:
        """The content for a JSON file."""
        return {"kind": self.kind, "labels": self.labels, **pack(self.values)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Outcomes:
        """Undo :meth:`as_json`. Raises ValueError, KeyError or TypeError if damaged."""
        return cls(content["kind"], unpack(content), list(content["labels"]))


def outcomes_of(
    family: Family[Any, Any], rows: Sequence[Any], predictions: Sequence[Any], labels: Sequence[str]
) -> Outcomes | None:
    """The outcomes of predictions by a head with these labels.

    None for rows that have not exactly one label and for families that predict anything else.
    """
    if all(isinstance(prediction, Entities) for prediction in predictions):
        counts = entity_counts(
            [row.entities for row in rows], [found.entities for found in predictions]
        )
        return Outcomes("entities", np.array(counts, np.int64).reshape(-1, 3))
    if not all(isinstance(prediction, Labelled) for prediction in predictions):
        return None
    gold = [list(family.labels_of(row)) for row in rows]
    predicted = [list(prediction.labels) for prediction in predictions]
    if any(len(names) != 1 for names in (*gold, *predicted)):
        return None
    index = {label: position for position, label in enumerate(labels)}
    pairs = [(index[a], index[b]) for (a,), (b,) in zip(gold, predicted, strict=True)]
    return Outcomes("labels", np.array(pairs, np.int64).reshape(-1, 2), list(labels))


def pack(values: np.ndarray) -> dict[str, Any]:
    """Integers from 0 to 2³² - 1 of any shape as JSON: the smallest type, zlib, base64."""
    if values.size and not 0 <= values.min() <= values.max() < 1 << 32:
        raise ValueError(f"{values.min()} … {values.max()} does not fit into 0 … 2³² - 1")
    largest = int(values.max(initial=0))
    dtype = next(name for name, bits in _TYPE_BITS.items() if largest < 1 << bits)
    # Column by column, because similar numbers side by side pack better.
    raw = values.astype(f"<{dtype}").tobytes(order="F")
    text = base64.b64encode(zlib.compress(raw, 9)).decode("ascii")
    return {"shape": list(values.shape), "dtype": dtype, "data": text}


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """Undo :func:`pack`, as int64. Raises ValueError, KeyError or TypeError if damaged."""
    try:
        raw = zlib.decompress(base64.b64decode(packed["data"], validate=True))
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"packed values are damaged: {error}") from None
    if packed["dtype"] not in _TYPE_BITS:
        raise ValueError(f"packed values of type {packed['dtype']!r}")
    flat = np.frombuffer(raw, f"<{packed['dtype']}").astype(np.int64)
    return flat.reshape(packed["shape"], order="F")
