"""``onetrunk evaluate``"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onetrunk import kinds
from onetrunk.cli.options import Device, LabelColumn, TextColumn
from onetrunk.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from onetrunk.adaptation.curve import CurvePoint
    from onetrunk.apps.app import App
    from onetrunk.apps.evaluation import Evaluation
    from onetrunk.data.sources import Columns

CURVE = "curve.png"


def evaluate(
    app: Annotated[Path, typer.Argument(metavar="APP", help="App folder, or a bundle.")],
    data: Annotated[Path, typer.Option(help="Labelled rows: CSV, Excel, JSONL, Parquet or CoNLL.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for a page to read, and all rows as JSON.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--app", help="The app of a bundle, if it holds several.")
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the app names.")
    ] = None,
    device: Device = "cpu",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on a terminal, too.")
    ] = False,
    strict_labels: Annotated[
        bool, typer.Option("--strict-labels", help="Refuse labels that training never had.")
    ] = False,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Fit a temperature to the probabilities.")
    ] = False,
    curve: Annotated[
        Path | None,
        typer.Option(metavar="TRAIN", help="Training rows: show what more of them are worth."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Score an app on labelled rows.

    Scores are in percent; the mean error of ratings (mae) is in the ratings' own unit. A terminal
    shows a table, anything else gets one JSON object. --out writes a page with each label's scores,
    confusions, calibration and the wrong rows.

    --curve trains apps of the same kind on an eighth, a quarter, a half and all of some training
    rows, and scores each: so you see whether more rows would help.

    Entities count only if their characters and their type are right (micro-averaged).
    Labels give accuracy, macro and micro F1; ratings correlations and the mean error. Long texts
    are read in overlapping windows.

    Example: [cyan]onetrunk evaluate apps/calendar --data test.parquet --out report[/]

    Example: [cyan]onetrunk evaluate phone --app calendar --data test.parquet[/]
    """
    from onetrunk.apps.record import family_of, read_record
    from onetrunk.bundle.layout import Bundle
    from onetrunk.cli.console import stdout, wrote
    from onetrunk.cli.early import look, need_torch
    from onetrunk.data.sources import Columns
    from onetrunk.hub import fetched
    from onetrunk.opening import check_folders
    from onetrunk.storage import atomic_folder, refuse_existing

    columns = Columns.named(text_column, label_column)
    if out is not None:
        refuse_existing(out, overwrite, kinds.EVALUATION)
    how = (text_column, label_column, strict_labels, temperature)
    app = fetched(app)
    if check_folders([app], backbone, device):
        if curve is not None:
            raise UserError(f"{app} is a bundle: --curve trains apps, so name an app folder")
        points = []
        bundle = Bundle(app)
        name = bundle.only_app(name)
        look(bundle.app(name).family, {"test": data}, columns)

        from onetrunk.bundle.evaluation import evaluate_bundle

        name, evaluation = evaluate_bundle(app, data, name, *how)
    else:
        if name is not None:
            raise UserError(f"{app} is an app folder; --app is for bundles")
        need_torch()
        look(family_of(read_record(app)), {"test": data}, columns)

        from onetrunk.apps.load import load_apps_and_backbone

        _, apps = load_apps_and_backbone([app], backbone, device)
        ((name, loaded),) = apps.items()
        evaluation = replace(loaded.evaluate(data, *how), app=name)
        points = [] if curve is None else _curve(loaded, curve, data, columns)
    console = stdout()
    if as_json or not console.is_terminal:
        rounded: dict[str, Any] = {key: round(value, 2) for key, value in evaluation.scores.items()}
        if evaluation.intervals:
            rounded["intervals"] = {
                key: [round(bound, 2) for bound in interval]
                for key, interval in evaluation.intervals.items()
            }
        fitted = _fitted(evaluation) if temperature else {}
        drawn = {"curve": [point.as_json() for point in points]} if points else {}
        print(json.dumps({"app": name, "rows": evaluation.rows, **rounded, **fitted, **drawn}))
    else:
        console.print(_table(name, evaluation))
        if temperature:
            console.print(_fitted_in_words(evaluation))
    if points:
        _print_curve(points, evaluation.metric)
    if out is not None:
        with atomic_folder(out, overwrite, kinds.EVALUATION) as partial:
            drawing = None
            if points:
                from onetrunk.adaptation.curve import finding, plot_curve
                from onetrunk.apps.evaluation_page import Curve

                plot_curve(points, evaluation.metric, partial / CURVE)
                said = finding(points, evaluation.metric)
                drawing = Curve((partial / CURVE).read_bytes(), said)
            evaluation.write(partial, drawing)
        wrote(out / "index.html")


