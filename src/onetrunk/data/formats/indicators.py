"""Columns that say by 0 and 1 which labels a text has: each has the name of a label."""

from collections.abc import Collection, Sequence
from typing import Any

from onetrunk.data.formats.naming import text_column
from onetrunk.data.formats.table import Rows, Stream, Table, show, string
from onetrunk.data.formats.workbook import as_text
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import number_of
from onetrunk.data.rows import LabelledText
from onetrunk.errors import UserError, first_of

_YES_OR_NO = {"true": True, "false": False}
_LISTED = 5
_HOW = (
    "name each column whose name is a label with a --label-column of its own (in Python "
    "label_column=[...])"
)


def indicated(stream: Stream, notes: Notes) -> Rows[LabelledText]:
    """Read texts with the labels whose columns, which a user chose, hold 1 or true.

    Raises UserError for a cell that holds anything but 0, 1, true and false.
    """
    text, names = text_column(stream, notes) or "text", stream.chosen.labels

    def row_of(table: Table, row: int) -> LabelledText:
        labels = [name.strip() for name in names if _is_set(table, name, row)]
        return LabelledText(string(table, text, row), tuple(labels))

    return stream.tables(text, *names), row_of


def _is_set(table: Table, name: str, row: int) -> bool:
    value = table.columns[name][row]
    indicator = _indicator(value)
    if indicator is None:
        shown = "empty" if as_text(value).strip() == "" else show(value)
        why = "each of several label columns says so whether a text has the label of its name"
        raise UserError(f"{table.at(row)}: {name!r} is {shown}, not 0 or 1 (true, false): {why}")
    return indicator


def _indicator(value: Any) -> bool | None:
    """What 0, 1, true or false say, in whatever form a table has them; None for anything else."""
    shown = as_text(value).strip().casefold()
    number = number_of(shown)
    return {0.0: False, 1.0: True}.get(number) if number is not None else _YES_OR_NO.get(shown)


def check_named(stream: Stream, text: str, label: str) -> None:
    """Raise UserError if there is no column of labels, but some with nothing but 0 and 1."""
    if label in stream.names or text not in stream.names:
        return
    others = [name for name in dict.fromkeys(stream.names) if name.strip() and name != text]
    columns = stream.first(*others)
    found = [name for name in others if _are_indicators(columns.get(name, ()))]
    if len(found) > 1:
        listed = first_of(map(repr, found), _LISTED)
        raise UserError(
            f"{stream.source} has no column {label!r}, but 0 and 1 in {listed}: for the family "
            f"multi-label, {_HOW}"
        )


def _are_indicators(values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(_indicator(value) is not None for value in values)


def check_names(stream: Stream, name: str, values: Collection[Any]) -> None:
    """Raise UserError for a column of labels with these ``values``, if they name no labels."""
    filled = [value for value in values if as_text(value).strip()]
    if len(values) > 1 and _are_indicators(filled):
        raise UserError(
            f"{stream.source}: {name!r} holds nothing but 0 and 1, which name no labels: write "
            f"their names, or {_HOW}; for one label alone there is the family tc"
        )
