"""Which column of a CoNLL file holds the words, if others stand before it.

Such columns are the same in a whole sentence (ids of sentences and documents), count (``w1``,
``1.``, ``2-1``, 10 and 20; also in other digits, or by letters), are offsets that fit the words, or
hold parts of speech. What the lines do not show for certain is refused, or left as it is.
"""

import re
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from pathlib import Path

from onetrunk.data.formats.table import show
from onetrunk.errors import UserError

Run = Sequence[Sequence[str]]
"""The cells of lines that follow each other."""
_COUNTED = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL)  # Python refuses thousands
_NUMBERS = re.compile("[0-9]+(?:[-.:,_][0-9]+)*[.:)]?")
_PART_OF_SPEECH = re.compile(r"[A-Z][A-Z0-9$_|:-]*|[^\w\s]+(?:[A-Z]+-)?")
_ADVICE = (
    "begin the file with a row of names, of which TOKEN is that of the words and NER the tags'"
)
_FEW = 60
"""No text of any length has so few different words."""


def word_column(file: Path, first: int, runs: Sequence[Run], start: int, end: int) -> int:
    """Return the column of the words, from ``start`` on and before ``end``.

    ``first`` is the number of the first line. Columns that certainly hold no words are passed over;
    if none is, ``start`` is returned.

    Raises UserError if the first column holds no words, and no other one certainly does, and if it
    holds ids in blocks without a blank line between them.
    """
    at = start
    while at + 1 < end and (step := _without_words(runs, at, end)):
        at += step
    if at + 1 >= end:
        return at
    where, here = f"{file}:{first}", _values(runs, at)
    named = f"column {at + 1} ({show(min(here))})"
    others = [column for column in range(at + 1, end) if not _is_one_value(runs, column)]
    if others and _is_one_value(runs, at) and not all(map(_NUMBERS.fullmatch, here)):
        raise UserError(f"{where}: {named} repeats a value in all lines of a sentence; {_ADVICE}")
    words = [column for column in range(at + 1, end) if _are_words(runs, column)]
    if not words:
        return at
    other = _values(runs, words[0])
    if all(map(_PART_OF_SPEECH.fullmatch, here)) and len(other) >= 2 * len(here):
        return words[0]
    beside = f"column {words[0] + 1} ({show(min(other))})"
    if _in_blocks(runs, at):
        raise UserError(
            f"{where}: {named} repeats an id in the lines that belong together; write token, tag, "
            "and a blank line after each sentence"
        )
    if all(map(_PART_OF_SPEECH.fullmatch, here)) and not _are_capitals(runs, at, words[0]):
        what = f"{named} seems to hold parts of speech, {beside} the words"
        raise UserError(f"{where}: {what}; {_ADVICE}")
    if all(map(_NUMBERS.fullmatch, here)):
        what = f"{named} holds numbers alone, {beside} may hold the words"
        raise UserError(f"{where}: {what}; {_ADVICE}")
    if len(here) <= _FEW and len(other) >= max(20, 5 * len(here)):
        what = f"{named} holds {len(here)} different values, {beside} {len(other)}"
        raise UserError(f"{where}: {what}: which are the words? {_ADVICE}")
    return at


def _without_words(runs: Sequence[Run], at: int, end: int) -> int:
    """How many columns from this one on certainly hold no words: 0, 1, or 2 of offsets."""
    if _is_constant(runs, at) and any(len(_values(runs, c)) > 2 for c in range(at + 1, end)):
        return 1
    if width := _offsets(runs, at, end):
        return width
    words = any(_are_words(runs, column) for column in range(at + 1, end))
    return int(words and (_counts(runs, at) or _is_position(runs, at, end)))


def _values(runs: Sequence[Run], at: int) -> set[str]:
    return {cells[at] for run in runs for cells in run}


def _are_capitals(runs: Sequence[Run], at: int, other: int) -> bool:
    """Whether a column may hold words in capitals: the other one has most of them in small letters,
    or fewer different ones."""
    lines = [cells for run in runs for cells in run]
    same = sum(cells[at].casefold() == cells[other].casefold() for cells in lines)
    return 2 * same >= len(lines) or len(_values(runs, at)) > len(_values(runs, other))


def _is_one_value(runs: Sequence[Run], at: int) -> bool:
    """Whether all lines of each sentence say the same, of which some have several lines."""
    columns = [{cells[at] for cells in run} for run in runs]
    return max(map(len, runs)) > 1 and all(len(column) == 1 for column in columns)


