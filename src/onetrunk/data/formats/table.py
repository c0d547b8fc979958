"""Blocks of rows that know where each row comes from, and the messages about wrong values."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

from onetrunk.data.notes import Notes
from onetrunk.errors import UserError, nearest

_T = TypeVar("_T")
Record = dict[str, Any] | UserError
"""A row by the names of its columns, or why it could not be read."""

BLOCK = 1000
"""How many rows are held at a time."""


@dataclass(frozen=True)
class Table:
    """A block of rows: columns of equal length, and the place of each row."""

    source: str
    columns: dict[str, list[Any]]
    numbers: Sequence[int]
    """The line of each row in a text file, otherwise its number; both count from one."""
    in_lines: bool = False
    item_lines: Sequence[Sequence[int]] = ()
    """The number of each item of each row, in formats where every item has a line of its own."""
    records: Sequence[Record] = ()
    """The rows as they were read, in formats where each row has keys of its own."""
    batch: Any = None
    """The rows as Arrow read them, in its formats."""

    def __len__(self) -> int:
        return len(self.numbers)

    def only(self, rows: Sequence[int]) -> "Table":
        """Return some of the rows, by their indices."""
        return replace(
            self,
            columns={name: [cells[row] for row in rows] for name, cells in self.columns.items()},
            numbers=[self.numbers[row] for row in rows],
            item_lines=[self.item_lines[row] for row in rows] if self.item_lines else (),
            records=[self.records[row] for row in rows] if self.records else (),
            batch=None,
        )

    def at(self, row: int, item: int = 0) -> str:
        """Return the place of a row, or of an item of it, for a message."""
        number = self.item_lines[row][item] if self.item_lines else self.numbers[row]
        return f"{self.source}:{number}" if self.in_lines else f"{self.source}, row {number}"


@dataclass(frozen=True)
class Columns:
    """The names of the columns that hold the text and the labels, where a user has chosen them."""

    text: str | None = None
    labels: tuple[str, ...] = ()

    @classmethod
    def named(cls, text: str | None, label: str | Sequence[str] | None = None) -> "Columns":
        """Return the columns that a user names; for ``label`` one name, or several."""
        return cls(text, (label,) if isinstance(label, str) else tuple(label or ()))

    def among(self, names: Sequence[str]) -> "Columns":
        """Return the same columns as a table writes them: with white space around some names."""

        def written(name: str) -> str:
            alike = [other for other in names if other.strip() == name.strip()]
            return alike[0] if len(alike) == 1 and name not in names else name

        text = None if self.text is None else written(self.text)
        return Columns(text, tuple(map(written, self.labels)))

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {*([] if self.text is None else [self.text]), *self.labels}


USUAL = Columns()
"""None are chosen: the columns have the usual or likely names."""


@dataclass(frozen=True)
class Stream:
    """Rows that are read when they are asked for.

    ``names`` are the columns. ``read(names, optional)`` starts at the first row and yields tables
    with the columns ``names``, and with those of ``optional`` that the source has.
    """

    source: str
    names: Sequence[str]
    read: Callable[[Sequence[str], Sequence[str]], Iterator[Table]]
    notes: Notes = field(default_factory=Notes)
    """How the source was understood, if that had to be found out."""
    schema: Any = None
    """Of the batches of its tables, in Arrow's formats."""
    count: int | None = None
    """The number of rows, where the source says it."""
    once: bool = False
    """Whether the rows can be read only once."""
    open: bool = False
    """Whether later rows may have more columns: each row is an object with keys of its own."""
    chosen: Columns = USUAL

    def tables(self, *names: str, optional: Sequence[str] = ()) -> Iterator[Table]:
        """Return the blocks with these columns; an optional one that is missing holds ``None``.

        Raises UserError for a column that is missing, with the nearest name, or that occurs twice.
        """
        for name in (*names, *optional):
            if name not in self.names and name not in optional:
                raise no_column(f"{self.source} has", name, self.names, _OPTIONS.get(name, ""))
            if list(self.names).count(name) > 1:
                raise UserError(f"{self.source} has more than one column {name!r}")
        return (_with_columns(table, optional) for table in self.read(names, optional))

    def first(self, *names: str) -> Mapping[str, list[Any]]:
        """Return the columns of these names in the first block, those that are there, and maybe
        more; none if there are no rows. No row must have all of them."""
        table = next(self.read((), names), None)
        return {} if table is None else table.columns


_TAG = re.compile("O|[BI]-[A-Z]{2,}")
_OPTIONS = {"text": "--text-column", "label": "--label-column"}
"""What chooses a column in place of the one with the usual name."""

_Row = TypeVar("_Row")
Rows = tuple[Iterator[Table], Callable[[Table, int], _Row]]
"""The blocks of a stream, and what makes the row with an index of a block into one of onetrunk."""


