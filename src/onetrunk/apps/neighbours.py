"""The labelled texts nearest to a state, whose votes are blended with a head's answer.

All of it is numpy, so apps in PyTorch, their training and the device's runtime share it. Tensors of
PyTorch on the CPU are taken wherever arrays are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from onetrunk.decoding import softmax
from onetrunk.errors import UserError
from onetrunk.storage import regular_size

NEIGHBOURS = "neighbours.safetensors"
_DTYPES: dict[str, type] = {
    "keys": np.float16,
    "rows": np.int32,
    "columns": np.int32,
    "values": np.float32,
    "shift": np.float32,
}


@dataclass
class Neighbours:
    """N labelled states and their votes over C outputs, as a sparse matrix of V votes."""

    keys: np.ndarray
    """``(N, D)`` float32: the states, of length one, as exact as 16 bits hold them."""
    rows: np.ndarray
    """``(V,)`` int32, ascending: for each vote, the row of ``keys`` that gives it."""
    columns: np.ndarray
    """``(V,)`` int32: for each vote, the output (0 to C - 1) that it is for."""
    values: np.ndarray
    """``(V,)`` float32: the size of each vote."""
    shift: np.ndarray
    """``(C,)`` float32, added to the blended logits."""
    count: int
    """How many of the nearest vote."""
    temperature: float
    """A neighbour's vote weighs exp(cosine / temperature)."""
    share: float
    """The share of the votes in the blend, above 0 and below 1; the head's answer has the rest."""

    @classmethod
    def of(
        cls, states: Any, soft_targets: Any, count: int, temperature: float, share: float
    ) -> Neighbours:
        """From states ``(N, D)`` and what each votes for, ``(N, C)``."""
        votes = np.asarray(soft_targets, np.float32)
        rows, columns = np.nonzero(votes)
        return cls(
            keys=_unit_length(states).astype(np.float16).astype(np.float32),
            rows=rows.astype(np.int32),
            columns=columns.astype(np.int32),
            values=votes[rows, columns],
            shift=np.zeros(votes.shape[1], np.float32),
            count=count,
            temperature=temperature,
            share=share,
        )

    @classmethod
    def from_file(
        cls,
        arrays: Mapping[str, np.ndarray],
        numbers: Mapping[str, Any],
        classes: int,
        width: int,
    ) -> Neighbours:
        """From what :meth:`arrays` and :meth:`numbers` gave, for a head of ``classes`` outputs over
        states of ``width``. Raises KeyError, TypeError or ValueError if they do not fit."""
        keys, rows, columns, values, shift = (arrays[name] for name in _DTYPES)
        if (
            keys.ndim != 2
            or keys.shape[1] != width
            or not len(keys)
            or shift.shape != (classes,)
            or not rows.shape == columns.shape == values.shape == (len(rows),)
            or bool((np.diff(rows) < 0).any() or ((rows < 0) | (rows >= len(keys))).any())
            or bool(((columns < 0) | (columns >= classes)).any())
        ):
            shapes = {name: arrays[name].shape for name in _DTYPES}
            raise ValueError(f"it does not fit {classes} outputs over states of {width}: {shapes}")
        count, temperature = int(numbers["count"]), float(numbers["temperature"])
        share = float(numbers["share"])
        if not (count > 0 and temperature > 0 and 0 < share < 1):
            raise ValueError(f"there are no neighbours with {dict(numbers)}")
        keys = keys.astype(np.float32)
        return cls(keys, rows, columns, values, shift, count, temperature, share)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a file, by name, in the types of an app folder."""
        return {name: getattr(self, name).astype(kind) for name, kind in _DTYPES.items()}

    def numbers(self) -> dict[str, float]:
        """The numbers that a file needs beside the arrays."""
        return {"count": self.count, "temperature": self.temperature, "share": self.share}

    def similarities(self, states: Any) -> np.ndarray:
        """Cosines ``(U, N)`` of states ``(U, D)``."""
        cosines: np.ndarray = _unit_length(states) @ self.keys.T
        return cosines

    def nearest(
        self, states: Any, count: int, without: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and indices ``(U, K)`` of the ``count`` nearest, the nearest first.

        ``without``: ``(N,)`` bool, those that may not vote; their cosines are -inf.
        """
        cosines = self.similarities(states)
        if without is not None:
            cosines[:, np.asarray(without)] = -np.inf
        count = min(count, len(self.keys))
        if count < len(self.keys):
            indices = np.argpartition(-cosines, count - 1, axis=-1)[:, :count]
        else:
            indices = np.broadcast_to(np.arange(count), cosines.shape)
        chosen = np.take_along_axis(cosines, indices, -1)
        order = np.argsort(-chosen, axis=-1)
        return np.take_along_axis(chosen, order, -1), np.take_along_axis(indices, order, -1)

    def weighted(self, cosines: np.ndarray, indices: np.ndarray, temperature: float) -> np.ndarray:
        """Mean votes ``(U, C)`` float32 of neighbours ``(U, K)``; a cosine of -inf has no vote."""
        units, classes = len(indices), len(self.shift)
        weights = softmax(cosines / temperature).ravel()
        ends = np.searchsorted(self.rows, np.arange(len(self.keys) + 1))
        starts, counts = ends[indices.ravel()], np.diff(ends)[indices.ravel()]
        # Neighbour after neighbour, the places of its votes among all V.
        neighbour = np.repeat(np.arange(len(counts)), counts)
        vote = np.arange(len(neighbour)) + (starts - np.cumsum(counts) + counts)[neighbour]
        places = neighbour // indices.shape[1] * classes + self.columns[vote]
        summed = np.bincount(places, weights[neighbour] * self.values[vote], units * classes)
        return summed.reshape(units, classes).astype(np.float32)

    def votes(self, states: Any) -> np.ndarray:
        """States ``(U, D)`` -> mean votes ``(U, C)`` float32 of the nearest."""
        return self.weighted(*self.nearest(states, self.count), self.temperature)


def _unit_length(states: Any) -> np.ndarray:
    array = np.asarray(states, np.float32)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    scaled: np.ndarray = array / np.maximum(lengths, 1e-12)
    return scaled


def save_neighbours(neighbours: Neighbours, folder: Path) -> dict[str, float]:
    """Write the arrays; returns the numbers that :func:`load_neighbours` needs beside them."""
    save_file(neighbours.arrays(), folder / NEIGHBOURS)
    return neighbours.numbers()


def load_neighbours(
    folder: Path, numbers: Mapping[str, Any], classes: int, width: int
) -> Neighbours:
    """Read the neighbours of an app with ``classes`` outputs over states of ``width``.

    Raises :class:`UserError` if they are missing, damaged or of another shape.
    """
    path = folder / NEIGHBOURS
    try:
        regular_size(path)
        arrays = load_file(path)
        dtypes = {name: array.dtype.name for name, array in arrays.items()}
        expected = {name: np.dtype(kind).name for name, kind in _DTYPES.items()}
        if dtypes != expected:
            raise ValueError(f"it holds {dtypes}, expected {expected}")
        return Neighbours.from_file(arrays, numbers, classes, width)
    except FileNotFoundError:
        raise UserError(f"{folder} has no {NEIGHBOURS}, which its app.json names") from None
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}, or its entry in app.json, is damaged: {error}") from None
