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
from onetrunk.decoding import DECODERS
from onetrunk.errors import UserError

_HEAD = ("head.weight", "head.bias")
_NEIGHBOURS = "neighbours."

Place = tuple[int, str]
"""A linear map: its layer and its name."""
Lora = Mapping[Place, tuple[np.ndarray, np.ndarray]]
"""A ``(d_in, r)`` and B ``(r, d_out)`` of each place."""


def a_name(layer: int, target: str) -> str:
    """Name of a place's stacked A ``(n, d_in, r)``, in graphs and files."""
    return f"layer_{layer}.{target}.a"


def b_name(layer: int, target: str) -> str:
    """Name of a place's stacked B ``(n, r, d_out)``."""
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
    neighbours: Neighbours | None = None
    """Labelled states whose votes are blended with the head's answer."""

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
            "max_length": self.max_length,
            "primary": self.family_of_primary,
            "fingerprint": self.fingerprint,
        }
        arrays = dict(zip(_HEAD, (self.weight, self.bias), strict=True)) | lora_arrays(self.lora)
        if self.neighbours is not None:
            record["neighbours"] = self.neighbours.numbers()
            votes = self.neighbours.arrays()
            arrays |= {f"{_NEIGHBOURS}{name}": array for name, array in votes.items()}
        return _saved(arrays, dtype, {"onetrunk": json.dumps(record, ensure_ascii=False)})

    @classmethod
    def from_bytes(cls, name: str, content: bytes, where: str) -> BundledApp:
        """Raises :class:`UserError` if the content is damaged."""
        with _damage(where):
            arrays = _read(content)
            record = json.loads(_metadata(content)["onetrunk"])
            weight, bias = (arrays.pop(key) for key in _HEAD)
            # Before plug-in families had bundles, the family's name was the decoder's.
            decoder = record.get("decoder", record["family"])
            if decoder not in DECODERS:
                raise ValueError(f"unknown decoder {decoder!r}")
            labels = list(record["labels"])
            classes = DECODERS[decoder].classes(labels)
            if weight.ndim != 2 or not len(weight) == len(bias) == classes:
                raise ValueError(f"a head of {weight.shape} and {bias.shape} for {classes} classes")
            votes = {
                key.removeprefix(_NEIGHBOURS): arrays.pop(key)
                for key in [*arrays]
                if key.startswith(_NEIGHBOURS)
            }
            neighbours = None
            if "neighbours" in record:
                if DECODERS[decoder].blend is None:
                    raise ValueError(f"neighbours with decoder {decoder!r}")
                numbers = record["neighbours"]
                neighbours = Neighbours.from_file(votes, numbers, classes, weight.shape[1])
            return cls(
                name=name,
                family=record["family"],
                decoder=decoder,
                labels=labels,
                head_layers=int(record["reads"]),
                max_length=int(record["max_length"]),
                family_of_primary=record["primary"],
                weight=weight,
                bias=bias,
                lora=lora_of(arrays),
                fingerprint=record["fingerprint"],
                neighbours=neighbours,
            )


def lora_arrays(lora: Lora) -> dict[str, np.ndarray]:
    """A LoRA's arrays by name."""
    return {
        name: array
        for (layer, target), (a, b) in lora.items()
        for name, array in ((a_name(layer, target), a), (b_name(layer, target), b))
    }


def lora_of(arrays: Mapping[str, np.ndarray]) -> Lora:
    """The LoRA of named arrays. Raises ValueError or KeyError if they are none."""
    lora = {}
    for name in arrays:
        layer, target, half = name.removeprefix("layer_").split(".")
        if half == "a":
            place = int(layer), target
            a, b = arrays[name], arrays[b_name(*place)]
            if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
                raise ValueError(f"{name} of shape {a.shape} beside {b.shape}")
            lora[place] = a, b
    if len(arrays) != 2 * len(lora):
        raise ValueError("halves of LoRA are missing")
    return lora


def lora_bytes(lora: Lora, dtype: type) -> bytes:
    """A primary LoRA as a file."""
    return _saved(lora_arrays(lora), dtype)


def read_lora(content: bytes, where: str) -> Lora:
    """Raises :class:`UserError` if the content is damaged."""
    with _damage(where):
        return lora_of(_read(content))


def _saved(
    arrays: Mapping[str, np.ndarray], dtype: type, metadata: dict[str, str] | None = None
) -> bytes:
    """Arrays as a safetensors file; integers keep their type."""
    converted: dict[str, np.ndarray] = {
        name: np.ascontiguousarray(array, dtype if array.dtype.kind == "f" else None)
        for name, array in arrays.items()
    }
    content: bytes = save_tensors(converted, metadata)
    return content


def _read(content: bytes) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file; floats of any size become float32."""
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in load_tensors(content).items()
    }


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata in safetensors content, which the library itself reads from files alone."""
    size = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + size])["__metadata__"]
    return metadata


@contextmanager
def _damage(where: str) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where} is damaged: {error!r}") from None
