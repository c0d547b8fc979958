"""``onetrunk evaluate``"""

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    app: Annotated[Path, typer.Argument(metavar="APP", help="App folder.")],
    data: Annotated[Path, typer.Option(help="Labelled rows: CSV, Excel, JSONL, Parquet or CoNLL.")],
    text_column: Annotated[
        str | None, typer.Option(help="The column of texts. Default: found by its name.")
    ] = None,
    label_column: Annotated[
        list[str] | None,
        typer.Option(help="The column of labels. For ner it may be repeated: one for each type."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the app names.")
    ] = None,
) -> None:
    """Score an app on labelled rows, in percent; prints one JSON object.

    Entities count only if every word and the type are right (strict IOB2, micro-averaged).
    Labels give accuracy, macro and micro F1; ratings correlations and the mean error. Long texts
    are read in overlapping windows.

    Example: [cyan]onetrunk evaluate apps/calendar --data test.parquet[/]
    """
    from onetrunk.apps.load import load_apps_and_backbone

    _, apps = load_apps_and_backbone([app], backbone)
    ((name, loaded),) = apps.items()
    evaluation = loaded.evaluate(data, text_column, label_column)
    rounded = {key: round(value, 2) for key, value in evaluation.scores.items()}
    print(json.dumps({"app": name, "rows": evaluation.rows, **rounded}))
