"""Answered rows as cells of a table: what CSV and Excel have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from onetrunk.bulk.columns import ERROR, TEXT, Decoders, answer_cells, answer_names, check_free
from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import json_text
from onetrunk.data.texts import TextBlock, Texts
from onetrunk.errors import UserError

Results = Sequence[Mapping[str, Any]]


class Cells:
    """The columns of the input, then those of the answers. ``answer`` is how a list of labels,
    probabilities or entities stands in its cell."""

    def __init__(
        self,
        texts: Sequence[Texts],
        decoders: Decoders,
        notes: Notes,
        answer: Callable[[Any], Any] = lambda answer: answer,
    ) -> None:
        self._decoders, self._source = decoders, texts[0].name
        self._notes, self.written, self._answer = notes, 0, answer
        self._names = input_names(texts, decoders)
        self.header = [*self._names, *answer_names(decoders)]

    def rows(self, block: TextBlock, results: Results) -> Iterator[list[Any]]:
        """Yield the values of each row, as :func:`plain` has them."""
        for row, result in zip(block.rows, results, strict=True):
            self.written += 1
            check_known(row, self._names, self._source)
            columns = {**row, TEXT: result[TEXT]}
            answers = answer_cells(self._decoders, result, self._notes, self.where)
            shown = map(self._answer, answers.values())
            values = [*map(columns.get, self._names), *shown, result.get(ERROR)]
            yield [plain(value, self._notes, self.where) for value in values]

    @property
    def where(self) -> str:
        """The row at hand, for messages."""
        return f"row {self.written:,}"


def plain(value: Any, notes: Notes, where: str) -> Any:
    """What can stand in a cell: nothing, a number or a string; lists and dicts as JSON."""
    if isinstance(value, list | dict):
        return json_text(value, notes, where)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def as_csv(value: Any) -> str:
    """What CSV has for a cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)  # NaN too, which readers know


def input_names(texts: Sequence[Texts], decoders: Decoders) -> list[str]:
    """The columns of the input, and ``text`` if it has none. Raises :class:`UserError` if one has
    the name of an answer's, and if two answers have one name."""
    names = [*dict.fromkeys(name for one in texts for name in one.columns)]
    check_free(names, answer_names(decoders), texts[0].name, decoders)
    return names if TEXT in names else [*names, TEXT]


def check_known(row: Mapping[str, Any], names: Sequence[str], source: str) -> None:
    """Raise :class:`UserError` for a column that a table's header lacks."""
    for name in row:
        if name not in names:
            raise UserError(
                f"{source}: a row has the column {name!r}, which the first rows lack; "
                "write .jsonl, which has no fixed columns"
            )
