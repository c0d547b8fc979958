"""JSON without NaN and infinity."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import NOT_FINITE, json_text

KEYS = st.text(max_size=3) | st.floats()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda some: st.lists(some) | st.tuples(some) | st.dictionaries(KEYS, some),
    max_leaves=9,
)


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def with_nulls(value: Any) -> Any:
    """What json writes, with None for each NaN and infinity."""
    return json.loads(json.dumps(value), parse_constant=lambda name: None)


def not_finite(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(not_finite, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(not_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


@given(VALUES)
def test_every_reader_takes_it(value: Any) -> None:
    notes = Notes()
    assert json.loads(json_text(value, notes, "row 1"), parse_constant=refuse) == with_nulls(value)
    found = notes.found[NOT_FINITE].count if notes.found else 0
    assert found == not_finite(value)


def test_other_values_are_text() -> None:
    assert (
        json_text({"day": datetime.date(2024, 5, 1), "x": "é"}) == '{"day": "2024-05-01", "x": "é"}'
    )
