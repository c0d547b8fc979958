"""Lists that a cell of a table holds as text: spans, tokens, tags and labels."""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from onetrunk.data.formats.table import Stream, Table

SPANS = ("spans", "entities", "label", "labels")
"""The columns that hold lists of spans."""
_LISTS = (*SPANS, "tokens", "ner_tags")


_BRACKETS = ("[]", "()", "{}")
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PYTHON_NUMBER = re.compile("[0-9]_[0-9]|0[xob]|[0-9.]j", re.IGNORECASE)
"""What only Python reads as a number: ``1_0``, ``0x10``, ``1j``."""
_SET = re.compile(r"(?:frozen)?set\((.*)\)", re.DOTALL)
_OF_NUMPY = re.compile(rf"\[\s*{_STRING}(?:\s+{_STRING})+\s*\]", re.DOTALL)


def read_list(value: str) -> Any:
    """Return the list that a cell of a text file holds, or None.

    It may be written as JSON, as Python writes a list, a tuple or a set (``set()`` and ``{}`` are
    empty), as NumPy writes an array of strings (without commas), or as Label Studio writes several
    choices.
    """
    if made := _SET.fullmatch(value):
        value = made[1].strip() or "{}"
    if value[:1] + value[-1:] not in _BRACKETS:
        return None
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, dict):
        listed = listed.get("choices") if listed else []
    if isinstance(listed, list):
        return listed
    if _OF_NUMPY.fullmatch(value):  # Python would join the strings
        return [ast.literal_eval(part) for part in re.findall(_STRING, value, re.DOTALL)]
    if _PYTHON_NUMBER.search(re.sub(_STRING, "''", value, flags=re.DOTALL)):
        return None
    try:
        listed = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    if isinstance(listed, set):
        return sorted(listed, key=str)
    return list(listed) if isinstance(listed, list | tuple) else None


def with_lists(stream: Stream, columns: Sequence[str] = _LISTS) -> Stream:
    """Read lists that these columns hold as text; in such a column an empty cell is no entity."""

    @cache
    def is_written(name: str) -> bool:
        tables = stream.read((), (name,))
        values = (value for table in tables for value in table.columns.get(name, ()))
        return any(isinstance(value, str) and is_list(value) for value in values)

    def cell(name: str, value: Any) -> Any:
        if value is None or value == "":
            return [] if is_written(name) else value
        listed = read_list(value) if isinstance(value, str) else None
        return value if listed is None else listed

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.read(names, optional):
            lists = {
                name: [cell(name, value) for value in values]
                for name, values in table.columns.items()
                if name in columns
            }
            yield replace(table, columns=table.columns | lists)

    return replace(stream, read=read)


def is_list(value: Any) -> bool:
    """Whether this is a list, or the text of one."""
    return isinstance(value, list) or (isinstance(value, str) and read_list(value) is not None)
