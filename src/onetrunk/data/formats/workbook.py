"""Excel workbooks: one sheet is read, with the names of columns in its first row.

Cells become the strings that a CSV file would have, so both are read alike.
"""

import datetime
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

from onetrunk.data.formats.table import Stream, Table, blocks, reason, show
from onetrunk.data.notes import Notes
from onetrunk.data.splits import split_of
from onetrunk.errors import UserError

LARGEST = 2**30
"""Bytes of all sheets when they are unpacked."""
_ESCAPED = re.compile("_x(00[01][0-9A-Fa-f]|005[Ff]|[Ff]{3}[EeFf])_")
"""A control character, such as the carriage return of a line end, as Excel writes it."""
_FORMULA = re.compile(
    rb'<c (?![^>]*\bt="str")[^>]*\br="(\w+)"[^>]*><f\b[^>]*(?:/>|>[^<]*</f>)(?:<v ?/>|<v></v>)?</c>'
)
_ROW = re.compile(rb"<(?:\w+:)?row\b[^>]*>")
_HIDDEN = re.compile(rb'\bhidden="(?:1|true)"|\bht="0(?:\.0*)?"')
_NUMBER = re.compile(rb'\br="([0-9]+)"')
_FILLED = re.compile("0{2,}")
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref=["\'](\w+:\w+)["\']')


class _Merged(NamedTuple):
    """Cells that Excel shows as one; the file has their value in the first one alone."""

    reference: str
    left: int
    top: int
    right: int
    bottom: int


def workbook(file: Path, split: str = "train") -> Stream:
    """Return the columns of an ``.xlsx`` file, which is opened once; blank rows are passed over.

    Of several sheets with rows, the one with the name of the split is read. If no sheet has the
    name of any split it is the first one that is not hidden. The value of merged cells is read in
    each of their rows.

    Raises UserError if openpyxl is not installed, for a file that is no workbook, if the sheets are
    those of other splits, if the names of columns are merged with rows below them, and while
    reading for a formula without its value.
    """
    notes = Notes()
    sheets = _sheets(file)
    headers = {
        sheet.title: (sheet, number, cells)
        for sheet in sheets
        for number, cells in islice(_rows(file, sheet), 1)
    }
    if not headers:
        raise UserError(f"{file} has no rows")
    sheet, first, header = headers[_title(file, headers, split)]
    if len(sheets) > 1:
        notes.say(f"of {len(sheets)} sheets {sheet.title!r} is read", str(file))
    tables = [title for title, (_, _, cells) in headers.items() if len(cells) > 1]
    _check_title(file, sheet, first, header, tables)
    if hidden := _hidden_rows(file, sheet):
        what = "rows that are hidden in Excel, read as the others are"
        notes.add(what, f"{file}, row {hidden[0]}", len(hidden))
    empty, merged = _without_values(file, sheet), _merged(file, sheet)
    for area in merged:
        if area.top == first < area.bottom and any(header[area.left - 1 : area.left]):
            why = "are merged with the row below; write the names of columns in one row"
            raise UserError(f"{file}, row {first}: cells {area.reference} {why}")

    noted: set[int | _Merged] = set()  # a file may be read more than once

    def note(area: _Merged, what: str) -> None:
        if area not in noted:
            noted.add(area)
            notes.add(what, f"{file}: {area.reference}")

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        positions = {name: header.index(name) for name in (*names, *optional) if name in header}
        rows = _filled(file, islice(_rows(file, sheet), 1, None), merged, positions, note)
        for block in blocks(rows):
            for number, cells in block:
                if number not in noted and any(map(str.strip, _unnamed(cells, header))):
                    noted.add(number)
                    what = "rows with cells under no column name, which are not read"
                    notes.add(what, f"{file}, row {number}")
                for name, at in positions.items():
                    if (number, at + 1) in empty:
                        why = (
                            "holds a formula without its value; open the file in Excel and save it"
                        )
                        raise UserError(f"{file}, row {number}: {name!r} {why}")
            columns = {
                name: [cells[at] if at < len(cells) else "" for _, cells in block]
                for name, at in positions.items()
            }
            yield Table(str(file), columns, [number for number, _ in block])

    return Stream(str(file), header, read, notes)


def _check_title(
    file: Path, sheet: Any, first: int, header: Sequence[str], tables: Sequence[str]
) -> None:
    """Raise UserError if the first row is a title, and names of columns stand in the next one, or
    on another sheet, of those with ``tables``."""
    if len(header) > 1 or " " not in header[0].strip():
        return
    rows = [*islice(_rows(file, sheet), 2)]
    if tables:
        listed = ", ".join(map(repr, tables))
        raise UserError(
            f"{file}: the first sheet, {sheet.title!r}, has one column, {show(header[0])}; a table "
            f"is on {listed}: put its sheet first, or call it 'train'"
        )
    if len(rows) == 2 and len(rows[1][1]) > 1:
        number, cells = rows[1]
        why = f"is alone in its row; row {number} may hold the names of columns: {cells[:5]}"
        raise UserError(f"{file}, row {first}: {show(header[0])} {why}; remove the rows above them")


