"""Columns for the rows of JSON Lines, which have no types and keys of their own.

The first rows say which columns there are. Strings, numbers and true/false keep their type; lists
and objects, and columns of several types, are JSON. What a later row has besides, or of another
type, is kept as one JSON object in the column :data:`OTHERS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import json_text
from onetrunk.data.texts import TextBlock

if TYPE_CHECKING:
    import pyarrow as pa

OTHERS = "other_columns"
_AS_JSON = {b"content": b"json"}


Kinds = Mapping[str, Set[type]]
"""The types of the values of each column; none where all are null."""


def kinds_of(rows: Iterable[Mapping[str, Any]]) -> Kinds:
    """What is in the columns of some rows."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set()).update(() if value is None else (type(value),))
    return kinds


def json_columns(files: Iterable[Kinds]) -> pa.Schema:
    """Columns for the rows of some files."""
    import pyarrow as pa

    merged: dict[str, set[type]] = {}
    for kinds in files:
        for name, found in kinds.items():
            merged.setdefault(name, set()).update(found)
    scalars: Mapping[frozenset[type], pa.DataType] = {
        frozenset([str]): pa.string(),
        frozenset([bool]): pa.bool_(),
        frozenset([int]): pa.int64(),
        frozenset([float]): pa.float64(),
        frozenset([int, float]): pa.float64(),
    }
    return pa.schema(
        pa.field(name, scalars[frozenset(found)])
        if frozenset(found) in scalars
        else pa.field(name, pa.string(), metadata=_AS_JSON)
        for name, found in merged.items()
    )


def fitted(block: TextBlock, columns: pa.Schema, notes: Notes) -> TextBlock:
    """A block whose rows have these columns alone, and what has no place there as JSON. ``notes``
    counts what :func:`json_text` changes."""
    if block.batch is not None:
        return block
    types = {field.name: field for field in columns}
    return replace(block, rows=[_fitted(row, types, notes) for row in block.rows])


def _fitted(row: Mapping[str, Any], types: Mapping[str, pa.Field], notes: Notes) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in row.items():
        field = types.get(name) if name != OTHERS else None
        if field is not None and field.metadata == _AS_JSON:
            kept[name] = None if value is None else json_text(value, notes, repr(name))
        elif field is not None and (value is None or _fits(value, str(field.type))):
            kept[name] = value
        else:
            others[name] = value
    return {**kept, OTHERS: json_text(others, notes, repr(OTHERS))} if others else kept


def _fits(value: Any, kind: str) -> bool:
    match kind:
        case "string" | "large_string":
            return type(value) is str
        case "bool":
            return type(value) is bool
        case "int64":
            return type(value) is int and -(2**63) <= value < 2**63
        case "double":
            return type(value) is float or (type(value) is int and abs(value) <= 2**53)
    return False
