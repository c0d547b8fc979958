"""Tables with an entity in each row (``text``, ``start``, ``end``, ``label``), joined to texts."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from onetrunk.data.formats.naming import LABEL, likely, plain_name, text_column
from onetrunk.data.formats.table import Columns, Stream, Table, blocks, show, string
from onetrunk.data.formats.workbook import as_text
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import number_of
from onetrunk.errors import UserError

_STARTS = ("start", "start offset", "start char", "begin", "begin offset", "from")
_ENDS = ("end", "end offset", "end char", "stop", "to")
_TYPES = ("label", "entity type", "entity label", "ner", *LABEL)
_SURFACES = ("entity text", "span text", "surface", "mention", "span", "value", "word", "entity")


class EntityColumns(NamedTuple):
    """The columns of a table with an entity in each row."""

    text: str
    start: str
    end: str
    label: str
    surface: str | None
    """The column with what stands in the text from start to end, if there is one."""


def entity_row_columns(stream: Stream, notes: Notes) -> EntityColumns | None:
    """Return the columns of a table if each row has the offsets and the type of an entity."""
    names = {plain_name(name): name for name in stream.names}
    start, end = (
        next((names[name] for name in known if name in names), None) for known in (_STARTS, _ENDS)
    )
    if start is None or end is None or len(stream.chosen.labels) > 1:
        return None
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


def texts_of_entities(stream: Stream, names: EntityColumns, notes: Notes) -> Stream:
    """Join rows that follow each other and repeat a text; one without offsets has no entity.

    Raises UserError for offsets that are no numbers, and for a text that comes back further on: it
    might be another one, without the entities of the first.
    """
    others = [name for name in stream.names if name.strip() and name not in names]
    for name in others:
        notes.add("columns beside the entity in each row, not read", f"{stream.source}: {name!r}")
    notes.add("tables with an entity in each row, joined to texts", stream.source)

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
    first_places: dict[str, str] = {}
    text: str | None = None
    spans: list[dict[str, Any]] = []
    place: tuple[Table, int] | None = None
    for table in stream.tables(*(name for name in names if name is not None)):
        for row in range(len(table)):
            new, span = string(table, names.text, row), _span(table, names, row)
            if new != text:
                if text is not None and place is not None:
                    yield text, spans, place
                text, spans, place = new, [], (table, row)
                first = first_places.setdefault(new, table.at(row))
                if first != table.at(row):
                    raise UserError(
                        f"{table.at(row)}: the text of {first} comes back: {show(new)}; put the "
                        "entities of a text into rows that follow each other"
                    )
            if span is not None:
                spans.append(span)
    if text is not None and place is not None:
        yield text, spans, place


def _span(table: Table, names: EntityColumns, row: int) -> dict[str, Any] | None:
    """Return a row's entity; None if its start, end and type are empty."""
    start, end, label = (
        as_text(table.columns[name][row]).strip() for name in (names.start, names.end, names.label)
    )
    if not start and not end and not label:
        return None
    if not label:
        raise UserError(f"{table.at(row)}: {names.label!r} is empty")
    span: dict[str, Any] = {"label": label}
    for key, name, cell in (("start", names.start, start), ("end", names.end, end)):
        number = number_of(cell)
        if number is None or number != int(number):
            raise UserError(f"{table.at(row)}: {name!r} is {show(cell)}, not a whole number")
        span[key] = int(number)
    if names.surface and (surface := as_text(table.columns[names.surface][row])).strip():
        span["text"] = surface
    return span
