"""Readers of the user's files: Parquet, JSONL, CoNLL, CSV and plain text become rows.

Nothing is dropped, guessed or repaired in silence. Wrong input raises
:class:`~onetrunk.errors.UserError` with one line that names the file and the place
(``file:line`` in text files, ``file, row N`` in Parquet; both count from one) and the value.
Text is UTF-8, with or without a byte order mark; lines end in LF, CRLF or CR.
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

from onetrunk.data.examples import LabelledText, Pair, TaggedText
from onetrunk.data.iob import find_fault, repair_iob2
from onetrunk.errors import UserError, nearest

_T = TypeVar("_T")
_CONLL = (".conll", ".txt", ".tsv", ".iob", ".bio")
_TABLES = (".parquet", ".jsonl", ".csv", ".tsv")
_SPLITS = (".parquet", ".jsonl", ".conll", ".csv", ".tsv", ".txt", ".iob", ".bio")


def read_ner(path: str | Path, repair: bool = False) -> list[TaggedText]:
    """Return the tagged sentences of a Parquet, JSONL or CoNLL file.

    Parquet and JSONL have the columns ``tokens`` and ``ner_tags`` (lists of strings). CoNLL
    (.conll .txt .tsv .iob .bio) has the token in the first column and the tag in the last, split
    at tabs if the line has one, else at spaces; a blank or ``-DOCSTART-`` line ends a sentence.
    With ``repair``, an orphan ``I-type`` becomes ``B-type`` instead of an error.

    Raises UserError for an unreadable file, a missing column, a null or a value of another type,
    a sentence without tokens, an empty token, tokens and tags of different number, CoNLL lines
    of different numbers of columns, and tags that are not IOB2.
    """
    file = _check_file(path, (".parquet", ".jsonl", *_CONLL))
    table = _conll(file) if file.suffix.lower() in _CONLL else _load_table(file)
    rows = []
    columns = zip(_column(table, "tokens"), _column(table, "ner_tags"), strict=True)
    for row, (tokens, tags) in enumerate(columns):
        words = _strings(tokens, "tokens", table, row)
        tags = _strings(tags, "ner_tags", table, row)
        if not words:
            raise UserError(f"{table.at(row)}: the row has no tokens")
        if len(words) != len(tags):
            raise UserError(f"{table.at(row)}: {len(words)} tokens but {len(tags)} ner_tags")
        if "" in words:
            item = words.index("")
            raise UserError(f"{table.at(row, item)}: token {item + 1} is an empty string")
        if repair:
            tags = repair_iob2(tags)
        if fault := find_fault(tags):
            item, why = fault
            if "does not continue" in why:
                why += "; row looks like IOB1: convert to IOB2 (onetrunk does not guess)"
            raise UserError(f"{table.at(row, item)}: {why}")
        rows.append(TaggedText.from_words(words, tags))
    return rows


def read_classification(path: str | Path) -> list[LabelledText]:
    """Return the labelled texts of a Parquet, JSONL, CSV or TSV file (with a header row).

    Columns: ``text``, and ``label`` (a string or an integer; in Parquet and JSONL also a list of
    them, for multi-label data) or ``labels`` (a list). An integer becomes its decimal string. A
    list may be empty: no label applies. A text may be empty.

    Raises UserError for an unreadable file, a missing or repeated column, both label columns, a
    null or a value of another type, an empty or repeated label, and a row of another width.
    """
    table = _load_table(_check_file(path, _TABLES))
    name = "labels" if "labels" in table.names and "label" not in table.names else "label"
    if {"label", "labels"} <= set(table.names):
        raise UserError(f"{table.file} has both 'label' and 'labels'; keep one of them")
    texts = _string_column(table, "text")
    rows = []
    for row, (text, value) in enumerate(zip(texts, _column(table, name), strict=True)):
        many = isinstance(value, list)
        if name == "labels" and not many:
            raise _wrong(table.at(row), "'labels'", value, "a list of strings")
        labels = []
        for item, one in enumerate(value if many else [value], 1):
            what = f"{name!r} item {item}" if many else f"{name!r}"
            if type(one) not in (str, int):  # bool is an int to isinstance
                raise _wrong(table.at(row), what, one, "a string or an integer")
            label = str(one)
            if not label.strip():
                raise UserError(f"{table.at(row)}: {what} is an empty string")
            if label in labels:
                raise UserError(f"{table.at(row)}: {what} repeats {_show(label)}")
            labels.append(label)
        rows.append(LabelledText(text, tuple(labels)))
    return rows


def read_pairs(path: str | Path) -> list[Pair]:
    """Return the pairs of a Parquet, JSONL, CSV or TSV file: columns ``query`` and ``positive``.

    Raises UserError for an unreadable file, a missing or repeated column, a null or a value that
    is not a string, and a row of another width.
    """
    table = _load_table(_check_file(path, _TABLES))
    queries, positives = _string_column(table, "query"), _string_column(table, "positive")
    return list(map(Pair, queries, positives))


def read_texts(path: str | Path) -> list[str]:
    """Return the texts to predict: one a line in .txt (a blank line is an empty text), else rows.

    Parquet, JSONL, CSV and TSV give the column ``text`` or, where there is none, the lists of
    strings of ``tokens``, each joined by spaces.

    Raises UserError for an unreadable file, a missing or repeated column, a null or a value of
    another type, and a row of another width.
    """
    file = _check_file(path, (".txt", *_TABLES))
    if file.suffix.lower() == ".txt":
        return _some(_lines(file), file)
    table = _load_table(file)
    if "text" in table.names or "tokens" not in table.names:
        return _string_column(table, "text")
    tokens = _column(table, "tokens")
    return [" ".join(_strings(words, "tokens", table, row)) for row, words in enumerate(tokens)]


def find_files(path: str | Path, split: str = "train") -> Path:
    """Return the file itself, or the one file of a folder named ``{split}`` plus a known suffix.

    Raises UserError, saying what was found, if there is no such file or more than one.
    """
    folder = Path(path)
    if not folder.is_dir():
        return folder if folder.exists() else _missing(folder)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    known = [name for name in names if Path(name).suffix.lower() in _SPLITS]
    found = [name for name in known if Path(name).stem == split]
    if len(found) > 1:
        raise UserError(f"{folder} holds {' and '.join(found)}; name the file to read")
    if not found:
        hint = _closest(split, {Path(name).stem for name in known})
        listed = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if names[12:] else "")
        wanted = f"{folder} holds no file {split!r} ({', '.join(_SPLITS)})"
        raise UserError(f"{wanted}{hint or ';'} found: {listed or 'no files'}")
    return folder / found[0]


@dataclass(frozen=True)
class _Table:
    file: Path
    names: Sequence[str]
    column: Callable[[str], list[Any]]
    lines: Sequence[int] = ()  # where each row starts; Parquet has no lines
    line_per_item: bool = False

    def at(self, row: int, item: int = 0) -> str:
        if not self.lines:
            return f"{self.file}, row {row + 1}"
        return f"{self.file}:{self.lines[row] + (item if self.line_per_item else 0)}"


def _load_table(file: Path) -> _Table:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _parquet(file)
    return _jsonl(file) if suffix == ".jsonl" else _csv(file, "\t" if suffix == ".tsv" else ",")


def _parquet(file: Path) -> _Table:
    def column(name: str) -> list[Any]:
        with _parquet_errors(file):
            with pq.ParquetFile(file) as parquet:
                values = parquet.read(columns=[name]).column(name)
            try:
                return _some(values.to_pylist(), file)
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
    return _Table(file, names, column)


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


def _jsonl(file: Path) -> _Table:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():  # holds no row; usual at the end of a file
            continue
        try:
            row = _decode(line)
            if "\\u" in line:  # half a surrogate pair is no character: no tokenizer takes it
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: invalid JSON: {error}") from None
        if not isinstance(row, dict):
            raise _wrong(f"{file}:{number}", "the line", row, "a JSON object like {...}")
        rows.append(row)
        numbers.append(number)

    def column(name: str) -> list[Any]:
        for row, number in zip(rows, numbers, strict=True):
            if name not in row:
                raise _no_column(f"{file}:{number}:", name, list(row))
        return [row[name] for row in rows]

    names = list(_some(rows, file)[0])
    return _Table(file, names, column, numbers)


def _csv(file: Path, delimiter: str) -> _Table:
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
    header = _some(rows, file)[0]

    def column(name: str) -> list[Any]:
        index = header.index(name)
        return [cells[index] for cells in _some(rows[1:], file)]

    return _Table(file, header, column, numbers[1:])


def _conll(file: Path) -> _Table:
    columns: dict[str, list[list[str]]] = {"tokens": [], "ner_tags": []}
    starts: list[int] = []
    first, width, inside = 0, 0, False
    for number, line in enumerate(_lines(file), 1):
        # Not str.split(): it splits at no-break and ideographic spaces, which tokens may hold.
        cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
        if not line.strip(" \t") or cells[0] == "-DOCSTART-":
            inside = False
            continue
        if len(cells) < 2:
            raise UserError(f"{file}:{number}: one column ({_show(line)}); write token, tag")
        first, width = first or number, width or len(cells)
        if len(cells) != width:  # a token with a space in it would lose its second half
            why = f"{len(cells)} columns but line {first} has {width} ({_show(line)})"
            raise UserError(f"{file}:{number}: {why}")
        if not inside:
            inside = True
            starts.append(number)
            columns["tokens"].append([])
            columns["ner_tags"].append([])
        columns["tokens"][-1].append(cells[0])
        columns["ner_tags"][-1].append(cells[-1])
    _some(starts, file)
    return _Table(file, list(columns), columns.__getitem__, starts, line_per_item=True)


def _column(table: _Table, name: str) -> list[Any]:
    if name not in table.names:
        raise _no_column(f"{table.file} has", name, table.names)
    if list(table.names).count(name) > 1:
        raise UserError(f"{table.file} has more than one column {name!r}")
    return table.column(name)


def _no_column(where: str, name: str, names: Sequence[str]) -> UserError:
    # Without a header row the names are texts, of any length and with line ends.
    hint = nearest(name, [_show(found)[1:-1] for found in names])
    return UserError(f"{where} no column {name!r}; {hint}".replace("valid: ", "columns: "))


def _string_column(table: _Table, name: str) -> list[str]:
    values = _column(table, name)
    if set(map(type, values)) != {str}:
        row = next(row for row, value in enumerate(values) if not isinstance(value, str))
        raise _wrong(table.at(row), repr(name), values[row], "a string")
    return values


def _strings(values: Any, name: str, table: _Table, row: int) -> list[str]:
    if not isinstance(values, list):
        raise _wrong(table.at(row), repr(name), values, "a list of strings")
    if values and set(map(type, values)) != {str}:
        item = next(item for item, value in enumerate(values) if not isinstance(value, str))
        raise _wrong(table.at(row, item), f"{name!r} item {item + 1}", values[item], "a string")
    return values


def _wrong(where: str, what: str, value: object, wanted: str) -> UserError:
    shown = "null" if value is None else f"{_show(value)} ({type(value).__name__})"
    return UserError(f"{where}: {what} is {shown}, not {wanted}")


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _check_file(path: str | Path, suffixes: Sequence[str]) -> Path:
    file = Path(path)
    if not file.exists():
        return _missing(file)
    if file.is_dir():
        raise UserError(f"{file} is a folder, not a file")
    if file.suffix.lower() not in suffixes:
        hint = nearest(file.suffix, suffixes)
        raise UserError(f"{file}: suffix {file.suffix!r} is not supported here; {hint}")
    if file.stat().st_size == 0:
        raise UserError(f"{file} is empty (0 bytes)")
    return file


def _missing(file: Path) -> NoReturn:
    names = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
    raise UserError(f"no such file: {file}{_closest(file.name, names)}")


def _closest(name: str, names: Iterable[str]) -> str:
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


def _lines(file: Path) -> list[str]:
    lines = _split(_read(file))
    return lines if lines[-1] else lines[:-1]  # what follows the last line end is no line


def _split(text: str) -> list[str]:
    # Not splitlines(): it also splits at characters such as U+2028 that a text may hold.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _some(rows: list[_T], file: Path) -> list[_T]:
    if not rows:
        raise UserError(f"{file} has no rows")
    return rows
