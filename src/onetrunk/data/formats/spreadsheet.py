"""Entities in tables: a token in each row, a list of spans in a cell, or a column for each type.

All become the columns that :func:`~onetrunk.data.formats.columns.annotated` reads.
"""

import calendar
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from onetrunk.data.formats.conll import conll
from onetrunk.data.formats.delimited import tab_separated
from onetrunk.data.formats.lists import SPANS, is_list, read_list, with_lists
from onetrunk.data.formats.naming import likely, plain_name, split_columns, text_column
from onetrunk.data.formats.table import (
    Columns,
    Stream,
    Table,
    blocks,
    no_column,
    show,
    string,
    wrong,
)
from onetrunk.data.formats.workbook import as_text
from onetrunk.data.notes import Notes
from onetrunk.data.places import places
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
_COUNTS = ("id", "index", "no", "nr", "number", "row", "#", "unnamed: 0")
"""Columns of these names count rows, even if such numbers stand in the texts."""
_ABOUT_ROWS = ("annotator", "annotator id", "annotated by", "answer")
"""Columns of these names say who labelled a row, and how, unless that stands in the texts."""
_SEPARATOR = re.compile(r"\s\|\s|;")
_OF_DATES = {
    word.casefold()
    for words in (calendar.month_name, calendar.month_abbr, calendar.day_name, calendar.day_abbr)
    for word in words
}


def tab_separated_or_conll(file: Path) -> Stream:
    """Return a ``.tsv`` file with a header row of a spreadsheet as its columns, others as CoNLL."""
    try:
        stream = tab_separated(file)
        tokens = _token_columns(stream, Notes())
        is_table = tokens is not None and bool(tokens.sentence or tokens.documents)
        if not is_table and len(stream.names) > 1 and (text := text_column(stream, Notes())):
            # A token has no spaces.
            is_table = any(" " in cell for cell in next(stream.read((text,), ())).columns[text])
    except (UserError, StopIteration):
        is_table = False
    return stream if is_table else conll(file)


def entity_columns(stream: Stream, notes: Notes) -> Stream:
    """Return a table as ``tokens`` and ``ner_tags``, or as a text with a list of spans.

    The columns of the latter are those chosen in the stream that is returned. Anything else is
    returned as it is.
    """
    names, labels = stream.names, stream.chosen.labels
    for name in labels:
        if name not in names:
            raise no_column(f"{stream.source} has", name, names)
    if {"tokens", "ner_tags"} <= set(names) and not labels:
        return stream
    if columns := _token_columns(stream, notes):
        return _sentences(stream, columns)
    text = text_column(stream, notes)
    if text is None:
        return stream
    if not labels and set(names) & set(SPANS) and not _has_plain_label(stream):
        return replace(stream, chosen=Columns(text))
    return _by_values(stream, text, notes)


def _has_plain_label(stream: Stream) -> bool:
    """Whether ``label`` holds no spans but a label for each text, beside other columns."""
    spans = [name for name in SPANS if name in stream.names]
    if spans != ["label"] or len(stream.names) == 2:
        return False
    values = next((table.columns["label"] for table in stream.read(spans, ())), [])
    first = next((value for value in values if not _is_empty(value)), None)
    return isinstance(first, str) and not is_list(first)


class _TokenColumns(NamedTuple):
    """The columns of a table with a token in each row."""

    word: str
    tag: str
    sentence: str | None
    documents: list[str]

    @property
    def ids(self) -> list[str]:
        """What tells sentences apart."""
        return [*([self.sentence] if self.sentence else []), *self.documents]


def _token_columns(stream: Stream, notes: Notes) -> _TokenColumns | None:
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
    documents = [name for name in others if _DOCUMENT.fullmatch(_words(name))]
    for name in documents:
        noted.add(f"column {name!r} tells documents apart", stream.source)
    for name in others:
        if _PART.fullmatch(_words(name)):
            what = "columns that may tell sentences apart, not read"
            noted.add(what, f"{stream.source}: {name!r}")
    notes.update(noted)
    return _TokenColumns(word, tag, sentence, documents)


def _words(name: str) -> str:
    return re.sub(r"[_\-\s]+", " ", name).strip().casefold()


def _sentences(stream: Stream, names: _TokenColumns) -> Stream:
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


def _tokens_of_sentences(stream: Stream, names: _TokenColumns) -> Iterator[list[tuple[Table, int]]]:
    """Yield the rows of each sentence.

    Raises UserError if nothing says where a sentence ends, and if the id of one comes back.
    """
    rows: list[tuple[Table, int]] = []
    ids_before: list[str] = []
    first_rows: dict[tuple[str, ...], str] = {}
    number_before, total, sentences = 0, 0, 0
    had_id = True
    for table in stream.tables(names.word, names.tag, *names.ids):
        columns = [table.columns[name] for name in (names.word, names.tag, *names.ids)]
        for row, number in enumerate(table.numbers):
            word, tag, *given = (as_text(column[row]).strip() for column in columns)
            is_blank = not word and not tag
            is_apart = is_blank or number > number_before + 1
            ids = [new or old for new, old in zip_longest(given, ids_before, fillvalue="")]
            is_other = ids != ids_before
            number_before, ids_before = number, ids
            if rows and (is_other or (is_apart and not names.sentence)):
                yield rows
                rows, sentences = [], sentences + 1
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
    if _is_empty(value):
        raise UserError(f"{table.at(row)}: {name!r} is empty")
    return as_text(value)


