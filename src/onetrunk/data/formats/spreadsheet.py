"""Entities as people write them into a spreadsheet.

Two shapes become the columns of other formats: a row for each token, and a row for each text with a
column for each entity type that holds the words of the text that are of this type.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from onetrunk.data.formats.table import Stream, Table, show
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Entity
from onetrunk.data.words import inside_word
from onetrunk.errors import UserError

_TOKEN = frozenset(("token", "tokens", "word", "words"))
_TAG = frozenset(("tag", "tags", "ner_tag", "ner_tags", "ner", "label"))
_SENTENCE = frozenset(("sentence", "sentence #", "sentence_id", "sentence id", "sent_id", "sent"))
_SEPARATOR = re.compile(r"\s*[|;\n]\s*")


def token_rows(stream: Stream) -> Stream | None:
    """Return sentences with ``tokens`` and ``ner_tags`` if the rows of a table are tokens.

    A column with a likely name holds the tokens, one the tags, and perhaps one the sentence; it may
    be filled in the first row of each sentence alone. A blank row ends a sentence, too.
    """
    token, tag, sentence = (_named(stream, names) for names in (_TOKEN, _TAG, _SENTENCE))
    if token is None or tag is None or "text" in stream.names:
        return None
    columns = (token, tag, *([sentence] if sentence else []))
    first: Any = next(stream.tables(*columns), None)
    if first is None or not all(_is_cell(cell) for cell in first.columns[token][:20]):
        return None  # each cell holds a whole sentence

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        tokens: list[str] = []
        tags: list[str] = []
        lines: list[int] = []
        current: Any = None
        for table in stream.tables(*columns):
            for row, number in enumerate(table.numbers):
                value = table.columns[sentence][row] if sentence else None
                is_new = value not in (None, "", current)
                if tokens and (is_new or number > lines[-1] + 1):
                    yield _sentence(table, tokens, tags, lines)
                    tokens, tags, lines = [], [], []
                current = value if is_new else current
                word, mark = table.columns[token][row], table.columns[tag][row]
                if word in (None, "") or mark in (None, ""):
                    missing = token if word in (None, "") else tag
                    raise UserError(f"{table.at(row)}: {missing!r} is empty")
                tokens.append(str(word))
                tags.append(str(mark))
                lines.append(number)
            last = table
        if tokens:
            yield _sentence(last, tokens, tags, lines)

    return replace(stream, names=["tokens", "ner_tags"], read=read)


def _named(stream: Stream, names: frozenset[str]) -> str | None:
    return next((name for name in stream.names if name.strip().lower() in names), None)


def _is_cell(value: Any) -> bool:
    return value is None or (not isinstance(value, list) and " " not in str(value).strip())


def _sentence(table: Table, tokens: list[str], tags: list[str], lines: list[int]) -> Table:
    columns = {"tokens": [tokens], "ner_tags": [tags]}
    return Table(table.source, columns, [lines[0]], table.in_lines, [lines])


def type_columns(stream: Stream, notes: Notes) -> list[str]:
    """Return the columns of a table that hold words of the text in ``text``: entity types.

    A column is one if the words of at least half of its cells occur in their texts. Others, such as
    a number of the row, are noted.

    Raises UserError if there is none.
    """
    others = [name for name in stream.names if name != "text"]
    filled, occurring = Counter[str](), Counter[str]()
    for table in stream.tables("text", *others):
        for row, text in enumerate(table.columns["text"]):
            for name in others:
                for surface in _surfaces(table.columns[name][row]):
                    filled[name] += 1
                    occurring[name] += bool(_places(str(text), surface))
    types = [name for name in others if filled[name] and 2 * occurring[name] >= filled[name]]
    if not types:
        raise UserError(
            f"{stream.source} has no column of spans, and none with words that occur in 'text'; "
            f"columns: {', '.join(stream.names)}"
        )
    for name in others:
        if name not in types:
            notes.add("columns without words of the text, not read", f"{stream.source}: {name!r}")
    return types


def spans_of(text: str, cells: dict[str, Any], where: str) -> list[Entity]:
    """Return a span for every place at which the words of a cell occur: ``type -> cell``.

    Raises UserError for words that do not occur.
    """
    spans = []
    for kind, cell in cells.items():
        for surface in _surfaces(cell):
            places = _places(text, surface)
            if not places:
                raise UserError(
                    f"{where}: {kind!r} holds {show(surface)}, which does not occur in the text"
                )
            spans += [(start, start + len(surface), kind) for start in places]
    return spans


def _surfaces(cell: Any) -> list[str]:
    """The words in a cell; several are separated by ``|``, ``;`` or a new line."""
    return (
        [part for part in _SEPARATOR.split(str(cell).strip()) if part] if cell is not None else []
    )


def _places(text: str, surface: str) -> list[int]:
    """Where words occur as whole words."""
    return [
        match.start()
        for match in re.finditer(re.escape(surface), text)
        if not inside_word(text, match.start()) and not inside_word(text, match.end())
    ]
