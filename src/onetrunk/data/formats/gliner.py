"""GLiNER's training rows: words, and entities as the numbers of their first and last word.

``{"tokenized_text": ["Eva", "in", "New", "York"], "ner": [[0, 0, "who"], [2, 3, "city"]]}``
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from onetrunk.data.formats.table import Stream, Table, string_list, wrong

COLUMNS = frozenset(("tokenized_text", "ner"))
_AN_ENTITY = "[first word, last word, type], counted from 0"


def with_spans(stream: Stream) -> Stream:
    """Return rows with ``text``, the words joined by single spaces, and ``spans``.

    Raises UserError for an entity of another form, or with a word that is not there.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.tables(*COLUMNS):
            words = [string_list(table, "tokenized_text", row) for row in range(len(table))]
            columns: dict[str, list[Any]] = {
                "text": [" ".join(of_row) for of_row in words],
                "spans": [_spans(table, row, of_row) for row, of_row in enumerate(words)],
            }
            yield Table(table.source, columns, table.numbers, table.in_lines)

    return Stream(stream.source, ["text", "spans"], read)


def _spans(table: Table, row: int, words: Sequence[str]) -> list[list[Any]]:
    entities, where = table.columns["ner"][row], table.at(row)
    if not isinstance(entities, list):
        raise wrong(where, "'ner'", entities, f"a list of entities: {_AN_ENTITY}")
    starts = [0, *accumulate(len(word) + 1 for word in words)]
    spans: list[list[Any]] = []
    for number, entity in enumerate(entities, 1):
        match entity:
            case [int(first), int(last), str(kind)] if 0 <= first <= last < len(words):
                spans.append([starts[first], starts[last] + len(words[last]), kind])
            case _:
                wanted = f"{_AN_ENTITY}; words: {len(words)}"
                raise wrong(where, f"'ner' item {number}", entity, wanted)
    return spans
