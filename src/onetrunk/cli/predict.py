"""``onetrunk predict``"""

import json
import logging
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from onetrunk.errors import UserError, nearest

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
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
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first text that cannot be answered.")
    ] = False,
) -> None:
    """Stage 3: run several apps over the same texts in one pass.

    Prints one JSON object a text: entities with character offsets, labels with probabilities. Long
    texts are read in overlapping windows. A text that cannot be answered, such as a line that is
    not JSON, has an "error" instead; a note counts them, and the exit code is 0.

    Example: [cyan]onetrunk predict apps/calendar apps/spam --text "lunch with Ann on Friday"[/]
    """
    from onetrunk.cli.console import stdout
    from onetrunk.cli.pretty import pretty
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import stream_texts_or_faults
    from onetrunk.opening import load

    if format not in FORMATS:
        raise UserError(f"--format {format!r} is unknown; {nearest(format, FORMATS)}")
    if not text and input is None:
        raise UserError("nothing to read: pass --text or --input")
    notes = Notes()
    rows = stream_texts_or_faults(input, notes) if input else iter(())
    first = [*islice(rows, 1)]  # a file that cannot be read is said before anything is loaded
    broken: list[UserError] = []
    texts = chain(text or [], first, _until_broken(rows, broken))
    out, answered, failed = stdout(), 0, 0
    for result in load(*apps, backbone=backbone).stream(texts):
        if strict and "error" in result:
            raise UserError(result["error"])
        failed += "error" in result
        answered += "error" not in result
        if format == "pretty" or (format == "auto" and out.is_terminal):
            out.print(pretty(result))
        else:
            print(json.dumps(result, ensure_ascii=False))
    notes.log()
    if failed:
        of_all = f"{failed:,} of {failed + answered:,} texts"
        logger.warning("%s could not be answered: see their 'error'", of_all)
    if broken:
        raise broken[0]


def _until_broken(rows: Iterator[_T], broken: list[UserError]) -> Iterator[_T]:
    """The rows up to one after which the file cannot be read, so that they are answered first."""
    try:
        yield from rows
    except UserError as error:
        broken.append(error)
