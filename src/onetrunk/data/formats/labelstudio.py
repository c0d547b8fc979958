"""Exports of Label Studio: each task holds a text, and the results of its annotators.

A result is a list of items with a type and a ``value``. Regions of a text and choices for it are
read; items of any other kind are counted in the notes.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from typing import Any

from onetrunk.data.formats.annotations import as_counted
from onetrunk.data.formats.lists import read_list
from onetrunk.data.formats.table import Stream, Table, no_column, show, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import is_whole
from onetrunk.errors import UserError

_MARKS = ("spans", "choices", "ratings")
_LABELS = ("labels", "hypertextlabels", "paragraphlabels")
_CHOICES = ("choices", "taxonomy")
_RATINGS = ("rating", "number")
_MIN_LABELS = ("label", *_LABELS, *_MARKS, "entities")
_TAG = re.compile("<[a-zA-Z/!][^>]*>")
_ADDRESS = re.compile(
    r"(?i)(?:[a-z][a-z0-9+.-]*://|data:\w+/|/data/(?:upload|local-files)\b)\S*"
    r"|(?:/data/.*|\S+)\.(?:png|jpe?g|gif|webp|bmp|svg|tiff?|pdf|txt|html?|wav|mp[34]|ogg|flac|m4a)"
)


def is_address(text: str) -> bool:
    """Whether a text is only the address of a file or a page, as tools write for what they load."""
    return _ADDRESS.fullmatch(text.strip()) is not None


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
                    names = [item.get("to_name") for item in items if _mark(item) in marks]
                    found |= {name for name in names if isinstance(name, str)}
        return frozenset(found)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        present: set[str] = set()
        marks = frozenset(set(names) & set(_MARKS) or _MARKS)
        for table in stream.tables("data", optional=(column, "predictions", "drafts")):
            rows = _tasks(table, column, annotated, notes, partial(meant, marks), marks)
            present |= {name for name in _MARKS if any(rows.columns[name])}
            yield rows
        _check_marks(stream, present, names)

    return Stream(stream.source, ["text", *_MARKS], read)


def short_tasks(stream: Stream, notes: Notes) -> Stream:
    """Return the rows of the short export (JSON-MIN) as :func:`tasks` does.

    The labels are in a column of a usual name, or in those between ``id`` and ``annotator``, which
    have the names of the project's controls. A row without a label is a text without entities, if
    it has an annotator.
    """
    usual = [name for name in _MIN_LABELS if name in stream.names][:1]
    ordered = list(stream.names)
    first = ordered.index("id") + 1 if "id" in ordered else 0
    controls = usual or ordered[first : ordered.index("annotator")]
    controls = [name for name in controls if name != "text"]
    data = ordered[: first - 1] if first else []
    beside = [name for name in data if name not in ("text", "annotator", *controls)]
    if not controls:
        raise no_column(f"{stream.source} has", "label", stream.names)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        present: set[str] = set()
        marks = set(names) & set(_MARKS) or _MARKS
        for table in stream.tables("text", "annotator", optional=(*controls, *beside)):
            columns: dict[str, list[Any]] = {name: [] for name in ("text", *_MARKS)}
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
                _, text = _text_of(data, where, notes)
                text = _as_counted(text, result, where, notes)
                read = _read(result, text, where, notes, marks)
                _append(columns, "\n".join(text), *read)
                numbers.append(table.numbers[row])
            present |= {name for name in _MARKS if any(columns[name])}
            yield Table(table.source, columns, numbers, table.in_lines)
        _check_marks(stream, present, names)

    return Stream(stream.source, ["text", *_MARKS], read)


def _short_values(cell: Any) -> list[dict[str, Any]]:
    """Return the values that the short export writes as regions, a choice or a list of these."""
    if isinstance(cell, str) and (listed := read_list(cell)) is not None:  # in CSV
        cell = listed
    values = cell if isinstance(cell, list) else [] if cell in (None, "") else [cell]
    return values if all(isinstance(value, dict) for value in values) else [{"choices": values}]


def _check_marks(stream: Stream, present: set[str], names: Sequence[str]) -> None:
    asked = set(names) & set(_MARKS)
    if present and asked and not present & asked:
        raise UserError(f"{stream.source} is annotated with {present.pop()} alone")


def _append(columns: dict[str, list[Any]], *row: Any) -> None:
    for name, value in zip(("text", *_MARKS), row, strict=True):
        columns[name].append(value)


def _tasks(
    table: Table, column: str, annotated: bool, notes: Notes,
    meant: Callable[[], Collection[str]], marks: Collection[str],
) -> Table:  # fmt: skip
    columns: dict[str, list[Any]] = {name: [] for name in ("text", *_MARKS)}
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
        key, paragraphs = _text_of(data, where, notes, meant, annotated)
        if results:
            results[0] = _of_text(results[0], key, data, marks, where, notes)
            paragraphs = _as_counted(paragraphs, results[0], where, notes)
        read: tuple[list[Any], ...] = ([],) * len(_MARKS)
        if results:
            read = _read(results[0], paragraphs, where, notes, marks)
        _append(columns, "\n".join(paragraphs), *read)
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


def _mark(item: dict[str, Any]) -> str:
    """What an item of a result is read as, if it is."""
    value = item.get("value")
    if not isinstance(value, dict):
        return ""
    if "start" in value:
        return "spans"
    return "choices" if {*_CHOICES} & {*value} else "ratings" if {*_RATINGS} & {*value} else ""


def _of_text(
    result: list[dict[str, Any]], key: str, data: dict[str, Any], marks: Collection[str],
    where: str, notes: Notes,
) -> list[dict[str, Any]]:  # fmt: skip
    """Leave out what annotates something else of the task than its text."""
    kept = []
    for item in result:
        name = item.get("to_name")
        if name == key or not isinstance(name, str) or name not in data:
            kept.append(item)
        elif _mark(item) in marks:
            notes.add(f"annotations of {name!r}, where {key!r} is read, left out", where)
    return kept


def _text_of(
    data: Any, where: str, notes: Notes, meant: Callable[[], Collection[str]] = tuple,
    annotated: bool = True,
) -> tuple[str, list[str]]:  # fmt: skip
    """Return the key and the text of a task; a dialogue has several paragraphs.

    ``meant`` gives what the annotations of the source are of, which decides between several.
    """
    if not isinstance(data, dict):
        raise wrong(where, "'data'", data, "an object")
    texts: dict[str, list[str]] = {}
    addresses = {}
    for key, value in data.items():
        match value:
            case str() if is_address(value):
                addresses[key] = value
            case str():
                texts[key] = [value]
            case [dict(), *_] if all(
                isinstance(line, dict) and isinstance(line.get("text"), str) for line in value
            ):
                texts[key] = [line["text"] for line in value]
    names = meant() if len(texts) + len(addresses) > 1 else ()
    named = [key for key in texts if key in names]
    if len(named) > 1 and annotated:
        listed = " and ".join(map(repr, named))
        raise UserError(f"{where}: the annotations are of {listed}; keep those of one of them")
    if len(named) == 1:
        return named[0], texts[named[0]]
    seen = [key for key in addresses if key in names and annotated]
    if seen or "text" in addresses or (addresses and not texts):
        key = [*seen, *(["text"] if "text" in addresses else addresses)][0]
        why = "is an address, not text; put the text itself into the task"
        raise UserError(f"{where}: {key!r} {why}: {show(addresses[key])}")
    if "text" in texts:
        beside = [key for key, parts in texts.items() if parts != texts["text"]]
        if others := [key for key in beside if _has_words(texts[key])]:
            listed = ", ".join(map(repr, ["text", *others]))
            notes.add(f"tasks with several texts ({listed}), of which 'text' is read", where)
        return "text", texts["text"]
    if len(texts) != 1:
        keys = " and ".join(map(repr, texts)) or "no text"
        raise UserError(f"{where}: 'data' has {keys}; call the one to read 'text'")
    ((key, paragraphs),) = texts.items()
    if addresses:  # which may be what was annotated
        listed = ", ".join(map(repr, addresses))
        notes.add(f"tasks with an address in {listed}, of which {key!r} is read as the text", where)
    return key, paragraphs


def _has_words(parts: Sequence[str]) -> bool:
    """Whether this may be a text, and no id, source or date."""
    return len(parts) > 1 or len([word for word in parts[0].split() if word.isalpha()]) > 1


def _as_counted(
    paragraphs: list[str], result: list[dict[str, Any]], where: str, notes: Notes
) -> list[str]:
    regions = [
        (*place, value["text"].replace("\\n", "\n"))
        for item in result
        if isinstance(value := item.get("value"), dict) and isinstance(value.get("text"), str)
        if (place := _place(value, paragraphs)) is not None
    ]
    text = "\n".join(paragraphs)
    if as_counted(text, regions, where, notes) == text:
        return paragraphs
    return [paragraph.replace("\r\n", "\n") for paragraph in paragraphs]


def _read(
    result: list[dict[str, Any]], paragraphs: list[str], where: str, notes: Notes,
    marks: Collection[str],
) -> tuple[list[dict[str, Any]], list[Any], list[Any]]:  # fmt: skip
    """Return the spans of a result, its choices and its ratings; ``notes`` counts what is none."""
    spans, choices, questions = [], [], set()
    ratings = []
    for item in result:
        value = item.get("value", {})
        if not isinstance(value, dict):
            raise wrong(where, "'value'", value, "an object")
        picked = value.get("choices")
        if not isinstance(picked, list | None):
            raise wrong(where, "'choices'", picked, "a list of strings")
        if isinstance(paths := value.get("taxonomy"), list):
            picked = [
                "/".join(map(str, path)) if isinstance(path, list) else path for path in paths
            ]
        labels = next((value[name] for name in _LABELS if value.get(name)), None)
        rating = next((value[name] for name in _RATINGS if name in value), None)
        if rating is not None and "ratings" in marks and "start" not in value:
            ratings.append(rating)
            continue
        kind = item.get("type") or next((key for key in value if isinstance(value[key], list)), "?")
        if picked is not None and "start" not in value:
            choices += picked
            questions.add(str(item.get("from_name")))
        elif picked is not None:
            notes.add("choices for a region, not for the text, left out", where)
        elif labels is None and ("start" not in value or value.get(str(kind))):
            notes.add(f"annotations of the type {kind!r}, which are not read", where)
        elif (place := _place(value, paragraphs)) is None:
            notes.add("regions that have no place in a text, left out", where)
        elif labels is None:
            notes.add("regions without a label, left out", where)
        else:
            start, end = place
            repeats = value.get("text")
            text = "\n".join(paragraphs)
            if isinstance(repeats, str) and "\\n" not in text:  # the tool writes line ends so
                repeats = repeats.replace("\\n", "\n")
            if "hypertextlabels" in value and repeats != text[start:end] and _TAG.search(text):
                why = "the text is HTML, and its regions count without the tags; write plain text"
                raise UserError(f"{where}: {why}")
            spans.append({"start": start, "end": end, "labels": labels, "text": repeats})
    if len(questions) > 1:
        names = ", ".join(sorted(questions))
        notes.add(f"tasks with choices for several questions ({names}), read together", where)
    return spans, choices, ratings


def _place(value: dict[str, Any], paragraphs: list[str]) -> tuple[int, int] | None:
    """Return the offsets of a region in the joined paragraphs, or None if it has none."""
    in_paragraphs = all(
        isinstance(value.get(edge), str) and is_whole(value[edge]) for edge in ("start", "end")
    )
    match value:
        case {"channel": _}:  # seconds of a recording
            return None
        case {"start": int() as start, "end": int() as end} | {
            "globalOffsets": {"start": int() as start, "end": int() as end}
        } if not in_paragraphs:
            return start, end
        case {"start": str(), "startOffset": int() as start, "endOffset": int() as end}:
            if in_paragraphs:
                first, last = int(value["start"]), int(value["end"])
                if max(first, last) >= len(paragraphs):
                    return None
                begins = [sum(len(text) + 1 for text in paragraphs[:at]) for at in (first, last)]
                return begins[0] + start, begins[1] + end
            # An XPath: without the region's text, nothing shows which part of the text it means.
            if value["start"] == value.get("end") and isinstance(value.get("text"), str):
                return start, end
    return None
