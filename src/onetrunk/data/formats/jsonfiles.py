"""JSON Lines, and JSON files that hold an array of objects or one object after the other."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Record, Stream, record_stream, show, wrong
from onetrunk.data.formats.text import DOS_END, MARK, lines, lines_or_faults, nul_byte, open_text
from onetrunk.errors import UserError

LARGEST = 2**30
"""Characters of a ``.json`` file, which is held in memory as a whole."""
_ANNOTATOR = {"classes", "annotations"}
"""The keys of the one object in a file of NER Annotator, which makes data for spaCy."""
_NO_SPACE = re.compile(rf"[^ \t\r\n{MARK}]")


def jsonl(file: Path, keep_faults: bool = False) -> Stream:
    """Return a stream of the objects of a JSON Lines file, one a line; blank lines are skipped."""

    def records() -> Iterator[tuple[int, Record]]:
        numbered = lines_or_faults(file) if keep_faults else enumerate(lines(file), 1)
        return json_lines(numbered, str(file))

    return record_stream(str(file), records, True, keep_faults)


def json_array(file: Path, keep_faults: bool = False) -> Stream:
    """Return a stream of the objects of a ``.json`` file, which is held in memory.

    Such a file is often one long line, so the place of a row is its number.
    """
    rows = list(_elements(file))
    if len(rows) == 1 and isinstance(rows[0][1], dict):
        _check_is_row(file, rows[0][1])
    return record_stream(str(file), lambda: rows, False, keep_faults)


def _check_is_row(file: Path, record: dict[str, Any]) -> None:
    """Raise UserError for one object that holds lists of rows, and is none itself."""
    lists = [
        key
        for key, value in record.items()
        if isinstance(value, list) and value and isinstance(value[0], dict | list)
    ]
    if lists and len(lists) == sum(isinstance(value, list | dict) for value in record.values()):
        has_text = any(isinstance(value, str) and " " in value.strip() for value in record.values())
        if not (has_text or record.keys() & {"text", "tokens", "paragraphs", "annotations"}):
            listed = ", ".join(map(repr, lists[:5]))
            what = f"{file} is one object whose rows are in lists: {listed}"
            raise UserError(f"{what}; write each list to a file of its own")


def json_lines(
    numbered: Iterable[tuple[int, str | UserError]], source: str
) -> Iterator[tuple[int, Record]]:
    """Yield the objects in numbered lines; blank lines are skipped, a line's error is kept."""
    for number, line in numbered:
        if isinstance(line, UserError):
            yield number, line
            continue
        line = line.lstrip(MARK)  # of a file that was joined to another
        if not line.strip():  # usual at the end of a file
            continue
        where = f"{source}:{number}"
        try:
            value = _decoder.decode(line)
        except (ValueError, RecursionError) as error:
            yield number, UserError(f"{where}: invalid JSON: {error}")
        else:
            yield number, _record(value, where, "the line", "\\u" in line)


def _elements(file: Path) -> Iterator[tuple[int, Record]]:
    with open_text(file) as stream:
        text = stream.read(LARGEST + 1).rstrip(DOS_END)
    if len(text) > LARGEST:
        raise UserError(f"{file} has more than {LARGEST:,} characters: write JSON Lines instead")

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    if "\0" in text:
        raise nul_byte(file, line(text.index("\0")))
    values: list[Any] = []
    end = 0
    while match := _NO_SPACE.search(text, end):
        start = match.start()
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
    has_escapes = "\\u" in text
    is_annotator = len(values) == 1 and isinstance(values[0], dict) and {*values[0]} == _ANNOTATOR
    if is_annotator and isinstance(values[0]["annotations"], list):
        elements = values[0]["annotations"]
    for number, element in enumerate(elements, 1):
        if is_annotator and element is None:  # a text that nobody annotated
            continue
        yield number, _record(element, f"{file}, row {number}", "the element", has_escapes)


class RepeatedKey(ValueError):
    """An object has a key twice."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values, for ``object_pairs_hook`` of :mod:`json`.

    Raises RepeatedKey.
    """
    record: dict[str, Any] = {}
    for key, value in pairs:
        if key in record:  # by default, the last value would win
            raise RepeatedKey(f"the key {show(key)} occurs twice")
        record[key] = value
    return record


_decoder = json.JSONDecoder(object_pairs_hook=unique_keys)


def _record(value: Any, where: str, what: str, has_escapes: bool) -> Record:
    if has_escapes:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # no tokenizer takes it
            half = f"\\u{ord(error.object[error.start]):04x}"
            return UserError(f"{where}: invalid JSON: {half} is half of a pair of surrogates")
    match value:
        case dict():
            return value
        case [str() as text, dict() as annotations]:  # spaCy's simple training data
            return {"text": text, **annotations}
        case _:
            return wrong(where, what, value, "a JSON object like {...}")
