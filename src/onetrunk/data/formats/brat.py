"""brat's standoff files: the entities of ``a.txt`` stand in ``a.ann`` beside it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onetrunk.data.formats.annotations import as_counted
from onetrunk.data.formats.conll import conll
from onetrunk.data.formats.inline import marks_in
from onetrunk.data.formats.table import Stream, Table, show
from onetrunk.data.formats.text import lines, plain
from onetrunk.data.notes import Notes
from onetrunk.data.schemes import is_tag
from onetrunk.errors import UserError

_LIKE_A_TAG = re.compile(r"\s(?:[o0_-]|[BIESLUM][-_:./]\S+|\S+[-_][BIESLUM])\s*$", re.IGNORECASE)
_ENTITY = re.compile(r"T\d+\t(\S+) (\d{1,18}) (\d{1,18})((?:;\d+ \d+)*)(?:\t(.*))?", re.ASCII)


def brat(file: Path) -> Stream:
    """Return the document of an ``.ann`` file as one row with ``text`` and ``spans``.

    Only entities of one piece are read; the notes of the stream count what else there is. A line
    repeats the text of its entity, with which the offsets are compared. Raises UserError for a file
    without its text, and for a line that is not brat's.
    """
    document = file.with_suffix(".txt")
    if not document.exists():
        raise UserError(f"{file} has no text beside it: {document.name} is missing")
    notes = Notes()
    spans = _spans(file, notes)
    regions = [(span["start"], span["end"], span["text"]) for span in spans if span["text"]]
    text = as_counted("".join(lines(document, keep_ends=True)), regions, str(file), notes)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        yield Table(str(file), {"text": [text], "spans": [spans]}, [1])

    return Stream(str(file), ["text", "spans"], read, notes)


def brat_or_conll(file: Path) -> Stream:
    """Return a ``.txt`` file with an ``.ann`` file beside it as :func:`brat`, one with a text on
    each line, in which entities are marked, as its texts, and others as CoNLL.

    Raises UserError for a text without tags in a folder of brat: its annotations are missing.
    """
    annotations = file.with_suffix(".ann")
    if annotations.exists():
        return brat(annotations)
    if any(file.parent.glob("*.ann")) and not _holds_tags(file):
        why = f"has no annotations beside it: {annotations.name} is missing"
        raise UserError(f"{file} {why}; an empty file of this name says that it has no entities")
    if not _holds_tags(file):
        texts = plain(file)
        if marks_in(texts, "text"):
            return texts
        if not any(map(_LIKE_A_TAG.search, lines(file))):
            why = "write a token and its tag on each line, or mark entities: call [Ada](person)"
            raise UserError(f"{file} holds texts without entities; {why}")
    return conll(file)


def _holds_tags(file: Path) -> bool:
    """Whether the first sentence of a file is tokens with tags."""
    try:
        table = next(conll(file).tables("ner_tags"))
    except (UserError, StopIteration):
        return False
    return all(map(is_tag, table.columns["ner_tags"][0]))


def _spans(file: Path, notes: Notes) -> list[dict[str, Any]]:
    spans = []
    for number, line in enumerate(lines(file), 1):
        where = f"{file}:{number}"
        if match := _ENTITY.fullmatch(line):
            label, start, end, more, text = match.groups()
            if more:
                notes.add("entities of several pieces, left out", where)
            else:
                spans.append({"start": int(start), "end": int(end), "label": label, "text": text})
        elif line[:1] in {*"REAMN#*"}:
            notes.add("relations, events, attributes and comments of brat, not read", where)
        elif line.strip():
            raise UserError(f"{where}: {show(line)} is no line of brat: T1, tab, 'TYPE START END'")
    return spans
