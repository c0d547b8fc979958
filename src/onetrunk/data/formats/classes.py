"""The integers of a Hugging Face ``ClassLabel`` become the names that they stand for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onetrunk.data.formats.table import Table
from onetrunk.errors import UserError


def name_classes(table: Table, features: Mapping[str, Any]) -> Table:
    """Replace class numbers in the columns of a table by names, at any depth; null stays null.

    ``features`` has the JSON form that ``datasets`` keeps in the metadata of a file. Raises
    UserError for a number without a name (-1 marks a row whose label is not known).
    """
    named = {
        name: [
            _named(value, features[name], f"{table.at(row)}: {name!r}")
            for row, value in enumerate(values)
        ]
        for name, values in table.columns.items()
        if has_classes(features.get(name))
    }
    return replace(table, columns=table.columns | named)


def has_classes(feature: Any) -> bool:
    """Whether a column, or a part of it, holds class numbers that have names."""
    if isinstance(feature, list):  # the form of a list in older versions
        return any(map(has_classes, feature))
    if not isinstance(feature, dict):
        return False
    return bool(feature.get("names")) or any(map(has_classes, feature.values()))


def _named(value: Any, feature: Any, what: str) -> Any:
    if isinstance(feature, list):
        feature = {"feature": feature[0]}
    if value is None or not isinstance(feature, dict):
        return value
    if isinstance(value, list) and feature.get("_type") == "ClassLabel":  # of an object of lists
        return [_named(item, feature, what) for item in value]
    if feature.get("_type") == "ClassLabel":
        names = feature["names"]
        if not 0 <= value < len(names):
            why = f"class {value}, but there are {len(names)} classes, from 0"
            raise UserError(f"{what} holds {why}")
        return names[value]
    inner = feature.get("feature", feature)
    if isinstance(value, list):
        return [_named(item, inner, what) for item in value]
    if isinstance(value, dict):
        return {key: _named(item, inner.get(key), what) for key, item in value.items()}
    return value
