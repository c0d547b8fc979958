"""Backbone and apps -> a bundle, which is held against the engine before it is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from onetrunk import __version__
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.apps.neighbours import Neighbours
from onetrunk.bundle import int4, int8, layout
from onetrunk.bundle.app import FAMILIES, BundledApp, Lora, lora_bytes
from onetrunk.bundle.graph import top_graph, trunk_graph
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.parity import difference
from onetrunk.bundle.runtime import Runtime
from onetrunk.bundle.shallow import trunk_layers
from onetrunk.bundle.voters import PREFIX, Voters
from onetrunk.errors import UserError, nearest
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import TARGETS, Encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.storage import atomic_folder, refuse_existing, write_json

Precision = Literal["fp32", "int8", "int4"]
PARITY = 1e-3
"""Largest difference of a logit from PyTorch's, in standard deviations of logits, that an fp32
bundle may show."""
_KEPT: dict[str, type] = {  # heads and LoRA
    "fp32": np.float32, "int8": np.float16, "int4": np.float16,
}  # fmt: skip
_SMALLER: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "int8": int8.quantize, "int4": int4.quantize,
}  # fmt: skip


@dataclass
class Check:
    """Labelled rows that an app is scored on as it is exported."""

    rows: Sequence[Any]
    where: str


@dataclass
class Exported:
    """What was written."""

    sizes: dict[str, int]
    """Bytes by file."""
    difference: float
    """Of logits from PyTorch's, in standard deviations of logits, at most."""
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By checked app, the family's metric in PyTorch and in the bundle, in percent."""


def export_bundle(
    backbone: Backbone,
    apps: Mapping[str, App],
    out: Path,
    precision: Precision = "fp32",
    checks: Mapping[str, Check] | None = None,
    max_drop: float = 1.0,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda what: None,
    smaller: Backbone | None = None,
) -> Exported:
    """Write a bundle of a backbone and apps trained on it; or of a ``smaller`` backbone in its
    place, such as :func:`~onetrunk.bundle.vocabulary.with_vocabulary_of` and
    :func:`~onetrunk.bundle.shallow.with_shallow_trunk` give.

    Apps in ``checks`` are scored in PyTorch and in the bundle. Raises :class:`UserError`, and
    leaves nothing behind, if an app cannot be exported, if an fp32 bundle's logits are not
    PyTorch's (:data:`PARITY`), or if a checked app loses more than ``max_drop`` points of its
    family's metric.
    """
    refuse_existing(out, overwrite)
    bundled = {name: bundled_app(name, app, backbone) for name, app in apps.items()}
    checks = checks or {}
    for name in checks:
        if name not in apps:
            raise UserError(f"there is no app {name!r} to check; {nearest(name, apps)}")
    written = smaller or backbone
    encoder, k = written.encoder, top_layers(backbone, apps)
    targets = _targets(backbone, apps)
    with atomic_folder(out, overwrite) as folder:
        files = {}

        def put(path: str, content: bytes) -> None:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
            files[path] = layout.entry(content)

        for path, build in (
            (layout.TRUNK, lambda: trunk_graph(encoder, k)),
            (layout.TOP, lambda: top_graph(encoder, k, targets)),
        ):
            tell(path)
            put(path, model_bytes(build(), precision))
        put(layout.TOKENIZER, tokenizer_bytes(encoder))
        for family, adapter in backbone.primary_loras.items():
            content = lora_bytes(_lora(adapter), _KEPT[precision])
            put(f"{layout.PRIMARY}/{family}{layout.SUFFIX}", content)
        for name, app in bundled.items():
            put(layout.app_path(name), app.to_bytes(_KEPT[precision]))
        manifest = {
            "format": layout.FORMAT,
            "onetrunk": __version__,
            "backbone": backbone.fingerprint,
            "precision": precision,
            "depth": encoder.depth,
            "width": encoder.width,
            "k": k,
            "trunk_layers": trunk_layers(encoder, k),
            "targets": targets,
            "pooling": backbone.pooling,
            "max_length": encoder.max_length,
            "pad_id": int(encoder.tokenizer.pad_token_id),
            "pieces": encoder.token_embedding.num_embeddings,
            "primary": sorted(backbone.primary_loras),
            "files": files,
            "versions": {name: version(name) for name in ("onnx", "onnxruntime", "tokenizers")},
        }
        write_json(folder / layout.MANIFEST, manifest)
        tell("held against PyTorch")
        found = _compared(backbone, written, apps, folder, precision, checks, max_drop)
        found.sizes = {path: entry["bytes"] for path, entry in files.items()}
        measured = {
            "difference_from_pytorch": round(found.difference, 7),
            "scores": {
                name: {"metric": apps[name].family.metric, "pytorch": before, "bundle": after}
                for name, (before, after) in found.scores.items()
            },
        }
        write_json(folder / layout.MANIFEST, {**manifest, "measured": measured})
    return found


def add_apps(bundle: Path, backbone: Backbone, apps: Mapping[str, App]) -> None:
    """Put apps into a bundle, in place of those of their names; its backbone is not touched.

    Raises :class:`UserError`, and changes nothing, if one does not fit.
    """
    old = Bundle(bundle)
    contents = {}
    for name, app in apps.items():
        bundled = bundled_app(name, app, backbone)
        old.check_app(bundled, f"app {name}")
        contents[layout.app_path(name)] = bundled.to_bytes(_KEPT[old.precision])
    _change(old, contents, [])


