"""What the JSON records of apps, backbones and bundles hold, checked before anything is made of it.

A record's definition gives, for each key, what its value is, in words and as a test.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from onetrunk import __version__
from onetrunk.errors import UserError

FORMAT = 1
"""Of records, but for those of bundles (:data:`onetrunk.bundle.layout.FORMATS`). A change that an
older onetrunk would not notice, and that would change answers, needs a new number."""
Values = Mapping[str, tuple[str, Callable[[Any], bool]]]
_VERSION = re.compile(r"\d+(\.\d+)+")


def is_text(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def are_texts(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(map(is_text, value))


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a value is a whole number, ``least`` or more, and none of hundreds of digits."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def check_record(
    record: Mapping[str, Any], path: Path, values: Values, optional: Values, newest: int = FORMAT
) -> None:
    """Raise :class:`UserError` for a record, read from ``path``, of a newer format than ``newest``
    (it says which version reads it), or without the ``values``; those that are ``optional`` are
    checked if they are there."""
    _check_format(record, path, newest)
    for key, (what, fits) in {**values, **optional}.items():
        if key not in record and key in values:
            raise UserError(f"{path} is damaged: it has no {key!r}")
        if key in record and not fits(record[key]):
            raise UserError(f"{path} is damaged: {key!r} is {shown(record[key])}, not {what}")


def _check_format(record: Mapping[str, Any], path: Path, newest: int) -> None:
    found: Any = record.get("format")
    readable = f"{FORMAT} to {newest}" if newest > FORMAT else f"{FORMAT}"
    if not is_count(found, FORMAT):
        raise UserError(f"{path} is damaged: its format is {shown(found)}, not {readable}")
    if found > newest:
        writer = str(record.get("onetrunk"))
        least = f">={writer}" if _VERSION.fullmatch(writer) else ""
        raise UserError(
            f"{path} is of format {shown(found)}; onetrunk {__version__} reads format {readable}: "
            f"upgrade it (pip install --upgrade 'onetrunk{least}')"
        )
