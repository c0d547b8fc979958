"""Tables with named columns, and hashes of files and folders."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import xxhash

from onetrunk.data.formats.hub import hub
from onetrunk.data.formats.table import Stream, Table, show, wrong
from onetrunk.data.formats.text import suffix_of
from onetrunk.data.locate import locate
from onetrunk.data.sources import TABLES
from onetrunk.errors import UserError, nearest


def open_table(spec: str | Path, split: str = "train") -> Stream:
    """Open a source that has columns: a file, a folder of files, or a data set of the hub.

    Raises UserError if there is no such source or a file is of another format.
    """
    located = locate(spec, split)
    if located.hub:
        return hub(*located.hub, located.split)
    for file in located.files:
        if (suffix := suffix_of(file)) not in TABLES:
            raise UserError(
                f"{file}: suffix {suffix!r} has no named columns; {nearest(suffix, TABLES)}"
            )
    streams = [TABLES[suffix_of(file)](file) for file in located.files]

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for stream in streams:
            yield from stream.tables(*names, optional=optional)

    return Stream(str(located), streams[0].names, read)


def text_rows(
    stream: Stream, first: str, second: str, integers: Collection[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield two columns of texts, and the place of each row for messages; null becomes empty.

    Raises UserError for a missing column, and for a value that is not a string. In the columns
    ``integers`` it may also be an integer, which becomes its decimal string.
    """
    names = (first, second)
    for table in stream.tables(*names):
        for row, values in enumerate(zip(*map(table.columns.get, names), strict=True)):
            texts = []
            for name, value in zip(names, values, strict=True):
                if name in integers and type(value) is int:
                    value = str(value)
                if value is not None and not isinstance(value, str):
                    raise wrong(table.at(row), repr(name), value, "a string")
                texts.append(value or "")
            yield texts[0], texts[1], table.at(row)


def read_columns(path: str | Path, first: str, second: str) -> list[tuple[str, str, str]]:
    """Return what :func:`text_rows` yields for a file. Raises UserError also for a blank value."""
    rows = list(text_rows(open_table(path), first, second))
    for *texts, place in rows:
        for name, text in zip((first, second), texts, strict=True):
            if not text.strip():
                raise UserError(f"{place}: {name!r} is blank ({show(text)})")
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
