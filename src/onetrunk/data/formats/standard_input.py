"""Texts that another program writes to this one."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain

from onetrunk.data.formats.jsonfiles import json_lines
from onetrunk.data.formats.table import Record, Stream, Table, blocks, record_table
from onetrunk.data.formats.text import MARK, nul_byte
from onetrunk.errors import UserError

NAME = "standard input"


def standard_input() -> Stream:
    """Return one text a line, or JSON Lines if the first line that is not blank is an object.

    It can be read once. Raises UserError if there is no line.
    """
    numbered = _lines()
    head = []  # the lines up to the first that is not blank
    for number, line in numbered:
        head.append((number, line))
        if isinstance(line, UserError) or line.strip():
            break
    if not head:
        raise UserError(f"{NAME} is empty")
    rest = chain(head, numbered)
    keys = _keys(head[-1][1])
    records: Iterator[tuple[int, Record]] = (
        (number, line if isinstance(line, UserError) else {"text": line}) for number, line in rest
    )
    if keys is not None:
        records = json_lines(rest, NAME)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(records):
            yield record_table(NAME, block, (*names, *optional), names, True, keep_faults=True)

    return Stream(NAME, ["text"] if keys is None else keys, read, once=True)


def _lines() -> Iterator[tuple[int, str | UserError]]:
    for number, line in enumerate(sys.stdin.buffer, 1):
        if number == 1 and line[:4] in (b"PK\3\4", b"PAR1"):
            raise UserError(f"{NAME} is a workbook or a Parquet file, no text: name it by --input")
        try:
            text = line.decode().rstrip("\r\n").lstrip(MARK)
        except UnicodeDecodeError as error:
            yield (
                number,
                UserError(f"{NAME}:{number}: byte {error.start} is not valid UTF-8; send UTF-8"),
            )
        else:
            yield number, nul_byte(NAME, number) if "\0" in text else text


def _keys(line: str | UserError) -> list[str] | None:
    """Return the keys of a JSON object; None for any other line."""
    try:
        value = json.loads(line) if isinstance(line, str) else None
    except (ValueError, RecursionError):
        return None
    return [*value] if isinstance(value, dict) else None
