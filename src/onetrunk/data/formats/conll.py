"""CoNLL files: a token and its tag on each line, and a blank line after each sentence."""

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
    """The cells of a line that are read, and the number of cells (0: that of the first line)."""

    token: int = 0
    tag: int = -1
    id: int | None = None
    width: int = 0


def conll(file: Path) -> Stream:
    """Return the sentences as the columns ``tokens`` and ``ner_tags``.

    The token is in the first cell of a line and the tag in the last. Cells are split at tabs if
    the line has one, otherwise at spaces. A ``-DOCSTART-`` line ends a sentence, too. A file that
    begins with ``# global.columns = ...`` (CoNLL-U Plus) names its cells: FORM, TOKEN or WORD for
    the token, NER (also with a prefix, ``X:NER``) for the tag. In such a file, and in .conllu and
    .conllup, a line before a sentence that begins with ``#`` is a comment, unless it has cells.

    By the rules of CoNLL-U, the words of a sentence are the lines with a whole number as ID. Lines
    of multi-word tokens (``1-2``) and of elided words (``1.1``) are skipped.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(_sentences(file)):
            columns = {
                "tokens": [sentence.tokens for sentence in block],
                "ner_tags": [sentence.tags for sentence in block],
            }
            item_lines = [sentence.lines for sentence in block]
            first_lines = [first for first, *_ in item_lines]
            yield Table(str(file), columns, first_lines, in_lines=True, item_lines=item_lines)

    return Stream(str(file), ["tokens", "ner_tags"], read)


class _Sentence(NamedTuple):
    tokens: list[str]
    tags: list[str]
    lines: list[int]


def _sentences(file: Path) -> Iterator[_Sentence]:
    layout = _Layout()
    comments = suffix_of(file) in (".conllu", ".conllup")
    first = 1  # the first line with cells: the others must have as many
    sentence = _Sentence([], [], [])
    for number, line in enumerate(lines(file), 1):
        if number == 1 and (declared := _DECLARATION.match(line)):
            layout, comments = _declared(f"{file}:1", declared[1].split()), True
            continue
        if comments and line.startswith("#") and not sentence.tokens:
            # Where no ID comes before it, "#" may be a token.
            is_row = layout.id is None and "\t" in line
            if not is_row:
                continue
        # str.split() would also split at no-break and ideographic spaces, which are part of tokens.
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
        if len(cells) != layout.width:  # a token with a space would lose its second half
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
    bare = [name.rpartition(":")[2].upper() for name in names]

    def position(choices: Sequence[str]) -> int:
        positions = [index for index, name in enumerate(bare) if name in choices]
        if not positions:
            raise no_column(f"{where}: 'global.columns' has", choices[0], names)
        if len(positions) > 1:
            listed = " and ".join(names[index] for index in positions)
            raise UserError(f"{where}: 'global.columns' has {listed}; keep one of them")
        return positions[0]

    id_position = bare.index("ID") if "ID" in bare else None
    return _Layout(position(_TOKEN), position(_TAG), id_position, len(names))
