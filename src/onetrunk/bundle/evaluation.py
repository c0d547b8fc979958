"""How good an app of a bundle is on labelled rows, as the device will answer them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onetrunk.apps.evaluation import Evaluation, evaluation_of
from onetrunk.apps.reading import Source, address_of, read_labelled
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.notes import logged
from onetrunk.data.sources import USUAL, Columns
from onetrunk.families import family


def evaluate_bundle(
    folder: str | Path,
    data: Source,
    app: str | None = None,
    text_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    strict_labels: bool = False,
    temperature: bool = False,
) -> tuple[str, Evaluation]:
    """Score one app of a bundle (the only one, if ``app`` is None) on labelled rows; of a folder,
    on its test split, as :meth:`App.evaluate` does. Return the app's name and the scores.

    Raises :class:`UserError` for an unknown app, and for rows that cannot be read or used.
    """
    name = Bundle(folder).only_app(app)
    columns = Columns.named(text_column, label_column)
    runtime = Runtime(folder, [name])
    return name, evaluate(runtime, name, data, columns, strict_labels, temperature)


def evaluate(
    runtime: Runtime,
    name: str,
    data: Source,
    columns: Columns = USUAL,
    strict_labels: bool = False,
    temperature: bool = False,
) -> Evaluation:
    """:func:`evaluate_bundle` for an app of a runtime."""
    app = runtime.app(name)
    kind = family(app.family)
    with logged() as notes:
        rows, place = read_labelled(kind, data, "test", notes, app.labels, columns, strict_labels)
    predictions = runtime.predict_examples(name, rows)
    evaluation = evaluation_of(kind, app.labels, rows, predictions, temperature, place)
    return replace(evaluation, app=name, data=address_of(data))
