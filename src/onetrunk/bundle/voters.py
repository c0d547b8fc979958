"""The labelled neighbours of an app, without PyTorch: :mod:`onetrunk.apps.neighbours` in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onetrunk.decoding import sigmoid, softmax

PREFIX = "neighbours."
_SMALLEST = {"tc": 1e-9, "multi-label": 1e-6}


@dataclass(frozen=True)
class Voters:
    """N labelled states and their votes over C outputs, sparse."""

    keys: np.ndarray
    """``(N, D)`` float32, of length one."""
    rows: np.ndarray
    """``(V,)`` int32, ascending: whose vote it is,"""
    columns: np.ndarray
    """``(V,)`` int32, for which output,"""
    values: np.ndarray
    """``(V,)`` float32, and how much."""
    shift: np.ndarray
    """``(C,)``, added to the blended logits."""
    count: int
    """How many of the nearest vote."""
    temperature: float
    """A neighbour's vote weighs exp(cosine / temperature)."""
    share: float
    """Of the votes in the blend; the rest is the head's."""

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file, by name."""
        names = ("keys", "rows", "columns", "values", "shift")
        return {PREFIX + name: getattr(self, name) for name in names}

    def numbers(self) -> dict[str, float]:
        """What a file says of them beside the arrays."""
        return {"count": self.count, "temperature": self.temperature, "share": self.share}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> Voters:
        """From what :meth:`arrays` and :meth:`numbers` gave. Raises KeyError or ValueError if they
        do not fit each other."""
        keys, rows, columns, values, shift = (
            arrays[PREFIX + name] for name in ("keys", "rows", "columns", "values", "shift")
        )
        found = cls(
            keys, rows, columns, values, shift, int(numbers["count"]),
            float(numbers["temperature"]), float(numbers["share"]),
        )  # fmt: skip
        if (
            keys.ndim != 2
            or not len(keys)
            or shift.ndim != 1
            or not rows.shape == columns.shape == values.shape == (len(rows),)
            or bool((np.diff(rows) < 0).any() or ((rows < 0) | (rows >= len(keys))).any())
            or bool(((columns < 0) | (columns >= len(shift))).any())
            or not (found.count > 0 and found.temperature > 0 and 0 < found.share < 1)
        ):
            raise ValueError(f"neighbours that do not fit: {numbers}, keys {keys.shape}")
        return found

    def votes(self, states: np.ndarray) -> np.ndarray:
        """States ``(U, D)`` -> mean votes ``(U, C)`` of the nearest."""
        lengths = np.linalg.norm(states, axis=-1, keepdims=True)
        cosines = states / np.maximum(lengths, 1e-12) @ self.keys.T
        count = min(self.count, len(self.keys))
        nearest = np.argpartition(-cosines, count - 1, axis=-1)[:, :count]
        weights = softmax(np.take_along_axis(cosines, nearest, -1) / self.temperature)
        starts = np.searchsorted(self.rows, nearest, "left")
        ends = np.searchsorted(self.rows, nearest, "right")
        found = np.zeros((len(states), len(self.shift)), np.float32)
        for unit, at in np.ndindex(nearest.shape):
            own = slice(starts[unit, at], ends[unit, at])
            found[unit, self.columns[own]] += weights[unit, at] * self.values[own]
        return found

    def blend(self, family: str, logits: np.ndarray, states: np.ndarray) -> np.ndarray:
        """A head's logits ``(U, C)``, mixed with the votes as the family mixes them."""
        votes = self.votes(states)
        if family == "rating":
            return (1 - self.share) * logits + self.share * votes + self.shift
        answer = softmax(logits) if family == "tc" else sigmoid(logits)
        small = _SMALLEST[family]
        mixed = np.maximum((1 - self.share) * answer + self.share * votes, small)
        if family == "tc":
            return np.log(mixed) + self.shift
        mixed = np.minimum(mixed, 1 - small)
        return np.log(mixed / (1 - mixed)) + self.shift
