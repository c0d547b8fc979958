"""Answered rows as an Excel workbook of one sheet.

It is for people to read: labels and entities stand as words in their cells, not as JSON. Strings
stay strings: a spreadsheet would read ``=1+1`` as a formula and ``007`` as a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from onetrunk.bulk.cells import Cells, Results
from onetrunk.bulk.columns import Decoders
from onetrunk.data.notes import Notes
from onetrunk.data.texts import TextBlock, Texts
from onetrunk.errors import UserError

MOST_ROWS, MOST_CHARACTERS = 1_048_575, 32_767
"""What a sheet holds below its header, and a cell."""
EXACT = 10**15
"""Excel has fifteen digits of a number."""
_NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
"""Characters that XML has not, or changes; and what would be read as one that Excel escapes."""


class Excel:
    """A header and one row for each row."""

    def __init__(
        self, path: Path, texts: Sequence[Texts], decoders: Decoders, notes: Notes
    ) -> None:
        try:
            from openpyxl import Workbook
            from openpyxl.cell import WriteOnlyCell
        except ImportError:
            raise UserError("writing .xlsx needs openpyxl: pip install 'onetrunk[excel]'") from None
        self._path, self._cells = path, Cells(texts, decoders, notes, in_words)
        self._workbook = Workbook(write_only=True)
        self._sheet = self._workbook.create_sheet("answers")
        self._sheet.freeze_panes = "A2"
        self._new_cell = partial(WriteOnlyCell, self._sheet)
        self._sheet.append([self._cell(name, name) for name in self._cells.header])

    def write(self, block: TextBlock, results: Results) -> None:
        """Append a block. Raises :class:`UserError` for more than a cell or a sheet holds."""
        for values in self._cells.rows(block, results):
            if self._cells.written > MOST_ROWS:
                raise UserError(f"an Excel sheet holds {MOST_ROWS:,} rows: write .csv or .parquet")
            self._sheet.append([*map(self._cell, values, self._cells.header)])

    def close(self) -> None:
        """Write the file."""
        self._workbook.save(self._path)

    def _cell(self, value: Any, name: str) -> Any:
        is_whole, is_float = isinstance(value, int), isinstance(value, float)
        if value is None or (is_whole and abs(value) < EXACT) or (is_float and isfinite(value)):
            return value
        text = str(value).encode(errors="backslashreplace").decode()
        text = _NOT_XML.sub(_escaped, text)
        if len(text) > MOST_CHARACTERS:
            raise UserError(
                f"{self._cells.where}: {name!r} has {len(text):,} characters, and a cell of Excel "
                f"holds {MOST_CHARACTERS:,}: write .csv or .jsonl"
            )
        cell = self._new_cell(text)
        cell.data_type = "s"  # neither a formula nor an error such as #N/A
        return cell


def in_words(answer: Any) -> Any:
    """What a person reads in place of a list of labels, probabilities or entities.

    >>> in_words([{"text": "Oslo", "type": "city"}, {"text": "Friday", "type": "day"}])
    'Oslo (city); Friday (day)'
    """
    if not isinstance(answer, list):
        return answer
    items = (f"{x['text']} ({x['type']})" if isinstance(x, dict) else str(x) for x in answer)
    return "; ".join(items) or None


def _escaped(character: re.Match[str]) -> str:
    return f"_x{ord(character[0]):04X}_"
