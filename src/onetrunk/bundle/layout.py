"""What a bundle is on disk, read and written without PyTorch.

bundle.json               what it is, the size and SHA-256 of every other file, and a hash of itself
trunk.onnx  top.onnx      the backbone
tokenizer.json
primary/FAMILY.safetensors   task-primary LoRAs, for apps that are a linear head alone
apps/NAME.safetensors     head and LoRA of one app; the file's metadata says what the app is
examples/NAME.jsonl       what an app was taught from on the device, if it is to be kept
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.bundle.app import SHORTEST, BundledApp, Lora, a_name, b_name, read_lora
from onetrunk.cards import CARD, save_bundle_card
from onetrunk.errors import UserError, as_path, nearest
from onetrunk.records import Values, are_texts, check_record, is_count, is_text
from onetrunk.sealing import are_files, check_seal, with_seal
from onetrunk.storage import read_json, regular_size, sha256_of_files, write_json

MANIFEST = "bundle.json"
TRUNK, TOP, TOKENIZER = "trunk.onnx", "top.onnx", "tokenizer.json"
APPS, PRIMARY, SUFFIX = "apps", "primary", ".safetensors"
NONE = "none"
"""The bare backbone, in place of a primary LoRA."""
OF_ONE = "int8-text"
"""The precision whose graphs take one text and one LoRA at a time."""
FORMATS = {"fp32": 1, "int8": 1, OF_ONE: 2, "int4": 1}
"""Of a bundle of each precision: readers of format 1 do not know graphs of one text."""
FLOATS: dict[str, type] = {
    "fp32": np.float32,
    "int8": np.float16,
    OF_ONE: np.float16,
    "int4": np.float16,
}
"""The type of heads and LoRA in a bundle of each precision."""
LONGEST_NAME = 200
"""Bytes of an app's name: file systems allow 255, with an ending and what is written beside."""

CARD_APPS = 100
"""A card describes so many apps."""

_VALUES: Values = {
    "backbone": ("a hash", is_text),
    "depth": ("a number of layers", is_count),
    "width": ("a number", is_count),
    "k": ("a number of layers", partial(is_count, least=0)),
    "targets": ("a list of names", are_texts),
    "pooling": ("mean or cls", lambda value: value in ("mean", "cls")),
    "max_length": ("a number of tokens", partial(is_count, least=SHORTEST)),
    "pad_id": ("a token", partial(is_count, least=0)),
    "precision": (", ".join(FLOATS), lambda value: is_text(value) and value in FLOATS),
    "primary": ("a list of families", are_texts),
    "files": ("files inside of the bundle by name, each with bytes and sha256", are_files),
}
"""Required keys of bundle.json: for each, its description in error messages, and a test."""
_OTHERS: Values = {
    "k_of_backbone": ("a number of layers", partial(is_count, least=0)),
    "card": ("a hash", is_text),
}
"""Optional keys, in the same form; bundles of 0.1.0 lack them."""
_NAME = re.compile(r"\w[\w.+@ -]{0,99}")
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])\s*(\..*)?")
"""What Windows takes for a device, whatever the ending."""