def _are_words(runs: Sequence[Run], at: int) -> bool:
    """Whether a column holds different words, and not only numbers or parts of speech."""
    values = _values(runs, at)
    words = {
        value
        for value in values
        if any(map(str.isalpha, value)) and not any(map(str.isdigit, value))
    }
    plain = {word for word in words if word != word.upper() or word == word.lower()}
    if len(plain) < 3 or 2 * len(words) < len(values):
        return False
    return not (_is_constant(runs, at) or _counts(runs, at))


def _is_constant(runs: Sequence[Run], at: int) -> bool:
    """Whether a column says the same in all lines of a sentence, which no words do."""
    columns = [[cells[at] for cells in run] for run in runs]
    repeated = sum(len(column) - 1 for column in columns)
    are_ids = all(any(map(str.isdigit, column[0])) for column in columns)
    return repeated >= (2 if are_ids else 4) and all(len({*column}) == 1 for column in columns)


def _is_position(runs: Sequence[Run], at: int, end: int) -> bool:
    """Whether a column says the same in every sentence at the same place (``a``, ``b``, ``c``), and
    another one does not."""

    def differ(column: int) -> list[bool]:
        places = zip_longest(*([cells[column] for cells in run] for run in runs))
        return [len({*cells} - {None}) > 1 for cells in places]

    shared = sum(len(run) > 2 for run in runs) > 1
    return shared and not any(differ(at)) and any(any(differ(c)) for c in range(at + 1, end))


def _in_blocks(runs: Sequence[Run], at: int) -> bool:
    """Whether each of several values stands in lines that follow each other, and comes back
    nowhere: ids of sentences without blank lines."""
    column = [cells[at] for run in runs for cells in run]
    changes = sum(one != other for one, other in pairwise(column))
    return len(set(column)) == changes + 1 > 1 and 2 * (changes + 1) <= len(column)


def _counts(runs: Sequence[Run], at: int) -> bool:
    """Whether a column counts in even steps, with the same characters around the numbers of a
    sentence."""
    steps = set()
    pairs = 0
    for run in runs:
        parts = [_COUNTED.fullmatch(cells[at]) for cells in run]
        for one, other in pairwise(parts):
            if one is None or other is None or one[1] != other[1] or one[3] != other[3]:
                return False
            steps.add(int(other[2]) - int(one[2]))
            pairs += 1
        if None in parts:
            return False
    anew = [_COUNTED.fullmatch(run[0][at]) for run in runs]
    start = len(runs) > 1 and all(first and first[2] in "01" and first[1] for first in anew)
    return len(steps) == 1 and min(steps) > 0 and (pairs > 1 or start)


def _offsets(runs: Sequence[Run], at: int, end: int) -> int:
    """How many columns, from this one on, hold the offsets of the words of a later one: 0 to 2."""
    lines = [[[*cells] for cells in run] for run in runs]
    joined = all(re.fullmatch("[0-9]+[-:,][0-9]+", cells[at]) for run in lines for cells in run)
    numbers = [
        [
            [int(number) for number in re.split("[-:,]", cells[at])]
            if joined
            else [int(cell) for cell in cells[at : at + 2] if re.fullmatch("[0-9]{1,9}", cell)]
            for cells in run
        ]
        for run in lines
    ]
    if not joined and not all(re.fullmatch("[0-9]{1,9}", cells[at]) for r in lines for cells in r):
        return 0
    rising = all(one[0] < other[0] for run in numbers for one, other in pairwise(run))
    count = sum(map(len, lines))
    if not rising or count < 3:
        return 0
    ends = all(len(pair) == 2 for run in numbers for pair in run)
    for column in range(at + (1 if joined or not ends else 2), end):
        lengths = [[len(cells[column]) for cells in run] for run in lines]
        if ends and all(
            pair[1] - pair[0] == length
            for run, long in zip(numbers, lengths, strict=True)
            for pair, length in zip(run, long, strict=True)
        ):
            return 1 if joined else 2
        gaps = [
            other[0] - one[0] - length
            for run, long in zip(numbers, lengths, strict=True)
            for (one, other), length in zip(pairwise(run), long, strict=False)
        ]
        if len(gaps) > 1 and min(gaps) >= 0 and 10 * sum(gap < 3 for gap in gaps) >= 9 * len(gaps):
            return 1
    return 0
