"""Parquet and Arrow files, batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.data.formats.classes import name_classes
from onetrunk.data.formats.table import BLOCK, Stream, Table
from onetrunk.errors import UserError

_FILE_MAGIC = b"ARROW1\0\0"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def parquet(file: Path) -> Stream:
    """The columns of a Parquet file; class numbers become names if the metadata names them."""

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        there = _there(schema, names, optional)
        # Page by page: by default Arrow reads the columns of a row group as a whole.
        paged = {"buffer_size": 2**20, "pre_buffer": False}
        with _errors(file, "Parquet"), pq.ParquetFile(file, **paged) as opened:
            yield from _tables(file, schema, opened.iter_batches(BLOCK, columns=there), optional)

    with _errors(file, "Parquet"):
        schema = pq.read_schema(file)
    return Stream(str(file), schema.names, read)


def arrow(file: Path) -> Stream:
    """The columns of an Arrow file of either kind; class numbers as in :func:`parquet`."""

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        there = _there(schema, names, optional)
        with _errors(file, "Arrow"), pa.memory_map(str(file)) as data:
            batches = (batch.select(there) for batch in _batches(data))
            yield from _tables(file, schema, batches, optional)

    with _errors(file, "Arrow"), pa.memory_map(str(file)) as data:
        if data.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
            schema = pa.ipc.open_file(data).schema
        else:
            data.seek(0)
            schema = pa.ipc.open_stream(data).schema
            data.seek(data.size() - len(_END_OF_STREAM))
            if data.read() != _END_OF_STREAM:  # a file cut between two batches reads well
                raise UserError(f"{file} has no end mark: it was not written to its end")
    return Stream(str(file), schema.names, read)


def _batches(data: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    if data.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
        opened = pa.ipc.open_file(data)
        batches = map(opened.get_batch, range(opened.num_record_batches))
    else:
        data.seek(0)
        batches = pa.ipc.open_stream(data)
    for batch in batches:
        for start in range(0, batch.num_rows, BLOCK):
            yield batch.slice(start, BLOCK)


def _there(schema: pa.Schema, names: Sequence[str], optional: Sequence[str]) -> list[str]:
    return [*names, *(name for name in optional if name in schema.names and name not in names)]


def _tables(
    file: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], optional: Sequence[str]
) -> Iterator[Table]:
    features = _features(schema)
    first = 1
    for batch in batches:
        numbers = range(first, first + batch.num_rows)
        columns = {
            name: _values(values, file, name, first)
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        }
        for name in set(optional) - columns.keys():
            columns[name] = [None] * batch.num_rows
        yield name_classes(Table(str(file), columns, numbers), features)
        first = numbers.stop


def _values(values: pa.Array, file: Path, name: str, first: int) -> list[Any]:
    try:
        return values.to_pylist()
    except UnicodeDecodeError:
        for row, value in enumerate(values, first):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                why = f"{name!r} is not valid UTF-8 at byte {error.start}"
                raise UserError(f"{file}, row {row}: {why}") from None
        raise


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The ``datasets`` features that a schema carries, in JSON form; empty if it has none."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _errors(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} cannot be read as {what}: {why}") from error