def _curve(app: "App", train: Path, data: Path, columns: "Columns") -> "list[CurvePoint]":
    from onetrunk.adaptation.curve import learning_curve
    from onetrunk.adaptation.settings import AdaptSettings
    from onetrunk.apps.reading import read_labelled
    from onetrunk.cli.bars import watched
    from onetrunk.data.notes import Notes

    assert app.backbone is not None  # it was loaded with the app
    rows, _ = read_labelled(app.family, train, "train", Notes(), columns=columns)
    test_rows, _ = read_labelled(
        app.family, data, "test", Notes(), app.labels, columns, strict_labels=False
    )
    settings = AdaptSettings(adapter=app.kind)
    with watched("curve") as progress:
        return learning_curve(app.backbone, app.family, rows, test_rows, settings, progress)


def _print_curve(points: "list[CurvePoint]", metric: str) -> None:
    from onetrunk.adaptation.curve import finding
    from onetrunk.cli.console import console

    for point in points:
        spread = f" ({point.low:.1f} to {point.high:.1f})" if point.low < point.high else ""
        console.print(f"  {point.rows:>7,} rows  {metric} {point.mean:.1f}{spread}")
    console.print(f"  {finding(points, metric)}")


def _fitted(evaluation: "Evaluation") -> dict[str, Any]:
    """Calibration as the JSON object has it."""
    calibration = evaluation.calibration
    if calibration is None:
        return {"temperature": None}
    numbers = {
        "ece": calibration.ece,
        "temperature": calibration.temperature,
        "ece_at_temperature": calibration.ece_at_temperature,
    }
    return {key: number and round(number, 2) for key, number in numbers.items()}


def _fitted_in_words(evaluation: "Evaluation") -> str:
    """Calibration as a terminal shows it."""
    from onetrunk.apps.calibration import NO_PROBABILITIES

    calibration = evaluation.calibration
    if calibration is None:
        return f"no temperature was fitted: {NO_PROBABILITIES}"
    error = f"calibration error {calibration.ece:.1f} %"
    temperature, after = calibration.temperature, calibration.ece_at_temperature
    if temperature is None or after is None:
        return f"{error}; no temperature was fitted: {calibration.no_temperature}"
    return f"{error}; with logits divided by a temperature of {temperature:.2f}, {after:.1f} %"


def _table(name: str, evaluation: "Evaluation") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from onetrunk.apps.label_scores import in_brackets

    scores = "  ".join(map(evaluation.shown, evaluation.scores))
    rows = f"{evaluation.rows:,} rows"
    table = Table(
        title=Text(f"{name}: {scores}"),
        caption=Text(
            f"{len(evaluation.errors):,} of {rows} have a mistake. In brackets: 95 % intervals."
            if evaluation.per_label
            else rows
        ),
    )
    table.add_column("label", overflow="fold")
    for column in ("precision", "recall", "F1", "entities" if evaluation.entities else "rows"):
        table.add_column(column, justify="right")
    for label, one in evaluation.per_label.items():
        spread = in_brackets(one.f1_interval)
        cells = (f"{one.precision:.1f}", f"{one.recall:.1f}", f"{one.f1:.1f}{spread}")
        shown = cells if one.support else ("–", "–", "–")
        table.add_row(Text(label), *map(Text, shown), f"{one.support:,}")
    return table
