"""``onetrunk export``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onetrunk import kinds
from onetrunk.cli.options import Device
from onetrunk.errors import UserError

if TYPE_CHECKING:
    from onetrunk.bundle.contents import Precision
    from onetrunk.bundle.exported import Exported


def export(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="[BACKBONE] APP...",
            help="App folders; before them their backbone, if it is not where they name it.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits, LoRA in 16.")] = False,
    int4: Annotated[
        bool, typer.Option("--int4", help="Weights in 4 bits, LoRA in 16. Use --check, too.")
    ] = False,
    int8_text: Annotated[
        bool,
        typer.Option(
            "--int8-text", help="As --int8, for a device that answers one text at a time."
        ),
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
            help="Texts, in any format: keep only their word pieces. May be given several times."
        ),
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(min=1, help="With --vocabulary: keep at most this many, the most frequent."),
    ] = None,
    merged: Annotated[
        bool,
        typer.Option("--merged", help="One app as one plain ONNX model, instead of a bundle."),
    ] = False,
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Write a web page that runs the bundle, with the bundle in it."
        ),
    ] = False,
    ort: Annotated[
        Path | None,
        typer.Option(help="With --page: folder of onnxruntime-web's files, if not installed here."),
    ] = None,
    transformers: Annotated[
        bool,
        typer.Option("--transformers", help="One app as a model folder of transformers, instead."),
    ] = False,
    sentence_transformers: Annotated[
        bool,
        typer.Option(
            "--sentence-transformers",
            help="The backbone alone as a model folder of sentence-transformers, instead.",
        ),
    ] = False,
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write apps and their backbone as a bundle, for a device without PyTorch.

    Writes the backbone as two ONNX graphs, every app as one small file, the tokenizer and a
    manifest with hashes; then compares the bundle's logits with PyTorch's. [bold]predict[/] reads
    bundles too, and so does [bold]onetrunk.bundle.runtime[/], which needs no PyTorch.

    [bold]--page[/] writes a folder for any static host: a page that runs the bundle in the browser,
    corrects its answers and teaches it new apps, offline after one visit.

    [bold]--transformers[/] and [bold]--sentence-transformers[/] write folders for programs that
    know these libraries alone: an NER app, or the backbone as a model of embeddings.

    [bold]--vocabulary[/] makes the backbone smaller: the given texts are read as before, any other
    word is spelt in smaller pieces. [bold]--check[/] says what that costs, and what fewer bits
    cost.

    Example: [cyan]onetrunk export apps/news apps/intents --out phone --int8
    --check news=test.conll[/]
    """
    from onetrunk.apps.record import RECORD as RECORD_OF_APP
    from onetrunk.apps.record import by_name, check_apps, family_of, read_record
    from onetrunk.bundle.page import BUNDLE, add_page, find_ort
    from onetrunk.cli.bars import watched
    from onetrunk.cli.console import console, serve_hint, wrote
    from onetrunk.cli.early import look, need_torch
    from onetrunk.hub import fetched, fetched_if
    from onetrunk.model.place import locate_model
    from onetrunk.storage import atomic_folder, refuse_existing

    precisions = {"--int8": int8, "--int8-text": int8_text, "--int4": int4}
    bits = [option for option, is_chosen in precisions.items() if is_chosen]
    if len(bits) > 1:
        raise UserError(f"{' and '.join(bits)} are different weights: give one of them")
    if pieces and not vocabulary:
        raise UserError("--pieces counts those of --vocabulary: give the texts")
    chosen = {
        "--merged": merged, "--page": page, "--transformers": transformers,
        "--sentence-transformers": sentence_transformers,
    }  # fmt: skip
    forms = [form for form, is_chosen in chosen.items() if is_chosen]
    if len(forms) > 1:
        raise UserError(f"{' and '.join(forms)} write different things: give one of them")
    starts_with_app = (fetched_if(RECORD_OF_APP, folders[0]) / RECORD_OF_APP).exists()
    backbone = None if starts_with_app else folders[0]
    apps = [fetched(folder) for folder in (folders if starts_with_app else folders[1:])]
    if sentence_transformers and (apps or check or vocabulary):
        raise UserError(f"{forms[0]} is for a backbone: leave apps, --check and --vocabulary out")
    if not apps and not sentence_transformers:
        locate_model(str(backbone), "backbone")
        raise UserError(f"name the apps to export on {backbone}: onetrunk export {backbone} APP...")
    if (merged or transformers) and (len(apps) > 1 or check or vocabulary):
        raise UserError(f"{forms[0]} is for one app, without --check and --vocabulary")
    if (transformers or sentence_transformers) and bits:
        raise UserError(f"{forms[0]} writes 32 bits: leave {bits[0]} out")
    if merged and int8_text:
        raise UserError("a plain model takes several texts, --int8-text one: give --int8")
    if page:
        find_ort(ort)
    elif ort:
        raise UserError("--ort is for a page: give --page, too")
    need_torch()
    if sentence_transformers:
        from onetrunk.bundle.sentence_folder import export_sentence_transformers
        from onetrunk.model.backbone import Backbone

        refuse_existing(out, overwrite, kinds.SENTENCE_FOLDER)
        export_sentence_transformers(Backbone.load(folders[0], device), out, overwrite)
        wrote(out)
        return
    written = kinds.ENCODER if transformers else kinds.PAGE if page else kinds.BUNDLE
    refuse_existing(out, overwrite, kinds.MERGED if merged else written)
    check_apps(apps, backbone, device)
    names = [*by_name(apps)]
    checks = {}
    for pair in check or []:
        name, equals, file = pair.partition("=")
        if not equals or name not in names:
            raise UserError(f"--check {pair!r}: write APP=FILE; the apps: {', '.join(names)}")
        look(family_of(read_record(apps[names.index(name)])), {"test": file})
        checks[name] = file

    from onetrunk.bundle.export import export as export_apps

    if transformers:
        from onetrunk.apps.load import load_apps_and_backbone
        from onetrunk.bundle.transformers_folder import export_transformers

        loaded, named = load_apps_and_backbone(apps, backbone)
        ((name, app),) = named.items()
        export_transformers(loaded, name, app, out, overwrite)
        wrote(out)
        return

    precision: Precision = "int8" if int8 else "int4" if int4 else "fp32"
    if int8_text:
        precision = "int8-text"

    def write(folder: Path) -> Exported:
        with watched("export") as progress:
            return export_apps(
                apps,
                folder,
                precision=precision,
                check=checks,
                max_drop=max_drop,
                vocabulary=vocabulary,
                pieces=pieces,
                merged=merged,
                backbone=backbone,
                overwrite=overwrite,
                progress=progress,
                device=device,
            )

    if page:
        with atomic_folder(out, overwrite, kinds.PAGE) as folder:
            exported = write(folder / BUNDLE)
            add_page(folder, ort)
        exported.folder = out / BUNDLE
    else:
        exported = write(out)
    console.print(exported.said("--check APP=FILE"))
    wrote(out)
    if page:
        serve_hint(out)
