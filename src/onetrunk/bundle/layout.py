"""What a bundle is on disk, read and written without PyTorch.

    bundle.json               what it is, and the size and SHA-256 of every other file
    trunk.onnx  top.onnx      the backbone
    tokenizer.json
    primary/FAMILY.safetensors   task-primary LoRAs, for apps that are a linear head alone
    apps/NAME.safetensors     head and LoRA of one app; what it is stands in the file's metadata

LoRA is kept as the top wants it: ``A (d_in, r)``, and ``B (r, d_out)`` times its scaling.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from onetrunk.errors import UserError, nearest
from onetrunk.storage import read_json

MANIFEST = "bundle.json"
FORMAT = 1
TRUNK, TOP, TOKENIZER = "trunk.onnx", "top.onnx", "tokenizer.json"
APPS, PRIMARY, SUFFIX = "apps", "primary", ".safetensors"
PER_WORD = ("ner", "nested-ner")
FAMILIES = (*PER_WORD, "tc", "multi-label", "rating")
"""Whose logits the runtime can read; some have a row of them for each word."""
NONE = "none"
"""The bare backbone, in place of a primary LoRA."""

_NAME = re.compile(r"\w[\w.+@ -]{0,99}")
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
    reads: int
    """The head reads the states of so many layers side by side, the last one and those before."""
    max_length: int
    primary: str
    """Whose states a head alone reads: a primary LoRA, or the bare backbone."""
    weight: np.ndarray
    """``(C, reads D)``"""
    bias: np.ndarray
    """``(C,)``"""
    lora: Lora = field(default_factory=dict)
    """Empty for a head alone."""
    fingerprint: str = ""
    """Of the backbone it was trained on."""

    @property
    def slot(self) -> str:
        """Apps of one slot share the top."""
        return f"app:{self.name}" if self.lora else self.primary

    def to_bytes(self, dtype: type) -> bytes:
        """The app as a file, with numbers in ``dtype``."""
        record = {
            key: getattr(self, key)
            for key in ("family", "labels", "reads", "max_length", "primary", "fingerprint")
        }
        arrays = dict(zip(_HEAD, (self.weight, self.bias), strict=True)) | lora_arrays(self.lora)
        return _saved(arrays, dtype, {"onetrunk": json.dumps(record, ensure_ascii=False)})

    @classmethod
    def from_bytes(cls, name: str, content: bytes, where: str) -> BundledApp:
        """Raises :class:`UserError` if the content is damaged."""
        with _damage(where):
            arrays = _read(content)
            record = json.loads(_metadata(content)["onetrunk"])
            weight, bias = (arrays.pop(key) for key in _HEAD)
            app = cls(
                name, record["family"], list(record["labels"]), int(record["reads"]),
                int(record["max_length"]), record["primary"], weight, bias, lora_of(arrays),
                record["fingerprint"],
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
    """Arrays as a safetensors file."""
    kept: dict[str, np.ndarray] = {
        name: np.ascontiguousarray(array, dtype) for name, array in arrays.items()
    }
    content: bytes = save_tensors(kept, metadata)
    return content


def _read(content: bytes) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file, as float32 whatever they are kept in."""
    return {name: array.astype(np.float32) for name, array in load_tensors(content).items()}


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


def check_name(name: str) -> None:
    """Raise :class:`UserError` for a name that cannot be a file's, or would leave the folder."""
    if not _NAME.fullmatch(name) or name == NONE:
        raise UserError(
            f"an app cannot be called {name!r}: letters, digits, - _ . + @ and spaces, 100 at most"
        )


def app_path(name: str) -> str:
    """Where in a bundle an app lies."""
    check_name(name)
    return f"{APPS}/{name}{SUFFIX}"


