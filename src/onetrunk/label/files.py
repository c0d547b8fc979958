"""Tables with named columns, and hashes of files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import xxhash

from onetrunk.data.formats.columnar import arrow, parquet
from onetrunk.data.formats.delimited import comma_separated, tab_separated
from onetrunk.data.formats.hub import hub
from onetrunk.data.formats.jsonfiles import json_array, jsonl
from onetrunk.data.formats.table import Stream, Table, show, strings
from onetrunk.data.formats.text import suffix_of
from onetrunk.data.locate import locate
from onetrunk.errors import UserError, nearest

_FORMATS = {
    ".parquet": parquet,
    ".arrow": arrow,
    ".jsonl": jsonl,
    ".json": json_array,
    ".csv": comma_separated,
    ".tsv": tab_separated,
}


def open_table(spec: str | Path, split: str = "train") -> Stream:
    """Open a source that has columns: a file, a folder of files, or a data set of the hub.

    Raises UserError if there is no such source or a file is of another format.
    """
    located = locate(spec, split)
    if located.hub:
        return hub(*located.hub, located.split)
    for file in located.files:
        if (suffix := suffix_of(file)) not in _FORMATS:
            raise UserError(
                f"{file}: suffix {suffix!r} has no named columns; {nearest(suffix, _FORMATS)}"
            )
    streams = [_FORMATS[suffix_of(file)](file) for file in located.files]

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for stream in streams:
            yield from stream.tables(*names, optional=optional)

    return Stream(str(located), streams[0].names, read)


def read_columns(path: str | Path, first: str, second: str) -> list[tuple[str, str, str]]:
    """Read two columns of strings; each row becomes ``(first, second, place)``.

    The place names file and line, for messages. Raises UserError for an unreadable file, a missing
    column, and a value that is blank or not a string.
    """
    rows = []
    for table in open_table(path).tables(first, second):
        cells = zip(strings(table, first), strings(table, second), strict=True)
        for row, values in enumerate(cells):
            for name, value in zip((first, second), values, strict=True):
                if not value.strip():
                    raise UserError(f"{table.at(row)}: {name!r} is blank ({show(value)})")
            rows.append((*values, table.at(row)))
    return rows


def file_hash(path: str | Path) -> str:
    """Return a short hash of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, xxhash.xxh3_64).hexdigest()


def folder_hash(folder: str | Path) -> str:
    """Return a short hash of the names and bytes of all files in a folder."""
    digest = xxhash.xxh3_64()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()
