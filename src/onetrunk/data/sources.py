"""Reading a user's data: any source becomes rows of :mod:`onetrunk.data.rows`.

``stream_*`` functions yield rows, so a file may be larger than memory. ``read_*`` functions return
them in a list. A source is a file, a folder or ``hub:NAME[:CONFIG]``, of which ``split`` is read
(:func:`~onetrunk.data.locate.locate`), or a table or a list in memory, of which everything is read
(:class:`~onetrunk.data.formats.memory.InMemory`). Columns of other names than those below are read
if the name is likely (:mod:`~onetrunk.data.formats.naming`), or if ``Located.columns`` has them.
What reading changed and what looks odd is counted in :class:`~onetrunk.data.notes.Notes`, if they
are passed; nothing is changed silently.

All of them raise :class:`~onetrunk.errors.UserError` for a source that cannot be read, a column
that is missing or there twice, a value of another type (null included), and a line of a table with
more or fewer cells than the header. The message is one line with the source, the place, the value.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from onetrunk.data.faults import Faults
from onetrunk.data.findings import Findings, Row
from onetrunk.data.formats import columns
from onetrunk.data.formats.brat import brat, brat_or_conll
from onetrunk.data.formats.columnar import arrow, parquet
from onetrunk.data.formats.conll import conll
from onetrunk.data.formats.content import check_content
from onetrunk.data.formats.delimited import comma_separated, tab_separated
from onetrunk.data.formats.docbin import docbin
from onetrunk.data.formats.fasttext import fasttext
from onetrunk.data.formats.hub import hub
from onetrunk.data.formats.jsonfiles import json_array, jsonl
from onetrunk.data.formats.labelled import labelled
from onetrunk.data.formats.naming import split_columns
from onetrunk.data.formats.pairs import pairs
from onetrunk.data.formats.spreadsheet import tab_separated_or_conll
from onetrunk.data.formats.standard_input import standard_input
from onetrunk.data.formats.table import USUAL as USUAL
from onetrunk.data.formats.table import Columns as Columns
from onetrunk.data.formats.table import Rows, Stream
from onetrunk.data.formats.text import plain, suffix_of
from onetrunk.data.formats.workbook import workbook
from onetrunk.data.locate import Located as Located
from onetrunk.data.locate import Spec as Spec
from onetrunk.data.locate import find_file as find_file
from onetrunk.data.locate import locate as locate
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.data.schemes import Converter
from onetrunk.data.splits import data_files, files_below, is_saved
from onetrunk.data.texts import Texts
from onetrunk.errors import UserError, missing, nearest
from onetrunk.kinds import kind_of

_Read = TypeVar("_Read", bound=Row)
_Formats = Mapping[str, Callable[[Path], Stream]]

_BELOW = "files in folders below, not read (move them up to read them)"

_COLUMNS: _Formats = {
    ".parquet": parquet,
    ".arrow": arrow,
    ".jsonl": jsonl,
    ".json": json_array,
    ".xlsx": workbook,
}
_CONLL: _Formats = dict.fromkeys((".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio"), conll)
TABLES: _Formats = {**_COLUMNS, ".csv": comma_separated, ".tsv": tab_separated}
"""The formats with named columns, and what reads them."""
_CLASSIFICATION: _Formats = {**TABLES, ".spacy": docbin, ".txt": fasttext}
_NER: _Formats = {
    **TABLES, **_CONLL, ".spacy": docbin, ".tsv": tab_separated_or_conll, ".txt": brat_or_conll,
    ".ann": brat,
}  # fmt: skip
_TEXTS: _Formats = {**_CLASSIFICATION, **_CONLL, ".txt": plain, ".ann": brat}
_TEXTS_OR_FAULTS: _Formats = {
    **_TEXTS,
    ".txt": partial(plain, keep_faults=True),
    ".jsonl": partial(jsonl, keep_faults=True),
    ".json": partial(json_array, keep_faults=True),
    ".csv": partial(comma_separated, keep_faults=True),
    ".tsv": partial(tab_separated, keep_faults=True),
}


def stream_ner(
    spec: Spec, notes: Notes | None = None, split: str = "train", scheme: str = "auto"
) -> Iterator[AnnotatedText]:
    """Yield the texts of a source with their entities, none of which overlap.

    Sources with columns (Parquet, Arrow, JSON Lines, JSON, CSV, TSV, Excel, data sets of the hub,
    tables and lists in memory) have ``tokens`` and ``ner_tags`` (lists of strings), or ``text`` and
    a list of spans in ``spans``, ``entities``, ``label`` or ``labels``
    (:func:`~onetrunk.data.formats.annotations.annotated_text`). They may also be exports of Label
    Studio, Prodigy, Doccano or spaCy, or :mod:`~onetrunk.data.formats.spreadsheet`. Items of a list
    may be ``(tokens, tags)``. A ``.spacy`` file has entities. Other text files are
    :func:`CoNLL <onetrunk.data.formats.conll.conll>`.

    Tags in IOB1, BIOES, BMES or BILOU are converted to IOB2, which ``notes`` counts. With
    ``scheme="auto"``, the first entity shows the scheme; another value
    (:data:`~onetrunk.data.schemes.SCHEMES`) sets it.

    Raises UserError also for columns that are ambiguous, a sentence without tokens, an empty
    token, different numbers of tokens and tags, tags that do not fit the scheme, and spans that do
    not fit the text.
    """
    converter = Converter(scheme)
    rows = partial(columns.annotated, converter=converter)
    return _stream(spec, notes, split, _NER, rows)


def stream_nested(
    spec: Spec, notes: Notes | None = None, split: str = "train"
) -> Iterator[AnnotatedText]:
    """Yield what :func:`stream_ner` does, and keep spans that overlap.

    If spans of the same type overlap, the longest is kept, and ``notes`` counts the others.
    """
    rows = partial(columns.annotated, converter=Converter(), nested=True)
    return _stream(spec, notes, split, _NER, rows)


def stream_classification(
    spec: Spec, notes: Notes | None = None, split: str = "train", numbers: bool = False,
    several: bool = False,
) -> Iterator[LabelledText]:  # fmt: skip
    """Yield the labelled texts of a source.

    The columns are ``text``, and ``label`` (a string or an integer; where values have types, also
    a list of them for multi-label data) or ``labels`` (a list). Items of a list in memory may be
    ``(text, label)``. An integer becomes its decimal string, or the name that a ``ClassLabel``
    gives it. A list may be empty if no label applies, and a text may be empty. Exports of Label
    Studio have choices. ``.spacy`` files have ``cats``; those of 0.5 or more become labels.
    ``.txt`` files are :func:`fastText's <onetrunk.data.formats.fasttext.fasttext>`. With
    ``numbers`` a label may be a float, too, and keeps all its digits. With ``several`` a string
    that joins labels (``a#b``, where ``a`` and ``b`` occur in other rows, too) is split, and an
    empty cell or null is a text without labels, which ``notes`` counts.

    Raises UserError also for a source with both label columns, for an empty label unless
    ``several``, and for a repeated one.
    """
    rows = partial(labelled, numbers=numbers, several=several)
    return _stream(spec, notes, split, _CLASSIFICATION, rows)


def stream_pairs(spec: Spec, notes: Notes | None = None, split: str = "train") -> Iterator[Pair]:
    """Yield the text pairs of a source.

    The columns are ``query`` and ``positive``, and optionally ``negative`` (a string, or a list of
    them) or ``negatives`` (a list). A null there means that there is none. Items of a list in
    memory may be ``(query, positive)``.
    """
    return _stream(spec, notes, split, TABLES, pairs, ("query", "positive"))


def stream_texts(spec: Spec, notes: Notes | None = None, split: str = "train") -> Iterator[str]:
    """Yield the texts of a source.

    A .txt file has one text a line, and a blank line is an empty text. In other sources the text
    is in the column ``text``. If there is none, the words in ``tokens`` (or of a CoNLL sentence)
    are joined by spaces. A list in memory may hold strings. Annotations are not read.
    """
    return _stream(spec, notes, split, _TEXTS, columns.texts)


def open_texts(
    spec: Spec, notes: Notes, split: str = "train", text_column: str | None = None
) -> list[Texts]:
    """Return the files of a source, or the source itself where it is none, open for reading.

    What :func:`stream_texts` calls a text is one here; each row keeps its other columns, and a row
    that cannot be read has an error in place of its text. Of a folder all files are texts to read,
    whatever split their names are of. ``-`` is standard input.

    Raises UserError for a source of which nothing can be read.
    """
    if isinstance(spec, str | Path) and str(spec) == "-":
        return [Texts(replace(standard_input(), chosen=Columns(text_column)), notes)]
    folder = Path(spec) if isinstance(spec, str | Path) and Path(spec).is_dir() else None
    located = locate(spec, split) if folder is None else _every_file(folder)
    if text_column is not None:
        located = replace(located, columns=Columns(text_column))
    streams = _opened(located, _TEXTS_OR_FAULTS)
    files = located.files or (None,)
    if folder is not None:
        for file in files_below(folder):
            if file not in located.files:
                notes.add(_BELOW, str(file))
    return [Texts(stream, notes, path) for stream, path in zip(streams, files, strict=True)]


def _every_file(folder: Path) -> Located:
    """All files of a folder with texts; the training split of a data set that was saved as one, or
    has a folder for each split."""
    files = data_files(folder)
    if not files or is_saved(folder) or kind_of(folder):
        return locate(folder)
    return Located(folder.name, tuple(files))


def stream_columns(
    spec: Spec, names: Sequence[str], notes: Notes | None = None, split: str = "train"
) -> Iterator[tuple[str, ...]]:
    """Yield the strings of some columns of a source, for families with rows of their own."""
    return _stream(spec, notes, split, TABLES, partial(columns.strings, names=names), names)


def _stream(
    spec: Spec,
    notes: Notes | None,
    split: str,
    formats: _Formats,
    reader: Callable[[Stream, Notes], Rows[_Read]],
    names: Sequence[str] = ("text", "label"),
) -> Iterator[_Read]:
    """Check a source and return an iterator over its rows; ``names`` are for tuples in a list."""
    located = locate(spec, split)
    streams = _opened(located, formats, names)

    def rows() -> Iterator[_Read]:
        findings = None if notes is None else Findings(notes)
        is_empty = True
        noted = Notes() if notes is None else notes
        for file in located.namesakes:
            noted.add(f"files named like the split {located.split!r}, not read", str(file))
        for file in located.below:
            noted.add(_BELOW, str(file))
        for file in located.files if located.joined else ():
            noted.add(located.joined, str(file))
        for stream in streams:
            for name in split_columns(stream):
                what = f"sources with a column {name!r}, of which all rows are read"
                noted.add(what, stream.source)
            try:
                tables, row_of = reader(stream, noted)
                faults = Faults()
                for table in tables:
                    for index in range(len(table)):
                        try:
                            row = row_of(table, index)
                        except UserError as error:
                            faults.add(error, table, index)
                            continue
                        if findings:
                            findings.check(row, table, index)
                        is_empty = False
                        if not faults:
                            yield row
                    if faults:
                        break
                faults.check()
            finally:
                noted.update(stream.notes)
        if is_empty:
            raise UserError("; ".join([f"{located} has no rows", *noted.lines()]))

    return rows()


def _opened(
    located: Located, formats: _Formats, names: Sequence[str] = ("text", "label")
) -> Iterator[Stream]:
    """Check a source; each of its files is opened when its turn comes."""
    if ".xlsx" in formats:
        formats = {**formats, ".xlsx": partial(workbook, split=located.split)}
    if is_chosen := located.columns != USUAL:
        with_columns = {*TABLES} if formats is _NER else {*TABLES, ".txt"}
        formats = {suffix: formats[suffix] for suffix in with_columns & formats.keys()}
    for file in located.files:
        suffix = suffix_of(file)
        if not file.exists():
            missing(file)
        if suffix in (".yaml", ".yml"):
            what = "a YAML file, such as a recipe, and holds no rows"
            raise UserError(f"{file} is {what}: name a CSV, Excel, JSONL, Parquet or CoNLL file")
        if suffix not in formats:
            why = "has no columns to choose" if is_chosen else "is not supported here"
            raise UserError(f"{file}: suffix {suffix!r} {why}; {nearest(suffix, formats)}")
        if file.stat().st_size == 0 and suffix != ".ann":  # of brat: no entities
            raise UserError(f"{file} is empty (0 bytes): name another file")
        check_content(file)
    streams: Iterable[Stream] = (formats[suffix_of(file)](file) for file in located.files)
    if located.memory:
        streams = [located.memory.stream(names)]
    elif located.hub:
        streams = [hub(*located.hub, located.split)]
    return (replace(stream, chosen=located.columns.among(stream.names)) for stream in streams)


def read_ner(
    spec: Spec, notes: Notes | None = None, split: str = "train", scheme: str = "auto"
) -> list[AnnotatedText]:
    """Return the rows of :func:`stream_ner` in a list."""
    return list(stream_ner(spec, notes, split, scheme))


def read_nested(
    spec: Spec, notes: Notes | None = None, split: str = "train"
) -> list[AnnotatedText]:
    """Return the rows of :func:`stream_nested` in a list."""
    return list(stream_nested(spec, notes, split))


def read_classification(
    spec: Spec, notes: Notes | None = None, split: str = "train", numbers: bool = False,
    several: bool = False,
) -> list[LabelledText]:  # fmt: skip
    """Return the rows of :func:`stream_classification` in a list."""
    return list(stream_classification(spec, notes, split, numbers, several))


def read_pairs(spec: Spec, notes: Notes | None = None, split: str = "train") -> list[Pair]:
    """Return the rows of :func:`stream_pairs` in a list."""
    return list(stream_pairs(spec, notes, split))


def read_texts(spec: Spec, notes: Notes | None = None, split: str = "train") -> list[str]:
    """Return the rows of :func:`stream_texts` in a list."""
    return list(stream_texts(spec, notes, split))
