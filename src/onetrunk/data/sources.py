"""Readers of the user's files: tables become the rows of :mod:`onetrunk.data.examples`.

Nothing is dropped, guessed or repaired in silence. Wrong input raises
:class:`~onetrunk.errors.UserError` with one line that names the file, the place and the value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onetrunk.data.examples import LabelledText, Pair, TaggedText
from onetrunk.data.iob import find_fault
from onetrunk.data.tables import (
    Table,
    check_file,
    closest,
    column,
    conll,
    lines,
    load_table,
    missing,
    show,
    some,
    wrong,
)
from onetrunk.errors import UserError

_CONLL = (".conll", ".txt", ".tsv", ".iob", ".bio")
_TABLES = (".parquet", ".jsonl", ".csv", ".tsv")
_SPLITS = (".parquet", ".jsonl", ".conll", ".csv", ".tsv", ".txt", ".iob", ".bio")


def read_ner(path: str | Path) -> list[TaggedText]:
    """Return the tagged sentences of a Parquet, JSONL or CoNLL file.

    Parquet and JSONL have the columns ``tokens`` and ``ner_tags`` (lists of strings). CoNLL
    (.conll .txt .tsv .iob .bio) has the token in the first column and the tag in the last, split
    at tabs if the line has one, else at spaces; a blank or ``-DOCSTART-`` line ends a sentence.

    Raises UserError for an unreadable file, a missing column, a null or a value of another type,
    a sentence without tokens, an empty token, tokens and tags of different number, CoNLL lines
    of different numbers of columns, and tags that are not IOB2.
    """
    file = check_file(path, (".parquet", ".jsonl", *_CONLL))
    table = conll(file) if file.suffix.lower() in _CONLL else load_table(file)
    rows = []
    columns = zip(column(table, "tokens"), column(table, "ner_tags"), strict=True)
    for row, (tokens, tags) in enumerate(columns):
        words = _strings(tokens, "tokens", table, row)
        tags = _strings(tags, "ner_tags", table, row)
        if not words:
            raise UserError(f"{table.at(row)}: the row has no tokens")
        if len(words) != len(tags):
            raise UserError(f"{table.at(row)}: {len(words)} tokens but {len(tags)} ner_tags")
        if "" in words:
            item = words.index("")
            raise UserError(f"{table.at(row, item)}: token {item + 1} is an empty string")
        if fault := find_fault(tags):
            item, why = fault
            if "does not continue" in why:
                why += "; row looks like IOB1: convert to IOB2 (onetrunk does not guess)"
            raise UserError(f"{table.at(row, item)}: {why}")
        rows.append(TaggedText.from_words(words, tags))
    return rows


def read_classification(path: str | Path) -> list[LabelledText]:
    """Return the labelled texts of a Parquet, JSONL, CSV or TSV file (with a header row).

    Columns: ``text``, and ``label`` (a string or an integer; in Parquet and JSONL also a list of
    them, for multi-label data) or ``labels`` (a list). An integer becomes its decimal string. A
    list may be empty: no label applies. A text may be empty.

    Raises UserError for an unreadable file, a missing or repeated column, both label columns, a
    null or a value of another type, an empty or repeated label, and a row of another width.
    """
    table = load_table(check_file(path, _TABLES))
    name = "labels" if "labels" in table.names and "label" not in table.names else "label"
    if {"label", "labels"} <= set(table.names):
        raise UserError(f"{table.file} has both 'label' and 'labels'; keep one of them")
    texts = _string_column(table, "text")
    rows = []
    for row, (text, value) in enumerate(zip(texts, column(table, name), strict=True)):
        many = isinstance(value, list)
        if name == "labels" and not many:
            raise wrong(table.at(row), "'labels'", value, "a list of strings")
        labels = []
        for item, one in enumerate(value if many else [value], 1):
            what = f"{name!r} item {item}" if many else f"{name!r}"
            if type(one) not in (str, int):  # bool is an int to isinstance
                raise wrong(table.at(row), what, one, "a string or an integer")
            label = str(one)
            if not label.strip():
                raise UserError(f"{table.at(row)}: {what} is an empty string")
            if label in labels:
                raise UserError(f"{table.at(row)}: {what} repeats {show(label)}")
            labels.append(label)
        rows.append(LabelledText(text, tuple(labels)))
    return rows


def read_pairs(path: str | Path) -> list[Pair]:
    """Return the pairs of a Parquet, JSONL, CSV or TSV file: columns ``query`` and ``positive``.

    Raises UserError for an unreadable file, a missing or repeated column, a null or a value that
    is not a string, and a row of another width.
    """
    table = load_table(check_file(path, _TABLES))
    queries, positives = _string_column(table, "query"), _string_column(table, "positive")
    return list(map(Pair, queries, positives))


def read_texts(path: str | Path) -> list[str]:
    """Return the texts to predict: one a line in .txt (a blank line is an empty text), else rows.

    Parquet, JSONL, CSV and TSV give the column ``text`` or, where there is none, the lists of
    strings of ``tokens``, each joined by spaces.

    Raises UserError for an unreadable file, a missing or repeated column, a null or a value of
    another type, and a row of another width.
    """
    file = check_file(path, (".txt", *_TABLES))
    if file.suffix.lower() == ".txt":
        return some(lines(file), file)
    table = load_table(file)
    if "text" in table.names or "tokens" not in table.names:
        return _string_column(table, "text")
    tokens = column(table, "tokens")
    return [" ".join(_strings(words, "tokens", table, row)) for row, words in enumerate(tokens)]


def find_files(path: str | Path, split: str = "train") -> Path:
    """Return the file itself, or the one file of a folder named ``{split}`` plus a known suffix.

    Raises UserError, saying what was found, if there is no such file or more than one.
    """
    folder = Path(path)
    if not folder.is_dir():
        return folder if folder.exists() else missing(folder)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    known = [name for name in names if Path(name).suffix.lower() in _SPLITS]
    found = [name for name in known if Path(name).stem == split]
    if len(found) > 1:
        raise UserError(f"{folder} holds {' and '.join(found)}; name the file to read")
    if not found:
        hint = closest(split, {Path(name).stem for name in known})
        listed = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if names[12:] else "")
        wanted = f"{folder} holds no file {split!r} ({', '.join(_SPLITS)})"
        raise UserError(f"{wanted}{hint or ';'} found: {listed or 'no files'}")
    return folder / found[0]


def _string_column(table: Table, name: str) -> list[str]:
    values = column(table, name)
    if set(map(type, values)) != {str}:
        row = next(row for row, value in enumerate(values) if not isinstance(value, str))
        raise wrong(table.at(row), repr(name), values[row], "a string")
    return values


def _strings(values: Any, name: str, table: Table, row: int) -> list[str]:
    if not isinstance(values, list):
        raise wrong(table.at(row), repr(name), values, "a list of strings")
    if values and set(map(type, values)) != {str}:
        item = next(item for item, value in enumerate(values) if not isinstance(value, str))
        raise wrong(table.at(row, item), f"{name!r} item {item + 1}", values[item], "a string")
    return values
