"""CSV and TSV files with a header row; the delimiter and the encoding are found out."""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from onetrunk.data.formats import text as text_files
from onetrunk.data.formats.table import Stream, Table, blocks, show
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import are_numbers
from onetrunk.errors import UserError

_DELIMITERS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
_HEAD = 100
"""How many lines show the delimiter."""

_SAID = re.compile(r'"?sep=(.)"?\s*')
_BEYOND_ASCII = re.compile(r"\w*[^\W\x00-\x7f]\w*")
_SPACED_QUOTE = re.compile(r' +"')
_SPACED_QUOTES = re.compile(r' +"[^"]*"\s*$')
_HINT = (
    "a quote at the start of a field must be closed at its end; if it belongs to the text, "
    'put the field in quotes and double those inside: """Wow"" she said"'
)


def comma_separated(file: Path, keep_faults: bool = False) -> Stream:
    """Return the columns of a CSV file.

    With ``keep_faults`` a row with too many or too few fields has the error in its cells.
    """
    return _stream(file, ",", keep_faults)


def tab_separated(file: Path, keep_faults: bool = False) -> Stream:
    """Return the columns of a TSV file, as :func:`comma_separated`; fields may be quoted, too."""
    return _stream(file, "\t", keep_faults)


def _stream(file: Path, usual: str, keep_faults: bool) -> Stream:
    delimiter, encoding = _delimiter(file, usual), text_files.encoding_of(file)
    notes = Notes()
    if (delimiter, encoding) != (usual, text_files.UTF8):
        name = "UTF-8" if encoding == text_files.UTF8 else encoding
        between = f"with {_DELIMITERS[delimiter]} between fields"
        notes.say(f"read as {name} {between}", _shown(file, encoding))

    first = next((cells for _, cells in _records(file, delimiter)), None)
    if not isinstance(first, list):
        raise UserError(f"{file} has no rows")
    header: list[str] = first

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        positions = {name: header.index(name) for name in (*names, *optional) if name in header}
        for block in blocks(islice(_records(file, delimiter, keep_faults), 1, None)):
            columns = {
                name: [
                    cells if isinstance(cells, UserError) else cells[position] for _, cells in block
                ]
                for name, position in positions.items()
            }
            yield Table(str(file), columns, [number for number, _ in block], in_lines=True)

    return Stream(str(file), header, read, notes)


def _shown(file: Path, encoding: str) -> str:
    """The file, with a word by which a reader sees whether the encoding is right."""
    if encoding == "Windows-1252":
        for line in text_files.lines(file):
            if word := _BEYOND_ASCII.search(line):
                return f"{file}: {show(word[0])}"
    return str(file)


def _delimiter(file: Path, usual: str) -> str:
    """Find the delimiter that cuts the first lines into the same number of fields, two or more.

    If several do, it is the usual one, or the one that cuts into most fields. A first line
    ``sep=;``, which is written for Excel, says it.
    """
    lines = text_files.lines(file, keep_ends=True)
    head = [line.lstrip(text_files.MARK) for line in islice(lines, _HEAD)]
    if head and (said := _SAID.fullmatch(head[0])) and said[1] in _DELIMITERS:
        return said[1]

    def fitness(delimiter: str) -> tuple[bool, bool, int]:
        widths = []
        try:
            for cells in csv.reader(head, delimiter=delimiter, strict=True):
                widths += [len(cells)] * bool(cells)
        except csv.Error:  # the last record may be cut off
            pass
        width = widths[0] if widths else 0
        return width > 1 and set(widths) == {width}, width > 1 and delimiter == usual, width

    best = max(_DELIMITERS, key=fitness)
    return best if fitness(best)[2] > 1 else usual


def _records(
    file: Path, delimiter: str, keep_faults: bool = False
) -> Iterator[tuple[int, list[str] | UserError]]:
    """Yield the line on which each record begins, and its fields; blank records are passed over.

    Raises UserError for what is not CSV, for a second header, for a field whose quotes seem to
    hold other records and, unless ``keep_faults``, for another number of fields.
    """
    number, width = 1, 0
    header: list[str] = []
    others: list[set[str]] = []
    for lines, cells in _parsed(file, delimiter):
        if number == 1 and _SAID.fullmatch(lines[0]):
            number += 1
            continue
        width = width or len(cells)
        if why := _fault("".join(lines), cells, delimiter, width):
            fault = UserError(f"{file}:{number}: {why}")
            if not keep_faults:
                raise fault
            yield number, fault
            number += len(lines)
            continue
        if rows := _as_rows(lines, delimiter, width):
            others = others or _values(file, delimiter, width)
            # Commas are common in texts of several lines, labels at the right place are not.
            matches = (
                sum(row[at] in {*others[at], cells[at]} for row in rows)
                + len(rows) * are_numbers([*others[at], *(row[at] for row in rows)])
                for at in range(width)
                if "\n" not in cells[at] and "\r" not in cells[at]
            )
            if delimiter == "\t" or max(matches, default=0) > 1:
                why = f"a field in quotes runs on to line {number + len(lines) - 1} over other rows"
                raise UserError(f"{file}:{number}: {why}; {_HINT}")
        if cells == header and width > 1:
            why = "the header again; the file was joined from several: remove the line"
            raise UserError(f"{file}:{number}: {why}")
        header = header or cells
        if "".join(lines).strip(f"{delimiter}\r\n"):  # spreadsheets write a blank row as ;;;
            yield number, cells
        number += len(lines)


def _fault(record: str, cells: Sequence[str], delimiter: str, width: int) -> str:
    """Return a phrase that says what is wrong with the fields of a record, or nothing."""
    has_width = not cells or len(cells) == width
    quoted = _SPACED_QUOTES if has_width else _SPACED_QUOTE
    for cell in cells:
        # In a field with quotes around it, those inside are doubled.
        if quoted.match(cell) and f"{delimiter}{cell}" in f"{delimiter}{record}":
            return f"the field {show(cell)} has a space before its quotes; remove the space"
    if has_width:
        return ""
    why = f"{len(cells)} {'field' if len(cells) == 1 else 'fields'} but the header has {width}"
    return f"{why}; put quotes around a field that holds a delimiter or a line end"


def _parsed(file: Path, delimiter: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the lines of each record, and its fields."""
    lines: list[str] = []
    first = 1

    def read() -> Iterator[str]:
        for line in text_files.lines(file, keep_ends=True):
            if not lines:  # of a record; further lines belong to a text in quotes
                line = line.lstrip(text_files.MARK)
            lines.append(line)
            yield line

    reader = csv.reader(read(), delimiter=delimiter, strict=True)
    while True:
        # The default limit refuses long texts. It is a setting of the whole process.
        limit = csv.field_size_limit(text_files.LINE_LIMIT)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{file}:{first}: invalid CSV: {error}; {_HINT}") from None
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        yield list(lines), cells
        first += len(lines)
        lines.clear()


def _as_rows(lines: Sequence[str], delimiter: str, width: int) -> list[list[str]]:
    """Return the cells of a record's lines, if there are several and each looks like a record."""
    rows = [line.replace('"', "").rstrip("\r\n").split(delimiter) for line in lines if line.strip()]
    is_table = len(rows) > 1 < width and all(len(row) == width for row in rows)
    return rows if is_table else []


def _values(file: Path, delimiter: str, width: int) -> list[set[str]]:
    """Return the values of each column, of the records that take one line."""
    values: list[set[str]] = [set() for _ in range(width)]
    for lines, cells in islice(_parsed(file, delimiter), 1, None):
        if len(lines) == 1:
            for column, value in zip(values, cells, strict=False):
                column.add(value)
    return values
