"""Texts to be answered, block by block, with the other columns of their rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from onetrunk.data.findings import Findings
from onetrunk.data.formats.columns import column_of_texts
from onetrunk.data.formats.exports import plain_columns
from onetrunk.data.formats.table import Stream, Table
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError


@dataclass(frozen=True)
class TextBlock:
    """Some rows in a row."""

    texts: list[str | UserError]
    """Of each row its text, or why there is none."""
    rows: list[dict[str, Any]]
    """Of each row all columns; none of a line that is no row."""
    batch: Any = None
    """The same columns as Arrow read them, in its formats."""


class Texts:
    """One file of texts, or another source of them."""

    def __init__(self, stream: Stream, notes: Notes, path: Path | None = None) -> None:
        """Raises UserError if there is no column of texts, if two columns have one name, and for a
        chosen column beside another called ``text``: answers have one of this name."""
        self.name = stream.source
        self.path = path
        self._notes, self._known = notes, stream.notes
        self._stream = plain_columns(stream, notes, annotated=False)
        self._column, self._text = column_of_texts(self._stream, notes)
        if self._column != "text" and "text" in self._stream.names:
            raise UserError(
                f"{self.name} has a column 'text' beside {self._column!r}: rename it, for answers "
                "hold the text that was read under this name"
            )
        self._others = [name for name in stream.names if name != self._column and name.strip()]
        # Spreadsheets write empty columns behind the last one.
        if nameless := sum(not name.strip() for name in stream.names):
            notes.add("columns without a name, which answers do not keep", self.name, nameless)
        self.schema = self._stream.schema
        """Arrow's, if it is read in batches of Arrow."""
        if self._stream is not stream:
            self._others = []
            notes.add("files of annotation tools, of which only the texts are kept", self.name)
        self._stream.tables(self._column, optional=self._others)
        self._once = self._read() if self._stream.once else None

    def blocks(self, findings: Findings | None = None) -> Iterator[TextBlock]:
        """Yield the rows in order, from the first. ``findings`` takes note of what is odd.

        Raises UserError where the source breaks off.
        """
        for table in self._once or self._read():
            texts = [self._text_or_fault(table, row) for row in range(len(table))]
            if findings:
                for row, text in enumerate(texts):
                    findings.check(text, table, row)
            batch = None if self.schema is None else table.batch
            yield TextBlock(texts, self._rows(table), batch)
        if findings:
            self._notes.update(self._known)

    @cached_property
    def columns(self) -> list[str]:
        """All columns of :meth:`sample`."""
        if self.schema is not None:
            return list(self.schema.names)
        names = [self._column, *self._others]
        names = [name for name in self._stream.names if name in names]
        return [
            *dict.fromkeys(
                [*names, *(name for rows in self.sample() for row in rows for name in row)]
            )
        ]

    @property
    def text_column(self) -> str | None:
        """The column of texts; None if they are joined from words."""
        return None if self._column == "tokens" else self._column

    @cached_property
    def count(self) -> int | None:
        """The number of rows; None if they can be read only once."""
        if self._stream.once or self._stream.count is not None:
            return self._stream.count
        return sum(map(len, self._read()))

    def sample(self) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows, from which columns and their types are found out; the first ones only, if
        they can be read only once."""
        if self._once is None:
            yield from map(self._rows, self._read())
        elif first := next(self._once, None):
            self._once = chain([first], self._once)
            yield self._rows(first)

    def _read(self) -> Iterator[Table]:
        return iter(self._stream.read([self._column], self._others))

    def _text_or_fault(self, table: Table, row: int) -> str | UserError:
        try:
            return self._text(table, row)
        except UserError as fault:
            return fault

    def _rows(self, table: Table) -> list[dict[str, Any]]:
        if table.records:
            return [{} if isinstance(row, UserError) else row for row in table.records]
        kept = (self._column, *self._others)
        names = [name for name in self._stream.names if name in kept and name in table.columns]
        columns = [table.columns[name] for name in names]
        return [
            {} if isinstance(cells[0], UserError) else dict(zip(names, cells, strict=True))
            for cells in zip(*columns, strict=True)
        ]
