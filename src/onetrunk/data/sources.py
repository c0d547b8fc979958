"""Readers of the user's data: any source becomes the rows of :mod:`onetrunk.data.rows`.

Rows are streamed: a source may be larger than memory. Nothing is dropped, guessed or repaired in
silence: what reading changed or found odd is counted in :class:`~onetrunk.data.notes.Notes`. Wrong
input raises :class:`~onetrunk.errors.UserError` with one line that names the file, the place and
the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from onetrunk.data.findings import Findings
from onetrunk.data.formats.annotations import nested_text, plain_columns, tagged_text
from onetrunk.data.formats.columnar import arrow, parquet
from onetrunk.data.formats.conll import conll
from onetrunk.data.formats.delimited import comma_separated, tab_separated
from onetrunk.data.formats.docbin import docbin
from onetrunk.data.formats.hub import hub
from onetrunk.data.formats.jsonfiles import json_array, jsonl
from onetrunk.data.formats.rows import (
    label_column,
    labels,
    negatives,
    span_column,
    tagged_tokens,
)
from onetrunk.data.formats.table import Stream, Table, string_list, strings
from onetrunk.data.formats.text import plain, suffix_of
from onetrunk.data.locate import Located, find_file, locate, missing
from onetrunk.data.notes import Notes
from onetrunk.data.rows import LabelledText, NestedText, Pair, TaggedText
from onetrunk.data.schemes import Converter
from onetrunk.errors import UserError, nearest

__all__ = [
    "Located",
    "find_file",
    "locate",
    "read_classification",
    "read_ner",
    "read_nested",
    "read_pairs",
    "read_texts",
    "stream_classification",
    "stream_columns",
    "stream_ner",
    "stream_nested",
    "stream_pairs",
    "stream_texts",
]

_Openers = Mapping[str, Callable[[Path], Stream]]
_Example = TypeVar("_Example")
Spec = str | Path | Located
"""A file, a folder or ``hub:NAME[:CONFIG]``; or one that was located, which has its own split."""

_COLUMNS: _Openers = {
    ".parquet": parquet,
    ".arrow": arrow,
    ".jsonl": jsonl,
    ".json": json_array,
}
_CONLL: _Openers = dict.fromkeys((".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio"), conll)
_PAIRS: _Openers = {**_COLUMNS, ".csv": comma_separated, ".tsv": tab_separated}
_CLASSIFICATION: _Openers = {**_PAIRS, ".spacy": docbin}
_NER: _Openers = {**_COLUMNS, **_CONLL, ".spacy": docbin, ".tsv": conll, ".txt": conll}
_TEXTS: _Openers = {**_CLASSIFICATION, **_CONLL, ".txt": plain}


def stream_ner(
    spec: Spec, notes: Notes | None = None, split: str = "train", scheme: str = "auto"
) -> Iterator[TaggedText]:
    """Yield the tagged sentences of a source (:func:`~onetrunk.data.locate.locate`).

    Parquet, Arrow, JSON Lines, JSON and hub data have the columns ``tokens`` and ``ner_tags``
    (lists of strings), or ``text`` and a list of spans in ``spans``, ``entities``, ``label`` or
    ``labels`` (:func:`~onetrunk.data.formats.annotations.tagged_text`); or they are exports of
    Label Studio or spaCy. A ``.spacy`` file has entities. Other text files are
    :func:`CoNLL <onetrunk.data.formats.conll.conll>`.

    Tags in IOB1, BIOES, BMES or BILOU are converted to IOB2, which ``notes`` says; a ``scheme``
    other than "auto" (:data:`~onetrunk.data.schemes.SCHEMES`) is not looked for but held to.

    Raises UserError for an unreadable source, columns that are missing or leave open what to read,
    a null or a value of another type, a sentence without tokens, an empty token, tokens and tags
    of different number, tags that do not fit the scheme, and spans that do not fit the text.
    """
    located = _located(spec, split, _NER)
    counted, converter = Notes() if notes is None else notes, Converter(scheme)

    def rows(stream: Stream) -> Iterator[tuple[TaggedText, Table, int]]:
        return _entity_rows(stream, converter, counted, tagged_text, lambda tagged: tagged)

    def facts(row: TaggedText) -> tuple[list[str], Sequence[str], set[str]]:
        return [row.text], row.tags, {tag[2:] for tag in set(row.tags) - {"O"}}

    return _stream(located, _NER, rows, facts, notes)


def stream_nested(
    spec: Spec, notes: Notes | None = None, split: str = "train"
) -> Iterator[NestedText]:
    """Yield what :func:`stream_ner` does, but keep spans that overlap.

    Of overlapping spans of one type the longest is kept, and ``notes`` says so.
    """
    located = _located(spec, split, _NER)
    counted, converter = Notes() if notes is None else notes, Converter("auto")

    def rows(stream: Stream) -> Iterator[tuple[NestedText, Table, int]]:
        return _entity_rows(stream, converter, counted, nested_text, NestedText.of)

    def facts(row: NestedText) -> tuple[list[str], Sequence[str], set[str]]:
        kinds = {kind for _, _, kind in row.entities}
        return [row.text], [str(entity) for entity in row.entities], kinds

    return _stream(located, _NER, rows, facts, notes)


def _entity_rows(
    stream: Stream,
    converter: Converter,
    notes: Notes,
    from_spans: Callable[[str, Any, str, str, Notes], _Example],
    from_tags: Callable[[TaggedText], _Example],
) -> Iterator[tuple[_Example, Table, int]]:
    """Rows of text with spans, or of words with tags."""
    stream = plain_columns(stream, notes)
    name = span_column(stream)
    if name is None:
        for tagged, table, row in tagged_tokens(stream, converter, notes):
            yield from_tags(tagged), table, row
        return
    for table in stream.tables("text", name):
        for row, text in enumerate(strings(table, "text")):
            spans = table.columns[name][row]
            yield from_spans(text, spans, repr(name), table.at(row), notes), table, row


def stream_classification(
    spec: Spec, notes: Notes | None = None, split: str = "train"
) -> Iterator[LabelledText]:
    """Yield the labelled texts of a source (:func:`~onetrunk.data.locate.locate`).

    Columns: ``text``, and ``label`` (a string or an integer; where values have types also a list
    of them, for multi-label data) or ``labels`` (a list). An integer becomes its decimal string,
    or the name that a ``ClassLabel`` gives it. A list may be empty: no label applies. A text may
    be empty. Exports of Label Studio have choices; ``.spacy`` files have ``cats``, of which those
    of at least one half are labels.

    Raises UserError for an unreadable source, a missing or repeated column, both label columns, a
    null or a value of another type, an empty or repeated label, and a row of another width.
    """
    located = _located(spec, split, _CLASSIFICATION)

    def rows(stream: Stream) -> Iterator[tuple[LabelledText, Table, int]]:
        stream = plain_columns(stream, Notes() if notes is None else notes)
        name = label_column(stream)
        for table in stream.tables("text", name):
            for row, text in enumerate(strings(table, "text")):
                own = labels(table.columns[name][row], name, table.at(row))
                yield LabelledText(text, own), table, row

    def facts(row: LabelledText) -> tuple[list[str], Sequence[str], set[str]]:
        return [row.text], row.labels, set(row.labels)

    return _stream(located, _CLASSIFICATION, rows, facts, notes)


def stream_pairs(spec: Spec, notes: Notes | None = None, split: str = "train") -> Iterator[Pair]:
    """Yield the pairs of a source (:func:`~onetrunk.data.locate.locate`).

    Columns: ``query`` and ``positive``; optional ``negative`` (a string, or a list of them) or
    ``negatives`` (a list). A null there is none.

    Raises UserError for an unreadable source, a missing or repeated column, a null or a value that
    is not a string, and a row of another width.
    """
    located = _located(spec, split, _PAIRS)

    def rows(stream: Stream) -> Iterator[tuple[Pair, Table, int]]:
        for table in stream.tables("query", "positive", optional=("negative", "negatives")):
            pairs = zip(strings(table, "query"), strings(table, "positive"), strict=True)
            for row, (query, positive) in enumerate(pairs):
                yield Pair(query, positive, negatives(table, row)), table, row

    def facts(row: Pair) -> tuple[list[str], Sequence[str], set[str]]:
        return [row.query, row.positive, *row.negatives], (), set()

    return _stream(located, _PAIRS, rows, facts, notes)


def stream_texts(spec: Spec, notes: Notes | None = None, split: str = "train") -> Iterator[str]:
    """Yield the texts of a source: one a line in .txt (a blank line is an empty text), else rows.

    Tables give the column ``text`` or, where there is none, the lists of strings of ``tokens``,
    each joined by spaces, as CoNLL files do. Annotations are not looked at.

    Raises UserError for an unreadable source, a missing or repeated column, a null or a value of
    another type, and a row of another width.
    """
    located = _located(spec, split, _TEXTS)

    def rows(stream: Stream) -> Iterator[tuple[str, Table, int]]:
        stream = plain_columns(stream, Notes(), annotated=False)
        if "text" in stream.names or "tokens" not in stream.names:
            for table in stream.tables("text"):
                for row, text in enumerate(strings(table, "text")):
                    yield text, table, row
        else:
            for table in stream.tables("tokens"):
                for row in range(len(table)):
                    yield " ".join(string_list(table, "tokens", row)), table, row

    return _stream(located, _TEXTS, rows, lambda text: ([text], (), set()), notes)


def stream_columns(
    spec: Spec, names: Sequence[str], notes: Notes | None = None, split: str = "train"
) -> Iterator[tuple[str, ...]]:
    """Yield some columns of strings of a source, row by row: for families with rows of their own.

    Raises UserError for an unreadable source, a missing or repeated column, and a value that is
    not a string.
    """
    located = _located(spec, split, _PAIRS)

    def rows(stream: Stream) -> Iterator[tuple[tuple[str, ...], Table, int]]:
        for table in stream.tables(*names):
            values = zip(*(strings(table, name) for name in names), strict=True)
            for row, one in enumerate(values):
                yield one, table, row

    return _stream(located, _PAIRS, rows, lambda one: (list(one), (), set()), notes)


def read_ner(
    spec: Spec, notes: Notes | None = None, split: str = "train", scheme: str = "auto"
) -> list[TaggedText]:
    """Return what :func:`stream_ner` yields."""
    return list(stream_ner(spec, notes, split, scheme))


def read_nested(spec: Spec, notes: Notes | None = None, split: str = "train") -> list[NestedText]:
    """Return what :func:`stream_nested` yields."""
    return list(stream_nested(spec, notes, split))


def read_classification(
    spec: Spec, notes: Notes | None = None, split: str = "train"
) -> list[LabelledText]:
    """Return what :func:`stream_classification` yields."""
    return list(stream_classification(spec, notes, split))


def read_pairs(spec: Spec, notes: Notes | None = None, split: str = "train") -> list[Pair]:
    """Return what :func:`stream_pairs` yields."""
    return list(stream_pairs(spec, notes, split))


def read_texts(spec: Spec, notes: Notes | None = None, split: str = "train") -> list[str]:
    """Return what :func:`stream_texts` yields."""
    return list(stream_texts(spec, notes, split))


def _located(spec: Spec, split: str, openers: _Openers) -> Located:
    """Find the source and check that its files can be of use."""
    located = spec if isinstance(spec, Located) else locate(spec, split)
    for file in located.files:
        suffix = suffix_of(file)
        if not file.exists():
            missing(file)
        if suffix not in openers:
            hint = nearest(suffix, openers)
            raise UserError(f"{file}: suffix {suffix!r} is not supported here; {hint}")
        if file.stat().st_size == 0:
            raise UserError(f"{file} is empty (0 bytes)")
    return located


def _stream(
    located: Located,
    openers: _Openers,
    rows: Callable[[Stream], Iterator[tuple[_Example, Table, int]]],
    facts: Callable[[_Example], tuple[list[str], Sequence[str], set[str]]],
    notes: Notes | None,
) -> Iterator[_Example]:
    """The rows of all files; ``facts`` gives the texts, the tags and the labels of one."""
    findings = None if notes is None else Findings(notes)
    found = False
    if located.hub:
        streams = iter([hub(*located.hub, located.split)])
    else:
        streams = (openers[suffix_of(file)](file) for file in located.files)
    for stream in streams:
        for example, table, row in rows(stream):
            found = True
            if findings:
                findings.see(table, row, *facts(example))
            yield example
    if not found:
        raise UserError(f"{located} has no rows")
