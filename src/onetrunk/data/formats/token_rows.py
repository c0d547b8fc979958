"""Tables with a token and its tag in each row, joined to sentences."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from onetrunk.data.formats.naming import likely, plain_name
from onetrunk.data.formats.table import Stream, Table, blocks, is_empty, show, wrong
from onetrunk.data.formats.workbook import as_text
from onetrunk.data.notes import Notes
from onetrunk.data.schemes import bare
from onetrunk.errors import UserError

_WORD = ("word", "token", "form")
_TAG = ("tag", "ner", "ner tag", "ner tags", "iob", "bio", "label", "entity")
_SENTENCE = (
    "sentence_id", "sentence id", "sentence #", "sentence", "sentence number", "sentence no",
    "sentence idx", "sentence index", "sent", "sent id", "sent no",
)  # fmt: skip
_DOCUMENT = re.compile(
    r"(?:.* )?(?:doc|document|file|filename|article|paper|abstract|pmid|report|story"
    r"|conversation|dialog|dialogue)(?: (?:id|idx|index|name|no|nr|number|#))?"
)
"""What a column is called that tells documents apart: ``doc_id``, ``source file``, ``Article #``"""
_PART = re.compile(
    r"(?:.* )?(?:page|paragraph|par|section|chapter|part|book|source|title|url|text|line|turn)"
    r"(?: (?:id|idx|index|name|no|nr|number|#))?"
)
"""A column of such a name may tell sentences apart, but a sentence may also go on in the next."""


class TokenColumns(NamedTuple):
    """The columns of a table with a token in each row."""

    word: str
    tag: str
    sentence: str | None
    documents: list[str]

    @property
    def ids(self) -> list[str]:
        """What tells sentences apart."""
        return [*([self.sentence] if self.sentence else []), *self.documents]


def token_columns(stream: Stream, notes: Notes) -> TokenColumns | None:
    """Return the columns of a table if each row has a token."""
    noted = Notes()
    word = likely(stream, _WORD, noted, exactly=True)
    if word is None or stream.chosen.text not in (word, None):
        return None
    labels = stream.chosen.labels
    tag = labels[0] if len(labels) == 1 else likely(stream, _TAG, noted, exactly=True)
    if tag is None:
        return None
    sentence = likely(stream, _SENTENCE, noted, taken=(word, tag), exactly=True)
    others = [name for name in stream.names if name not in (word, tag, sentence)]
    documents = [name for name in others if _DOCUMENT.fullmatch(plain_name(name))]
    for name in documents:
        noted.say(f"column {name!r} tells documents apart", stream.source)
    for name in others:
        if _PART.fullmatch(plain_name(name)):
            what = "columns that may tell sentences apart, not read"
            noted.add(what, f"{stream.source}: {name!r}")
    notes.update(noted)
    return TokenColumns(word, tag, sentence, documents)


def sentences(stream: Stream, names: TokenColumns) -> Stream:
    """Join rows to sentences: by an id, which may be given once, or by the blank rows between.
    A sentence ends with its document, too."""
    word, tag = names.word, names.tag

    def read(_: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(_tokens_of_sentences(stream, names)):
            in_lines = block[0][0][0].in_lines
            numbers = [[table.numbers[row] for table, row in rows] for rows in block]
            columns = {
                "tokens": [[_cell(table, word, row) for table, row in rows] for rows in block],
                "ner_tags": [
                    [bare(_cell(table, tag, row)) for table, row in rows] for rows in block
                ],
            }
            firsts = [number for number, *_ in numbers]
            yield Table(stream.source, columns, firsts, in_lines, item_lines=numbers)

    return Stream(stream.source, ["tokens", "ner_tags"], read)


def _tokens_of_sentences(stream: Stream, names: TokenColumns) -> Iterator[list[tuple[Table, int]]]:
    """Yield the rows of each sentence.

    Raises UserError if nothing says where a sentence ends, and if the id of one comes back.
    """
    rows: list[tuple[Table, int]] = []
    ids_before: list[str] = []
    first_rows: dict[tuple[str, ...], str] = {}
    number_before, total, sentences = 0, 0, 0
    had_id = True
    spelled = ""  # the words of the sentence so far
    for table in stream.tables(names.word, names.tag, *names.ids):
        columns = [table.columns[name] for name in (names.word, names.tag, *names.ids)]
        for row, number in enumerate(table.numbers):
            word, tag, *given = (as_text(column[row]).strip() for column in columns)
            is_blank = not word and not tag
            is_apart = is_blank or number > number_before + 1
            ids = [new or old for new, old in zip_longest(given, ids_before, fillvalue="")]
            # Where the text of a sentence stands in for its id, an equal one may follow.
            is_whole = names.sentence is not None and " " in ids[0]
            is_whole = is_whole and spelled == "".join(ids[0].split())
            is_other = ids != ids_before or is_whole
            number_before, ids_before = number, ids
            if rows and (is_other or (is_apart and not names.sentence)):
                yield rows
                rows, sentences, spelled = [], sentences + 1, ""
            if is_blank:
                continue
            # In a column where each sentence has its id once, the same one again is another's.
            is_anew = names.sentence is not None and bool(given[0]) and not had_id
            comes_back = is_other and (names.sentence is not None or not is_apart)
            where = table.at(row)
            first = first_rows.setdefault(tuple(ids), where)
            if first != where and (is_anew or comes_back):
                raise _comes_back(where, names.ids, ids, first)
            had_id = names.sentence is None or bool(given[0])
            rows.append((table, row))
            spelled += "".join(word.split())
            total += 1
    if not sentences and not names.ids and total > 1:
        raise UserError(
            f"{stream.source} has a token in each row, and nothing says where a sentence ends: "
            "add a column 'sentence_id', or a blank row after each sentence"
        )
    if rows:
        yield rows


def _comes_back(where: str, names: Sequence[str], ids: Sequence[str], first: str) -> UserError:
    """The error for a row that has the id of a sentence before the last one."""
    known = " of ".join(f"{name!r} {show(value)}" for name, value in zip(names, ids, strict=True))
    return UserError(
        f"{where}: {known} comes back, which began at {first}: put the rows of a sentence "
        "together, and give each an id of its own; if ids begin anew in each document, add a "
        "column 'doc_id'"
    )


def _cell(table: Table, name: str, row: int) -> str:
    """Return a token or a tag; a number in a spreadsheet is a token, too."""
    value = table.columns[name][row]
    if isinstance(value, list | dict):
        raise wrong(table.at(row), repr(name), value, "a string")
    if is_empty(value):
        raise UserError(f"{table.at(row)}: {name!r} is empty")
    return as_text(value)
