"""``onetrunk export``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onetrunk.errors import UserError


def export(
    backbone: Annotated[
        str, typer.Argument(metavar="BACKBONE", help="Backbone folder or encoder.")
    ],
    apps: Annotated[list[Path], typer.Argument(metavar="APP...", help="App folders.")],
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits, LoRA in 16.")] = False,
    int4: Annotated[
        bool, typer.Option("--int4", help="Weights in 4 bits, LoRA in 16: say --check, too.")
    ] = False,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="APP=FILE",
            help="Score an app on labelled rows, before and after; may be given several times.",
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(help="Points that a checked app may lose; more is refused.")
    ] = 1.0,
    vocabulary: Annotated[
        list[Path] | None,
        typer.Option(
            help="Texts, in any format: keep only the word pieces that stand in them. May be given "
            "several times."
        ),
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(min=1, help="With --vocabulary: at most so many, the most frequent."),
    ] = None,
    trunk_layers: Annotated[
        int | None,
        typer.Option(min=1, help="Keep so many layers below those that apps adapt; see --texts."),
    ] = None,
    texts: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --trunk-layers: texts like those to come, in any format, which the layers "
            "that stay learn from. May be given several times."
        ),
    ] = None,
    merged: Annotated[
        bool,
        typer.Option("--merged", help="One app as one plain ONNX model, instead of a bundle."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Stage 3: one backbone and its apps as a bundle for a device without PyTorch.

    Writes the backbone as two ONNX graphs, every app as one small file, the tokenizer and a
    manifest with hashes; then holds the bundle's logits against PyTorch's. [bold]predict[/] reads
    bundles too, and so does [bold]onetrunk.bundle.runtime[/], which needs no PyTorch.

    [bold]--vocabulary[/] makes the backbone smaller: the texts' own pieces are read as before, any
    other word is spelt in smaller ones. [bold]--trunk-layers[/] leaves layers out and teaches the
    others to make up for them, in minutes. [bold]--check[/] says what it costs.

    Example: [cyan]onetrunk export runs/tpl apps/news apps/intents --out phone --int8
    --check news=test.conll[/]
    """
    from onetrunk.apps.load import load_apps
    from onetrunk.bundle.export import Check, Precision, export_bundle, top_layers
    from onetrunk.bundle.merged import export_merged
    from onetrunk.bundle.shallow import with_shallow_trunk
    from onetrunk.bundle.vocabulary import with_vocabulary_of
    from onetrunk.cli.console import console, progress_bar, say
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import read_texts
    from onetrunk.model.backbone import load_backbone
    from onetrunk.storage import refuse_existing

    refuse_existing(out, overwrite)
    if int8 and int4:
        raise UserError("weights are of 8 bits or of 4: give --int8 or --int4")
    if pieces and not vocabulary:
        raise UserError("--pieces counts those of --vocabulary: give the texts")
    if (trunk_layers is None) != (not texts):
        raise UserError(
            "a trunk of fewer layers learns from texts: give --trunk-layers and --texts"
        )
    precision: Precision = "int8" if int8 else "int4" if int4 else "fp32"
    loaded = load_backbone(backbone)
    found = load_apps(apps, loaded)
    if merged:
        if len(found) > 1 or check or vocabulary or trunk_layers:
            raise UserError("--merged is for one app, without --check and what makes it smaller")
        ((name, one),) = found.items()
        alone = export_merged(loaded, name, one, out, precision, overwrite)
        console.print(
            f"[bold green]wrote[/] {out}: {sum(alone.sizes.values()) / 1e6:.1f} MB, logits within "
            f"{alone.difference:.1e} standard deviations of PyTorch's"
        )
        return
    checks, notes = {}, Notes()
    for pair in check or []:
        name, equals, file = pair.partition("=")
        if not equals or name not in found:
            raise UserError(f"--check {pair!r}: write APP=FILE; the apps: {', '.join(found)}")
        checks[name] = Check(found[name].family.read(Path(file), notes), file)
    of_vocabulary, of_trunk = (
        [text for file in files or [] for text in read_texts(file, notes)]
        for files in (vocabulary, texts)
    )
    say(notes)
    smaller = None
    with progress_bar() as bar:
        if trunk_layers is not None:
            taught = bar.add_task("trunk", total=None, note="")
            smaller = with_shallow_trunk(
                loaded, top_layers(loaded, found), trunk_layers, of_trunk,
                progress=lambda done, total, error: bar.update(
                    taught, completed=done, total=total, note=f"{error:.1%} missed"
                ),
            )  # fmt: skip
        if vocabulary:
            smaller = with_vocabulary_of(smaller or loaded, of_vocabulary, pieces)
        task = bar.add_task("export", total=None, note="")
        written = export_bundle(
            loaded, found, out, precision, checks, max_drop, overwrite,
            lambda what: bar.update(task, note=what), smaller,
        )  # fmt: skip
        bar.update(task, total=1, completed=1, note="")
    if smaller is not None and vocabulary:
        kept, of = (one.encoder.token_embedding.num_embeddings for one in (smaller, loaded))
        console.print(f"{kept:,} of {of:,} word pieces", markup=False)
    for path, size in written.sizes.items():
        console.print(f"{size / 1e6:9.3f} MB  {path}", markup=False)
    for name, (before, after) in written.scores.items():
        metric = found[name].family.metric
        console.print(f"{name}: {metric} {before:.2f} in PyTorch, {after:.2f} here", markup=False)
    console.print(
        f"[bold green]wrote[/] {out}: {sum(written.sizes.values()) / 1e6:.1f} MB, logits within "
        f"{written.difference:.1e} standard deviations of PyTorch's"
    )
