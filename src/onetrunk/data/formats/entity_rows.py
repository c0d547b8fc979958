"""Tables with an entity in each row, joined to texts.

The columns are ``text``, ``start``, ``end`` and ``label``; or ``text``, the words of the entity
(``entity``, ``mention``, …) and ``label``, if there are no offsets.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from onetrunk.data.formats.naming import LABEL, likely, plain_name, text_column
from onetrunk.data.formats.table import Columns, Stream, Table, blocks, show, string
from onetrunk.data.formats.workbook import as_text
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import number_of
from onetrunk.data.places import likely_places, places
from onetrunk.errors import UserError

_STARTS = ("start", "start offset", "start char", "begin", "begin offset", "from")
_ENDS = ("end", "end offset", "end char", "stop", "to")
_TYPES = ("label", "entity type", "entity label", "ner", *LABEL)
_SURFACES = ("entity text", "span text", "surface", "mention", "span", "value", "word", "entity")


class EntityColumns(NamedTuple):
    """The columns of a table with an entity in each row."""

    text: str
    start: str | None
    """None: the entity is where its words stand in the text."""
    end: str | None
    label: str
    surface: str | None
    """The column with what stands in the text from start to end, if there is one."""


def entity_row_columns(stream: Stream, notes: Notes) -> EntityColumns | None:
    """Return the columns of a table if each row has the offsets, or the words, and the
    type of an entity."""
    names = {plain_name(name): name for name in stream.names}
    start, end = (
        next((names[name] for name in known if name in names), None) for known in (_STARTS, _ENDS)
    )
    if len(stream.chosen.labels) > 1:
        return None
    if start is None or end is None:
        return None if stream.chosen.labels else _by_surface(stream, notes)
    text = text_column(stream, notes)
    if text is None:
        return None
    label = next(iter(stream.chosen.labels), None)
    for known in (_TYPES, ("entity",)):
        label = label or likely(stream, known, notes, taken=(text, start, end), exactly=True)
    if label is None:
        return None
    surfaces = [names[name] for name in _SURFACES if name in names]
    surface = next((name for name in surfaces if name not in (text, start, end, label)), None)
    return EntityColumns(text, start, end, label, surface)


def _by_surface(stream: Stream, notes: Notes) -> EntityColumns | None:
    """Return the columns of a table with the words of an entity and its type in each row.

    The words must stand in most texts, and the types in few: otherwise both may be columns of
    words, whose names are types.
    """
    names = {plain_name(name): name for name in stream.names}
    surface = next((names[name] for name in _SURFACES if name in names), None)
    label = next((names[name] for name in _TYPES if name in names), None)
    if surface is None or label is None or label == surface:
        return None
    text = text_column(stream, Notes())
    if text is None or text in (surface, label):
        return None
    filled = in_text = types = 0
    for table in stream.tables(text, surface, label):
        for row, value in enumerate(table.columns[text]):
            words, kind = (as_text(table.columns[name][row]).strip() for name in (surface, label))
            if words or kind:
                filled += 1
                in_text += bool(words) and words in str(value)
                types += bool(kind) and bool(places(str(value), kind))
    if 2 * in_text <= filled or 2 * types >= filled:
        return None
    text_column(stream, notes)
    return EntityColumns(text, None, None, label, surface)


def texts_of_entities(stream: Stream, names: EntityColumns, notes: Notes) -> Stream:
    """Join rows that follow each other and repeat a text; one without offsets has no entity.

    Raises UserError for offsets that are no numbers, for words that are not in the text, and for a
    text that comes back further on: it might be another one, without the entities of the first.
    """
    others = [name for name in stream.names if name.strip() and name not in names]
    for name in others:
        notes.add("columns beside the entity in each row, not read", f"{stream.source}: {name!r}")
    notes.say("each row has an entity: rows that repeat a text are joined", stream.source)

    def read(_: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(_texts(stream, names)):
            columns: dict[str, list[Any]] = {
                names.text: [text for text, _, _ in block],
                "spans": [spans for _, spans, _ in block],
            }
            numbers = [table.numbers[row] for *_, (table, row) in block]
            yield Table(stream.source, columns, numbers, block[0][2][0].in_lines)

    return Stream(
        stream.source, [names.text, "spans"], read, chosen=Columns(names.text, ("spans",))
    )


def _texts(
    stream: Stream, names: EntityColumns
) -> Iterator[tuple[str, list[dict[str, Any]], tuple[Table, int]]]:
    """Yield each text, its spans, and where it stands first."""
    rows = (
        (string(table, names.text, row), table, row)
        for table in stream.tables(*(name for name in names if name is not None))
        for row in range(len(table))
    )
    first_places: dict[str, str] = {}
    for text, repeated in groupby(rows, itemgetter(0)):
        rows_of_text = [(table, row) for _, table, row in repeated]
        table, row = rows_of_text[0]
        if text in first_places:
            raise UserError(
                f"{table.at(row)}: the text of {first_places[text]} comes back: {show(text)}; put "
                "the entities of a text into rows that follow each other"
            )
        first_places[text] = table.at(row)
        spans: list[dict[str, Any]] = []
        for at in rows_of_text:
            spans += [span for span in _spans(at[0], names, at[1]) if span not in spans]
        yield text, spans, (table, row)


def _spans(table: Table, names: EntityColumns, row: int) -> list[dict[str, Any]]:
    """Return a row's entity, wherever its words stand if the row has no offsets; nothing if its
    start, end and type, or its words and type, are empty."""
    start_name, end_name = names.start, names.end
    if start_name is None or end_name is None:
        return _where_named(table, names, row)
    start, end, label = (
        as_text(table.columns[name][row]).strip() for name in (start_name, end_name, names.label)
    )
    if not start and not end and not label:
        return []
    if not label:
        raise UserError(f"{table.at(row)}: {names.label!r} is empty")
    span: dict[str, Any] = {"label": label}
    for key, name, cell in (("start", start_name, start), ("end", end_name, end)):
        number = number_of(cell)
        if number is None or number != int(number):
            raise UserError(f"{table.at(row)}: {name!r} is {show(cell)}, not a whole number")
        span[key] = int(number)
    if names.surface and (surface := as_text(table.columns[names.surface][row])).strip():
        span["text"] = surface
    return [span]


def _where_named(table: Table, names: EntityColumns, row: int) -> list[dict[str, Any]]:
    surface = names.surface or ""
    words, label = (as_text(table.columns[name][row]).strip() for name in (surface, names.label))
    text = string(table, names.text, row)
    if not words and not label:
        return []
    for name, cell in ((surface, words), (names.label, label)):
        if not cell:
            raise UserError(f"{table.at(row)}: {name!r} is empty")
    starts = likely_places(text, words)
    if not starts:
        why = f"is {show(words)}, which does not occur in {show(text)}"
        raise UserError(f"{table.at(row)}: {surface!r} {why}")
    return [{"start": start, "end": start + len(words), "label": label} for start in starts]
