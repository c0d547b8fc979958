"""CoNLL files: one token a line with its tag, a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from onetrunk.data.formats.table import Stream, Table, blocks, no_column, show
from onetrunk.data.formats.text import lines, suffix_of
from onetrunk.errors import UserError

_DECLARATION = re.compile(r"#\s*global\.columns\s*=(.*)")
_TOKEN = ("FORM", "TOKEN", "WORD")
_TAG = ("NER", "NER_TAG", "NER_TAGS")
_CONLL_U_WIDTH = 10


class _Layout(NamedTuple):
    """Which cells of a line are read, and how many there are (0: as many as in the first line)."""

    token: int = 0
    tag: int = -1
    id: int | None = None
    width: int = 0


def conll(file: Path) -> Stream:
    """Sentences as the columns ``tokens`` and ``ner_tags``.

    The token is in the first cell and the tag in the last, split at tabs if the line has one, else
    at spaces; a ``-DOCSTART-`` line ends a sentence too. A file that begins with
    ``# global.columns = ...`` (CoNLL-U Plus) names its cells: FORM, TOKEN or WORD, and NER (also
    with a prefix, ``X:NER``). In such a file, and in .conllu and .conllup, lines before a sentence
    that begin with ``#`` are comments, unless they have cells of their own.

    By the rules of CoNLL-U, the words of a sentence are the lines with a whole-number ID: those
    of multi-word tokens (``1-2``) and of elided words (``1.1``) are not among them.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(_sentences(file)):
            numbers = [sentence.lines for sentence in block]
            columns: dict[str, list[list[str] | None]] = {
                "tokens": [sentence.tokens for sentence in block],
                "ner_tags": [sentence.tags for sentence in block],
            }
            columns |= {name: [None] * len(block) for name in set(optional) - columns.keys()}
            yield Table(str(file), columns, [first for first, *_ in numbers], True, numbers)

    return Stream(str(file), ["tokens", "ner_tags"], read)


class _Sentence(NamedTuple):
    tokens: list[str]
    tags: list[str]
    lines: list[int]


def _sentences(file: Path) -> Iterator[_Sentence]:
    layout = _Layout()
    comments = suffix_of(file) in (".conllu", ".conllup")
    first = 1  # the line that says how many cells there are
    sentence = _Sentence([], [], [])
    for number, line in enumerate(lines(file), 1):
        if number == 1 and (declared := _DECLARATION.match(line)):
            layout, comments = _declared(f"{file}:1", declared[1].split()), True
            continue
        if comments and line.startswith("#") and not sentence.tokens:
            # Without an ID before it, a token may be a "#".
            is_row = layout.id is None and "\t" in line
            if not is_row:
                continue
        # Not str.split(): it splits at no-break and ideographic spaces, which tokens may hold.
        cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
        if not line.strip(" \t") or cells[0] == "-DOCSTART-":
            if sentence.tokens:
                yield sentence
            sentence = _Sentence([], [], [])
            continue
        if len(cells) < 2:
            raise UserError(f"{file}:{number}: one column ({show(line)}); write token, tag")
        if not layout.width:
            first, layout = number, layout._replace(width=len(cells))
            if comments and len(cells) == _CONLL_U_WIDTH:
                why = f"{len(cells)} columns, of which none is declared to hold NER tags"
                raise UserError(
                    f"{file}:{number}: {why}; begin with '# global.columns = ID FORM …'"
                )
        if len(cells) != layout.width:  # a token with a space in it would lose its second half
            why = f"{len(cells)} columns but line {first} has {layout.width} ({show(line)})"
            raise UserError(f"{file}:{number}: {why}")
        if layout.id is not None and re.search("[-.]", cells[layout.id]):
            continue
        sentence.tokens.append(cells[layout.token])
        sentence.tags.append(cells[layout.tag])
        sentence.lines.append(number)
    if sentence.tokens:
        yield sentence


def _declared(where: str, names: list[str]) -> _Layout:
    plain = [name.rpartition(":")[2].upper() for name in names]

    def only(wanted: Sequence[str]) -> int:
        found = [at for at, name in enumerate(plain) if name in wanted]
        if not found:
            raise no_column(f"{where}: 'global.columns' has", wanted[0], names)
        if len(found) > 1:
            listed = " and ".join(names[at] for at in found)
            raise UserError(f"{where}: 'global.columns' has {listed}; keep one of them")
        return found[0]

    return _Layout(
        only(_TOKEN), only(_TAG), plain.index("ID") if "ID" in plain else None, len(names)
    )
