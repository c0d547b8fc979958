"""Entities in tables: a token or an entity in each row, a list of spans or tags in a cell, a
column for each type, or marks in the text.

All become the columns that :func:`~onetrunk.data.formats.columns.annotated` reads.
"""

import calendar
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onetrunk.data.formats.conll import conll
from onetrunk.data.formats.delimited import tab_separated
from onetrunk.data.formats.entity_rows import entity_row_columns, texts_of_entities
from onetrunk.data.formats.inline import marked, marks_in
from onetrunk.data.formats.lists import SPANS, is_list, read_list, with_lists
from onetrunk.data.formats.naming import plain_name, split_columns, text_column
from onetrunk.data.formats.table import (
    Columns,
    Stream,
    Table,
    is_empty,
    no_column,
    show,
    string,
)
from onetrunk.data.formats.token_rows import sentences, token_columns
from onetrunk.data.formats.workbook import as_text
from onetrunk.data.notes import Notes
from onetrunk.data.places import likely_places, places
from onetrunk.data.schemes import is_tag
from onetrunk.errors import UserError

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
        tokens = token_columns(stream, Notes())
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
    if tokens := token_columns(stream, notes):
        return sentences(stream, tokens)
    if not set(names) & {"spans", "entities"} and (entity := entity_row_columns(stream, notes)):
        return texts_of_entities(stream, entity, notes)
    text = text_column(stream, notes)
    if text is None:
        return stream
    if not labels and set(names) & set(SPANS) and not _holds_no_spans(stream, text):
        return replace(stream, chosen=Columns(text))
    return _by_values(stream, text, notes)


def _holds_no_spans(stream: Stream, text: str) -> bool:
    """Whether the column of spans holds a tag for each word, or, beside other columns or entities
    that are marked in the texts, a label for each text."""
    columns = [name for name in SPANS if name in stream.names]
    if len(columns) != 1:
        return False
    values = next((table.columns[columns[0]] for table in stream.read(columns, ())), [])
    first = next((value for value in values if not is_empty(value) and value != []), None)
    listed = read_list(first) if isinstance(first, str) else first
    if isinstance(listed, list):
        return bool(listed) and all(isinstance(item, str) and is_tag(item) for item in listed)
    if not isinstance(first, str) or columns != ["label"]:
        return False
    return len(stream.names) > 2 or bool(marks_in(stream, text))


@dataclass
class _Values:
    """What the cells of a column are."""

    filled: int = 0
    lists: int = 0
    written: int = 0
    spans: int = 0
    strings: int = 0
    tags: int = 0
    in_text: int = 0
    codes: int = 0

    def add(self, value: Any, text: str) -> None:
        self.filled += 1
        self.lists += is_list(value) or isinstance(value, dict)
        listed = read_list(value) if isinstance(value, str) else value
        self.written += isinstance(value, str) and isinstance(listed, list)
        self.spans += isinstance(value, list) and bool(value) and all(map(_is_span, value))
        if isinstance(listed, list) and {*map(type, listed)} == {str}:
            self.strings += 1
            self.tags += all(map(is_tag, listed))
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
                if not is_empty(value := table.columns[name][row]):
                    values.add(value, string(table, text, row))
    tags = [name for name, values in found.items() if 0 < values.filled == values.tags]
    if len(tags) == 1 and chosen in ((), (tags[0],)):
        return _with_tags(stream, text, tags[0], notes)
    if not chosen and (marks := marks_in(stream, text)):
        in_texts = [name for name, v in found.items() if 2 * v.in_text > v.filled and not v.codes]
        if in_texts:
            raise UserError(
                f"{source}: entities are marked inside of {text!r}, and column {in_texts[0]!r} "
                "holds words of the texts, too; choose its columns by --label-column "
                "(label_column= in Python), or leave the column out to read the marks"
            )
        return marked(stream, text, marks, notes)
    lists = [
        name
        for name, v in found.items()
        if (v.lists if chosen else v.written or v.spans) and (chosen or not _is_of_model(name))
    ]
    strings = [name for name in lists if found[name].strings]
    if len(lists) == 1 and not strings and (not chosen or chosen == (lists[0],)):
        if not chosen:
            notes.say(f"column {lists[0]!r} is read as spans", source)
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
        notes.say(f"columns {listed_types} are read as types of entities", source)
    return _with_spans(stream, text, types)


def _with_tags(stream: Stream, text: str, tags: str, notes: Notes) -> Stream:
    """Turn a text and a list with a tag for each of its words into columns of words and tags."""
    notes.say(f"column {tags!r} is read as tags of the words of {text!r}", stream.source)
    listed = with_lists(stream, [tags])

    def read(_: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in listed.tables(text, tags):
            words = [string(table, text, row).split() for row in range(len(table))]
            for row, given in enumerate(table.columns[tags]):
                if len(given) != len(words[row]):
                    raise UserError(
                        f"{table.at(row)}: {tags!r} has {len(given)} tags, but {text!r} has "
                        f"{len(words[row])} words between spaces; write a tag for each word"
                    )
            columns = {"tokens": words, "ner_tags": table.columns[tags]}
            yield replace(table, columns=columns)

    return Stream(stream.source, ["tokens", "ner_tags"], read)


def _with_spans(stream: Stream, text: str, types: Sequence[str]) -> Stream:
    """Turn a column for each type, with what is named in the text, into a column of spans."""

    def read(_: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.tables(text, optional=types):
            spans = [_spans_or_fault(table, text, types, row) for row in range(len(table))]
            yield replace(table, columns={text: table.columns[text], "spans": spans})

    return Stream(stream.source, [text, "spans"], read, chosen=Columns(text, ("spans",)))


def _spans_or_fault(
    table: Table, text: str, types: Sequence[str], row: int
) -> list[list[Any]] | UserError:
    """The spans of a row, or why there are none: its reader raises that, with those of others."""
    try:
        return [span for name in types for span in _spans(table, text, name, row)]
    except UserError as fault:
        return fault


def _spans(table: Table, text_name: str, name: str, row: int) -> Iterator[list[Any]]:
    text, value = string(table, text_name, row), table.columns[name][row]
    for surface in [] if is_empty(value) else _surfaces(text, value):
        starts = likely_places(text, surface)
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


def _is_span(value: Any) -> bool:
    """Whether an item of a list is an object with a start, an end and a label."""
    return isinstance(value, dict) and {"start", "end", "label"} <= {*value}


def _is_of_model(name: str) -> bool:
    """Whether a column holds the answers of a model, as Argilla calls them."""
    return plain_name(name).partition(" ")[0] in ("prediction", "predictions")


def _is_code(value: str) -> bool:
    """Whether this looks like an id, a number, a date, or TRUE or FALSE."""
    words = value.casefold().split()
    if any(map(str.isdecimal, value)):
        return all(any(map(str.isdecimal, w)) or w.strip(".,") in _OF_DATES for w in words)
    return words in (["true"], ["false"])
