"""JSON that every reader takes: it has no NaN and no infinity, which Python would write."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from onetrunk.data.notes import Notes

NOT_FINITE = "numbers that are NaN or infinite, which JSON does not have, written as null"


def json_text(value: Any, notes: Notes | None = None, where: str = "") -> str:
    """JSON on one line; what JSON has no form for, such as a date, is written as text.

    A number that is NaN or infinite becomes null. ``notes`` counts them, with the place ``where``.

    >>> json_text({"x": [1.5, float("nan")]})
    '{"x": [1.5, null]}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:  # also for a key, which becomes a string
        finite, count = _finite(value)
        if notes and count:
            notes.add(NOT_FINITE, where, count)
        return json.dumps(finite, ensure_ascii=False, default=str)


def _finite(value: Any) -> tuple[Any, int]:
    """The value with None for what is not finite, and how much that is."""
    if isinstance(value, float) and not isfinite(value):
        return None, 1
    if isinstance(value, dict):
        values, count = _finite(list(value.values()))
        return dict(zip(value, values, strict=True)), count
    if isinstance(value, list | tuple):
        pairs = [_finite(one) for one in value]
        return [one for one, _ in pairs], sum(count for _, count in pairs)
    return value, 0
