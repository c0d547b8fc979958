"""Where the words and the tags stand in a CoNLL file: what its names or its cells say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from onetrunk.data.formats.table import no_column
from onetrunk.data.formats.text import lines, suffix_of
from onetrunk.data.formats.word_column import word_column
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import is_whole
from onetrunk.data.schemes import bare, is_tag
from onetrunk.errors import UserError

_DECLARATION = re.compile(r"#\s*global\.columns\s*=(.*)")
_TOKEN = ("FORM", "TOKEN", "TOKENS", "WORD", "WORDS")
_TAG = ("NER", "NER_TAG", "NER_TAGS", "TAG", "TAGS", "LABEL", "NE-COARSE-LIT")
_CONLL_U_WIDTH = 10
_HEAD = 1000
"""How many lines show the layout of a file."""

Line = tuple[int, list[str]]
"""The number of a line and its cells."""


class Layout(NamedTuple):
    """Which cells of a line are read, and how many there are (0: not known)."""

    token: int = 0
    tag: int = -1
    layers: tuple[int, ...] = ()
    """Other cells with tags: of nested entities, or of other annotators."""
    id: int = 0
    numbered: bool = False
    """Whether the cell ``id`` counts the words of a sentence. Then a line with another id (a range,
    as ``1-2``) is passed over, and a line that begins with ``#`` is a comment."""
    width: int = 0
    first: int = 1
    """The line that shows the width: the others must have as many cells."""
    header: int = 0
    """The line that names the cells, if there is one."""
    tabs: bool = False
    prefix: str = ""
    """What stands before every token."""


def cells_of(line: str) -> list[str]:
    """The cells of a line, which tabs separate if it has one; none of a blank line."""
    if not line.strip(" \t"):
        return []
    # str.split() would also split at no-break and ideographic spaces, which are part of tokens.
    return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]


def starts_document(cells: Sequence[str]) -> bool:
    """Whether a line stands between two documents, as in CoNLL-2003; it holds no words."""
    return "-DOCSTART-" in cells


def find_layout(file: Path, notes: Notes) -> Layout:
    """Find the layout in the first lines of a file.

    Raises UserError for a file of which this is not certain.
    """
    head = list(islice(enumerate(lines(file), 1), _HEAD))
    rows = [(number, cells) for number, line in head if (cells := cells_of(line))]
    # A sentence may begin with the token "#", but not every line of a file does.
    rows = [row for row in rows if row[1][0][0:1] != "#" and not starts_document(row[1])] or rows
    tabs = any("\t" in line for number, line in head if not line.startswith("#"))
    if head and (declared := _DECLARATION.match(head[0][1])):
        layout = _named(f"{file}:1: 'global.columns' has", declared[1].split(), rows)
        return layout._replace(tabs=tabs)
    if head and head[0][1].startswith("#FORMAT=WebAnno"):
        raise UserError(f"{file}:1: WebAnno's own TSV is not read; export CoNLL 2002 or CoNLL-U")
    is_tagged = any(is_tag(bare(cells[-1])) for _, cells in rows)
    if head and head[0][1].startswith("#begin document") and not is_tagged:
        why = "CoNLL-2012, which has no tags but entities in brackets, is not read"
        raise UserError(f"{file}:1: {why}; write token, tag")
    if not rows:
        return Layout()
    first, cells = rows[0]
    if {cell.upper() for cell in cells} & {*_TOKEN} and not is_tag(bare(cells[-1])):
        layout = _named(f"{file}:{first}: the row of names has", cells, rows[1:])
        what = f"files with a row of names, {cells[layout.token]} and {cells[layout.tag]} are read"
        notes.add(what, f"{file}:{first}")
        return layout._replace(first=first, header=first, tabs=tabs)
    layout = Layout(width=len(cells), first=first, tabs=tabs)
    rows = [row for row in rows if len(row[1]) == layout.width]
    return _by_content(file, layout, rows, notes)


