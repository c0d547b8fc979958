"""Parquet and Arrow files, and Arrow tables in memory, batch by batch.

``pyarrow`` takes long to import. So this is done when a file is opened, not with this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetrunk.data.formats.classes import has_classes, name_classes
from onetrunk.data.formats.table import BLOCK, Stream, Table, reason
from onetrunk.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_FILE_MAGIC = b"ARROW1\0\0"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def parquet(file: Path) -> Stream:
    """Return the columns of a Parquet file; class numbers become names where metadata has them."""
    return parquet_rows(str(file), lambda: file)


def parquet_rows(
    source: str,
    open_file: Callable[[], Any],
    first: int = 0,
    after: int | None = None,
    keep_faults: bool = False,
) -> Stream:
    """Return the rows from ``first``, which counts from zero, to the one before ``after``.

    ``open_file`` gives a path, or a file that is open for reading bytes. Only row groups with these
    rows are read. With ``keep_faults`` a value that is not UTF-8 becomes its error.
    """
    import pyarrow.parquet as pq

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        columns = _present(schema, names, optional)
        # Page by page: by default Arrow reads the columns of a row group as a whole.
        paged = {"buffer_size": 2**20, "pre_buffer": False}
        with _errors(source, "Parquet"), pq.ParquetFile(open_file(), **paged) as opened:
            groups, skipped = _groups(opened.metadata, first, end)
            batches = opened.iter_batches(BLOCK, row_groups=groups, columns=columns)
            wanted = _between(batches, first - skipped, end - skipped)
            yield from _tables(source, schema, wanted, first + 1, keep_faults)

    with _errors(source, "Parquet"), pq.ParquetFile(open_file()) as opened:
        schema, count = opened.schema_arrow, opened.metadata.num_rows
        names = schema.names  # which need not be UTF-8 in a damaged file
    end = count if after is None else min(after, count)
    return Stream(source, names, read, schema=_kept(schema), count=end - first)


def _groups(metadata: Any, first: int, end: int) -> tuple[list[int], int]:
    """The row groups with some rows, and how many rows are before these groups."""
    groups, skipped, start = [], 0, 0
    for group in range(metadata.num_row_groups):
        after = start + metadata.row_group(group).num_rows
        if after <= first:
            skipped = after
        elif start < end:
            groups.append(group)
        start = after
    return groups, skipped


def _between(batches: Iterable[pa.RecordBatch], first: int, end: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if first < batch.num_rows:
            yield batch.slice(first, end - first)
        first, end = max(first - batch.num_rows, 0), end - batch.num_rows
        if end <= 0:
            return


def arrow(file: Path) -> Stream:
    """Return the columns of an Arrow file or stream; class numbers as in :func:`parquet`."""
    import pyarrow as pa

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        columns = _present(schema, names, optional)
        # No memory map: a file that is cut off meanwhile would kill the process.
        with _errors(file, "Arrow"), pa.OSFile(str(file)) as data:
            batches = (_whole(batch.select(columns)) for batch in _open(file, data)[1])
            yield from _tables(str(file), schema, batches)

    with _errors(file, "Arrow"), pa.OSFile(str(file)) as data:
        schema, _ = _open(file, data)
        names = schema.names  # which need not be UTF-8 in a damaged file
    return Stream(str(file), names, read, schema=_kept(schema))


def arrow_table(source: str, rows: Any) -> Stream:
    """Return the columns of a ``pyarrow.Table``, or of anything with ``__arrow_c_stream__``."""
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else pa.table(rows)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        columns = table.select(_present(table.schema, names, optional))
        yield from _tables(source, table.schema, columns.to_batches())

    return Stream(source, table.schema.names, read)


def _open(file: Path, data: pa.OSFile) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """Return the schema and the batches of an Arrow file or stream."""
    import pyarrow as pa

    magic = data.read(len(_FILE_MAGIC))
    data.seek(0)
    if magic == _FILE_MAGIC:
        opened = pa.ipc.open_file(data)
        return opened.schema, map(opened.get_batch, range(opened.num_record_batches))
    opened = pa.ipc.open_stream(data)
    start = data.tell()
    data.seek(data.size() - len(_END_OF_STREAM))
    if data.read() != _END_OF_STREAM:  # nothing else shows a cut between two batches
        raise UserError(f"{file} has no end mark: it was not written to its end")
    data.seek(start)
    return opened.schema, opened


def _whole(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Raise ArrowInvalid for a batch with places outside of its data: Arrow takes them as they are
    in the file, and would end the process. Of a text that is not UTF-8, its reader tells more."""
    import pyarrow as pa

    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if not (pa.types.is_string(column.type) and "UTF8" in str(error)):
                raise
    return batch


def _present(schema: pa.Schema, names: Sequence[str], optional: Sequence[str]) -> list[str]:
    return [*names, *(name for name in optional if name in schema.names and name not in names)]


def _tables(
    source: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    first: int = 1,
    keep_faults: bool = False,
) -> Iterator[Table]:
    features = _features(schema)
    slices = (
        batch.slice(start, BLOCK) for batch in batches for start in range(0, batch.num_rows, BLOCK)
    )
    for batch in slices:
        numbers = range(first, first + batch.num_rows)
        columns = {
            name: _values(values, source, name, first, keep_faults)
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        }
        yield name_classes(Table(source, columns, numbers, batch=batch), features)
        first = numbers.stop


def _values(values: pa.Array, source: str, name: str, first: int, keep_faults: bool) -> list[Any]:
    try:
        return values.to_pylist()
    except UnicodeDecodeError:
        found = [
            _value(value, f"{source}, row {row}", name) for row, value in enumerate(values, first)
        ]
        for value in found if not keep_faults else ():
            if isinstance(value, UserError):
                raise value from None
        return found


def _value(value: pa.Scalar, where: str, name: str) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return UserError(f"{where}: {name!r} is not valid UTF-8 at byte {error.start}")


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return the ``datasets`` features in the metadata, in JSON form; empty if there are none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _kept(schema: pa.Schema) -> pa.Schema | None:
    """Return the schema for rows that are written again; None where class numbers become names."""
    if any(map(has_classes, _features(schema).values())):
        return None
    return schema.remove_metadata()  # which speaks of these columns alone


@contextmanager
def _errors(file: str | Path, what: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as {what}: {reason(error)}") from error
