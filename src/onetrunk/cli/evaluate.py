"""``onetrunk evaluate``"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    app: Annotated[Path, typer.Argument(metavar="APP", help="App folder.")],
    data: Annotated[Path, typer.Option(help="Labelled rows: Parquet, JSONL, CoNLL or CSV.")],
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the app names.")
    ] = None,
) -> None:
    """Score an app on labelled rows, in percent; prints one JSON object.

    Entities count only if every word and the type are right (strict IOB2, micro-averaged); words
    that a length limit cut off count as missed, and [bold]truncated[/] says how many texts were
    cut. Classification gives accuracy, macro and micro F1.

    Example: [cyan]onetrunk evaluate apps/calendar --data test.parquet[/]
    """
    from onetrunk.cli.running import load_engine

    engine = load_engine([app], backbone)
    (name,) = engine.apps
    rows = engine.apps[name].family.read(data)
    scores = engine.score(name, rows, str(data))
    counts = {"rows": len(rows), "truncated": engine.truncated(name, rows)}
    print(
        json.dumps(
            {"app": name, **counts} | {key: round(value, 2) for key, value in scores.items()}
        )
    )
