"""Entities that are marked in the text itself.

``call [Ada](person) in [New York](city)``, as Rasa has them, or as elements:
``call <person>Ada</person>``, which may stand in each other.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onetrunk.data.formats.table import Columns, Stream, Table, show, string
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError

_NAME = r"[^\W\d][\w-]*"
_BRACKETS = re.compile(rf"\[([^\[\]\n]+)\](?:\(({_NAME})\)|(\{{[^{{}}\n]*\}}))")
_BEGIN, _END = re.compile(rf"<({_NAME})>"), re.compile(rf"</({_NAME})>")
_MARK = re.compile(rf"{_BRACKETS.pattern}|<(/?)({_NAME})>")
_HTML = {
    "a", "abbr", "b", "blockquote", "body", "br", "button", "code", "dd", "div", "dl", "dt", "em",
    "font", "h1", "h2", "h3", "h4", "head", "html", "i", "img", "ins", "label", "li", "mark", "ol",
    "p", "pre", "q", "s", "script", "section", "small", "span", "strong", "style", "sub", "sup",
    "table", "tbody", "td", "th", "thead", "title", "tr", "tt", "u", "ul",
}  # fmt: skip
"""Elements of pages, which mark no entities."""


@dataclass
class Marks:
    """What marks entities in the texts of a source."""

    brackets: bool = False
    elements: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return self.brackets or bool(self.elements)

    def add(self, text: str) -> None:
        """Add what marks entities in a text."""
        self.brackets = self.brackets or has_brackets(text)
        if "</" in text:
            ended = {*_BEGIN.findall(text)} & {*_END.findall(text)}
            self.elements |= {name for name in ended if name.lower() not in _HTML}


def has_brackets(text: str) -> bool:
    """Whether a text has an entity in brackets, with its type behind it."""
    may = "](" in text or "]{" in text
    return may and any(name or _entity(record) for _, name, record in _BRACKETS.findall(text))


def marks_in(stream: Stream, text: str) -> Marks:
    """What marks entities in the texts of a column; false if nothing does."""
    marks = Marks()
    for table in stream.tables(text):
        for row in range(len(table)):
            marks.add(string(table, text, row))
    return marks


def marked(stream: Stream, text: str, marks: Marks, notes: Notes) -> Stream:
    """Return the texts of a column without their marks, and their spans.

    The other columns are not read, which ``notes`` says. The stream raises UserError for an element
    that does not end, or ends what did not begin.
    """
    notes.say(f"entities are read from the marks inside of {text!r}", stream.source)
    for name in stream.names:
        if name != text:
            notes.add("columns beside texts with marks, not read", f"{stream.source}: {name!r}")

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.tables(text):
            rows = [
                _without_marks(string(table, text, row), marks.elements, table.at(row))
                for row in range(len(table))
            ]
            columns: dict[str, list[Any]] = {
                text: [plain for plain, _ in rows],
                "spans": [spans for _, spans in rows],
            }
            yield replace(table, columns=columns)

    return Stream(stream.source, [text, "spans"], read, chosen=Columns(text, ("spans",)))


def _without_marks(text: str, elements: Collection[str], where: str) -> tuple[str, list[list[Any]]]:
    """Return a text without marks, and what they mark: its start, its end and its type."""
    plain, after = "", 0
    spans: list[list[Any]] = []
    open_elements: list[tuple[str, int]] = []
    for mark in _MARK.finditer(text):
        words, name, record, slash, element = mark.groups()
        if element is None:
            kind = name or _entity(record)
        else:
            kind = element if element in elements else None
        if kind is None:
            continue
        plain += text[after : mark.start()]
        after = mark.end()
        if element is None:
            spans.append([len(plain), len(plain) + len(words), kind])
            plain += words
        elif not slash:
            open_elements.append((kind, len(plain)))
        elif open_elements and open_elements[-1][0] == kind:
            spans.append([open_elements.pop()[1], len(plain), kind])
        else:
            raise UserError(f"{where}: {mark[0]} ends no element of {show(text)}")
    if open_elements:
        raise UserError(f"{where}: <{open_elements[-1][0]}> does not end in {show(text)}")
    return plain + text[after:], sorted(spans)


def _entity(record: str) -> str | None:
    """The type in Rasa's long form, ``{"entity": "city", "value": "NYC"}``."""
    try:
        kind = json.loads(record).get("entity")
    except ValueError:
        return None
    return kind if isinstance(kind, str) and kind.strip() else None
