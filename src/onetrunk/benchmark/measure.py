"""The work behind cells: fit apps on one backbone and task, score them in one pass."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from onetrunk.adaptation.draws import draw_rows
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.task import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.benchmark.cells import Cell, CellId
from onetrunk.benchmark.outcomes import outcomes_of
from onetrunk.benchmark.suite import BenchmarkTask, DrawnRows
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError, nearest
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.precision import Precision

LIBRARIES = ("onetrunk", "torch", "transformers", "tokenizers", "numpy")
# Every app with a LoRA is one more group of rows in the pass: a bound on its memory.
PASS_APPS = 16


@dataclass(frozen=True)
class Rows:
    """A task, read."""

    task: BenchmarkTask
    family: Family[Any, Any]
    labels: list[str]
    train: list[Any]
    test: list[Any]
    where: str


@dataclass(frozen=True)
class Wanted:
    """How the app of a cell is made."""

    draw: DrawnRows
    settings: AdaptSettings
    discard_primary: bool


def read_task(task: BenchmarkTask, notes: Notes | None = None) -> Rows:
    """Read both splits of a task.

    Raises :class:`UserError` for what the reader or the family refuses, or a label in test that
    never occurs in train.
    """
    family, splits = family_named(task.family), task.located()
    train, test = (family.read(splits[split], notes) for split in ("train", "test"))
    for split, rows in (("train", train), ("test", test)):
        family.check_rows(rows, str(splits[split]))
    labels = family.label_set(train)
    family.check_labels(test, labels, str(splits["test"]))
    return Rows(task, family, labels, train, test, str(splits["train"]))


def measure(
    backbone: Backbone,
    rows: Rows,
    wanted: Mapping[CellId, Wanted],
    note: Callable[[str], None] = lambda what: None,
) -> Iterator[Cell]:
    """The cells that are wanted of one backbone and task; their settings and hashes are empty.

    Apps are fitted one after the other and scored together, so that the trunk runs once over the
    test set; cells are yielded when their pass is done. ``note`` is told what is going on.
    """
    every = list(wanted)
    for first in range(0, len(every), PASS_APPS):
        ids, apps = every[first : first + PASS_APPS], {}
        for id in ids:
            note(f"{id.strategy} {id.task}: {id.draw}, {id.adapter}")
            apps[id] = _fit(backbone, rows, wanted[id])
        note(f"{ids[0].strategy} {rows.task.name}: test, {len(rows.test)} rows")
        yield from _score(backbone, rows, apps, wanted[ids[0]].settings.precision)


def _fit(backbone: Backbone, rows: Rows, wanted: Wanted) -> App:
    draw = wanted.draw.of(len(rows.train))
    drawn = draw_rows(rows.train, rows.family, draw, wanted.settings.seed, "")
    data = Data(rows.labels, [rows.train[row] for row in drawn])
    if wanted.discard_primary:
        backbone = replace(backbone, primary_loras={})
    try:
        return fit(backbone, rows.family, data, wanted.settings)
    except UserError as error:
        raise UserError(f"{rows.where}, {wanted.draw.name}: {error}") from None


def _score(
    backbone: Backbone, rows: Rows, apps: Mapping[CellId, App], precision: Precision
) -> Iterator[Cell]:
    names = {id: str(at) for at, id in enumerate(apps)}
    start = time.perf_counter()
    engine = Engine(backbone, {names[id]: app for id, app in apps.items()}, precision)
    predictions = engine.predict_all(list(names.values()), rows.test)
    seconds = round(time.perf_counter() - start, 3)
    for id, app in apps.items():
        found = predictions[names[id]]
        scores = rows.family.score(rows.test, found)
        if rows.task.score not in scores:
            hint = nearest(rows.task.score, scores)
            raise UserError(f"task {rows.task.name!r}: unknown metric {rows.task.score!r}; {hint}")
        yield Cell(
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
            versions={
                "python": platform.python_version(),
                **{name: version(name) for name in LIBRARIES},
            },
            outcomes=outcomes_of(rows.family, rows.test, found, app.labels),
        )


def _bytes(app: App) -> int:
    lora = app.adapter.matrices.values() if app.adapter else ()
    tensors = [*app.head.parameters(), *(tensor for pair in lora for tensor in pair)]
    arrays = app.neighbours.arrays().values() if app.neighbours is not None else ()
    return sum(tensor.nbytes for tensor in (*tensors, *arrays))