def _title(file: Path, titles: Collection[str], split: str) -> str:
    """Return the name of the sheet to read."""
    splits = {title: split_of(title) for title in titles}
    # Beside a sheet "test" there may be one of another name with the rows to train on.
    others = [title for title, found in splits.items() if not found and split == "train"]
    named = [title for title, found in splits.items() if split in (found, title)]
    if len(titles) == 1 or not any(splits.values()):
        return next(iter(titles))
    if not named and not others:
        listed = ", ".join(map(repr, titles))
        raise UserError(f"{file} has no sheet {split!r}; sheets: {listed}; rename one")
    return (named or others)[0]


def as_text(value: Any, number_format: Any = None) -> str:
    """Return what a spreadsheet shows for the value of a cell; nothing for an empty one. Of the
    formats of numbers, those that fill up with zeros (``00123``) are known."""
    match value:
        case None:
            return ""
        case str():
            return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)
        case bool():
            return str(value).upper()
        case int() if isinstance(number_format, str) and _FILLED.fullmatch(number_format):
            return f"{value:0{len(number_format)}d}"
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
        for number, values in enumerate(sheet.iter_rows(), 1):
            cells = [as_text(cell.value, cell.number_format) for cell in values]
            while cells and not cells[-1].strip():
                cells.pop()
            if cells:
                yield number, cells


def _filled(
    file: Path, rows: Iterator[tuple[int, list[str]]], merged: Sequence[_Merged],
    positions: Mapping[str, int], note: Callable[[_Merged, str], None],
) -> Iterator[tuple[int, list[str]]]:  # fmt: skip
    """Write the value of merged cells into all their rows, in the columns that are read.

    Of cells that are merged over columns, too, only the first column gets it: a text is no label.
    """
    names = {at + 1: name for name, at in positions.items()}
    waiting = [area for area in merged if any(area.left <= at <= area.right for at in names)]
    waiting.sort(key=lambda area: area.top, reverse=True)
    shown: dict[int, tuple[_Merged, str]] = {}  # by column
    for number, cells in rows:
        while waiting and waiting[-1].top <= number:
            area = waiting.pop()
            value = "".join(cells[area.left - 1 : area.left])
            if area.top < number or not value.strip():
                continue
            if any(area.left < at <= area.right for at in names):
                note(area, "ranges of cells merged over columns, of which the first has the value")
            if area.left in names:
                shown[area.left] = area, value
        for at, (area, value) in shown.items():
            if not area.top < number <= area.bottom:
                continue
            note(area, "ranges of merged cells, whose value is read in each of their rows")
            cells += [""] * (at - len(cells))
            if cells[at - 1].strip() and cells[at - 1] != value:
                held = f"{names[at]!r} holds {show(cells[at - 1])}"
                why = f"is merged into {area.reference}, which shows {show(value)}; unmerge them"
                raise UserError(f"{file}, row {number}: {held}, but {why}")
            cells[at - 1] = value
        yield number, cells


def _unnamed(cells: Sequence[str], header: Sequence[str]) -> list[str]:
    return [cell for at, cell in enumerate(cells) if at >= len(header) or not header[at].strip()]


def _hidden_rows(file: Path, sheet: Any) -> list[int]:
    """Return the numbers of the rows that are hidden, by hand or by a filter."""
    with _errors(file), ZipFile(file) as parts:
        tags = _ROW.findall(parts.read(sheet._worksheet_path))
        numbers = [_NUMBER.search(tag) for tag in tags if _HIDDEN.search(tag)]
        return [int(number[1]) for number in numbers if number]


def _without_values(file: Path, sheet: Any) -> set[tuple[int, int]]:
    """Return row and column of the formulas that were written by a program that does not compute
    them; both count from one."""
    from openpyxl.utils.cell import coordinate_to_tuple

    with _errors(file), ZipFile(file) as parts:
        found = _FORMULA.findall(parts.read(sheet._worksheet_path))
        return {coordinate_to_tuple(cell.decode()) for cell in found}


def _merged(file: Path, sheet: Any) -> list[_Merged]:
    """Return the ranges of merged cells, which openpyxl does not give where it streams rows."""
    from openpyxl.utils.cell import range_boundaries

    with _errors(file), ZipFile(file) as parts:
        found = _MERGED.findall(parts.read(sheet._worksheet_path))
        return [_Merged(area, *range_boundaries(area)) for area in map(bytes.decode, found)]


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
        sheets = load_workbook(data, read_only=True, data_only=True).worksheets
        return sorted(sheets, key=lambda sheet: sheet.sheet_state != "visible")


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of zipfile, xml and openpyxl, without a class in common
        raise UserError(f"{file} cannot be read as an Excel file: {reason(error)}") from None