@dataclass
class _Values:
    """What the cells of a column are."""

    filled: int = 0
    lists: int = 0
    written: int = 0
    strings: int = 0
    in_text: int = 0
    codes: int = 0

    def add(self, value: Any, text: str) -> None:
        self.filled += 1
        self.lists += is_list(value) or isinstance(value, dict)
        listed = read_list(value) if isinstance(value, str) else value
        self.written += isinstance(value, str) and isinstance(listed, list)
        self.strings += isinstance(listed, list) and {*map(type, listed)} == {str}
        surfaces = _surfaces(text, value)
        self.in_text += bool(surfaces) and all(places(text, part) for part in surfaces)
        self.codes += _is_code(as_text(value))

    def are_named(self, name: str) -> bool:
        """Whether they are meant to stand in the texts: ids and the like, if many do."""
        words = plain_name(name)
        if words in _COUNTS or self.lists or (words in _ABOUT_ROWS and not self.in_text):
            return False
        return self.filled > self.codes or 4 * self.in_text >= self.filled > 0


def _by_values(stream: Stream, text: str, notes: Notes) -> Stream:
    """Find what the columns beside the text hold: lists of spans, or what is named in the text."""
    chosen, source = stream.chosen.labels, stream.source
    others = {text, *split_columns(stream)}
    names = [name for name in chosen or stream.names if name.strip() and name not in others]
    found = {name: _Values() for name in names}
    for table in stream.tables(text, *chosen, optional=tuple(found)):
        for row in range(len(table)):
            for name, values in found.items():
                if not _is_empty(value := table.columns[name][row]):
                    values.add(value, string(table, text, row))
    lists = [name for name, v in found.items() if (v.lists if chosen else v.written)]
    strings = [name for name in lists if found[name].strings]
    if len(lists) == 1 and not strings and (not chosen or chosen == (lists[0],)):
        if not chosen:
            notes.add(f"column {lists[0]!r} is read as spans", source)
        listed = with_lists(stream, lists)
        return replace(listed, chosen=Columns(text, (lists[0],)))
    types = chosen or [name for name, values in found.items() if values.are_named(name)]
    if not types:
        if strings:
            what = f"{source}: column {strings[0]!r} holds lists of strings"
            raise UserError(f"{what}; write ' | ' or ';' between several strings")
        if all(values.filled == values.lists for values in found.values()):
            raise no_column(f"{source} has", "spans", stream.names)
        raise UserError(
            f"{source} has no column of spans, and none with words that occur in {text!r}; "
            f"columns: {', '.join(stream.names)}"
        )
    for name, values in found.items():
        if name not in types:
            what = "ids, numbers, dates or lists beside the text" if values.filled else "no values"
            notes.add(f"columns of {what}, not read", f"{source}: {name!r}")
    if not chosen:
        listed_types = ", ".join(map(repr, types))
        notes.add(f"columns {listed_types} are read as types of entities", source)
    return _with_spans(stream, text, types)


def _with_spans(stream: Stream, text: str, types: Sequence[str]) -> Stream:
    """Turn a column for each type, with what is named in the text, into a column of spans."""

    def read(_: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.tables(text, optional=types):
            spans = [
                [span for name in types for span in _spans(table, text, name, row)]
                for row in range(len(table))
            ]
            yield replace(table, columns={text: table.columns[text], "spans": spans})

    return Stream(stream.source, [text, "spans"], read, chosen=Columns(text, ("spans",)))


def _spans(table: Table, text_name: str, name: str, row: int) -> Iterator[list[Any]]:
    text, value = string(table, text_name, row), table.columns[name][row]
    for surface in [] if _is_empty(value) else _surfaces(text, value):
        starts = places(text, surface) or places(text, surface, whole=False)
        if not starts:
            raise UserError(f"{table.at(row)}: {name!r} is {_absent(text, surface)}")
        for start in starts:
            yield [start, start + len(surface), name.strip()]


def _absent(text: str, surface: str) -> str:
    """Return a phrase that says what is not in a text, and what may have been meant."""
    if surface.casefold() in text.casefold():
        how = "occurs only in another case"
    elif _plain(surface) in _plain(text):  # they look alike
        how = "occurs only with other spaces, invisible characters or in another Unicode form"
        return f"{surface!a}, which {how} in {text!a:.60}"
    elif all(part.strip() in text for part in surface.split(",")):
        return f"{show(surface)}: write ' | ' or ';' between several strings"
    else:
        how = "does not occur"
    return f"{show(surface)}, which {how} in {show(text)}; --label-column chooses other columns"


def _plain(text: str) -> str:
    shown = (char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", "".join(shown)).split())


def _surfaces(text: str, value: Any) -> list[str]:
    """Return the strings that a cell names; a separator may belong to one that is in the text."""
    whole = as_text(value).strip()
    if whole in text:
        return [whole]
    return [part.strip() for part in _SEPARATOR.split(whole) if part.strip()]


def _is_code(value: str) -> bool:
    """Whether this looks like an id, a number, a date, or TRUE or FALSE."""
    words = value.casefold().split()
    if any(map(str.isdecimal, value)):
        return all(any(map(str.isdecimal, w)) or w.strip(".,") in _OF_DATES for w in words)
    return words in (["true"], ["false"])


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
