"""CoNLL files: a token and its tag on each line, and a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from onetrunk.data.formats.table import Stream, Table, blocks, no_column, show
from onetrunk.data.formats.text import lines, suffix_of
from onetrunk.data.formats.word_column import word_column
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import is_whole
from onetrunk.data.schemes import bare, is_tag
from onetrunk.errors import UserError

_DECLARATION = re.compile(r"#\s*global\.columns\s*=(.*)")
_METADATA = re.compile(r"#+\s+[\w:.-]+\s*=")
_TOKEN = ("FORM", "TOKEN", "TOKENS", "WORD", "WORDS")
_TAG = ("NER", "NER_TAG", "NER_TAGS", "TAG", "TAGS", "LABEL", "NE-COARSE-LIT")
LAYERS = "ner_layers"
"""The column that holds, of each sentence, the tags of further columns."""
_CONLL_U_WIDTH = 10
_HEAD = 1000
"""How many lines show the layout of a file."""
_LONG = 1000
"""How many words no sentence has: more of them are a file without blank lines."""

_Line = tuple[int, list[str]]
"""The number of a line and its cells."""


class _Layout(NamedTuple):
    """Which cells of a line are read, and how many there are (0: not known)."""

    token: int = 0
    tag: int = -1
    layers: tuple[int, ...] = ()
    """Other cells with tags: of nested entities, or of other annotators."""
    id: int | None = None
    width: int = 0
    first: int = 1
    """The line that shows the width: the others must have as many cells."""
    header: int = 0
    """The line that names the cells, if there is one."""
    tabs: bool = False
    skips: bool = False
    """Whether lines whose id is no plain number, as others' are, are passed over."""
    prefix: str = ""
    """What stands before every token."""


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
    layout = _layout(file, notes)

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
    file: Path, layout: _Layout, layers: Sequence[Sequence[Sequence[str]]], notes: Notes
) -> None:
    what = f"files with several columns of tags, of which column {layout.tag + 1} is read"
    for at, layer in enumerate(layout.layers):
        if what not in notes.found and any({*tags[at]} - {"O"} for tags in layers):
            notes.add(what, f"{file}:{layout.first}: not column {layer + 1}")


def _sentences(file: Path, layout: _Layout) -> Iterator[list[_Line]]:
    sentence: list[_Line] = []
    for number, line in enumerate(lines(file), 1):
        cells = _cells(line)
        if number == layout.header or _is_comment(line, cells, layout, bool(sentence)):
            continue
        if not cells or cells[0] == "-DOCSTART-":
            if sentence:
                yield sentence
            sentence = []
            continue
        if len(cells) < 2:
            raise UserError(f"{file}:{number}: one column ({show(line)}); write token, tag")
        if len(cells) != layout.width:  # a token with a space would lose its second half
            why = f"{len(cells)} columns but line {layout.first} has {layout.width} ({show(line)})"
            raise UserError(f"{file}:{number}: {why}")
        if not layout.skips or layout.id is None or not re.search("[-.]", cells[layout.id]):
            sentence.append((number, cells))
    if sentence:
        yield sentence


def _cells(line: str) -> list[str]:
    if not line.strip(" \t"):
        return []
    # str.split() would also split at no-break and ideographic spaces, which are part of tokens.
    return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]


def _is_comment(line: str, cells: Sequence[str], layout: _Layout, inside: bool) -> bool:
    if not line.startswith("#"):
        return False
    if layout.id is not None:  # a row begins with a number
        return True
    has_tabs = layout.tabs and "\t" in line
    if inside:  # "#" may be a token
        return layout.tabs and not has_tabs
    if _METADATA.match(line) or " " in cells[0]:
        return True
    if len(cells) == layout.width:
        return not (has_tabs or is_tag(bare(cells[layout.tag])))
    return not is_tag(bare(cells[-1]))  # otherwise it is a row with too many cells