def check_names(names: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise :class:`UserError` for what new apps cannot be called: a name that is no file's on some
    system, or that some system takes for another one, which differs in case or in its Unicode form.
    Apps among ``others`` may be replaced, whatever their names."""
    known = {*others}
    by_file = {_folded(name): name for name in known}
    for name in names:
        if isinstance(name, str) and name in known:
            continue
        check_file_name(name)
        refused = f"an app cannot be called {name!r}"
        if name[-1] in " .":
            raise UserError(f"{refused}: Windows drops the space or the dot at its end")
        if _DEVICE.fullmatch(_folded(name)):
            raise UserError(f"{refused}: Windows has a device of this name")
        other = by_file.setdefault(_folded(name), name)
        if other != name:
            raise UserError(
                f"{refused} beside {other!r}: some systems take the two names for the same file"
            )


def check_name(name: str, others: Iterable[str] = ()) -> None:
    """:func:`check_names` for one app."""
    check_names([name], others)


def check_file_name(name: str) -> None:
    """Raise :class:`UserError` for a name that would leave the folder, or that no app ever had."""
    if not isinstance(name, str):
        raise UserError(f"an app's name is a string, not {name!r:.60} ({type(name).__name__})")
    fits = _NAME.fullmatch(name) and len(name.encode()) <= LONGEST_NAME
    if not fits or name == NONE:
        raise UserError(
            f"an app cannot be called {name!r}: letters, digits, - _ . + @ and spaces, 100 at most"
        )


def _folded(name: str) -> str:
    """What names have in common that a file system may take for one."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def app_path(name: str) -> str:
    """The path of an app's file in a bundle."""
    check_file_name(name)
    return f"{APPS}/{name}{SUFFIX}"


def apps_of(files: Iterable[str]) -> list[str]:
    """The names of the apps whose files these are."""
    paths = map(Path, files)
    return [path.name.removesuffix(SUFFIX) for path in paths if path.parts[0] == APPS]


class Bundle:
    """A bundle folder whose manifest has been read. Every file is checked as it is read."""

    def __init__(self, folder: str | Path) -> None:
        """Raises :class:`UserError` if it is no bundle, or one of another format."""
        self.folder = as_path(folder, "bundle")
        self.manifest = read_json(self.folder / MANIFEST, "a bundle")
        path = self.folder / MANIFEST
        check_record(self.manifest, path, _VALUES, _OTHERS, max(FORMATS.values()))
        check_seal(self.manifest, path)
        self.backbone: str = self.manifest["backbone"]
        """Its fingerprint."""
        self.depth: int = self.manifest["depth"]
        self.width: int = self.manifest["width"]
        self.k: int = self.manifest["k"]
        """Layers of the top."""
        self.k_of_backbone: int = self.manifest.get("k_of_backbone", self.k)
        """Layers that carry the backbone's LoRA; an app may have asked for a deeper top. Bundles of
        0.1.0 do not say it."""
        self.targets: list[str] = self.manifest["targets"]
        """Linear maps of these layers that adapters may change."""
        self.pooling: str = self.manifest["pooling"]
        self.max_length: int = self.manifest["max_length"]
        """Longest window in tokens."""
        self.pad_id: int = self.manifest["pad_id"]
        self.precision: str = self.manifest["precision"]
        self.primary_families: list[str] = self.manifest["primary"]
        """Families with a primary LoRA."""
        self.files: dict[str, dict[str, Any]] = self.manifest["files"]
        """Size and hash by path."""

    def __repr__(self) -> str:
        return f"Bundle({self.folder}: {self.precision}; {', '.join(self.apps) or 'no apps'})"

    @property
    def apps(self) -> list[str]:
        """Names of the apps in it."""
        return apps_of(self.files)

    def read(self, path: str) -> bytes:
        """A file's bytes. Raises :class:`UserError` if they are not those that were written."""
        listed = self.files.get(path)
        if listed is None:
            raise UserError(f"{self.folder / MANIFEST} is damaged: it does not list {path}")
        changed = UserError(
            f"{self.folder / path} is not the file that was exported: its hash differs"
        )
        try:
            if regular_size(self.folder / path) != listed["bytes"]:
                raise changed
            content = (self.folder / path).read_bytes()
        except OSError as error:
            raise UserError(f"{self.folder} is not complete: {path}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != listed["sha256"]:
            raise changed
        return content

    def app(self, name: str) -> BundledApp:
        """Read an app. Raises :class:`UserError` with the nearest name if unknown."""
        self.check_known(name)
        path = app_path(name)
        app = BundledApp.from_bytes(name, self.read(path), str(self.folder / path))
        self.check_app(app, str(self.folder / path))
        return app

    def primary_lora(self, family: str) -> Lora:
        """Read a family's primary LoRA. Raises :class:`UserError` if it does not fit the graph."""
        path = f"{PRIMARY}/{family}{SUFFIX}"
        lora = read_lora(self.read(path), path)
        self.check_lora(lora, path)
        return lora

    def write_card(self, name: str) -> None:
        """Write the model card of this bundle, which is called ``name``, and into the manifest its
        hash."""
        apps = [self.app(app) for app in self.apps[:CARD_APPS]]
        rows = [(app.name, app.family, app.labels) for app in apps]
        save_bundle_card(self.folder, name, self.manifest, rows)
        write_manifest(self.folder, {**self.manifest, "card": sha256_of_files(self.folder / CARD)})

    def has_own_card(self) -> bool:
        """Whether the model card is as it was written, and not a user's."""
        path = self.folder / CARD
        return path.is_file() and sha256_of_files(path) == self.manifest.get("card")

    def only_app(self, name: str | None = None) -> str:
        """The app of this name; without one, the only app. Raises :class:`UserError` if there are
        several, or none of this name."""
        if not self.apps:
            raise UserError(f"{self.folder} has no apps")
        if name is None and len(self.apps) != 1:
            listed = ", ".join(self.apps)
            raise UserError(
                f"{self.folder} has {len(self.apps)} apps ({listed}): name one by --app"
            )
        name = name or self.apps[0]
        self.check_known(name)
        return name

    def check_known(self, name: str) -> None:
        """Raise :class:`UserError` with the nearest name if there is no such app."""
        if app_path(name) not in self.files:
            raise UserError(f"{self.folder} has no app {name!r}; {nearest(name, self.apps)}")

    def check_fingerprint(self, fingerprint: str, where: str) -> None:
        """Raise :class:`UserError` unless this is the fingerprint of the bundle's backbone."""
        if fingerprint != self.backbone:
            raise UserError(
                f"{where}: the app was trained on another backbone ({fingerprint[:12]}; the "
                f"bundle's is {self.backbone[:12]})"
            )

    def check_app(self, app: BundledApp, where: str) -> None:
        """Raise :class:`UserError` unless the app was trained on this backbone and its head and
        LoRA fit the graphs."""
        self.check_fingerprint(app.fingerprint, where)
        if not 1 <= app.head_layers <= self.k + 1:
            raise UserError(
                f"{where}: its head reads {app.head_layers} states; the bundle's top has {self.k} "
                f"layers: export again with k = {app.head_layers - 1}"
            )
        if app.weight.shape[1] != app.head_layers * self.width:
            raise UserError(
                f"{where}: a head over {app.weight.shape[1]} numbers, not {app.head_layers} x "
                f"{self.width}"
            )
        if app.family_of_primary not in (NONE, *self.primary_families):
            raise UserError(
                f"{where} needs the primary LoRA {app.family_of_primary!r}, which is not here"
            )
        self.check_lora(app.lora, where)

    def check_lora(self, lora: Lora, where: str) -> None:
        """Raise :class:`UserError` unless the top can adapt every place of a LoRA."""
        layers = range(self.depth - self.k, self.depth)
        places = [(layer, target) for layer in layers for target in self.targets]
        known = {half(*place) for place in places for half in (a_name, b_name)}
        for name in lora:
            if name not in known:
                layer, _, target = name[:-2].removeprefix("layer_").partition(".")
                raise UserError(
                    f"{where}: LoRA on {target} of layer {layer}; this bundle's graph takes "
                    f"{', '.join(self.targets)} of layers {self.depth - self.k} to "
                    f"{self.depth - 1}: export the backbone with this app among the others"
                )


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write what a bundle is, with a hash of it all."""
    write_json(folder / MANIFEST, with_seal(manifest))


def entry(content: bytes) -> dict[str, Any]:
    """A file's entry in the manifest."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
