"""Backbone and apps -> a bundle, which is compared with PyTorch before it is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from onetrunk import __version__, kinds
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.apps.load import load_apps_and_backbone
from onetrunk.apps.reading import Source, read_labelled, source_name
from onetrunk.bundle import layout
from onetrunk.bundle.app import to_bytes
from onetrunk.bundle.contents import (
    Precision,
    adapted_targets,
    bundled_app,
    graphs_of,
    lora_of_adapter,
    tokenizer_bytes,
    top_layers,
)
from onetrunk.bundle.exported import Exported
from onetrunk.bundle.merged import export_merged
from onetrunk.bundle.parity import difference
from onetrunk.bundle.runtime import Runtime
from onetrunk.bundle.vocabulary import with_vocabulary_of
from onetrunk.cards import base_model, encoder_of
from onetrunk.data.notes import Notes
from onetrunk.data.sources import read_texts
from onetrunk.errors import UserError, as_path, nearest
from onetrunk.model.backbone import Backbone
from onetrunk.progress import Progress, silent
from onetrunk.storage import atomic_folder, refuse_existing


@dataclass
class Check:
    """Labelled rows that an app is scored on as it is exported; ``where`` names them in errors."""

    rows: Sequence[Any]
    where: str


def export(
    apps: str | Path | Sequence[str | Path] | Mapping[str, App],
    out: str | Path,
    precision: Precision = "fp32",
    check: Mapping[str, Source] | None = None,
    max_drop: float = 1.0,
    vocabulary: str | Path | Sequence[str | Path] | None = None,
    pieces: int | None = None,
    merged: bool = False,
    backbone: Backbone | str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    device: str = "cpu",
) -> Exported:
    """Write apps and their backbone as a bundle for a device without PyTorch.

    ``apps``: app folders on one backbone, or :class:`App` objects by name. ``backbone``: by
    default the one that the first app names. ``precision``: weights in 32, 8 or 4 bits;
    ``int8-text`` is ``int8`` for one text at a time (:mod:`onetrunk.bundle.int8`). ``device``:
    where PyTorch runs what the bundle is compared with, if folders are loaded here.

    ``check`` maps an app's name to labelled rows: a file, a folder with a test split, a list or a
    table. Such an app is scored in PyTorch and in the bundle, and may lose ``max_drop`` points of
    its family's metric. ``vocabulary``: one or more files of texts; the bundle keeps only the word
    pieces in them, with ``pieces`` the most frequent of these. ``merged``: write one app as one
    plain ONNX model instead (:func:`~onetrunk.bundle.merged.export_merged`).

    Prints nothing; print what it returns. Raises :class:`UserError`, and leaves nothing behind, if
    the apps do not fit the backbone, cannot run on a device, or lose more than they may.

    ```python
    import onetrunk

    written = onetrunk.export(["apps/news", "apps/intents"], "small", precision="int8")
    print(written)
    ```
    """
    refuse_existing(as_path(out, "out"), overwrite, kinds.MERGED if merged else kinds.BUNDLE)
    if precision not in get_args(Precision):
        hint = nearest(str(precision), get_args(Precision))
        raise UserError(f"precision {precision!r} is unknown; {hint}")
    if merged and precision == layout.OF_ONE:
        raise UserError(f"a plain model takes several texts, {precision} one: choose int8")
    if pieces is not None and vocabulary is None:
        raise UserError("pieces limits the vocabulary of some texts: pass vocabulary, too")
    files = [vocabulary] if isinstance(vocabulary, str | Path) else vocabulary or []
    if not isinstance(files, Sequence) or not all(isinstance(file, str | Path) for file in files):
        raise UserError(f"vocabulary: a file of texts or a list of them (got {vocabulary!r})")
    loaded, named = _load(apps, backbone, device)
    notes = Notes()
    checks = {}
    if check is not None and not isinstance(check, Mapping):
        raise UserError("check: pass labelled rows by app, such as {'news': 'test.conll'}")
    for name, rows in (check or {}).items():
        _check_known(name, named)
        app = named[name]
        labelled, _ = read_labelled(app.family, rows, "test", notes, app.labels)
        checks[name] = Check(labelled, source_name(rows, "test"))
    texts = [text for file in files for text in read_texts(file, notes)]
    notes.log()
    if merged:
        if len(named) != 1 or checks or files:
            raise UserError("merged is for one app, without check and vocabulary")
        ((name, app),) = named.items()
        return export_merged(loaded, name, app, out, precision, overwrite)
    smaller = with_vocabulary_of(loaded, texts, pieces) if files else None
    return export_bundle(
        loaded, named, out, precision, checks, max_drop, overwrite, progress, smaller
    )


def export_bundle(
    backbone: Backbone,
    apps: Mapping[str, App],
    out: str | Path,
    precision: Precision = "fp32",
    checks: Mapping[str, Check] | None = None,
    max_drop: float = 1.0,
    overwrite: bool = False,
    progress: Progress = silent,
    smaller: Backbone | None = None,
) -> Exported:
    """Write a bundle of apps and the backbone they were trained on, or of a ``smaller`` backbone in
    its place (:func:`~onetrunk.bundle.vocabulary.with_vocabulary_of`).

    Apps in ``checks`` are scored in PyTorch and in the bundle. Raises :class:`UserError`, and
    leaves nothing behind, if an app cannot be exported, if an fp32 bundle's logits are not
    PyTorch's (:data:`~onetrunk.bundle.exported.PARITY`), or if a checked app loses more than
    ``max_drop`` points of its family's metric.
    """
    out = Path(out)
    refuse_existing(out, overwrite, kinds.BUNDLE)
    layout.check_names([*apps])
    bundled = {name: bundled_app(name, app, backbone) for name, app in apps.items()}
    checks = checks or {}
    for name in checks:
        _check_known(name, apps)
    written = smaller or backbone
    encoder, k = written.encoder, top_layers(backbone, apps)
    targets, floats = adapted_targets(backbone, apps), layout.FLOATS[precision]
    progress("graphs", 0, 2)
    trunk, top = graphs_of(encoder, k, targets, precision)
    contents = {layout.TRUNK: trunk, layout.TOP: top}
    contents[layout.TOKENIZER] = tokenizer_bytes(encoder)
    for family, adapter in backbone.primary_loras.items():
        path = f"{layout.PRIMARY}/{family}{layout.SUFFIX}"
        contents[path] = to_bytes(lora_of_adapter(adapter), floats)
    for name, app in bundled.items():
        contents[layout.app_path(name)] = app.to_bytes(floats)
    manifest = {
        "format": layout.FORMATS[precision],
        "onetrunk": __version__,
        "backbone": backbone.fingerprint,
        "base_model": base_model(encoder_of(backbone.record, backbone.encoder.source)),
        "precision": precision,
        "depth": encoder.depth,
        "width": encoder.width,
        "k": k,
        "k_of_backbone": backbone.k,
        "targets": targets,
        "pooling": backbone.pooling,
        "max_length": encoder.max_length,
        "pad_id": int(encoder.tokenizer.pad_token_id),
        "pieces": encoder.token_embedding.num_embeddings,
        "primary": sorted(backbone.primary_loras),
        "files": {path: layout.entry(content) for path, content in contents.items()},
        "versions": {name: version(name) for name in ("onnx", "onnxruntime", "tokenizers")},
    }
    with atomic_folder(out, overwrite, kinds.BUNDLE) as folder:
        for path, content in contents.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        layout.write_manifest(folder, manifest)
        progress("compared with PyTorch", 1, 2)
        runtime = Runtime(folder)
        exported = Exported(
            folder=out,
            sizes={path: len(content) for path, content in contents.items()},
            difference=difference(Engine(written, apps), runtime) if apps else 0.0,
            precision=precision,
        )
        exported.check_parity()
        if smaller is not None:
            exported.pieces = (
                encoder.token_embedding.num_embeddings,
                backbone.encoder.token_embedding.num_embeddings,
            )
        _score(exported, Engine(backbone, apps), runtime, checks, max_drop)
        measured = {
            "difference_from_pytorch": round(exported.difference, 7),
            "scores": {
                name: {"metric": exported.metrics[name], "pytorch": before, "bundle": after}
                for name, (before, after) in exported.scores.items()
            },
        }
        layout.write_manifest(folder, {**manifest, "measured": measured})
        layout.Bundle(folder).write_card(out.resolve().name)
    progress("", 2, 2)
    return exported


def _score(
    exported: Exported,
    engine: Engine,
    runtime: Runtime,
    checks: Mapping[str, Check],
    max_drop: float,
) -> None:
    """Score the checked apps. Raises :class:`UserError` if one loses more than ``max_drop``."""
    for name, check in checks.items():
        family = engine.app(name).family
        before = engine.score(name, check.rows, check.where)[family.metric]
        predictions = runtime.predict_examples(name, check.rows)
        after = family.score(check.rows, predictions)[family.metric]
        exported.metrics[name] = family.metric
        exported.scores[name] = round(before, 2), round(after, 2)
        if before - after > max_drop:
            raise UserError(
                f"app {name}: {family.metric} falls from {before:.2f} to {after:.2f} on "
                f"{check.where}, by more than {max_drop:g}; nothing was written"
            )


def _check_known(name: str, apps: Mapping[str, App]) -> None:
    if name not in apps:
        raise UserError(f"there is no app {name!r} to check; {nearest(name, apps)}")


def _load(
    apps: str | Path | Sequence[str | Path] | Mapping[str, App],
    backbone: Backbone | str | Path | None,
    device: str,
) -> tuple[Backbone, Mapping[str, App]]:
    """Apps by name on their backbone. Raises :class:`UserError` if no backbone is named or an app
    was trained on another."""
    if isinstance(apps, App):
        raise UserError("pass apps by name, such as {'news': app}, or app folders")
    if not isinstance(apps, Mapping):
        folders: Any = [apps] if isinstance(apps, str | Path) else apps
        if not isinstance(folders, Iterable):
            hint = "pass app folders, or a dictionary of apps by name"
            raise UserError(f"apps: {hint}, not {apps!r:.60}")
        folders = list(folders)
        for folder in folders:
            if isinstance(folder, App):
                hint = "pass a dictionary of apps by name, such as {'news': app}, or app folders"
                raise UserError(f"apps: an App in a list has no name: {hint}")
            if not isinstance(folder, str | Path):
                hint = "pass app folders, or a dictionary of apps by name"
                raise UserError(f"apps: {folder!r:.60} is no folder: {hint}")
        return load_apps_and_backbone(folders, backbone, device)
    for name, app in apps.items():
        if not isinstance(app, App):
            raise UserError(f"app {name!r}: pass an App, not {app!r:.60}")
    backbone = backbone or next((app.backbone for app in apps.values() if app.backbone), None)
    if backbone is None:
        raise UserError("these apps do not say where their backbone is: pass backbone")
    loaded = backbone if isinstance(backbone, Backbone) else Backbone.load(backbone, device)
    return loaded, apps