def _layout(file: Path, notes: Notes) -> _Layout:
    """Find the layout in the first lines of a file."""
    head = list(islice(enumerate(lines(file), 1), _HEAD))
    rows = [(number, cells) for number, line in head if (cells := _cells(line))]
    # A sentence may begin with the token "#", but not every line of a file does.
    rows = [row for row in rows if row[1][0][0:1] != "#" and row[1][0] != "-DOCSTART-"] or rows
    tabs = any("\t" in line for number, line in head if not line.startswith("#"))
    if head and (declared := _DECLARATION.match(head[0][1])):
        layout = _named(f"{file}:1: 'global.columns' has", declared[1].split())
        return _skipping(layout._replace(tabs=tabs), rows)
    if head and head[0][1].startswith("#FORMAT=WebAnno"):
        raise UserError(f"{file}:1: WebAnno's own TSV is not read; export CoNLL 2002 or CoNLL-U")
    if not rows:
        return _Layout()
    first, cells = rows[0]
    if {cell.upper() for cell in cells} & {*_TOKEN} and not is_tag(bare(cells[-1])):
        layout = _named(f"{file}:{first}: the row of names has", cells)
        what = f"files with a row of names, {cells[layout.token]} and {cells[layout.tag]} are read"
        notes.add(what, f"{file}:{first}")
        return _skipping(layout._replace(first=first, header=first, tabs=tabs), rows[1:])
    layout = _Layout(width=len(cells), first=first, tabs=tabs)
    rows = [row for row in rows if len(row[1]) == layout.width]
    return _by_content(file, layout, rows, notes)


def _by_content(file: Path, layout: _Layout, rows: Sequence[_Line], notes: Notes) -> _Layout:
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
        layout = layout._replace(id=0, token=1, skips=True)
        rows = [row for row in rows if is_whole(row[1][0])]
        runs = _runs(rows)
    tagged = [
        column
        for column in range(layout.token + 1, layout.width)
        if 10 * sum(is_tag(bare(cells[column])) for _, cells in rows) >= 9 * len(rows)
    ]
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
    if token > layout.token:
        layout = layout._replace(id=0, token=token)
    if not tagged and layout.id is None and all(is_tag(cells[0]) for _, cells in rows):
        raise UserError(f"{where}: the first column holds the tags; write token, tag")
    is_conll_u = layout.id is not None or suffix_of(file) in (".conllu", ".conllup")
    if is_conll_u and layout.width == _CONLL_U_WIDTH and not tagged:
        why = f"{layout.width} columns, of which none is declared to hold NER tags"
        raise UserError(f"{where}: {why}; begin with '# global.columns = ID FORM …'")
    tag = layout.width - 1
    if layout.id is not None and tagged:  # annotators or nested entities may follow
        tag = tagged[0] if tagged[0] == layout.token + 1 else tagged[-1]
    elif len(tagged) == 1:
        tag = tagged[0]
    layers = tuple(at for at in tagged if at != tag and not _are_chunks(rows, at))
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


def _are_chunks(rows: Sequence[_Line], column: int) -> bool:
    """Whether tags are of phrases (NP, VP), as in the third column of CoNLL-2003."""
    types = {cells[column].rpartition("-")[2] for _, cells in rows}
    return bool(types & {"NP", "VP"})


def _runs(rows: Sequence[_Line]) -> list[list[list[str]]]:
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


def _skipping(layout: _Layout, rows: Sequence[_Line]) -> _Layout:
    """A layout that passes over ranges and elided words, if other ids are plain numbers."""
    if layout.id is None:
        return layout
    ids = [cells[layout.id] for _, cells in rows if len(cells) > layout.id]
    return layout._replace(skips=any(map(is_whole, ids)))


def _named(where: str, names: list[str]) -> _Layout:
    bare = [name.rpartition(":")[2].upper() for name in names]

    def position(choices: Sequence[str]) -> int:
        positions = [index for index, name in enumerate(bare) if name in choices]
        if not positions:
            raise no_column(where, choices[0], names)
        if len(positions) > 1:
            listed = " and ".join(names[index] for index in positions)
            raise UserError(f"{where} {listed}; keep one of them")
        return positions[0]

    id_position = bare.index("ID") if "ID" in bare else None
    return _Layout(position(_TOKEN), position(_TAG), id=id_position, width=len(names))
