"""What an app got right, row by row, packed: enough to score any resample of the test set."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from onetrunk.decoding import Labelled, Tagged
from onetrunk.families.base import Family
from onetrunk.families.scores import entity_counts, label_scores, scores_of_counts

_COLUMNS = {"entities": 3, "labels": 2}
_TYPES = {"u1": 8, "u2": 16, "u4": 32}  # name for numpy, bits


@dataclass(frozen=True)
class Outcomes:
    """One line of ``values`` a test row, int64.

    ``entities``: ``(N, 3)``, how many entities are gold, predicted, and right (NER).
    ``labels``: ``(N, 2)``, gold and predicted label as index into ``labels`` (classification).
    """

    kind: Literal["entities", "labels"]
    values: np.ndarray
    labels: list[str] = field(default_factory=list)

    def scores(self) -> dict[str, float]:
        """What the family's ``score`` gives for these rows, in percent."""
        columns = self.values.T.tolist()
        if self.kind == "entities":
            return scores_of_counts(zip(*columns, strict=True))
        gold, predicted = ([[self.labels[at]] for at in column] for column in columns)
        return label_scores(gold, predicted)

    def take(self, rows: Sequence[int] | np.ndarray) -> Outcomes:
        """The same of some rows; a row may come several times."""
        return Outcomes(self.kind, self.values[rows], self.labels)

    def as_json(self) -> dict[str, Any]:
        """For a file: see :meth:`from_json`."""
        return {"kind": self.kind, "labels": self.labels, **pack(self.values)}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Outcomes:
        """Raises ValueError, KeyError or TypeError for what :meth:`as_json` does not write."""
        kind, labels, values = given["kind"], list(given["labels"]), unpack(given)
        if values.ndim != 2 or values.shape[1] != _COLUMNS[kind]:
            raise ValueError(f"outcomes of shape {values.shape}")
        if kind == "labels" and values.size and values.max() >= len(labels):
            raise ValueError(f"outcomes name label {values.max()} of {len(labels)}")
        return cls(kind, values, labels)


def outcomes_of(
    family: Family[Any, Any], rows: Sequence[Any], predictions: Sequence[Any], labels: Sequence[str]
) -> Outcomes | None:
    """The outcomes of predictions by a head with these labels.

    None for rows with other than one label and for families that predict anything else.
    """
    if all(isinstance(predicted, Tagged) for predicted in predictions):
        counts = entity_counts([row.tags for row in rows], [found.tags for found in predictions])
        return Outcomes("entities", np.array(counts, np.int64).reshape(-1, 3))
    if not all(isinstance(predicted, Labelled) for predicted in predictions):
        return None
    gold = [list(family.labels_of(row)) for row in rows]
    found = [list(predicted.labels) for predicted in predictions]
    if any(len(names) != 1 for names in (*gold, *found)):
        return None
    index = {label: at for at, label in enumerate(labels)}
    pairs = [(index[a[0]], index[b[0]]) for a, b in zip(gold, found, strict=True)]
    return Outcomes("labels", np.array(pairs, np.int64).reshape(-1, 2), list(labels))


def pack(values: np.ndarray) -> dict[str, Any]:
    """Integers from 0 to 2³² - 1 of any shape as JSON: the smallest type, zlib, base64."""
    if values.size and not 0 <= values.min() <= values.max() < 1 << 32:
        raise ValueError(f"{values.min()} … {values.max()} does not fit into 0 … 2³² - 1")
    most = int(values.max(initial=0))
    kind = next(name for name, bits in _TYPES.items() if most < 1 << bits)
    # Column by column: like stands beside like, which packs better.
    raw = values.astype(f"<{kind}").tobytes(order="F")
    text = base64.b64encode(zlib.compress(raw, 9)).decode("ascii")
    return {"shape": list(values.shape), "dtype": kind, "data": text}


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """What :func:`pack` packed, as int64. Raises ValueError, KeyError or TypeError if damaged."""
    try:
        raw = zlib.decompress(base64.b64decode(packed["data"], validate=True))
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"packed values are damaged: {error}") from None
    if packed["dtype"] not in _TYPES:
        raise ValueError(f"packed values of type {packed['dtype']!r}")
    flat = np.frombuffer(raw, f"<{packed['dtype']}").astype(np.int64)
    return flat.reshape(packed["shape"], order="F")
