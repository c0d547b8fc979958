"""``onetrunk data``"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onetrunk.cli.options import LabelColumn, TextColumn
from onetrunk.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onetrunk.adaptation.doubts import Doubt
    from onetrunk.apps.label_scores import Answer
    from onetrunk.data.overview import Overview

SHOWN = 20
"""Labels in the table; ``--json`` has all of them."""
TEXT = 60
"""Characters of a text in the table."""
DOUBTS = 20
FAR = 0.25
"""A rating looks wrong from so large a share of the scale on."""


def data(
    source: Annotated[str, typer.Argument(metavar="FILE", help="Labelled rows: a file, a folder.")],
    family: Annotated[
        str | None,
        typer.Option(help="ner, nested-ner, tc, multi-label or rating; by default as it looks."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which file of a folder is read.")] = "train",
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="List the rows whose labels an app on this backbone doubts most."),
    ] = None,
    doubts: Annotated[
        int | None, typer.Option(min=1, help="How many of these rows: 20, if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what is in labelled rows: labels, lengths, what looks wrong and what to do.

    Rows that are there twice or contradict each other, labels that look alike,
    spans that cut words, entities that are marked in one row and not in another, and characters
    that were lost are counted, with the first places.

    With a backbone (or an encoder), five small apps are trained, each without a fifth of the rows,
    and asked about those: labels that they find improbable may be wrong.

    Example: [cyan]onetrunk data tickets.xlsx --label-column Intent[/]

    Example: [cyan]onetrunk data tickets.xlsx --backbone runs/tpl[/]
    """
    from onetrunk.data.overview import overview
    from onetrunk.data.sources import Columns
    from onetrunk.families import family as family_named

    columns = Columns.named(text_column, label_column)
    if doubts is not None and backbone is None:
        raise UserError("--doubts needs --backbone, a backbone or an encoder to read the texts")
    seen = overview(Path(source), family, split, columns)
    family_named(seen.family).check_rows(seen.examples, seen.place)
    doubtful = _doubts(seen, backbone)[: doubts or DOUBTS] if backbone else []
    if as_json:
        rows = [{**one.as_json(), "place": seen.place_inside(one.row - 1)} for one in doubtful]
        listed = {"doubts": rows} if backbone else {}
        print(json.dumps({**seen.as_json(), **listed}, ensure_ascii=False))
        return
    _print(seen)
    if backbone:
        _print_doubts(seen, doubtful)


def _doubts(seen: "Overview", backbone: str) -> "list[Doubt]":
    from onetrunk.adaptation.doubts import doubts
    from onetrunk.cli.bars import watched
    from onetrunk.families import family
    from onetrunk.model.backbone import Backbone

    with watched("doubts") as progress:
        return doubts(Backbone.load(backbone), family(seen.family), seen.examples, None, progress)


def _print_doubts(seen: "Overview", doubtful: "Sequence[Doubt]") -> None:
    """The rows about which the app does not agree."""
    from rich.table import Table
    from rich.text import Text

    from onetrunk.cli.console import stdout

    if seen.family == "rating":
        wrong = [one for one in doubtful if one.doubt > FAR]
    else:
        wrong = [one for one in doubtful if set(one.labelled) != set(one.likely) or one.doubt > 0.5]
    if not wrong:
        stdout().print("no label looks wrong")
        return
    table = Table("where", "doubt", "labelled", "more likely", "text", box=None)
    for one in wrong:
        told, asked = set(one.labelled), set(one.likely)
        if any(isinstance(answer, tuple) for answer in told | asked):  # of entities what differs
            told, asked = told - asked, asked - told
        shown = (_shown(one.text, side) for side in (told, asked))
        place, text = seen.place_inside(one.row - 1), Text(one.text[:TEXT])
        table.add_row(place, f"{one.doubt:.2f}", *map(Text, shown), text)
    stdout().print(table)


def _shown(text: str, answers: "set[Answer]") -> str:
    shown = [
        answer if isinstance(answer, str) else f"{text[answer[0] : answer[1]]} {answer[2]}"
        for answer in sorted(answers, key=str)
    ]
    return ", ".join(shown) or "–"


def _print(seen: "Overview") -> None:
    from rich.table import Table
    from rich.text import Text

    from onetrunk.cli.console import stdout
    from onetrunk.data.advice import advice

    out = stdout()
    shortest, middle, long, longest = seen.words
    out.print(Text(f"{seen.rows:,} rows of {seen.family} in {seen.source}", style="bold"))
    out.print(f"words of a text: {shortest} to {longest}, median {middle:g}, 95 % up to {long}")
    if seen.without:
        out.print(f"rows without a label or entity: {seen.without:,}")
    if seen.family == "rating":
        values = sorted(map(float, seen.labels))
        out.print(f"values: {values[0]:g} to {values[-1]:g}, {len(values)} different ones")
    else:
        table = Table("label", "entities" if "ner" in seen.family else "rows", "share", box=None)
        table.columns[1].justify = table.columns[2].justify = "right"
        total = sum(seen.labels.values())
        for label, count in list(seen.labels.items())[:SHOWN]:
            table.add_row(Text(label), f"{count:,}", f"{100 * count / total:.1f} %")
        out.print(table)
        if (more := len(seen.labels) - SHOWN) > 0:
            out.print(f"and {more} more: --json has all")
    if not seen.notes.found:
        out.print("nothing looks odd")
    for kind, line in zip(seen.notes.found, seen.notes.lines(), strict=True):
        out.print(Text("note: ", style="yellow"), line, sep="")
        if what := advice(kind):
            out.print(f"      {what}")