class Bundle:
    """A bundle folder whose manifest has been read. Every file is checked as it is read."""

    def __init__(self, folder: Path) -> None:
        """Raises :class:`UserError` if it is no bundle, or one of another format."""
        self.folder = folder
        self.manifest = read_json(folder / MANIFEST, "a bundle")
        if self.manifest.get("format") != FORMAT:
            raise UserError(
                f"{folder / MANIFEST} is of format {self.manifest.get('format')!r}; this onetrunk "
                f"reads format {FORMAT}: export the bundle again"
            )
        self.backbone: str = self._value("backbone", str)
        """Fingerprint."""
        self.depth: int = self._value("depth", int)
        self.width: int = self._value("width", int)
        self.k: int = self._value("k", int)
        """Layers of the top."""
        self.targets: list[str] = self._value("targets", list)
        """Linear maps of these layers that adapters may change."""
        self.pooling: str = self._value("pooling", str)
        self.max_length: int = self._value("max_length", int)
        """Longest window in tokens."""
        self.pad_id: int = self._value("pad_id", int)
        self.precision: str = self._value("precision", str)
        self.primary: list[str] = self._value("primary", list)
        """Families with a primary LoRA."""
        self.files: dict[str, dict[str, Any]] = self._value("files", dict)
        """Size and hash by path."""
        for path in self.files:
            if Path(path).is_absolute() or ".." in Path(path).parts or "\\" in path:
                raise UserError(f"{folder / MANIFEST}: {path!r} lies outside the bundle; refused")

    def _value(self, key: str, kind: type) -> Any:
        value = self.manifest.get(key)
        if not isinstance(value, kind):
            raise UserError(f"{self.folder / MANIFEST} is damaged: it has no valid {key!r}")
        return value

    @property
    def apps(self) -> list[str]:
        """Names of the apps in it."""
        paths = map(Path, self.files)
        return [path.name.removesuffix(SUFFIX) for path in paths if path.parts[0] == APPS]

    def read(self, path: str) -> bytes:
        """A file's bytes. Raises :class:`UserError` if they are not those that were written."""
        listed = self.files.get(path)
        if listed is None:
            raise UserError(f"{self.folder / MANIFEST} is damaged: it does not list {path}")
        try:
            content = (self.folder / path).read_bytes()
        except OSError as error:
            raise UserError(f"{self.folder} is not complete: {path}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != listed.get("sha256"):
            raise UserError(
                f"{self.folder / path} is not the file that was exported: its hash differs"
            )
        return content

    def app(self, name: str) -> BundledApp:
        """Read an app. Raises :class:`UserError` with the nearest name if unknown."""
        self.check_known(name)
        path = app_path(name)
        app = BundledApp.from_bytes(name, self.read(path), str(self.folder / path))
        self.check_app(app, str(self.folder / path))
        return app

    def check_known(self, name: str) -> None:
        """Raise :class:`UserError` with the nearest name if there is no such app."""
        if app_path(name) not in self.files:
            raise UserError(f"{self.folder} has no app {name!r}; {nearest(name, self.apps)}")

    def check_app(self, app: BundledApp, where: str) -> None:
        """Raise :class:`UserError` unless the app was trained on this backbone and its head and
        LoRA fit the graphs."""
        if app.fingerprint != self.backbone:
            raise UserError(
                f"{where}: the app was trained on another backbone ({app.fingerprint[:12]}; the "
                f"bundle's is {self.backbone[:12]})"
            )
        if not 1 <= app.reads <= self.k + 1:
            raise UserError(
                f"{where}: its head reads {app.reads} states; the bundle's top has {self.k} layers:"
                f" export again with k = {app.reads - 1}"
            )
        if app.weight.shape[1] != app.reads * self.width:
            raise UserError(
                f"{where}: a head over {app.weight.shape[1]} numbers, not {app.reads} x "
                f"{self.width}"
            )
        if app.primary not in (NONE, *self.primary):
            raise UserError(f"{where} needs the primary LoRA {app.primary!r}, which is not here")
        self.check_lora(app.lora, where)

    def check_lora(self, lora: Lora, where: str) -> None:
        """Raise :class:`UserError` unless every place of a LoRA is one that the top can adapt."""
        for layer, target in lora:
            if not self.depth - self.k <= layer < self.depth or target not in self.targets:
                raise UserError(
                    f"{where}: LoRA on {target} of layer {layer}; this bundle's graph takes "
                    f"{', '.join(self.targets)} of layers {self.depth - self.k} to "
                    f"{self.depth - 1}: export the backbone with this app among the others"
                )


def entry(content: bytes) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
