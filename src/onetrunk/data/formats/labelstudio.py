"""Exports of Label Studio: each task holds a text, and the results of its annotators.

A result is a list of items with a type and a ``value``. Regions of a text and choices for it are
read; items of any other kind are counted in the notes.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from typing import Any

from onetrunk.data.formats.labelstudio_task import (
    LABELS,
    MARKS,
    counted_paragraphs,
    mark_of,
    of_text,
    read_result,
    text_of,
)
from onetrunk.data.formats.lists import read_list
from onetrunk.data.formats.table import Stream, Table, no_column, wrong
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError

_MIN_LABELS = ("label", *LABELS, *MARKS, "entities")
_MIN_OTHERS = (
    "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement",
)  # fmt: skip


def tasks(stream: Stream, column: str, annotated: bool, notes: Notes) -> Stream:
    """Return tasks as rows with ``text``, ``spans``, ``choices`` and ``ratings`` (numbers).

    ``column`` holds the annotations. Of several, the first is read, or the one that is marked as
    ground truth. Tasks without annotations are left out if ``annotated``. If a task has several
    texts, the annotations of the source say which is meant; otherwise it is the one called "text".

    Raises UserError for a task whose text is an address, for a text that is HTML with regions
    that count without its tags, and if several texts of a task are annotated.
    """

    @cache
    def meant(marks: frozenset[str]) -> frozenset[str]:
        """What the annotations of the source are of."""
        found: set[str] = set()
        for table in stream.tables("data", optional=(column,)):
            for annotations in table.columns[column]:
                for annotation in _dicts(annotations):
                    items = _dicts(annotation.get("result"))
                    names = [item.get("to_name") for item in items if mark_of(item) in marks]
                    found |= {name for name in names if isinstance(name, str)}
        return frozenset(found)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        present: set[str] = set()
        marks = frozenset(set(names) & set(MARKS) or MARKS)
        for table in stream.tables("data", optional=(column, "predictions", "drafts")):
            rows = _tasks(table, column, annotated, notes, partial(meant, marks), marks)
            present |= {name for name in MARKS if any(rows.columns[name])}
            yield rows
        _check_marks(stream, present, names)

    return Stream(stream.source, ["text", *MARKS], read)


def short_tasks(stream: Stream, notes: Notes) -> Stream:
    """Return the rows of the short export (JSON-MIN) as :func:`tasks` does.

    The labels are in the columns between ``id`` and ``annotator``, which have the names of the
    project's controls. All that hold regions are read, and one that holds choices: comments look
    the same. A row without a label is a text without entities, if it has an annotator.

    Raises UserError if several columns may hold the choices.
    """
    controls, beside = _controls(stream)
    if not controls:
        raise no_column(f"{stream.source} has", "label", stream.names)
    plain = [
        name
        for name in controls
        if any(
            "start" not in value
            for table in stream.tables(optional=(name,))
            for cell in table.columns[name]
            for value in _short_values(cell)
        )
    ]
    usual = [name for name in _MIN_LABELS if name in plain]
    ignored = [name for name in plain if usual and name != usual[0]]
    controls = [name for name in controls if name not in ignored]

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        present: set[str] = set()
        marks = set(names) & set(MARKS) or MARKS
        if "choices" in names and len(plain) > 1 and not usual:
            listed = ", ".join(map(repr, plain))
            why = "choose one by --label-column (label_column= in Python)"
            raise UserError(f"{stream.source}: labels may be in {listed}; {why}")
        if "choices" in names and len(plain) == 1 and not usual:
            notes.say(f"column {plain[0]!r} is read as label", stream.source)
        for name in ignored:
            what = f"columns beside {usual[0]!r} that may hold labels, not read"
            notes.add(what, f"{stream.source}: {name!r}")
        for table in stream.tables("text", "annotator", optional=(*controls, *beside)):
            columns: dict[str, list[Any]] = {name: [] for name in ("text", *MARKS)}
            numbers = []
            for row, annotator in enumerate(table.columns["annotator"]):
                where = table.at(row)
                result = [
                    {"value": value, "from_name": name}
                    for name in controls
                    for value in _short_values(table.columns[name][row])
                ]
                if not result and (annotator is None or "choices" in names):
                    notes.add("tasks without an annotation, left out", where)
                    continue
                data = {"text": table.columns["text"][row]}
                data |= {name: table.columns[name][row] for name in beside}
                _, text = text_of(data, where, notes)
                text = counted_paragraphs(text, result, where, notes)
                marked = read_result(result, text, where, notes, marks)
                _append(columns, "\n".join(text), *marked)
                numbers.append(table.numbers[row])
            present |= {name for name in MARKS if any(columns[name])}
            yield Table(table.source, columns, numbers, table.in_lines)
        _check_marks(stream, present, names)

    return Stream(stream.source, ["text", *MARKS], read)


def _controls(stream: Stream) -> tuple[list[str], list[str]]:
    """The columns of a short export that may hold labels, and those with other data of the tasks.

    In JSON the data is before ``id``, and the labels between it and ``annotator``. Some write the
    columns in alphabetical order.
    """
    ordered = [name for name in stream.names if name not in ("text", *_MIN_OTHERS)]
    names = list(stream.names)
    first = names.index("id") if "id" in names else 0
    last = names.index("annotator")
    if first >= last:
        return ordered, []
    controls = [name for name in names[first:last] if name in ordered]
    usual = [name for name in _MIN_LABELS if name in ordered]
    controls += [name for name in usual if name not in controls]
    return controls, [name for name in names[:first] if name in ordered and name not in controls]


def _short_values(cell: Any) -> list[dict[str, Any]]:
    """Return the values that the short export writes as regions, a choice or a list of these."""
    if isinstance(cell, str) and (listed := read_list(cell)) is not None:  # in CSV
        cell = listed
    values = cell if isinstance(cell, list) else [] if cell in (None, "") else [cell]
    return values if all(isinstance(value, dict) for value in values) else [{"choices": values}]


def _check_marks(stream: Stream, present: set[str], names: Sequence[str]) -> None:
    asked = set(names) & set(MARKS)
    if present and asked and not present & asked:
        raise UserError(f"{stream.source} is annotated with {min(present)} alone")


def _append(columns: dict[str, list[Any]], *row: Any) -> None:
    for name, value in zip(("text", *MARKS), row, strict=True):
        columns[name].append(value)


def _tasks(
    table: Table, column: str, annotated: bool, notes: Notes,
    meant: Callable[[], Collection[str]], marks: Collection[str],
) -> Table:  # fmt: skip
    columns: dict[str, list[Any]] = {name: [] for name in ("text", *MARKS)}
    numbers = []
    for row, data in enumerate(table.columns["data"]):
        where = table.at(row)
        results = []
        if annotated:
            for name in ("predictions", "drafts"):
                if unread := table.columns[name][row]:
                    count = len(unread) if isinstance(unread, list) else 1
                    notes.add(f"{name}, which are not read", where, count)
            results = _results(table.columns[column][row] or [], where, notes)
            if not results:
                notes.add("tasks without an annotation, left out", where)
                continue
            if any(_values(result) != _values(results[0]) for result in results):
                notes.add("tasks with several annotations, of which the first is read", where)
        key, paragraphs = text_of(data, where, notes, meant, annotated)
        if results:
            results[0] = of_text(results[0], key, data, marks, where, notes)
            paragraphs = counted_paragraphs(paragraphs, results[0], where, notes)
        marked: tuple[list[Any], ...] = ([],) * len(MARKS)
        if results:
            marked = read_result(results[0], paragraphs, where, notes, marks)
        _append(columns, "\n".join(paragraphs), *marked)
        numbers.append(table.numbers[row])
    return Table(table.source, columns, numbers, table.in_lines)


def _values(result: list[dict[str, Any]]) -> list[Any]:
    return [item.get("value") for item in result]  # each item has an ID of its own beside it


def _results(annotations: Any, where: str, notes: Notes) -> list[list[dict[str, Any]]]:
    """Return the result of each annotator who did not skip the task."""
    annotations = _objects(annotations, where, "'annotations'")
    done = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    if skipped := len(annotations) - len(done):
        notes.add("annotations that skip a task, left out", where, skipped)
    accepted = [annotation for annotation in done if not _is_rejected(annotation)]
    if rejected := len(done) - len(accepted):
        notes.add("annotations that a review rejected, left out", where, rejected)
    done = accepted
    if truths := [annotation for annotation in done if annotation.get("ground_truth")]:
        if len(truths) < len(done):
            other = len(done) - len(truths)
            notes.add("annotations beside a ground truth, left out", where, other)
        done = truths
    return [_objects(annotation.get("result"), where, "'result'") for annotation in done]


def _is_rejected(annotation: dict[str, Any]) -> bool:
    """Whether the last review of an annotation does not accept it."""
    reviews = annotation.get("reviews")
    last = reviews[-1] if isinstance(reviews, list) and reviews else {}
    is_refused = isinstance(last, dict) and last.get("accepted") is False
    return is_refused or str(annotation.get("review_result")).strip().lower() == "rejected"


def _objects(value: Any, where: str, what: str) -> list[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise wrong(where, what, value, "a list of objects")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