def _with_columns(table: Table, names: Sequence[str]) -> Table:
    absent = [name for name in names if name not in table.columns]
    columns = table.columns | {name: [None] * len(table) for name in absent}
    return replace(table, columns=columns) if absent else table


def record_stream(
    source: str,
    records: Callable[[], Iterable[tuple[int, Record]]],
    in_lines: bool = False,
    keep_faults: bool = False,
) -> Stream:
    """Return a stream of objects with their numbers; the keys of the first block are the columns.

    Raises UserError if there are no objects and, while reading, for one that could not be read or
    lacks a column. With ``keep_faults`` the error becomes the row's cells, and :func:`string`
    raises it.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(records()):
            yield record_table(source, block, (*names, *optional), names, in_lines, keep_faults)

    faults = []
    for block in blocks(records()):
        rows = [row for _, row in block if not isinstance(row, UserError)]
        faults += [row for _, row in block if isinstance(row, UserError)]
        if faults and not keep_faults:
            break
        if rows:
            names = list(dict.fromkeys(name for row in rows for name in row))
            return Stream(source, names, read, open=True)
    raise faults[0] if faults else UserError(f"{source} has no rows")


def record_table(
    source: str,
    block: Sequence[tuple[int, Record]],
    names: Sequence[str],
    required: Sequence[str],
    in_lines: bool = False,
    keep_faults: bool = False,
) -> Table:
    """Return some columns of a block of objects, as :func:`record_stream` does."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    numbers, records = [number for number, _ in block], [row for _, row in block]
    table = Table(source, columns, numbers, in_lines, records=records)
    for index, row in enumerate(records):
        whole = _with_all(row, required, table, index)
        if isinstance(whole, UserError) and not keep_faults:
            raise whole
        for name, cells in columns.items():
            cells.append(whole if isinstance(whole, UserError) else whole.get(name))
    return table


def _with_all(row: Record, names: Sequence[str], table: Table, index: int) -> Record:
    """The row, or the error if it lacks a column."""
    if not isinstance(row, UserError):
        for name in names:
            if name not in row:
                return no_column(f"{table.at(index)}:", name, list(row))
    return row


def blocks(rows: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield lists of :data:`BLOCK` rows; the last one may be shorter."""
    remaining = iter(rows)
    while block := list(islice(remaining, BLOCK)):
        yield block


def string(table: Table, name: str, row: int) -> str:
    """Return a cell that must be a string, or raise UserError."""
    value = table.columns[name][row]
    if isinstance(value, UserError):
        raise value
    if not isinstance(value, str):
        raise wrong(table.at(row), repr(name), value, "a string")
    return value


def strings(table: Table, name: str) -> list[str]:
    """Return a column that must be strings, or raise UserError for the first value that is not."""
    return [string(table, name, row) for row in range(len(table))]


def string_list(table: Table, name: str, row: int) -> list[str]:
    """Return a cell that must be a list of strings, or raise UserError."""
    values = table.columns[name][row]
    if isinstance(values, UserError):
        raise values
    if not isinstance(values, list):
        raise wrong(table.at(row), repr(name), values, "a list of strings")
    for item, value in enumerate(values):
        if not isinstance(value, str):
            raise wrong(table.at(row, item), f"{name!r} item {item + 1}", value, "a string")
    return values


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing, or nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def no_column(where: str, name: str, names: Sequence[str], option: str = "") -> UserError:
    """Return the error for a column that is missing, with the nearest name and the option that
    chooses another one."""
    # Without a header row the names are texts, of any length and with line ends.
    hint = nearest(name, [show(column)[1:-1] for column in names]).replace("valid: ", "columns: ")
    if any(len(name.split()) > 2 or name[:1] == "#" or _TAG.fullmatch(name) for name in names):
        hint += "; these look like no names, which the first row must hold"
    elif option and len(names) > 1:
        in_python = option.strip("-").replace("-", "_")
        hint += f"; choose one by {option} ({in_python}= in Python)"
    return UserError(f"{where} no column {name!r}; {hint}")


def both_of(stream: Stream, names: Sequence[str]) -> UserError:
    """Return the error for two columns of which one too many could be read."""
    return UserError(f"{stream.source} has both {names[0]!r} and {names[1]!r}; keep one of them")


def wrong(where: str, what: str, value: object, wanted: str) -> UserError:
    """Return the error for a value of the wrong kind."""
    shown = "null" if value is None else f"{show(value)} ({type(value).__name__})"
    return UserError(f"{where}: {what} is {shown}, not {wanted}")


def reason(error: Exception) -> str:
    """Return the first line of an error of another library."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def show(value: object) -> str:
    """Return a value as one short line."""
    shown = " ".join(repr(value).splitlines())
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
