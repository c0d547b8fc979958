"""NuNER's rows: a text and, in a list written as text, what a language model said is in it.

``input`` is the text. ``output`` holds strings such as ``Ada Lovelace <> mathematician``, with or
without a description behind another ``<>`` (Bogdanov et al. 2024, arXiv 2402.15343).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from onetrunk.data.formats.lists import read_list
from onetrunk.data.formats.table import Stream, Table, show, string, string_list
from onetrunk.data.notes import Notes
from onetrunk.data.places import places
from onetrunk.errors import UserError

COLUMNS = frozenset(("input", "output"))
_BETWEEN = "<>"


def are_rows(stream: Stream) -> bool:
    """Whether the columns have these names, and the values look so: many tables call what goes in
    ``input`` and what comes out ``output``."""
    if set(stream.names) != COLUMNS:
        return False
    outputs = stream.first("output").get("output", ())
    return any(_BETWEEN in (cell if isinstance(cell, str) else repr(cell)) for cell in outputs)


def with_spans(stream: Stream, notes: Notes) -> Stream:
    """Return rows with ``text`` and ``spans``: every place where a surface stands in the text.

    Case counts unless the surface occurs in another case alone. ``notes`` counts the surfaces that
    do not occur, which are left out. Raises UserError for an output of another form.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.tables("input", "output"):
            texts = [string(table, "input", row) for row in range(len(table))]
            spans = [_spans(table, row, text, notes) for row, text in enumerate(texts)]
            columns: dict[str, list[Any]] = {"text": texts, "spans": spans}
            yield Table(table.source, columns, table.numbers, table.in_lines)

    return Stream(stream.source, ["text", "spans"], read)


def _spans(table: Table, row: int, text: str, notes: Notes) -> list[list[object]]:
    output = table.columns["output"][row]
    if isinstance(output, str):
        output = table.columns["output"][row] = read_list(output)
    if output is None:
        raise UserError(f"{table.at(row)}: 'output' is no list of strings: surface <> concept")
    spans: list[list[object]] = []
    for said in string_list(table, "output", row):
        surface, *concepts = (part.strip() for part in said.split(_BETWEEN))
        if not surface or not concepts or not concepts[0]:
            why = f"{show(said)} is not 'surface <> concept'"
            raise UserError(f"{table.at(row)}: {why}")
        starts = places(text, surface) or places(text, surface, any_case=True)
        if not starts:
            notes.add("surfaces that do not occur in their text, left out", table.at(row))
        spans += [[start, start + len(surface), concepts[0]] for start in starts]
    return spans
