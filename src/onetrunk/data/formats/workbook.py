"""Excel workbooks: the first sheet that holds anything, with the names of columns in its first row.

Cells become the strings that a CSV file would have, so both are read alike.
"""

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from onetrunk.data.formats.table import Stream, Table, blocks, reason
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError


def workbook(file: Path) -> Stream:
    """Return the columns of an ``.xlsx`` file; blank rows are passed over.

    Raises UserError if openpyxl is not installed, and for a file that is no workbook.
    """
    notes = Notes()
    with _opened(file) as book:
        sheets = book.worksheets
        title, header = next(
            ((sheet.title, cells) for sheet in sheets for _, cells in _rows(sheet)), ("", [])
        )
    if not header:
        raise UserError(f"{file} has no rows")
    if len(sheets) > 1:
        notes.add(f"workbooks of {len(sheets)} sheets, of which {title!r} is read", str(file))

    noted: set[int] = set()

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        positions = {name: header.index(name) for name in (*names, *optional) if name in header}
        with _opened(file) as book:
            rows = _rows(book[title])
            next(rows)
            for block in blocks(rows):
                for number, cells in block:
                    if number not in noted and any(map(str.strip, _unnamed(cells, header))):
                        noted.add(number)  # a file may be read more than once
                        what = "rows with cells under no column name, which are not read"
                        notes.add(what, f"{file}, row {number}")
                columns = {
                    name: [cells[at] if at < len(cells) else "" for _, cells in block]
                    for name, at in positions.items()
                }
                yield Table(str(file), columns, [number for number, _ in block])

    return Stream(str(file), header, read, notes)


def as_text(value: Any) -> str:
    """Return what a spreadsheet shows for the value of a cell; nothing for an empty one."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case float() if value.is_integer():
            return str(int(value))
        case datetime.datetime() if value.time() == datetime.time():
            return value.date().isoformat()
        case datetime.datetime():
            return value.isoformat(" ")
    return str(value)


def _rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row that is not blank."""
    sheet.reset_dimensions()  # some programs write wrong ones
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [as_text(value) for value in values]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            yield number, cells


def _unnamed(cells: Sequence[str], header: Sequence[str]) -> list[str]:
    return [cell for at, cell in enumerate(cells) if at >= len(header) or not header[at].strip()]


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise UserError(
            f"{file}: reading .xlsx needs openpyxl: pip install 'onetrunk[excel]'"
        ) from None
    try:
        with file.open("rb") as data:
            yield openpyxl.load_workbook(data, read_only=True, data_only=True)
    # Other files, and damaged or encrypted ones, make a look-up of a part or of a key fail.
    except (BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        raise UserError(f"{file} is no Excel workbook: {reason(error)}") from None
