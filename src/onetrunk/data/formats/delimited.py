"""CSV and TSV files with a header row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from onetrunk.data.formats import text as text_files
from onetrunk.data.formats.table import Stream, Table, blocks
from onetrunk.errors import UserError


def comma_separated(file: Path) -> Stream:
    """The columns of a CSV file."""
    return _stream(file, ",")


def tab_separated(file: Path) -> Stream:
    """The columns of a TSV file; fields may be quoted as in CSV."""
    return _stream(file, "\t")


def _stream(file: Path, delimiter: str) -> Stream:
    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(islice(_records(file, delimiter), 1, None)):
            columns: dict[str, list[str | None]] = {}
            for name in (*names, *optional):
                at = header.index(name) if name in header else None
                columns[name] = [None if at is None else cells[at] for _, cells in block]
            yield Table(str(file), columns, [number for number, _ in block], in_lines=True)

    for _, header in _records(file, delimiter):
        return Stream(str(file), header, read)
    raise UserError(f"{file} has no rows")


def _records(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each record, and the line on which it begins."""
    reader = csv.reader(text_files.lines(file, keep_ends=True), delimiter=delimiter, strict=True)
    number = 1  # line_num is where a record ends; a quoted field may have begun lines before
    width = 0
    while True:
        # The default refuses long texts, and is one setting for the whole process.
        limit = csv.field_size_limit(text_files.LINE_LIMIT)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{file}:{number}: invalid CSV: {error}") from None
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        width = width or len(cells)
        if cells and len(cells) != width:
            why = f"{len(cells)} fields but the header has {width}"
            hint = "put quotes around a field that holds a delimiter or a line end"
            raise UserError(f"{file}:{number}: {why}; {hint}")
        if cells:
            yield number, cells
        number = reader.line_num + 1
