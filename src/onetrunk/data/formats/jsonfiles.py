"""JSON Lines, and JSON files that hold an array of objects or one object after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Stream, record_stream, show, wrong
from onetrunk.data.formats.text import lines, nul_byte, open_text
from onetrunk.errors import UserError

_Row = dict[str, Any]
_SPACE = re.compile(r"[ \t\r\n]*")


def jsonl(file: Path) -> Stream:
    """Return a stream of the objects of a JSON Lines file, one a line; blank lines are skipped."""
    return record_stream(str(file), lambda: _json_lines(file), in_lines=True)


def json_array(file: Path) -> Stream:
    """Return a stream of the objects of a ``.json`` file, which is held in memory.

    Such a file is often one long line, so the place of a row is its number.
    """
    rows = list(_elements(file))
    return record_stream(str(file), lambda: rows)


def _json_lines(file: Path) -> Iterator[tuple[int, _Row]]:
    for number, line in enumerate(lines(file), 1):
        if not line.strip():  # usual at the end of a file
            continue
        where = f"{file}:{number}"
        try:
            value = _decoder.decode(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: invalid JSON: {error}") from None
        yield number, _row(value, where, "the line", "\\u" in line)


def _elements(file: Path) -> Iterator[tuple[int, _Row]]:
    with open_text(file) as stream:
        text = stream.read()

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    if "\0" in text:
        raise nul_byte(file, line(text.index("\0")))
    values: list[Any] = []
    end = 0
    while (start := _space(text, end)) < len(text):
        if values and isinstance(values[0], list):
            raise UserError(f"{file}:{line(start)}: invalid JSON: the array is followed by more")
        try:
            value, end = _decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise UserError(f"{file}:{error.lineno}: invalid JSON: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}: invalid JSON: {error}") from None
        values.append(value)
    elements = values[0] if values and isinstance(values[0], list) else values
    for number, element in enumerate(elements, 1):
        yield number, _row(element, f"{file}, row {number}", "the element", "\\u" in text)


def _space(text: str, start: int) -> int:
    """Return the end of the white space at a position."""
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _unique_keys(pairs: list[tuple[str, Any]]) -> _Row:
    row: _Row = {}
    for key, value in pairs:
        if key in row:  # by default, the last value would win
            raise ValueError(f"the key {show(key)} occurs twice")
        row[key] = value
    return row


_decoder = json.JSONDecoder(object_pairs_hook=_unique_keys)


def _row(value: Any, where: str, what: str, has_escapes: bool) -> _Row:
    if has_escapes:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # half a surrogate pair: no tokenizer takes it
            raise UserError(f"{where}: invalid JSON: {error}") from None
    match value:
        case dict():
            return value
        case [str() as text, dict() as annotations]:  # spaCy's simple training data
            return {"text": text, **annotations}
        case _:
            raise wrong(where, what, value, "a JSON object like {...}")
