"""Texts that are numbers: decimal digits, as every program reads them.

Python's own reading takes ``1_0`` for ten, and digits of other scripts, too. Spaces around a number
are no part of it, as in a file where every comma is followed by one.
"""

import math
import re
from collections.abc import Collection

_NUMBER = re.compile(r"[ \t]*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?[ \t]*", re.ASCII)


def number_of(text: str) -> float | None:
    """The number that a text is, or None for what is no finite decimal number.

    >>> number_of("-2.5e3"), number_of("1_0"), number_of("1e400")
    (-2500.0, None, None)
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def are_numbers(values: Collection[str]) -> bool:
    """Whether there are values, all of them numbers."""
    return len(values) > 0 and all(number_of(value) is not None for value in values)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number of at most 18 digits; Python refuses to read thousands."""
    return text.isascii() and text.isdecimal() and len(text) < 19
