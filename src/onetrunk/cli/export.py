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
    other word is spelt in smaller ones. Say what it costs with [bold]--check[/].

    Example: [cyan]onetrunk export runs/tpl apps/news apps/intents --out phone --int8
    --check news=test.conll[/]
    """
    from onetrunk.adapt.app import load_apps
    from onetrunk.bundle.export import Check, export_bundle
    from onetrunk.bundle.merged import export_merged
    from onetrunk.bundle.vocabulary import with_vocabulary_of
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import read_texts
    from onetrunk.model.backbone import load_backbone
    from onetrunk.progress import console, progress_bar, say
    from onetrunk.storage import refuse_existing

    refuse_existing(out, overwrite)
    loaded = load_backbone(backbone)
    found = load_apps(apps, loaded)
    if merged:
        if len(found) > 1 or check or vocabulary:
            raise UserError("--merged is for one app, without --check or --vocabulary")
        ((name, one),) = found.items()
        alone = export_merged(loaded, name, one, out, "int8" if int8 else "fp32", overwrite)
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
    smaller = None
    if vocabulary:
        texts = [text for file in vocabulary for text in read_texts(file, notes)]
        smaller = with_vocabulary_of(loaded, texts, pieces)
    elif pieces:
        raise UserError("--pieces counts those of --vocabulary: give the texts")
    say(notes)
    with progress_bar() as bar:
        task = bar.add_task("export", total=None, note="")
        written = export_bundle(
            loaded, found, out, "int8" if int8 else "fp32", checks, max_drop, overwrite,
            lambda what: bar.update(task, note=what), smaller,
        )  # fmt: skip
        bar.update(task, total=1, completed=1, note="")
    if smaller is not None:
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
