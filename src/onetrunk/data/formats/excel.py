"""Excel workbooks: the first sheet that holds anything, with a header row."""

from collections.abc import Iterator, Sequence
from datetime import date, time
from itertools import islice
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Stream, Table, blocks, reason
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError


def workbook(file: Path) -> Stream:
    """Return the columns of a workbook.

    Raises UserError if openpyxl is not installed, and for what is no workbook or has no header.
    """
    sheet = _sheet(file)
    _, header = next(_rows(sheet), (0, []))
    names = [str(name) for name in header if name is not None]
    if not names:
        raise UserError(f"{file} has no rows")
    notes = Notes()
    if len(sheet.parent.sheetnames) > 1:
        notes.add("workbooks of which one sheet is read", f"{file}: {sheet.title!r}")

    def read(wanted: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        places = {
            str(name): place
            for place, name in enumerate(header)
            if name is not None and str(name) in (*wanted, *optional)
        }
        for block in blocks(islice(_rows(_sheet(file)), 1, None)):
            columns = {
                name: [cells[place] if place < len(cells) else None for _, cells in block]
                for name, place in places.items()
            }
            yield Table(str(file), columns, [number for number, _ in block])

    return Stream(str(file), names, read, notes, by_hand=True)


def _rows(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """Yield the number and the cells of each row that is not empty."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(cell is not None for cell in cells):
            yield number, [_plain(cell) for cell in cells]


def _sheet(file: Path) -> Any:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(f"{file}: Excel files need openpyxl: pip install onetrunk[excel]") from None
    try:
        book = load_workbook(file, read_only=True, data_only=True)
    except Exception as error:  # of zipfile, xml and openpyxl, without a class in common
        raise UserError(f"{file} cannot be read as an Excel file: {reason(error)}") from None
    filled = (sheet for sheet in book.worksheets if next(_rows(sheet), None))
    return next(filled, book.worksheets[0])


def _plain(cell: Any) -> Any:
    """A cell as a file of another format would hold it: a date as text, 3.0 as 3."""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell.isoformat() if isinstance(cell, date | time) else cell
