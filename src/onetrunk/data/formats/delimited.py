"""CSV and TSV files with a header row."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from onetrunk.data.formats import text as text_files
from onetrunk.data.formats.table import Stream, Table, blocks
from onetrunk.errors import UserError


def comma_separated(file: Path) -> Stream:
    """Return the columns of a CSV file."""
    return _stream(file, ",")


def tab_separated(file: Path) -> Stream:
    """Return the columns of a TSV file; fields may be quoted as in CSV."""
    return _stream(file, "\t")


def _stream(file: Path, delimiter: str) -> Stream:
    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        positions = {name: header.index(name) for name in (*names, *optional) if name in header}
        for block in blocks(islice(_records(file, delimiter), 1, None)):
            columns = {
                name: [cells[position] for _, cells in block]
                for name, position in positions.items()
            }
            yield Table(str(file), columns, [number for number, _ in block], in_lines=True)

    for _, header in _records(file, delimiter):
        return Stream(str(file), header, read)
    raise UserError(f"{file} has no rows")


def _records(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and the fields of the record."""
    reader = csv.reader(text_files.lines(file, keep_ends=True), delimiter=delimiter, strict=True)
    number = 1  # line_num is the last line of a record, and a quoted field may have several
    width = 0
    while True:
        # The default limit refuses long texts. It is a setting of the whole process.
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
