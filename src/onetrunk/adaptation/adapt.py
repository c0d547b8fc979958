"""``onetrunk.adapt``: from labelled rows to an app. Read, check, draw, train, score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.adaptation.abstention import Abstention
from onetrunk.adaptation.auto import choose_adapter
from onetrunk.adaptation.distill import deep_teacher, taught
from onetrunk.adaptation.draws import Draw, draw_rows
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.linear_app import note_shorter
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.apps.evaluation import evaluation_of
from onetrunk.apps.load import load_apps_and_backbone
from onetrunk.apps.reading import Source, hash_of_texts, read_labelled, source_name
from onetrunk.apps.record import LEARNT
from onetrunk.apps.subset import Subset
from onetrunk.data.locate import locate, located
from onetrunk.data.notes import Notes, logged
from onetrunk.data.oddities import note_labels
from onetrunk.data.rows import Place, numbered
from onetrunk.data.sources import USUAL, Columns, read_texts
from onetrunk.errors import UserError, nearest
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.progress import Progress, silent


def adapt(
    backbone: Backbone | str | Path,
    family: str,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    *,
    unlabelled: Source | None = None,
    teacher: str | Path | None = None,
    auto_seconds: float | None = None,
    text_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    progress: Progress = silent,
    **options: Any,
) -> App:
    """Train an app on a frozen backbone, in seconds (stage 2).

    ``backbone`` is a backbone, its folder, or a bare encoder (folder, hub name, ``package:NAME``).
    ``family`` is ``ner``, ``nested-ner``, ``tc`` (one label a text), ``multi-label``, ``rating`` or
    that of a plug-in. ``train``, ``validation`` and ``test`` are each a file, a folder that holds
    the split of that name, a list of rows, or a pandas, pyarrow or datasets table.

    ``text_column`` and ``label_column`` name the columns of these tables, if the names do not say
    what they hold. For ``ner``, several label columns may be given: a column for each type of
    entity, with the strings that occur in the text. For ``multi-label`` there may be one for each
    label, with 0 and 1 in it.

    Validation rows stop the training early and choose thresholds; scores on the test rows are kept
    in ``app.record["test"]``. ``unlabelled`` are more texts, on which the app learns the answers of
    ``teacher``: an app folder, or by default an app with a LoRA on every layer that is trained
    first. With ``auto_seconds`` a linear app and one with a LoRA are tried for that long, and the
    better one is chosen.

    ``options`` are those of :class:`~onetrunk.adaptation.settings.AdaptSettings` (``adapter``,
    ``k``, ``epochs``, ``seed``, ...), and of :class:`~onetrunk.adaptation.draws.Draw` to train on
    some of the rows (``rows``, ``fraction``, ``shots`` or ``subset``). Two are those of
    :class:`~onetrunk.adaptation.abstention.Abstention`: ``none_below=0.7`` gives no answer that is
    less probable, and ``wanted_precision=95`` chooses that threshold on the validation rows, so
    that 95 % of the answers given are right.

    Raises :class:`UserError` for an unknown option, for rows that cannot be read or used, if there
    is nothing to learn, and if no threshold reaches the wanted precision. What reading changed or
    found odd is logged as warnings.

    ```python
    import onetrunk

    app = onetrunk.adapt(
        "runs/tpl", "ner", train="train.conll", validation="dev.conll", epochs=4, k=2
    )
    app.save("apps/fast")
    ```
    """
    kind = family_named(family)
    settings, draw, abstention = split_options(options)
    if auto_seconds is not None and (unlabelled is not None or teacher is not None):
        raise UserError("auto judges by labels, not by a teacher: leave one out")
    if auto_seconds is not None and "adapter" in options:
        raise UserError(
            f"auto chooses the adapter, and adapter {settings.adapter!r} gives it: leave one out"
        )
    if teacher is not None and unlabelled is None:
        raise UserError("teacher needs texts to answer: pass some as unlabelled")
    columns = Columns.named(text_column, label_column)
    test_rows: list[Any] = []
    test_at = numbered("")
    with logged() as notes:
        data, subset = read_data(kind, train, validation, draw, settings.seed, notes, columns)
        abstention.check(kind, bool(data.validation))
        if test is not None:
            test_rows, test_at = read_labelled(kind, test, "test", notes, data.labels, columns)
            _note_shared(kind, data.train, "test", test_rows, test_at, notes)
        if unlabelled is not None:
            data.unlabelled = read_unlabelled(kind, unlabelled, notes, text_column)
        backbone = backbone if isinstance(backbone, Backbone) else Backbone.load(backbone)
        loaded_teacher = None if teacher is None else _load_teacher(teacher, kind)
    app = train_app(
        backbone, kind, data, settings, loaded_teacher, auto_seconds, progress, judged=True
    )
    abstention.apply(app, backbone, data.validation)
    if unlabelled is not None:
        app.record["teacher"] = str(teacher or "a LoRA on every layer")
    app.subset = subset
    app.record[LEARNT] = hash_of_texts(kind, data.train)
    if test is not None:
        engine = Engine(backbone, {"app": app})
        predictions = engine.predict_examples("app", test_rows, test_at)
        tested = evaluation_of(kind, app.labels, test_rows, predictions)
        app.record["test"] = {
            "rows": len(test_rows),
            **{name: round(value, 2) for name, value in tested.scores.items()},
        }
        app.record["test_intervals"] = {
            name: [round(bound, 2) for bound in interval]
            for name, interval in tested.intervals.items()
        }
    return app


def train_app(
    backbone: Backbone,
    family: Family[Any, Any],
    data: Data,
    settings: AdaptSettings,
    teacher: tuple[Backbone, App] | None = None,
    auto_seconds: float | None = None,
    progress: Progress = silent,
    judged: bool = False,
) -> App:
    """Train an app on rows that are read and checked; see :func:`adapt`, and :func:`fit` of
    ``judged``."""
    note_shorter(settings.max_length, backbone.encoder.max_length)
    if texts := data.unlabelled:
        data = replace(data, unlabelled=[])
        if teacher is None:
            teacher = backbone, deep_teacher(backbone, family, data, settings, progress)
        teacher_backbone, teacher_app = teacher
        data = taught(teacher_app, teacher_backbone, data, texts, settings.precision)
    if auto_seconds is None:
        app = fit(backbone, family, data, settings, progress, judged)
    else:
        choice = choose_adapter(backbone, family, data, settings, auto_seconds, progress, judged)
        app = choice.app
        app.record["auto"] = {"tried": [asdict(way) for way in choice.tried], "why": choice.why}
    app.backbone = backbone
    return app


def split_options(options: Mapping[str, Any]) -> tuple[AdaptSettings, Draw, Abstention]:
    """Options by name, by what they are about. Raises :class:`UserError` for an unknown name."""
    kinds = (AdaptSettings, Draw, Abstention)
    kind_of = {field.name: kind for kind in kinds for field in fields(kind)}
    for name in options:
        if name not in kind_of:
            own = [*signature(adapt).parameters][:-1]
            raise UserError(f"adapt has no option {name!r}; {nearest(name, [*kind_of, *own])}")
    # The numbers of numpy, of which searches make grids, are numbers.
    options = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in options.items()
    }
    settings, draw, abstention = (
        {name: value for name, value in options.items() if kind_of[name] is kind} for kind in kinds
    )
    return AdaptSettings(**settings), Draw(**draw), Abstention(**abstention)


def read_data(
    family: Family[Any, Any],
    train: Source,
    validation: Source | None,
    draw: Draw,
    seed: int,
    notes: Notes,
    columns: Columns = USUAL,
) -> tuple[Data, Subset | None]:
    """The rows that an app learns from, and which of the training rows they are, if not all.

    Labels are those of all training rows. A draw that leaves a label without a row is noted.
    """
    rows, _ = read_labelled(family, train, "train", notes, columns=columns)
    labels = family.label_set(rows)
    subset = None
    if family.name == "tc":
        counts = Counter(label for row in rows for label in family.labels_of(row))
        note_labels(counts, len(rows), source_name(train, "train"), notes)
    if draw.what():
        sha256 = locate(located(train, "train", columns), "train").sha256()
        ids = draw_rows(rows, family, draw, seed, sha256, notes)
        rows = [rows[row] for row in ids]
        subset = Subset(ids, draw.record(seed), sha256)
        _check_drawn(family, rows, labels, source_name(train, "train"), notes)
    held_out: list[Any] = []
    if validation is not None:
        held_out, place = read_labelled(family, validation, "validation", notes, labels, columns)
        _note_shared(family, rows, "validation", held_out, place, notes)
    return Data(labels, rows, held_out), subset


def _note_shared(
    family: Family[Any, Any],
    train: Sequence[Any],
    role: str,
    rows: Sequence[Any],
    place: Place,
    notes: Notes,
) -> None:
    """Note texts that the app learns from and is judged by."""
    learnt = {family.text(row) for row in train}
    for number, row in enumerate(rows):
        if family.text(row) in learnt:
            what = f"{role} texts that are training texts, too: scores on them mean little"
            notes.add(what, place(number))


def _check_drawn(
    family: Family[Any, Any], rows: list[Any], labels: list[str], where: str, notes: Notes
) -> None:
    drawn = family.label_set(rows)
    if not family.learnable(drawn, rows):
        labels_there = " and ".join(map(repr, drawn)) or "none"
        raise UserError(
            f"{where}: nothing can be told apart by the rows that were drawn ({len(rows)}), whose "
            f"labels are {labels_there}: draw more rows, or more of each label (shots)"
        )
    if family.classes(labels) >= len(labels):  # not a scale between two numbers
        for label in sorted({*labels} - {*drawn}):
            notes.add("labels without a row among those drawn", f"{where}: {label!r}")


def read_unlabelled(
    family: Family[Any, Any], source: Source, notes: Notes, text_column: str | None = None
) -> list[Any]:
    """Examples without labels, from texts in any format."""
    place = located(source, "train", Columns(text_column))
    return [family.parse(text) for text in read_texts(place, notes)]


def _load_teacher(folder: str | Path, family: Family[Any, Any]) -> tuple[Backbone, App]:
    """The backbone that an app of this family names, and the app."""
    backbone, apps = load_apps_and_backbone([folder])
    (app,) = apps.values()
    if app.family.name != family.name:
        raise UserError(f"{folder} is of family {app.family.name!r}, not {family.name!r}")
    return backbone, app
