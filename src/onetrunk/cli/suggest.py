"""``onetrunk suggest``"""

from pathlib import Path
from typing import Annotated

import typer

from onetrunk.cli.options import Device, TextColumn
from onetrunk.errors import UserError, nearest


def suggest(
    app: Annotated[Path, typer.Argument(metavar="APP", help="App folder.")],
    input: Annotated[Path, typer.Option(help="Texts without labels: a file or a folder.")],
    out: Annotated[Path, typer.Option(help="A .json or .jsonl file for an annotation tool.")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many texts.")] = 50,
    tool: Annotated[
        str, typer.Option("--for", help="label-studio (.json), doccano or prodigy (.jsonl).")
    ] = "label-studio",
    text_column: TextColumn = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the app names.")
    ] = None,
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Choose the texts to label next: those that the app is unsure about, and that differ.

    They are written with the app's answers, for people to correct in Label Studio, Doccano or
    Prodigy, in the order in which to label them. Other columns are kept. Train again on what comes
    back ([bold]adapt[/] reads the exports of these tools), and go on.

    Example: [cyan]onetrunk suggest apps/calendar --input mails.csv -n 40 --out next.json[/]
    """
    from onetrunk.apps.preannotations import TOOLS, write_tasks
    from onetrunk.apps.record import check_apps
    from onetrunk.bulk.run import check_apart
    from onetrunk.cli.bars import watched
    from onetrunk.cli.console import wrote
    from onetrunk.data.findings import Findings
    from onetrunk.data.notes import logged
    from onetrunk.data.sources import open_texts
    from onetrunk.hub import fetched
    from onetrunk.storage import already_exists

    if tool not in TOOLS:
        raise UserError(f"--for {tool!r} is unknown; {nearest(tool, TOOLS)}")
    is_array = tool == "label-studio"
    ending = ".json" if is_array else ".jsonl"
    if out.suffix != ending:
        other = (
            "--for doccano and --for prodigy write .jsonl"
            if is_array
            else "--for label-studio writes .json"
        )
        raise UserError(f"{out}: a file for {tool} ends in {ending}; {other}")
    if out.exists() and not overwrite:
        raise already_exists(out)
    app = fetched(app)
    backbone = check_apps([app], backbone, device)
    texts, others = [], []
    with logged() as notes:
        sources = open_texts(input, notes, text_column=text_column)
        check_apart(out, sources)
        for source in sources:
            for block in source.blocks(Findings(notes)):
                for text, row in zip(block.texts, block.rows, strict=True):
                    if isinstance(text, UserError):
                        notes.add("texts that cannot be read, left out", str(text))
                        text = ""
                    texts.append(text)
                    others.append({key: value for key, value in row.items() if key != "text"})

    from onetrunk.apps.engine import Engine
    from onetrunk.apps.load import load_apps_and_backbone
    from onetrunk.apps.suggest import suggest as suggested

    loaded, apps = load_apps_and_backbone([app], backbone, device)
    ((name, _),) = apps.items()
    with watched("suggest") as progress:
        chosen = suggested(Engine(loaded, apps), name, texts, rows, progress)
    if not chosen:
        raise UserError(f"{input} has no texts to label")
    tasks = [
        TOOLS[tool](one.text, one.answer, others[one.row - 1], one.certainty) for one in chosen
    ]
    with logged() as changed:
        write_tasks(tasks, out, changed)
    wrote(f"{out}  {len(tasks):,} of {len(texts):,} texts for {tool}")
