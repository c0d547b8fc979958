"""What a bundle is on disk, read and written without PyTorch.

bundle.json               what it is, and the size and SHA-256 of every other file
trunk.onnx  top.onnx      the backbone
tokenizer.json
primary/FAMILY.safetensors   task-primary LoRAs, for apps that are a linear head alone
apps/NAME.safetensors     head and LoRA of one app; the file's metadata says what the app is
examples/NAME.jsonl       what an app was taught from on the device, if it is to be kept
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.bundle.app import BundledApp, Lora, a_name, b_name, read_lora
from onetrunk.cards import save_bundle_card
from onetrunk.errors import UserError, nearest
from onetrunk.storage import read_json

MANIFEST = "bundle.json"
FORMAT = 1
TRUNK, TOP, TOKENIZER = "trunk.onnx", "top.onnx", "tokenizer.json"
APPS, PRIMARY, SUFFIX = "apps", "primary", ".safetensors"
NONE = "none"
"""The bare backbone, in place of a primary LoRA."""
FLOATS: dict[str, type] = {"fp32": np.float32, "int8": np.float16, "int4": np.float16}
"""The type of heads and LoRA in a bundle of each precision."""
LONGEST_NAME = 200
"""Bytes of an app's name: file systems allow 255, with an ending and what is written beside."""

CARD_APPS = 100
"""A card describes so many apps."""

_NAME = re.compile(r"\w[\w.+@ -]{0,99}")


def check_name(name: str) -> None:
    """Raise :class:`UserError` for a name that cannot be a file's, or would leave the folder."""
    fits = _NAME.fullmatch(name) and len(name.encode()) <= LONGEST_NAME
    if not fits or name == NONE:
        raise UserError(
            f"an app cannot be called {name!r}: letters, digits, - _ . + @ and spaces, 100 at most"
        )


def app_path(name: str) -> str:
    """The path of an app's file in a bundle."""
    check_name(name)
    return f"{APPS}/{name}{SUFFIX}"


class Bundle:
    """A bundle folder whose manifest has been read. Every file is checked as it is read."""

    def __init__(self, folder: str | Path) -> None:
        """Raises :class:`UserError` if it is no bundle, or one of another format."""
        self.folder = Path(folder)
        self.manifest = read_json(self.folder / MANIFEST, "a bundle")
        if self.manifest.get("format") != FORMAT:
            raise UserError(
                f"{self.folder / MANIFEST} is of format {self.manifest.get('format')!r}; this "
                f"onetrunk reads format {FORMAT}: export the bundle again"
            )
        self.backbone: str = self._value("backbone", str)
        """Its fingerprint."""
        self.depth: int = self._value("depth", int)
        self.width: int = self._value("width", int)
        self.k: int = self._value("k", int)
        """Layers of the top."""
        says_k = "k_of_backbone" in self.manifest
        self.k_of_backbone: int = self._value("k_of_backbone", int) if says_k else self.k
        """Layers that carry the backbone's LoRA; an app may have asked for a deeper top. Bundles of
        0.1.0 do not say it."""
        self.targets: list[str] = self._value("targets", list)
        """Linear maps of these layers that adapters may change."""
        self.pooling: str = self._value("pooling", str)
        self.max_length: int = self._value("max_length", int)
        """Longest window in tokens."""
        self.pad_id: int = self._value("pad_id", int)
        self.precision: str = self._value("precision", str)
        self.primary_families: list[str] = self._value("primary", list)
        """Families with a primary LoRA."""
        self.files: dict[str, dict[str, Any]] = self._value("files", dict)
        """Size and hash by path."""
        for path in self.files:
            if Path(path).is_absolute() or ".." in Path(path).parts or "\\" in path:
                raise UserError(
                    f"{self.folder / MANIFEST}: {path!r} lies outside the bundle; refused"
                )

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

    def primary_lora(self, family: str) -> Lora:
        """Read a family's primary LoRA. Raises :class:`UserError` if it does not fit the graph."""
        path = f"{PRIMARY}/{family}{SUFFIX}"
        lora = read_lora(self.read(path), path)
        self.check_lora(lora, path)
        return lora

    def write_card(self, name: str) -> None:
        """Write the model card of this bundle, which is called ``name``."""
        apps = [self.app(app) for app in self.apps[:CARD_APPS]]
        rows = [(app.name, app.family, app.labels) for app in apps]
        save_bundle_card(self.folder, name, self.manifest, rows)

    def only_app(self, name: str | None = None) -> str:
        """The app of this name; without one, the only app. Raises :class:`UserError` if there are
        several, or none of this name."""
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


def entry(content: bytes) -> dict[str, Any]:
    """A file's entry in the manifest."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
