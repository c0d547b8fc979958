"""One app as a bundle holds it: a safetensors file, read and written without PyTorch.

LoRA is kept as the top wants it: ``A (d_in, r)``, and ``B (r, d_out)`` times its scaling.
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

from onetrunk.bundle.voters import PREFIX, Voters
from onetrunk.errors import UserError

PER_WORD = ("ner", "nested-ner")
FAMILIES = (*PER_WORD, "tc", "multi-label", "rating")
"""Whose logits the runtime can read; some have a row of them for each word."""

_HEAD = ("head.weight", "head.bias")

Place = tuple[int, str]
Lora = Mapping[Place, tuple[np.ndarray, np.ndarray]]
"""(layer, target) -> A ``(d_in, r)`` and B ``(r, d_out)``."""


def a_name(layer: int, target: str) -> str:
    """Name of a place's stacked A ``(n, d_in, r)``, in graphs and files."""
    return f"layer_{layer}.{target}.a"


def b_name(layer: int, target: str) -> str:
    """Name of a place's stacked B ``(n, r, d_out)``."""
    return f"layer_{layer}.{target}.b"


@dataclass(frozen=True)
class BundledApp:
    """One app: ``family`` says how its logits are read, ``slot`` which LoRA the top uses for it."""

    name: str
    family: str
    labels: list[str]
    head_layers: int
    """The head reads the states of so many layers side by side, the last one and those before."""
    max_length: int
    family_of_primary: str
    """Whose states a head alone reads: a primary LoRA, or the bare backbone."""
    weight: np.ndarray
    """``(C, head_layers D)``"""
    bias: np.ndarray
    """``(C,)``"""
    lora: Lora = field(default_factory=dict)
    """Empty for a head alone."""
    fingerprint: str = ""
    """Of the backbone it was trained on."""
    voters: Voters | None = None
    """Labelled neighbours whose votes are blended with the head's answer."""

    @property
    def slot(self) -> str:
        """Apps of one slot share the top."""
        return f"app:{self.name}" if self.lora else self.family_of_primary

    def logits(self, states: np.ndarray) -> np.ndarray:
        """What the head reads ``(U, head_layers D)`` -> logits ``(U, C)``."""
        logits: np.ndarray = states @ self.weight.T + self.bias
        if self.voters is None:
            return logits
        return self.voters.blend(self.family, logits, states)

    def to_bytes(self, dtype: type) -> bytes:
        """The app as a file, with numbers in ``dtype``."""
        record: dict[str, Any] = {  # the keys of format 1
            "family": self.family,
            "labels": self.labels,
            "reads": self.head_layers,
            "max_length": self.max_length,
            "primary": self.family_of_primary,
            "fingerprint": self.fingerprint,
        }
        arrays = dict(zip(_HEAD, (self.weight, self.bias), strict=True)) | lora_arrays(self.lora)
        if self.voters is not None:
            record["neighbours"] = self.voters.numbers()
            arrays |= self.voters.arrays()
        return _saved(arrays, dtype, {"onetrunk": json.dumps(record, ensure_ascii=False)})

    @classmethod
    def from_bytes(cls, name: str, content: bytes, where: str) -> BundledApp:
        """Raises :class:`UserError` if the content is damaged."""
        with _damage(where):
            arrays = _read(content)
            record = json.loads(_metadata(content)["onetrunk"])
            weight, bias = (arrays.pop(key) for key in _HEAD)
            voters = None
            if "neighbours" in record:
                own = {key: arrays.pop(key) for key in [*arrays] if key.startswith(PREFIX)}
                voters = Voters.of(own, record["neighbours"])
                if voters.keys.shape[1] != weight.shape[1] or voters.shift.shape != bias.shape:
                    raise ValueError(f"neighbours of {voters.keys.shape} for {weight.shape}")
            app = cls(
                name, record["family"], list(record["labels"]), int(record["reads"]),
                int(record["max_length"]), record["primary"], weight, bias, lora_of(arrays),
                record["fingerprint"], voters,
            )  # fmt: skip
            if app.family not in FAMILIES:
                raise ValueError(f"family {app.family!r}")
            count = len(app.labels)
            sizes = {"ner": 1 + 2 * count, "nested-ner": 3 * count, "rating": 1}
            classes = sizes.get(app.family, count)
            if weight.ndim != 2 or not len(weight) == len(bias) == classes:
                raise ValueError(f"a head of {weight.shape} and {bias.shape} for {classes} classes")
        return app


def lora_arrays(lora: Lora) -> dict[str, np.ndarray]:
    """A LoRA's arrays by name."""
    return {
        name: array
        for (layer, target), (a, b) in lora.items()
        for name, array in ((a_name(layer, target), a), (b_name(layer, target), b))
    }


def lora_of(arrays: Mapping[str, np.ndarray]) -> Lora:
    """The LoRA that named arrays make. Raises ValueError or KeyError if they make none."""
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
    """Arrays as a safetensors file; whole numbers stay what they are."""
    kept: dict[str, np.ndarray] = {
        name: np.ascontiguousarray(array, dtype if array.dtype.kind == "f" else None)
        for name, array in arrays.items()
    }
    content: bytes = save_tensors(kept, metadata)
    return content


def _read(content: bytes) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file; floats as float32, whatever they are kept in."""
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in load_tensors(content).items()
    }


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of safetensors content that has been read: the library gives that of files."""
    size = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + size])["__metadata__"]
    return found


@contextmanager
def _damage(where: str) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where} is damaged: {error!r}") from None
