"""Files that labelers are made of: lists of strings, and model folders as a hash."""

from __future__ import annotations

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
    """The rows, with whatever columns they have, of a source with columns.

    Parquet, Arrow, JSON Lines, JSON, CSV and TSV, a folder of them or a data set of the hub.
    Raises UserError if there is no such source or it is of another format.
    """
    located = locate(spec, split)
    streams = [_open(file) for file in located.files]
    if located.hub:
        streams.append(hub(*located.hub, located.split))
    if len(streams) == 1:
        return streams[0]

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for stream in streams:
            yield from stream.tables(*names, optional=optional)

    return Stream(str(located), streams[0].names, read)


def _open(file: Path) -> Stream:
    suffix = suffix_of(file)
    if suffix not in _FORMATS:
        raise UserError(
            f"{file}: suffix {suffix!r} has no named columns; {nearest(suffix, _FORMATS)}"
        )
    return _FORMATS[suffix](file)


def read_columns(path: str | Path, first: str, second: str) -> list[tuple[str, str, str]]:
    """Two columns of strings as ``(first, second, place)`` a row, the place for messages.

    Raises UserError for an unreadable file, a missing column, and a value that is not a string or
    is blank.
    """
    rows = []
    for table in open_table(path).tables(first, second):
        cells = zip(strings(table, first), strings(table, second), strict=True)
        for row, values in enumerate(cells):
            for name, cell in zip((first, second), values, strict=True):
                if not cell.strip():
                    raise UserError(f"{table.at(row)}: {name!r} is blank ({show(cell)})")
            rows.append((*values, table.at(row)))
    return rows


def typed_list(path: str | Path, what: str) -> list[tuple[str, str, str]]:
    """``(value, type, place)`` a row of a file with the columns ``what`` and ``type``.

    A type is one line with single spaces. Raises UserError as :func:`read_columns` does.
    """
    return [
        (value, " ".join(kind.split()), at) for value, kind, at in read_columns(path, what, "type")
    ]


def file_hash(path: str | Path) -> str:
    """Short hash of a file's bytes."""
    digest = xxhash.xxh3_64()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_hash(folder: str | Path) -> str:
    """Short hash of the names and bytes of all files of a folder."""
    digest = xxhash.xxh3_64()
    folder = Path(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()
