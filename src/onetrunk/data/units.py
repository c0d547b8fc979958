"""The units of a text: what named entity recognition gives a tag.

Units come from the text and the tokenizer alone, by one rule in training, scoring and prediction,
in Python and in the browser (``web/src/units.js``). A file's own tokens say where its entities are,
and never what the units are: a device reads raw text, and has no such tokens.

A unit is a word of the text (:mod:`onetrunk.data.words`), but it never ends inside a token: words
that share a token are one unit, and a word without a token belongs to the unit beside it. So every
unit has a state of its own.
"""

from __future__ import annotations

import logging
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from onetrunk.data.rows import Entity
from onetrunk.data.words import Span, words_of

if TYPE_CHECKING:
    from onetrunk.data.alignment import Encoded


_SPACE = re.compile(r"\s")

RULE = "text and tokenizer"
"""Files of apps say by which rule their units were made. Those of 0.1.0 do not say it."""


def warn_of_old_units(record: Mapping[str, Any], where: str) -> None:
    """Log a warning if an app for words was trained on a file's own tokens, as 0.1.0 did.

    It answers as before: raw texts are split as then, but for texts with invisible characters and
    tokens of several words.
    """
    if record.get("units") != RULE:
        logging.getLogger("onetrunk").warning(
            f"{where} was trained by onetrunk 0.1.0 on the tokens of its file, which raw texts do "
            "not have. It answers as before; `onetrunk adapt` makes it anew, on units of raw text"
        )


class Units(NamedTuple):
    """The units of a text, and where each is read."""

    spans: Sequence[Span]
    """``spans[u]`` are the characters of unit ``u``; empty for families of whole texts."""
    tokens: list[list[int]]
    """For each window, the positions of the tokens at which it reads units. Window after window,
    these are the positions of units 0, 1, 2 and so on."""


def unit_spans(text: str, tokens: Sequence[Span]) -> list[Span]:
    """The units of a text whose tokens have these characters.

    ``tokens`` are in ascending order; those of a special token are empty. A word without
    a token (a broken character) that touches no unit belongs to no unit.
    """
    units: list[Span] = []
    alone: int | None = None  # where words without a token begin that touch no unit so far
    token, before = 0, 0  # the first token that reaches into the word; the end of the word before
    for start, end in words_of(text):
        touches = _SPACE.search(text, before, start) is None
        if not touches:
            alone = None
        while token < len(tokens) and (
            tokens[token][1] <= start or tokens[token][0] == tokens[token][1]
        ):
            token += 1
        if token == len(tokens) or tokens[token][0] >= end:
            if touches and units and alone is None:
                units[-1] = units[-1][0], end
            elif alone is None:
                alone = start
        elif tokens[token][0] < before:
            units[-1] = units[-1][0], end
        else:
            units.append((start if alone is None else alone, end))
            alone = None
        before = end
    return units


def units_of(text: str, windows: Sequence[Encoded]) -> Units:
    """The units of a text that was tokenised into ``windows``."""
    if len(windows) == 1:
        spans = unit_spans(text, windows[0].offsets)
    else:
        spans = unit_spans(text, sorted({span for window in windows for span in window.offsets}))
    return Units(spans, first_tokens(spans, windows))


def first_tokens(spans: Sequence[Span], windows: Sequence[Encoded]) -> list[list[int]]:
    """For each window, the positions of the tokens at which it reads ``spans``, in their order.

    A span is read at its first token, in one window only, even where several overlap. It is the
    window that shows most context: where the token is furthest from a border of the window that is
    not also a border of the text. A span without a token is not read.
    """
    best = [(-1.0, 0, 0)] * len(spans)  # of each span: tokens of context, window, token
    for index, window in enumerate(windows):
        last = len(window.ids) - 1
        for number, token in _overlaps(spans, window.offsets):
            left = token if index > 0 else math.inf
            right = last - token if index < len(windows) - 1 else math.inf
            if min(left, right) > best[number][0]:
                best[number] = min(left, right), index, token
    tokens: list[list[int]] = [[] for _ in windows]
    for context, index, token in best:
        if context >= 0:
            tokens[index].append(token)
    return tokens


def _overlaps(spans: Sequence[Span], offsets: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """The number of each span that a token reaches into, and the first such token."""
    number = 0
    for token, (start, end) in enumerate(offsets):
        if start == end:
            continue
        while number < len(spans) and spans[number][1] <= start:
            number += 1
        while number < len(spans) and spans[number][0] < end:
            yield number, token
            number += 1


def in_units(entities: Sequence[Entity], spans: Sequence[Span]) -> list[Entity]:
    """Entities as ranges of units: ``(first unit, unit after the last, type)``.

    An entity has the units that it shares a character with, and that no entity before it has; one
    that is left without units is left out. ``entities`` are in order and do not overlap.
    """
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    ranges, free = [], 0
    for start, end, kind in entities:
        first, stop = max(free, bisect_right(ends, start)), bisect_left(starts, end)
        if first < stop:
            ranges.append((first, stop, kind))
            free = stop
    return ranges


def in_characters(ranges: Sequence[Entity], spans: Sequence[Span]) -> list[Entity]:
    """Undo :func:`in_units`, if each entity begins and ends where a unit does."""
    return [(spans[first][0], spans[stop - 1][1], kind) for first, stop, kind in ranges]
