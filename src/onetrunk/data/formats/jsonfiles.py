"""JSON Lines, and JSON files that hold an array (or a sequence) of objects, object by object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from onetrunk.data.formats import text as text_files
from onetrunk.data.formats.table import Stream, Table, blocks, no_column, wrong
from onetrunk.data.formats.text import lines, nul_byte, open_text
from onetrunk.errors import UserError

_Row = dict[str, Any]
_CHUNK = 2**20
_SPACE = re.compile(r"[ \t\r\n]*")


def jsonl(file: Path) -> Stream:
    """The keys of the objects as columns, one object a line; a blank line holds none."""
    return _stream(file, _json_lines, in_lines=True)


def json_array(file: Path) -> Stream:
    """The same for a ``.json`` file: an array of objects, or one object after the other.

    Such a file is often one long line, so a row's place is its number.
    """
    return _stream(file, _elements, in_lines=False)


def _stream(
    file: Path, records: Callable[[Path], Iterator[tuple[int, _Row]]], in_lines: bool
) -> Stream:
    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(records(file)):
            numbers = [number for number, _ in block]
            columns = {name: [row.get(name) for _, row in block] for name in (*names, *optional)}
            table = Table(str(file), columns, numbers, in_lines)
            for at, (_, row) in enumerate(block):
                for name in names:
                    if name not in row:
                        raise no_column(f"{table.at(at)}:", name, list(row))
            yield table

    for _, first in records(file):
        return Stream(str(file), list(first), read)
    raise UserError(f"{file} has no rows")


def _json_lines(file: Path) -> Iterator[tuple[int, _Row]]:
    for number, line in enumerate(lines(file), 1):
        if not line.strip():  # usual at the end of a file
            continue
        try:
            value = _decode(line)
            _check_characters(line, value)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: invalid JSON: {error}") from None
        yield number, _row(value, f"{file}:{number}", "the line")


def _elements(file: Path) -> Iterator[tuple[int, _Row]]:
    with open_text(file) as stream:
        scanner = _Scanner(file, stream)
        in_array = scanner.take("[")
        more = not (scanner.take("]") if in_array else scanner.at_end())
        closed = not in_array or not more
        number = 0
        while more:
            number += 1
            yield number, _row(scanner.value(), f"{file}, row {number}", "the element")
            more = scanner.take(",") if in_array else not scanner.at_end()
        if not (closed or scanner.take("]")):
            raise scanner.error("',' or ']' expected")
        if not scanner.at_end():
            raise scanner.error("the array is followed by more")


class _Scanner:
    """Takes JSON values from a file through a buffer that grows until it holds the next one."""

    def __init__(self, file: Path, stream: TextIOWrapper) -> None:
        self._file, self._stream = file, stream
        self._text, self._at = "", 0
        self._above = 0  # lines that have left the buffer

    def take(self, character: str) -> bool:
        """Pass over the character, if it is the next that is not white space."""
        if self.at_end() or self._text[self._at] != character:
            return False
        self._at += 1
        return True

    def at_end(self) -> bool:
        """Pass over white space; say whether the file ends there."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return False
            if not self._grow():
                return True

    def value(self) -> Any:
        """The next value."""
        self.at_end()
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
                _check_characters(self._text[self._at : end], value)
            except json.JSONDecodeError as error:
                # The value may only be cut off by the end of the buffer.
                if len(self._text) - self._at > text_files.LINE_LIMIT or not self._grow():
                    raise self.error(error.msg, error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self.error(str(error)) from None
            else:
                self._at = end
                return value

    def error(self, why: str, position: int | None = None) -> UserError:
        """The error for what is at the position, by default the present one."""
        at = self._at if position is None else position
        line = self._above + self._text.count("\n", 0, at) + 1
        return UserError(f"{self._file}:{line}: invalid JSON: {why}")

    def _grow(self) -> bool:
        more = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        if not more:
            return False
        self._above += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + more, 0
        if "\0" in more:
            raise nul_byte(
                self._file, self._above + self._text[: self._text.index("\0")].count("\n") + 1
            )
        return True


def _unique_keys(pairs: list[tuple[str, Any]]) -> _Row:
    row = dict(pairs)
    if len(row) < len(pairs):  # json would keep the last value and lose the others
        raise ValueError("a key occurs twice")
    return row


_decoder = json.JSONDecoder(object_pairs_hook=_unique_keys)
_decode_plain = json.JSONDecoder().decode


def _decode(line: str) -> Any:
    """The value of a line, in which no object has a key twice."""
    # Looking at every key costs as much as all the rest. A flat row without escapes has a key twice
    # only if its name stands in quotes twice.
    if "\\" not in line and line.count("{") == 1:
        value = _decode_plain(line)
        if isinstance(value, dict) and max(line.count(f'"{key}"') for key in value or "{") == 1:
            return value
    return _decoder.decode(line)


def _check_characters(source: str, value: Any) -> None:
    if "\\u" in source:  # half a surrogate pair is no character: no tokenizer takes it
        json.dumps(value, ensure_ascii=False).encode()


def _row(value: Any, where: str, what: str) -> _Row:
    match value:
        case dict():
            return value
        case [str() as text, dict() as annotations]:  # spaCy's simple training data
            return {"text": text, **annotations}
        case _:
            raise wrong(where, what, value, "a JSON object like {...}")
