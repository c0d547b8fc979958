"""Files as columns: Parquet, JSONL, CSV and CoNLL, with the place of every row.

Text is UTF-8, with or without a byte order mark; lines end in LF, CRLF or CR. What cannot be read
raises :class:`~onetrunk.errors.UserError` with one line that names the place (``file:line`` in
text files, ``file, row N`` in Parquet; both count from one) and the value.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.errors import UserError, nearest

_T = TypeVar("_T")


@dataclass(frozen=True)
class Table:
    """The columns of a file, read when asked for, and where each row stands."""

    file: Path
    names: Sequence[str]
    column: Callable[[str], list[Any]]
    lines: Sequence[int] = ()  # where each row starts; Parquet has no lines
    line_per_item: bool = False

    def at(self, row: int, item: int = 0) -> str:
        """Where a row (or an item of it) stands, for a message."""
        if not self.lines:
            return f"{self.file}, row {row + 1}"
        return f"{self.file}:{self.lines[row] + (item if self.line_per_item else 0)}"


def load_table(file: Path) -> Table:
    """Open a Parquet, JSONL, CSV or TSV file by its suffix."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _parquet(file)
    return _jsonl(file) if suffix == ".jsonl" else _csv(file, "\t" if suffix == ".tsv" else ",")


def _parquet(file: Path) -> Table:
    def column(name: str) -> list[Any]:
        with _parquet_errors(file):
            with pq.ParquetFile(file) as parquet:
                values = parquet.read(columns=[name]).column(name)
            try:
                return some(values.to_pylist(), file)
            except UnicodeDecodeError:
                for row in range(len(values)):
                    try:
                        values[row].as_py()
                    except UnicodeDecodeError as error:
                        why = f"{name!r} is not valid UTF-8 at byte {error.start}"
                        raise UserError(f"{file}, row {row + 1}: {why}") from None
                raise

    with _parquet_errors(file):
        names = pq.read_schema(file).names
    return Table(file, names, column)


@contextmanager
def _parquet_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} cannot be read as Parquet: {why}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):  # json would keep the last value and lose the others
        raise ValueError("a key occurs twice")
    return row


_decode = json.JSONDecoder(object_pairs_hook=_unique_keys).decode


def _jsonl(file: Path) -> Table:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(lines(file), 1):
        if not line.strip():  # holds no row; usual at the end of a file
            continue
        try:
            row = _decode(line)
            if "\\u" in line:  # half a surrogate pair is no character: no tokenizer takes it
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: invalid JSON: {error}") from None
        if not isinstance(row, dict):
            raise wrong(f"{file}:{number}", "the line", row, "a JSON object like {...}")
        rows.append(row)
        numbers.append(number)

    def column(name: str) -> list[Any]:
        for row, number in zip(rows, numbers, strict=True):
            if name not in row:
                raise _no_column(f"{file}:{number}:", name, list(row))
        return [row[name] for row in rows]

    names = list(some(rows, file)[0])
    return Table(file, names, column, numbers)


def _csv(file: Path, delimiter: str) -> Table:
    text = _read(file)
    rows: list[list[str]] = []
    numbers: list[int] = []
    limit = csv.field_size_limit(max(len(text), 1))  # the default refuses long texts
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1  # line_num is where a record ends; a quoted field may have begun lines before
    try:
        for cells in reader:
            if cells:
                if rows and len(cells) != len(rows[0]):
                    why = f"{len(cells)} fields but the header has {len(rows[0])}"
                    hint = "put quotes around a field that holds a delimiter or a line end"
                    raise UserError(f"{file}:{number}: {why}; {hint}")
                rows.append(cells)
                numbers.append(number)
            number = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{file}:{number}: invalid CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)
    header = some(rows, file)[0]

    def column(name: str) -> list[Any]:
        index = header.index(name)
        return [cells[index] for cells in some(rows[1:], file)]

    return Table(file, header, column, numbers[1:])


def conll(file: Path) -> Table:
    """Sentences of a CoNLL file as the columns ``tokens`` and ``ner_tags``."""
    columns: dict[str, list[list[str]]] = {"tokens": [], "ner_tags": []}
    starts: list[int] = []
    first, width, inside = 0, 0, False
    for number, line in enumerate(lines(file), 1):
        # Not str.split(): it splits at no-break and ideographic spaces, which tokens may hold.
        cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
        if not line.strip(" \t") or cells[0] == "-DOCSTART-":
            inside = False
            continue
        if len(cells) < 2:
            raise UserError(f"{file}:{number}: one column ({show(line)}); write token, tag")
        first, width = first or number, width or len(cells)
        if len(cells) != width:  # a token with a space in it would lose its second half
            why = f"{len(cells)} columns but line {first} has {width} ({show(line)})"
            raise UserError(f"{file}:{number}: {why}")
        if not inside:
            inside = True
            starts.append(number)
            columns["tokens"].append([])
            columns["ner_tags"].append([])
        columns["tokens"][-1].append(cells[0])
        columns["ner_tags"][-1].append(cells[-1])
    some(starts, file)
    return Table(file, list(columns), columns.__getitem__, starts, line_per_item=True)


def column(table: Table, name: str) -> list[Any]:
    """The values of one column. Raises UserError, with the nearest name, if there is none."""
    if name not in table.names:
        raise _no_column(f"{table.file} has", name, table.names)
    if list(table.names).count(name) > 1:
        raise UserError(f"{table.file} has more than one column {name!r}")
    return table.column(name)


def _no_column(where: str, name: str, names: Sequence[str]) -> UserError:
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


def check_file(path: str | Path, suffixes: Sequence[str]) -> Path:
    """The path of an existing, non-empty file with one of the suffixes, or a UserError."""
    file = Path(path)
    if not file.exists():
        return missing(file)
    if file.is_dir():
        raise UserError(f"{file} is a folder, not a file")
    if file.suffix.lower() not in suffixes:
        hint = nearest(file.suffix, suffixes)
        raise UserError(f"{file}: suffix {file.suffix!r} is not supported here; {hint}")
    if file.stat().st_size == 0:
        raise UserError(f"{file} is empty (0 bytes)")
    return file


def missing(file: Path) -> NoReturn:
    """Raise UserError for a file that does not exist, with the nearest sibling's name."""
    names = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
    raise UserError(f"no such file: {file}{closest(file.name, names)}")


def closest(name: str, names: Iterable[str]) -> str:
    """A suggestion to append to a message, empty if nothing is near."""
    close = get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    try:
        # Not utf-8-sig: its errors count bytes from after the byte order mark.
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = len(_split(data[: error.start].decode()))
        why = f"byte 0x{data[error.start]:02x} at offset {error.start} is not valid UTF-8"
        raise UserError(f"{file}:{line}: {why}") from None


def lines(file: Path) -> list[str]:
    """The lines of a text file, without their ends."""
    lines = _split(_read(file))
    return lines if lines[-1] else lines[:-1]  # what follows the last line end is no line


def _split(text: str) -> list[str]:
    # Not splitlines(): it also splits at characters such as U+2028 that a text may hold.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def some(rows: list[_T], file: Path) -> list[_T]:
    """The rows, or a UserError if there are none."""
    if not rows:
        raise UserError(f"{file} has no rows")
    return rows
