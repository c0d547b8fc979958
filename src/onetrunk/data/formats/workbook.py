"""Excel workbooks: the first sheet that holds anything, with the names of columns in its first row.

Cells become the strings that a CSV file would have, so both are read alike.
"""

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from onetrunk.data.formats.table import Stream, Table, blocks, reason
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError

LARGEST = 2**30
"""Bytes of all sheets when they are unpacked."""


def workbook(file: Path) -> Stream:
    """Return the columns of an ``.xlsx`` file, which is opened once; blank rows are passed over.

    Raises UserError if openpyxl is not installed, and for a file that is no workbook.
    """
    notes = Notes()
    sheets = _sheets(file)
    sheet, header = next(
        ((sheet, cells) for sheet in sheets for _, cells in _rows(file, sheet)), (None, [])
    )
    if sheet is None:
        raise UserError(f"{file} has no rows")
    if len(sheets) > 1:
        notes.add(f"workbooks of {len(sheets)} sheets, of which {sheet.title!r} is read", str(file))

    noted: set[int] = set()

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        positions = {name: header.index(name) for name in (*names, *optional) if name in header}
        for block in blocks(islice(_rows(file, sheet), 1, None)):
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


def _rows(file: Path, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row that is not blank."""
    with _errors(file):
        sheet.reset_dimensions()  # some programs write wrong ones
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            cells = [as_text(value) for value in values]
            while cells and not cells[-1].strip():
                cells.pop()
            if cells:
                yield number, cells


def _unnamed(cells: Sequence[str], header: Sequence[str]) -> list[str]:
    return [cell for at, cell in enumerate(cells) if at >= len(header) or not header[at].strip()]


def _sheets(file: Path) -> list[Any]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(
            f"{file}: reading .xlsx needs openpyxl: pip install 'onetrunk[excel]'"
        ) from None
    with _errors(file):
        data = BytesIO(file.read_bytes())
        if sum(part.file_size for part in ZipFile(data).infolist()) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes when it is unpacked")
        # Unpacked while it is read; the file is not kept open.
        return list(load_workbook(data, read_only=True, data_only=True).worksheets)


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of zipfile, xml and openpyxl, without a class in common
        raise UserError(f"{file} cannot be read as an Excel file: {reason(error)}") from None
