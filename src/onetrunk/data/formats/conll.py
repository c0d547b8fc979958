"""CoNLL files: a token and its tag on each line, and a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onetrunk.data.formats.conll_layout import Layout, Line, cells_of, find_layout, starts_document
from onetrunk.data.formats.table import Stream, Table, blocks, show
from onetrunk.data.formats.text import lines
from onetrunk.data.notes import Notes
from onetrunk.data.schemes import bare, is_tag
from onetrunk.errors import UserError

_METADATA = re.compile(r"#+\s+[\w:.-]+\s*=")
LAYERS = "ner_layers"
"""The column that holds, of each sentence, the tags of further columns."""
_LONG = 1000
"""How many words no sentence has: more of them are a file without blank lines."""


def conll(file: Path) -> Stream:
    """Return the sentences as the columns ``tokens`` and ``ner_tags``.

    The token is in the first cell of a line and the tag in the last. Cells are split at tabs if
    the line has one, otherwise at spaces. White space around a tag is left out. A ``-DOCSTART-``
    line ends a sentence, too.

    A line that begins with ``# global.columns = `` (CoNLL-U Plus), and a first row of names, say
    what is in the cells: FORM, TOKEN or WORD is the token, NER (also with a prefix, ``X:NER``) the
    tag. Otherwise the cells do. If the first one counts the words of a sentence, the token is in
    the next, and the tag in the one after it if that holds tags. If the last one holds no tags,
    the tag is in the only one that does. The notes of the stream name the cells that are read.
    Other columns of tags, but those of phrases, are ``ner_layers``, for one who asks for them.

    Other lines that begin with ``#`` are comments: before a sentence, unless they are a token with
    a tag, and inside one, if the rows have tabs and they have none. By the rules of CoNLL-U, lines
    of multi-word tokens (``1-2``) and of elided words (``1.1``) are skipped.
    """
    notes = Notes()
    layout = find_layout(file, notes)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(_sentences(file, layout)):
            for rows in block:
                if len(rows) > _LONG:
                    what = f"sentences of more than {_LONG} words; a blank line ends a sentence"
                    notes.add(what, f"{file}:{rows[0][0]}")
            columns: dict[str, list[Any]] = {
                "tokens": [
                    [cells[layout.token].removeprefix(layout.prefix) for _, cells in rows]
                    for rows in block
                ],
                "ner_tags": [[bare(cells[layout.tag]) for _, cells in rows] for rows in block],
            }
            layers = [
                [[bare(cells[layer]) for _, cells in rows] for layer in layout.layers]
                for rows in block
            ]
            if LAYERS in optional:
                columns[LAYERS] = layers
            elif "ner_tags" in names:
                _note_layers(file, layout, layers, notes)
            item_lines = [[number for number, _ in rows] for rows in block]
            first_lines = [first for first, *_ in item_lines]
            yield Table(str(file), columns, first_lines, in_lines=True, item_lines=item_lines)

    return Stream(str(file), ["tokens", "ner_tags"], read, notes)


def _note_layers(
    file: Path, layout: Layout, layers: Sequence[Sequence[Sequence[str]]], notes: Notes
) -> None:
    what = f"files with several columns of tags, of which column {layout.tag + 1} is read"
    for at, layer in enumerate(layout.layers):
        if what not in notes.found and any({*tags[at]} - {"O"} for tags in layers):
            notes.add(what, f"{file}:{layout.first}: not column {layer + 1}")


def _sentences(file: Path, layout: Layout) -> Iterator[list[Line]]:
    sentence: list[Line] = []
    for number, line in enumerate(lines(file), 1):
        cells = cells_of(line)
        if number == layout.header or _is_comment(line, cells, layout, bool(sentence)):
            continue
        if not cells or starts_document(cells):
            if sentence:
                yield sentence
            sentence = []
            continue
        if len(cells) < 2:
            raise UserError(f"{file}:{number}: one column ({show(line)}); write token, tag")
        if len(cells) != layout.width:  # a token with a space would lose its second half
            why = f"{len(cells)} columns but line {layout.first} has {layout.width} ({show(line)})"
            raise UserError(f"{file}:{number}: {why}")
        if not layout.numbered or not re.search("[-.]", cells[layout.id]):
            sentence.append((number, cells))
    if sentence:
        yield sentence


def _is_comment(line: str, cells: Sequence[str], layout: Layout, inside: bool) -> bool:
    if not line.startswith("#"):
        return False
    if layout.numbered:  # a row begins with a number
        return True
    has_tabs = layout.tabs and "\t" in line
    if inside:  # "#" may be a token
        return layout.tabs and not has_tabs
    if _METADATA.match(line) or " " in cells[0]:
        return True
    if len(cells) == layout.width:
        return not (has_tabs or is_tag(bare(cells[layout.tag])))
    return not is_tag(bare(cells[-1]))  # otherwise it is a row with too many cells