def _by_content(file: Path, layout: Layout, rows: Sequence[Line], notes: Notes) -> Layout:
    """Find the cells of the token and of the tag if they are not the first and the last."""
    where = f"{file}:{layout.first}"
    runs = _runs(rows)
    sentences = [[cells[0] for cells in run] for run in runs]
    counts = len(runs) < len(rows) and all(map(_counts, sentences))
    counts = counts and any(is_whole(cell) for run in sentences for cell in run)
    if layout.width == 2 and len(runs) > 1 and (counts or _are_numbered(sentences)):
        raise UserError(
            f"{where}: the first column counts words, none holds them; write token, tag"
        )
    if counts and layout.width > 2:
        layout = layout._replace(token=1, numbered=True)
        rows = [row for row in rows if is_whole(row[1][0])]
        runs = _runs(rows)
    tagged = _tagged(rows, range(layout.token + 1, layout.width))
    end = tagged[0] if tagged else layout.width - 1
    no_words = UserError(
        f"{where}: the first column holds numbers alone, no words; write token, tag, and a "
        "blank line after each sentence"
    )
    if not counts and layout.width > 2 and _are_sentence_numbers(sentences, 2):
        raise no_words
    token = word_column(file, layout.first, runs, layout.token, end)
    if token == 0 and layout.width > 2 and _are_sentence_numbers(sentences, 1):
        raise no_words
    layout = layout._replace(token=token)
    if not tagged and not token and all(is_tag(cells[0]) for _, cells in rows):
        raise UserError(f"{where}: the first column holds the tags; write token, tag")
    is_conll_u = token > 0 or suffix_of(file) in (".conllu", ".conllup")
    if is_conll_u and layout.width == _CONLL_U_WIDTH and not tagged:
        why = f"{layout.width} columns, of which none is declared to hold NER tags"
        raise UserError(f"{where}: {why}; begin with '# global.columns = ID FORM …'")
    tag = layout.width - 1
    if token and tagged:  # annotators or nested entities may follow
        tag = tagged[0] if tagged[0] == layout.token + 1 else tagged[-1]
    elif len(tagged) == 1:
        tag = tagged[0]
    layers = _layers(rows, tagged, tag)
    if (layout.token, tag) != (0, layout.width - 1):
        why = "first column holds no words" if layout.token else "last column holds no tags"
        why = "first column counts words" if counts else why
        read = f"column {layout.token + 1} is read as token and column {tag + 1} as tag"
        notes.add(f"files whose {why}: {read}", where)
    prefix = _language([cells[layout.token] for _, cells in rows])
    if prefix:
        notes.add(f"files whose tokens all begin with {prefix!r}, which is left out", where)
    return layout._replace(tag=tag, layers=layers, prefix=prefix)


def _language(tokens: Sequence[str]) -> str:
    """Return the code of a language that WikiANN puts before every token (``en:Rome``)."""
    prefix = tokens[0].partition(":")[0] + ":" if tokens else ""
    is_code = re.fullmatch("[a-z]{2,3}(-[a-z]+)*:", prefix) and len(tokens) > 2
    return prefix if is_code and all(token.startswith(prefix) for token in tokens) else ""


def _are_chunks(rows: Sequence[Line], column: int) -> bool:
    """Whether tags are of phrases (NP, VP), as in the third column of CoNLL-2003."""
    types = {cells[column].rpartition("-")[2] for _, cells in rows}
    return bool(types & {"NP", "VP"})


def _runs(rows: Sequence[Line]) -> list[list[list[str]]]:
    """Return the cells of lines that follow each other."""
    runs: list[list[list[str]]] = []
    before = 0
    for number, cells in rows:
        if not runs or number != before + 1:
            runs.append([])
        runs[-1].append(cells)
        before = number
    return runs


def _are_sentence_numbers(runs: Sequence[Sequence[str]], fewest: int) -> bool:
    """Whether the first cells are numbers, of which one stands in several lines of a run that has
    at least ``fewest`` of them."""
    is_repeated = any(fewest <= len(set(run)) < len(run) for run in runs)
    return is_repeated and all(cell.isdecimal() for run in runs for cell in run)


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells count by one, not regarding ``1-2`` and ``1.1``."""
    numbers = [cell for cell in cells if not re.fullmatch("[0-9]+[-.][0-9]+", cell)]
    if not all(map(is_whole, numbers)):
        return False
    return all(int(one) + 1 == int(other) for one, other in pairwise(numbers))


def _are_numbered(runs: Sequence[Sequence[str]]) -> bool:
    """Whether the first cells are ``1-1``, ``1-2``, or ``1.``, ``2.``: no words."""
    ends = [re.fullmatch(r"(?:[0-9]+[-.])?([0-9]{1,18})\.?", cell) for run in runs for cell in run]
    if not all(ends) or any(is_whole(cell) for run in runs for cell in run):
        return False
    numbers = iter([int(end[1]) for end in ends if end])
    counted = [[next(numbers) for _ in run] for run in runs]
    is_long = any(len(run) > 1 for run in runs)
    return is_long and all([*run] == [*range(run[0], run[0] + len(run))] for run in counted)


def _tagged(rows: Sequence[Line], columns: Iterable[int]) -> list[int]:
    """Which of the columns hold tags."""
    return [
        column
        for column in columns
        if 10 * sum(is_tag(bare(cells[column])) for _, cells in rows) >= 9 * len(rows)
    ]


def _layers(rows: Sequence[Line], tagged: Sequence[int], tag: int) -> tuple[int, ...]:
    return tuple(at for at in tagged if at != tag and not _are_chunks(rows, at))


def _named(where: str, names: list[str], rows: Sequence[Line]) -> Layout:
    """The layout that names give: of a declaration, or of a first row."""
    plain = [name.rpartition(":")[2].upper() for name in names]

    def position(choices: Sequence[str]) -> int:
        positions = [index for index, name in enumerate(plain) if name in choices]
        if not positions:
            raise no_column(where, choices[0], names)
        if len(positions) > 1:
            listed = " and ".join(names[index] for index in positions)
            raise UserError(f"{where} {listed}; keep one of them")
        return positions[0]

    token, tag, width = position(_TOKEN), position(_TAG), len(names)
    rows = [row for row in rows if len(row[1]) == width]
    layers = _layers(rows, _tagged(rows, set(range(width)) - {token}), tag) if rows else ()
    number = plain.index("ID") if "ID" in plain else 0
    numbered = "ID" in plain and any(is_whole(cells[number]) for _, cells in rows)
    return Layout(token, tag, layers, number, numbered, width)
