"""Integers of a Hugging Face ``ClassLabel`` become the names they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onetrunk.data.formats.table import Table
from onetrunk.errors import UserError


def name_classes(table: Table, features: Mapping[str, Any]) -> Table:
    """Replace class numbers in the columns of a table, at any depth; null stays null.

    ``features`` is the JSON form that ``datasets`` keeps in a file's metadata. Raises UserError
    for a number that has no name (-1 marks a row whose label is not known).
    """
    columns = dict(table.columns)
    for name, values in columns.items():
        feature = features.get(name)
        if not _has_classes(feature):
            continue
        named = []
        for row, value in enumerate(values):
            try:
                named.append(_named(value, feature))
            except _NoName as error:
                raise UserError(f"{table.at(row)}: {name!r} holds {error}") from None
        columns[name] = named
    return Table(table.source, columns, table.numbers, table.in_lines, table.item_lines)


class _NoName(Exception):
    """A number outside the classes."""


def _has_classes(feature: Any) -> bool:
    if isinstance(feature, list):  # how old versions wrote a list
        return any(map(_has_classes, feature))
    if not isinstance(feature, dict):
        return False
    return bool(feature.get("names")) or any(map(_has_classes, feature.values()))


def _named(value: Any, feature: Any) -> Any:
    if isinstance(feature, list):
        feature = {"feature": feature[0]}
    if value is None or not isinstance(feature, dict):
        return value
    if feature.get("_type") == "ClassLabel":
        names = feature["names"]
        if not 0 <= value < len(names):
            raise _NoName(f"class {value}, but there are {len(names)} classes, from 0")
        return names[value]
    inner = feature.get("feature", feature)
    if isinstance(value, list):
        return [_named(item, inner) for item in value]
    if isinstance(value, dict):
        return {key: _named(item, inner.get(key)) for key, item in value.items()}
    return value
