"""One app as a bundle holds it: a safetensors file, read and written without PyTorch.

LoRA is kept as the top multiplies it: ``A (d_in, r)``, and ``B (r, d_out)`` times its scaling.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from onetrunk.apps.neighbours import Neighbours
from onetrunk.data.units import warn_of_old_units
from onetrunk.decoding import DECODERS, check_none_below
from onetrunk.errors import UserError, first_of

_HEAD = ("head.weight", "head.bias")
TOO_LARGE = 65520
"""From here on 16 bits hold no number but infinity."""
_NEIGHBOURS = "neighbours."
_WRONG = (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)
"""What reading a file raises that another program wrote."""
SHORTEST = 3
"""Tokens of a window: two special ones and one of the text. A tokenizer drops what does not fit."""

Lora = Mapping[str, np.ndarray]
"""A ``(d_in, r)`` and B ``(r, d_out)`` of each place, by :func:`a_name` and :func:`b_name`."""


def a_name(layer: int, target: str) -> str:
    """Name of A at a place (a linear map of a layer): in files, and stacked in graphs."""
    return f"layer_{layer}.{target}.a"


def b_name(layer: int, target: str) -> str:
    """Name of B at a place."""
    return f"layer_{layer}.{target}.b"


@dataclass(frozen=True)
class BundledApp:
    """One app: its head, LoRA and neighbours, and how its logits become an answer."""

    name: str
    family: str
    decoder: str
    """A name in :data:`~onetrunk.decoding.DECODERS`."""
    labels: list[str]
    head_layers: int
    """The head reads the states of this many last layers side by side."""
    max_length: int
    family_of_primary: str
    """For a head alone: the primary LoRA under which its states are computed, or ``none``."""
    weight: np.ndarray
    """``(C, head_layers D)``"""
    bias: np.ndarray
    """``(C,)``"""
    lora: Lora = field(default_factory=dict)
    """Empty for a head alone."""
    fingerprint: str = ""
    """Of the backbone it was trained on."""
    units: str = ""
    """The rule by which its units were made: :data:`onetrunk.data.units.RULE`."""
    neighbours: Neighbours | None = None
    """Labelled states whose votes are blended with the head's answer."""
    none_below: float | None = None
    """An answer that is less probable is not given (:func:`onetrunk.decoding.abstain`)."""

    def __repr__(self) -> str:
        kind = "lora" if self.lora else "linear"
        shown = first_of(self.labels, 5)
        count = f"{len(self.labels)} labels"
        return f"BundledApp({self.name}: {self.family}, {kind}, {count}: {shown})"

    @property
    def per_word(self) -> bool:
        """Whether the head reads each word, and not the whole text."""
        return DECODERS[self.decoder].per_word

    @property
    def slot(self) -> str:
        """Name of the LoRA that the top applies; apps of one slot share its states."""
        return f"app:{self.name}" if self.lora else self.family_of_primary

    def logits(self, states: np.ndarray) -> np.ndarray:
        """Head input ``(U, head_layers D)`` -> logits ``(U, C)``."""
        logits: np.ndarray = states @ self.weight.T + self.bias
        blend = DECODERS[self.decoder].blend
        if self.neighbours is None or blend is None:
            return logits
        votes = self.neighbours.votes(states)
        return blend(logits, votes, self.neighbours.share) + self.neighbours.shift

    def to_bytes(self, dtype: type) -> bytes:
        """The app as a file, with floating-point numbers in ``dtype``."""
        record: dict[str, Any] = {  # the keys of format 1
            "family": self.family,
            "decoder": self.decoder,
            "labels": self.labels,
            "reads": self.head_layers,
            "units": self.units,
            "max_length": self.max_length,
            "primary": self.family_of_primary,
            "fingerprint": self.fingerprint,
            "none_below": self.none_below,
        }
        arrays = {**dict(zip(_HEAD, (self.weight, self.bias), strict=True)), **self.lora}
        if self.neighbours is not None:
            record["neighbours"] = self.neighbours.numbers()
            votes = self.neighbours.arrays()
            arrays |= {f"{_NEIGHBOURS}{name}": array for name, array in votes.items()}
        return to_bytes(arrays, dtype, {"onetrunk": json.dumps(record, ensure_ascii=False)})

    @classmethod
    def from_bytes(cls, name: str, content: bytes, where: str) -> BundledApp:
        """Raises :class:`UserError` if the content is no app's file, or is damaged."""
        try:
            record = _record(content)
        except _WRONG:
            raise UserError(f"{where}: this is no apps/NAME.safetensors of a bundle") from None
        with _damage(where):
            arrays = _read(content)
            weight, bias = (arrays.pop(key) for key in _HEAD)
            # Before plug-in families had bundles, the family's name was the decoder's.
            decoder = record.get("decoder", record["family"])
            if decoder not in DECODERS:
                raise ValueError(f"unknown decoder {decoder!r}")
            if DECODERS[decoder].per_word:
                warn_of_old_units(record, where)
            check_none_below(record.get("none_below"), f"{where}: ")
            labels = _labels(record)
            classes = DECODERS[decoder].classes(labels)
            if weight.ndim != 2 or bias.ndim != 1 or not len(weight) == len(bias) == classes:
                raise ValueError(f"a head of {weight.shape} and {bias.shape} for {classes} classes")
            votes = {
                key.removeprefix(_NEIGHBOURS): arrays.pop(key)
                for key in [*arrays]
                if key.startswith(_NEIGHBOURS)
            }
            neighbours = None
            if numbers := record.get("neighbours"):
                if DECODERS[decoder].blend is None:
                    raise ValueError(f"neighbours with decoder {decoder!r}")
                neighbours = Neighbours.from_file(votes, numbers, classes, weight.shape[1])
            return cls(
                name=name,
                family=_text(record, "family"),
                decoder=decoder,
                labels=labels,
                head_layers=int(record["reads"]),
                max_length=_max_length(record),
                family_of_primary=_text(record, "primary"),
                weight=weight,
                bias=bias,
                lora=_checked(arrays),
                fingerprint=record["fingerprint"],
                units=record.get("units", ""),
                neighbours=neighbours,
                none_below=record.get("none_below"),
            )


