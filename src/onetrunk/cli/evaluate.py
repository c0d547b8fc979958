"""``onetrunk evaluate``"""

import json
from pathlib import Path
from typing import Annotated

import typer

from onetrunk.cli.options import LabelColumn, TextColumn
from onetrunk.errors import UserError


def evaluate(
    app: Annotated[Path, typer.Argument(metavar="APP", help="App folder, or a bundle.")],
    data: Annotated[Path, typer.Option(help="Labelled rows: CSV, Excel, JSONL, Parquet or CoNLL.")],
    name: Annotated[
        str | None, typer.Option("--app", help="The app of a bundle, if it holds several.")
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the app names.")
    ] = None,
) -> None:
    """Score an app on labelled rows, in percent; prints one JSON object.

    Entities count only if their characters and their type are right (micro-averaged).
    Labels give accuracy, macro and micro F1; ratings correlations and the mean error. Long texts
    are read in overlapping windows.

    Example: [cyan]onetrunk evaluate apps/calendar --data test.parquet[/]

    Example: [cyan]onetrunk evaluate phone --app calendar --data test.parquet[/]
    """
    from onetrunk.apps.load import load_apps_and_backbone
    from onetrunk.bundle.evaluation import evaluate_bundle
    from onetrunk.bundle.layout import MANIFEST

    if (app / MANIFEST).exists():
        if backbone is not None:
            raise UserError(f"{app} is a bundle: it runs on its own backbone")
        name, evaluation = evaluate_bundle(app, data, name, text_column, label_column)
    else:
        if name is not None:
            raise UserError(f"{app} is an app folder; --app is for bundles")
        _, apps = load_apps_and_backbone([app], backbone)
        ((name, loaded),) = apps.items()
        evaluation = loaded.evaluate(data, text_column, label_column)
    rounded = {key: round(value, 2) for key, value in evaluation.scores.items()}
    print(json.dumps({"app": name, "rows": evaluation.rows, **rounded}))
