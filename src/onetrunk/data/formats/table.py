"""Blocks of rows with the place of each row, and the wording of what is wrong with a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from onetrunk.errors import UserError, nearest

_T = TypeVar("_T")

BLOCK = 1000
"""Rows that are held at a time."""


@dataclass(frozen=True)
class Table:
    """A block of rows: columns of equal length, and where each row stands."""

    source: str
    columns: dict[str, list[Any]]
    numbers: Sequence[int]
    """The line of each row in a text file, else its number; both count from one."""
    in_lines: bool = False
    item_lines: Sequence[Sequence[int]] = ()
    """The line of each item of each row, where items have their own."""

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, row: int, item: int = 0) -> str:
        """Where a row (or an item of it) stands, for a message."""
        if self.item_lines:
            return f"{self.source}:{self.item_lines[row][item]}"
        number = self.numbers[row]
        return f"{self.source}:{number}" if self.in_lines else f"{self.source}, row {number}"


@dataclass(frozen=True)
class Stream:
    """Rows that are read when asked for: their column names, and a reader of some of the columns.

    ``read(names, optional)`` starts at the first row. Every table has the columns ``names``, and
    ``optional`` ones, which are ``None`` in each row that lacks them.
    """

    source: str
    names: Sequence[str]
    read: Callable[[Sequence[str], Sequence[str]], Iterator[Table]]

    def tables(self, *names: str, optional: Sequence[str] = ()) -> Iterator[Table]:
        """The blocks. Raises UserError, with the nearest name, for a column that is not there."""
        for name in (*names, *optional):
            if name not in self.names and name not in optional:
                raise no_column(f"{self.source} has", name, self.names)
            if list(self.names).count(name) > 1:
                raise UserError(f"{self.source} has more than one column {name!r}")
        return self.read(names, optional)


def blocks(rows: Iterable[_T]) -> Iterator[list[_T]]:
    """Rows by the thousand."""
    rest = iter(rows)
    while block := list(islice(rest, BLOCK)):
        yield block


def strings(table: Table, name: str) -> list[str]:
    """A column of strings, or a UserError for the first value that is none."""
    values = table.columns[name]
    if set(map(type, values)) - {str}:
        row = next(row for row, value in enumerate(values) if not isinstance(value, str))
        raise wrong(table.at(row), repr(name), values[row], "a string")
    return values


def string_list(table: Table, name: str, row: int) -> list[str]:
    """One value that is a list of strings, or a UserError."""
    values = table.columns[name][row]
    if not isinstance(values, list):
        raise wrong(table.at(row), repr(name), values, "a list of strings")
    if values and set(map(type, values)) != {str}:
        item = next(item for item, value in enumerate(values) if not isinstance(value, str))
        raise wrong(table.at(row, item), f"{name!r} item {item + 1}", values[item], "a string")
    return values


def no_column(where: str, name: str, names: Sequence[str]) -> UserError:
    """The error for a column that is not there, with the nearest one that is."""
    # Without a header row the names are texts, of any length and with line ends.
    hint = nearest(name, [show(found)[1:-1] for found in names])
    return UserError(f"{where} no column {name!r}; {hint}".replace("valid: ", "columns: "))


def wrong(where: str, what: str, value: object, wanted: str) -> UserError:
    """The error for a value of the wrong kind."""
    shown = "null" if value is None else f"{show(value)} ({type(value).__name__})"
    return UserError(f"{where}: {what} is {shown}, not {wanted}")


def show(value: object) -> str:
    """A value as a short piece of one line."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
