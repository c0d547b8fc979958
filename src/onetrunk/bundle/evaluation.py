"""How good an app of a bundle is on labelled rows, as the device will answer them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onetrunk.apps.evaluation import Evaluation, evaluation_of
from onetrunk.apps.reading import Source, address_of, read_labelled
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.notes import Notes
from onetrunk.data.sources import Columns
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
    runtime = Runtime(folder, [name])
    bundled, notes = runtime.apps[name], Notes()
    kind = family(bundled.family)
    columns = Columns.named(text_column, label_column)
    rows, place = read_labelled(kind, data, "test", notes, bundled.labels, columns, strict_labels)
    notes.log()
    predictions = runtime.predict_examples(name, rows)
    evaluation = evaluation_of(kind, bundled.labels, rows, predictions, temperature, place)
    return name, replace(evaluation, app=name, data=address_of(data))
