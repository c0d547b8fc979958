"""``onetrunk predict``"""

import logging
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from onetrunk.cli.options import Device, TextColumn
from onetrunk.errors import UserError, nearest

logger = logging.getLogger(__name__)
FORMATS = ("auto", "jsonl", "pretty")
STDIN = "-"


def predict(
    apps: Annotated[
        list[str],
        typer.Argument(
            metavar="APP... [TEXT...]",
            help="App folders; or one bundle, and then texts. - stands for standard input.",
        ),
    ],
    text: Annotated[
        list[str] | None, typer.Option(help="A text to read; may be given several times.")
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Texts: a file (Parquet, JSONL, CSV, or .txt with one a line), a folder, or -."
        ),
    ] = None,
    text_column: TextColumn = None,
    app: Annotated[
        list[str] | None,
        typer.Option(help="Of a bundle, this app alone; may be given several times."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a .csv, .xlsx, .parquet or .jsonl file; or a folder, with one for each."
        ),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the first app names.")
    ] = None,
    device: Device = "cpu",
    format: Annotated[
        str, typer.Option(help="What is printed: jsonl, pretty, or auto: pretty on a terminal.")
    ] = "auto",
    json_lines: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first text that cannot be answered.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace OUT; answers in a folder are deleted first."),
    ] = False,
) -> None:
    """Answer texts: any number of apps in one pass (stage 3).

    Prints one JSON object a text: entities with character offsets, labels with probabilities, and
    all columns of its row. Long texts are read in overlapping windows. A text that cannot be
    answered, such as a line that is not JSON, has an "error" instead; a note counts them, and the
    exit code is 0.

    A bundle runs alone, so what follows it is a text. Standard input has one text a line, or JSON
    Lines if its first line is a JSON object.

    [bold]--out[/] with a folder writes each file beside its place and then renames it. The same
    command goes on after a kill, and skips the files that are done. CSV and Parquet have a column
    for each app; [bold]docs/answers.md[/] lists them.

    Example: [cyan]onetrunk predict apps/calendar apps/spam --text "lunch with Ann on Friday"[/]

    Example: [cyan]onetrunk predict phone --input messages/ --out answers/[/]
    """
    from onetrunk.bulk.columns import json_row
    from onetrunk.bulk.run import Folder, Run, check_apart, check_out
    from onetrunk.cli.bars import watched
    from onetrunk.cli.console import console, stdout, wrote
    from onetrunk.cli.pretty import pretty
    from onetrunk.data.findings import Findings
    from onetrunk.data.formats.text import suffix_of
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import open_texts
    from onetrunk.data.splits import SUFFIXES
    from onetrunk.data.strict_json import json_text
    from onetrunk.hub import fetched
    from onetrunk.opening import check_folders, load
    from onetrunk.progress import silent

    if format not in FORMATS:
        raise UserError(f"--format {format!r} is unknown; {nearest(format, FORMATS)}")
    folders, given = _folders_and_texts(apps)
    for argument in text or []:
        if suffix_of(Path(argument)) in SUFFIXES and os.path.isfile(argument):
            raise UserError(f"--text {argument} is a file: write --input {argument} to read it")
    given = [_in_utf8(argument) for argument in (*(text or []), *given)]
    if STDIN in apps:
        if input is not None and str(input) != STDIN:
            raise UserError(f"- and --input {input}: name one of them")
        input = Path(STDIN)
    for named in folders:
        if " " in str(named) and not os.path.exists(named):
            why = "a text for app folders is given by --text; only after a bundle it needs none"
            raise UserError(f"no such folder: {named}; {why}")
    folders = [fetched(folder) for folder in folders]
    names = [*dict.fromkeys(app)] if app else None
    check_folders(folders, backbone, device, names)
    if not given and input is None:
        raise UserError("nothing to read: pass --text or --input")
    notes = Notes()
    # A file that cannot be read is said before anything is loaded.
    sources = open_texts(given, Notes()) if given else []
    sources += [] if input is None else open_texts(input, notes, text_column=text_column)
    folder = None
    if out is not None:
        check_apart(out, sources)
    if out is not None and check_out(out, overwrite):
        folder = Folder.open(out, sources, folders, overwrite, names)
        sources = folder.pending
    printed = stdout()
    shows_bar = console.is_terminal and (out is not None or not printed.is_terminal)
    counts = [texts.count for texts in sources] if shows_bar else [None]
    total = None if None in counts else sum(count or 0 for count in counts)
    model = load(*folders, backbone=backbone, device=device, apps=names)
    with watched("predict") if shows_bar else nullcontext(silent) as progress:
        run = Run(model, Findings(notes), progress, total, strict)
        try:
            if folder is not None:
                folder.write(run)
            elif out is not None:
                run.write(sources, out)
            else:
                is_pretty = not json_lines and (
                    format == "pretty" or (format == "auto" and printed.is_terminal)
                )
                for texts in sources:
                    for block, results in run.results(texts):
                        for row, result in zip(block.rows, results, strict=True):
                            if is_pretty:
                                printed.print(pretty(result))
                            else:
                                whole = json_row(row, result, texts.name)
                                place = f"row {run.answered + run.failed:,}"
                                print(json_text(whole, notes, place))
                        sys.stdout.flush()
        finally:
            notes.log()
            if run.failed:
                of_all = f"{run.failed:,} of {run.failed + run.answered:,} texts"
                logger.warning("%s could not be answered: see their 'error'", of_all)
    if out is not None:
        wrote(f"{out}  {run.answered + run.failed:,} rows")
    elif not run.answered + run.failed:
        raise UserError(f"{input} has no rows")


def _in_utf8(argument: str) -> str:
    """An argument as it was typed, if Python could not decode it by the locale."""
    try:
        argument.encode()
        return argument
    except UnicodeEncodeError:
        pass
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        raise UserError(f"the text {argument!a:.60} is not UTF-8") from None


def _folders_and_texts(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """The folders among the arguments, and the texts after a bundle, which runs alone."""
    from onetrunk.bundle.layout import MANIFEST
    from onetrunk.kinds import KINDS, kind_of

    names = [name for name in arguments if name != STDIN]
    if not names:
        raise UserError("no apps: pass app folders, or a bundle")
    bundle, *texts = names
    is_bundle = kind_of(Path(bundle)) == KINDS[MANIFEST] and not any(map(os.path.isdir, texts))
    for text in texts if is_bundle else names:
        if os.path.isfile(text):
            raise UserError(f"{text} is a file: write --input {text} to read it")
    return ([Path(bundle)], texts) if is_bundle else ([*map(Path, names)], [])
