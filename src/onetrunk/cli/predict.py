"""``onetrunk predict``"""

import json
from pathlib import Path
from typing import Annotated

import typer

from onetrunk.errors import UserError, nearest

FORMATS = ("auto", "jsonl", "pretty")


def predict(
    apps: Annotated[
        list[Path], typer.Argument(metavar="APP...", help="App folders, or one bundle.")
    ],
    text: Annotated[
        list[str] | None, typer.Option(help="A text to read; may be given several times.")
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(help="A file of texts: .txt (one a line), JSONL, Parquet or CSV."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the first app names.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="jsonl, pretty, or auto: pretty on a terminal.")
    ] = "auto",
) -> None:
    """Stage 3: run several apps over the same texts in one pass.

    Prints one JSON object a text: entities with character offsets, labels with probabilities. Long
    texts are read in overlapping windows.

    Example: [cyan]onetrunk predict apps/calendar apps/spam --text "lunch with Ann on Friday"[/]
    """
    from onetrunk.cli.console import stdout
    from onetrunk.cli.pretty import pretty
    from onetrunk.opening import load

    if format not in FORMATS:
        raise UserError(f"--format {format!r} is unknown; {nearest(format, FORMATS)}")
    if not text and input is None:
        raise UserError("nothing to read: pass --text or --input")
    texts = [*(text or []), *(_read(input) if input else [])]
    out = stdout()
    for result in load(*apps, backbone=backbone).stream(texts):
        if format == "pretty" or (format == "auto" and out.is_terminal):
            out.print(pretty(result))
        else:
            print(json.dumps(result, ensure_ascii=False))


def _read(file: Path) -> list[str]:
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import read_texts

    notes = Notes()
    texts = read_texts(file, notes)
    notes.log()
    return texts