def remove_apps(bundle: Path, names: Sequence[str]) -> None:
    """Take apps out of a bundle. Raises :class:`UserError`, and changes nothing, if one is
    unknown."""
    old = Bundle(bundle)
    for name in names:
        if name not in old.apps:
            raise UserError(f"{bundle} has no app {name!r}; {nearest(name, old.apps)}")
    _change(old, {}, [layout.app_path(name) for name in names])


def bundled_app(name: str, app: App, backbone: Backbone) -> BundledApp:
    """An app as a bundle holds it. Raises :class:`UserError` if the runtime could not run it."""
    layout.check_name(name)
    app.check(backbone, name)
    if app.family.name not in FAMILIES:
        raise UserError(
            f"app {name}: the runtime has no decoding for family {app.family.name!r}, "
            f"only for {', '.join(FAMILIES)}"
        )
    return BundledApp(
        name, app.family.name, app.labels, app.head_layers, app.max_length, app.family_of_primary,
        app.head.weight.detach().cpu().numpy(), app.head.bias.detach().cpu().numpy(),
        {} if app.adapter is None else _lora(app.adapter), app.fingerprint,
        None if app.neighbours is None else _voters(app.neighbours),
    )  # fmt: skip


def top_layers(backbone: Backbone, apps: Mapping[str, App]) -> int:
    """Layers of the top: as many as may carry LoRA, or as any of these apps needs."""
    encoder = backbone.encoder
    reached = [encoder.depth - a.layers[0] for a in _adapters(backbone, apps) if a.layers]
    return max(backbone.k, *reached, *(app.head_layers - 1 for app in apps.values()), 0)


def tokenizer_bytes(encoder: Encoder) -> bytes:
    """``tokenizer.json``, without what it last truncated or padded to."""
    backend = encoder.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    content: str = backend.to_str()
    return content.encode()


def model_bytes(model: onnx.ModelProto, precision: Precision) -> bytes:
    """A graph, its weights in this precision, as a file holds it."""
    if precision != "fp32":
        model = _SMALLER[precision](model)
    content: bytes = model.SerializeToString()
    return content


def check_parity(found: Exported, precision: Precision) -> None:
    """Raise :class:`UserError` if fp32 logits are not PyTorch's (:data:`PARITY`)."""
    if precision == "fp32" and found.difference > PARITY:
        raise UserError(
            f"the exported graphs do not compute what PyTorch does: logits differ by up to "
            f"{found.difference:.1e} standard deviations; nothing was written"
        )


def _lora(adapter: LoraAdapter) -> Lora:
    return {
        place: (a.detach().cpu().numpy(), (b * adapter.scaling).detach().cpu().numpy())
        for place, (a, b) in adapter.matrices.items()
    }


def _voters(neighbours: Neighbours) -> Voters:
    arrays = {PREFIX + name: tensor.numpy() for name, tensor in neighbours.tensors().items()}
    numbers = ("count", "temperature", "share")
    return Voters.of(arrays, {name: getattr(neighbours, name) for name in numbers})


def _adapters(backbone: Backbone, apps: Mapping[str, App]) -> list[LoraAdapter]:
    own = [app.adapter for app in apps.values() if app.adapter is not None]
    return [*backbone.primary_loras.values(), *own]


def _targets(backbone: Backbone, apps: Mapping[str, App]) -> list[str]:
    """The linear maps that any adapter changes; all, if there is no adapter yet."""
    used = {target for adapter in _adapters(backbone, apps) for target in adapter.targets}
    return [target for target in TARGETS if target in (used or TARGETS)]


def _compared(
    backbone: Backbone,
    written: Backbone,
    apps: Mapping[str, App],
    folder: Path,
    precision: Precision,
    checks: Mapping[str, Check],
    max_drop: float,
) -> Exported:
    runtime = Runtime(folder)
    engine = Engine(written, apps)
    found = Exported({}, difference(engine, runtime) if apps else 0.0)
    check_parity(found, precision)
    engine = Engine(backbone, apps)
    for name, check in checks.items():
        family = apps[name].family
        before = engine.score(name, check.rows, check.where)[family.metric]
        predicted = runtime.predict_examples(name, check.rows)
        after = family.score(check.rows, predicted)[family.metric]
        found.scores[name] = round(before, 2), round(after, 2)
        if before - after > max_drop:
            raise UserError(
                f"app {name}: {family.metric} falls from {before:.2f} to {after:.2f} on "
                f"{check.where}, by more than {max_drop:g}; nothing was written"
            )
    return found


def _change(old: Bundle, more: Mapping[str, bytes], less: Sequence[str]) -> None:
    """The bundle with some files more and some less, at once."""
    manifest = dict(old.manifest)
    files = {path: entry for path, entry in manifest["files"].items() if path not in less}
    files |= {path: layout.entry(content) for path, content in more.items()}
    with atomic_folder(old.folder, overwrite=True) as folder:
        for path in files:
            (folder / path).parent.mkdir(exist_ok=True)
            if path in more:
                (folder / path).write_bytes(more[path])
            else:
                _link(old.folder / path, folder / path)
        write_json(folder / layout.MANIFEST, {**manifest, "files": files})


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
