"""Rows that cannot be read: the first says why, and it says which others there are."""

from onetrunk.data.formats.table import Table
from onetrunk.errors import UserError, first_of

NAMED = 10
"""So many further rows are named."""


class Faults:
    """The rows of a block that cannot be read, so that all of them can be mended at once."""

    def __init__(self) -> None:
        self._first: UserError | None = None
        self._others: list[str] = []
        self._in_lines = False

    def __bool__(self) -> bool:
        return self._first is not None

    def add(self, error: UserError, table: Table, index: int) -> None:
        """Add the error of the row of a table with this index."""
        if self._first is None:
            self._first, self._in_lines = error, table.in_lines
        else:
            self._others.append(str(table.numbers[index]))

    def check(self) -> None:
        """Raise the first error, if there is one, with the places of the others."""
        if self._first is None:
            return
        if not self._others:
            raise self._first
        what = "line" if self._in_lines else "row"
        others = first_of(self._others, NAMED)
        they_are = f"{what} {others} is" if len(self._others) == 1 else f"{what}s {others} are"
        raise UserError(f"{self._first} ({they_are} wrong, too)")
