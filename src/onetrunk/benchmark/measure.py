"""Making cells: read a task, draw rows, fit apps on a backbone, score them in one pass."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onetrunk.adaptation.draws import draw_rows
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.benchmark.cells import Cell, CellId
from onetrunk.benchmark.outcomes import outcomes_of
from onetrunk.benchmark.suite import BenchmarkTask, DrawnRows
from onetrunk.benchmark.versions import versions
from onetrunk.data.notes import Notes
from onetrunk.data.rows import numbered
from onetrunk.errors import UserError, nearest
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.precision import Precision
from onetrunk.progress import Progress, silent

PASS_APPS = 16
"""Most apps in one pass over a test set: every app with a LoRA adds to its memory."""


@dataclass(frozen=True)
class TaskRows:
    """The rows of a task, and the labels of its whole training file."""

    task: BenchmarkTask
    family: Family[Any, Any]
    labels: list[str]
    train: list[Any]
    test: list[Any]
    place: str
    """Where the training rows come from, for messages."""


@dataclass(frozen=True)
class AppPlan:
    """How the app of a cell is made."""

    draw: DrawnRows
    settings: AdaptSettings
    discard_primary: bool = False


def read_task(task: BenchmarkTask, notes: Notes | None = None) -> TaskRows:
    """Read both splits of a task.

    Raises :class:`UserError` for rows that the reader or the family refuses, and for a label in
    test that never occurs in train.
    """
    family, splits = family_named(task.family), task.located()
    train, test = (family.read(splits[split], notes) for split in ("train", "test"))
    for split, rows in (("train", train), ("test", test)):
        family.check_rows(rows, numbered(str(splits[split])))
    labels = family.label_set(train)
    family.check_labels(test, labels, numbered(str(splits["test"])))
    return TaskRows(task, family, labels, train, test, str(splits["train"]))


def draw_data(rows: TaskRows, draw: DrawnRows, seed: int) -> Data:
    """The labelled rows of one draw, with the labels of the whole training file."""
    ids = draw_rows(rows.train, rows.family, draw.of(len(rows.train)), seed, "")
    return Data(rows.labels, [rows.train[row] for row in ids])


def measure(
    backbone: Backbone,
    rows: TaskRows,
    plans: Mapping[CellId, AppPlan],
    progress: Progress = silent,
) -> Iterator[list[Cell]]:
    """Make the cells of one backbone and task; their settings and hashes are left empty.

    Apps are fitted one after the other. Up to :data:`PASS_APPS` of them are scored together, so
    that the trunk runs over the test set once; the cells of each such pass are yielded.
    """
    ids = list(plans)
    for first in range(0, len(ids), PASS_APPS):
        apps = {}
        for at, id in enumerate(ids[first : first + PASS_APPS], first):
            progress(f"{id.strategy} {id.task}: {id.draw}, {id.adapter}", at, len(ids))
            apps[id] = _fit(backbone, rows, plans[id])
        test = f"{ids[first].strategy} {rows.task.name}: test, {len(rows.test)} rows"
        progress(test, first + len(apps), len(ids))
        yield _score(backbone, rows, apps, plans[ids[first]].settings.precision)


def _fit(backbone: Backbone, rows: TaskRows, plan: AppPlan) -> App:
    if plan.discard_primary:
        backbone = replace(backbone, primary_loras={})
    data = draw_data(rows, plan.draw, plan.settings.seed)
    try:
        return fit(backbone, rows.family, data, plan.settings)
    except UserError as error:
        raise UserError(f"{rows.place}, {plan.draw.name}: {error}") from None


def _score(
    backbone: Backbone, rows: TaskRows, apps: Mapping[CellId, App], precision: Precision
) -> list[Cell]:
    names = {id: str(at) for at, id in enumerate(apps)}
    start = time.perf_counter()
    engine = Engine(backbone, {names[id]: app for id, app in apps.items()}, precision)
    # Strategies are compared by what they answer to every row, even to an empty text.
    predictions_of = engine.predict_all(list(names.values()), rows.test, abstaining=False)
    seconds = round(time.perf_counter() - start, 3)
    cells = []
    for id, app in apps.items():
        predictions = predictions_of[names[id]]
        scores = rows.family.score(rows.test, predictions)
        if rows.task.score not in scores:
            hint = nearest(rows.task.score, scores)
            raise UserError(f"task {rows.task.name!r}: unknown metric {rows.task.score!r}; {hint}")
        cell = Cell(
            id=id,
            family=rows.family.name,
            scores=scores,
            train_rows=app.record["train_rows"],
            test_rows=len(rows.test),
            fit_seconds=app.record["seconds"],
            test_seconds=seconds,
            test_apps=len(apps),
            trainable_parameters=app.record["trainable_parameters"],
            adapter_bytes=_bytes(app),
            precision=engine.precision,
            settings={},
            hashes={},
            versions=versions(),
            outcomes=outcomes_of(rows.family, rows.test, predictions, app.labels),
        )
        cells.append(cell)
    return cells


def _bytes(app: App) -> int:
    lora = app.adapter.matrices.values() if app.adapter else ()
    tensors = [*app.head.parameters(), *(tensor for pair in lora for tensor in pair)]
    arrays = app.neighbours.arrays().values() if app.neighbours is not None else ()
    return sum(tensor.nbytes for tensor in (*tensors, *arrays))