def read_lora(content: bytes, where: str) -> Lora:
    """A primary LoRA. Raises :class:`UserError` if the content is damaged."""
    with _damage(where):
        return _checked(_read(content))


def _checked(lora: Lora) -> Lora:
    """Raises KeyError if a half is missing, ValueError if the halves do not fit each other."""
    for name in lora:
        a, b = (lora[name[:-1] + half] for half in "ab")
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise ValueError(f"{name} of shapes {a.shape} and {b.shape}")
    return lora


def to_bytes(
    arrays: Mapping[str, np.ndarray], dtype: type, metadata: dict[str, str] | None = None
) -> bytes:
    """Arrays as a safetensors file: floats in ``dtype``, or in float32 if one of them is too large
    for it; integers keep their type. (The head of a state that hardly varies has large weights.)"""
    converted: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        own_type = dtype if array.dtype.kind == "f" else None
        if own_type == np.float16 and float(np.abs(array).max(initial=0)) >= TOO_LARGE:
            own_type = np.float32
        converted[name] = np.ascontiguousarray(array, own_type)
    content: bytes = save_tensors(converted, metadata)
    return content


def _read(content: bytes) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file; floats of any size become float32."""
    arrays = {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in load_tensors(content).items()
    }
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    return arrays


def _labels(record: Mapping[str, Any]) -> list[str]:
    labels = record["labels"]
    is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    if not is_list or len({*labels}) < len(labels):
        raise ValueError("its labels are no list of different strings")
    return labels


def _text(record: Mapping[str, Any], key: str) -> str:
    if not isinstance(record[key], str):
        raise ValueError(f"its {key} is no string")
    return str(record[key])


def _max_length(record: Mapping[str, Any]) -> int:
    max_length = int(record["max_length"])
    if max_length < SHORTEST:
        raise ValueError(f"windows of {max_length} tokens")
    return max_length


def _record(content: bytes) -> dict[str, Any]:
    """What the metadata of a file says; the library reads metadata from files on disk alone."""
    size = int.from_bytes(content[:8], "little")
    record: dict[str, Any] = json.loads(
        json.loads(content[8 : 8 + size])["__metadata__"]["onetrunk"]
    )
    return record


@contextmanager
def _damage(where: str) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, *_WRONG) as error:
        raise UserError(f"{where} is damaged: {error!r}") from None
