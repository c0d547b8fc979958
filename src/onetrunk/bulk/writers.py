"""Files of answered rows: JSON Lines, CSV, Excel and Parquet, written block by block."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from onetrunk.bulk.cells import Cells, Results, as_csv, check_known, input_names
from onetrunk.bulk.columns import ERROR, TEXT, Decoders, answer_cells, answer_types, json_row
from onetrunk.bulk.excel import Excel
from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import json_text
from onetrunk.data.texts import TextBlock, Texts
from onetrunk.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 16_384
"""Rows of a row group of Parquet, and how many are held in memory."""


class Writer(Protocol):
    """Writes the rows of a file and their results."""

    def write(self, block: TextBlock, results: Results) -> None:
        """Append a block."""

    def close(self) -> None:
        """Write what is held back, and close the file."""


class JsonLines:
    """One object a row: its columns, then ``text`` with ``apps`` or ``error``."""

    def __init__(
        self, path: Path, texts: Sequence[Texts], decoders: Decoders, notes: Notes
    ) -> None:
        self._source, self._notes, self._rows = texts[0].name, notes, 0
        self._file = _open(path)

    def write(self, block: TextBlock, results: Results) -> None:
        """Append a block."""
        for row, result in zip(block.rows, results, strict=True):
            self._rows += 1
            whole = json_row(row, result, self._source)
            self._file.write(json_text(whole, self._notes, f"row {self._rows:,}") + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Csv:
    """A header and one record a row. What is neither text nor number is JSON in its cell."""

    def __init__(
        self, path: Path, texts: Sequence[Texts], decoders: Decoders, notes: Notes
    ) -> None:
        self._cells = Cells(texts, decoders, notes)
        self._file = _open(path)
        # A \r is put in quotes only if the end of a record has it, too.
        self._csv = csv.writer(_WithoutReturns(self._file), lineterminator="\r\n")
        self._csv.writerow(self._cells.header)

    def write(self, block: TextBlock, results: Results) -> None:
        """Append a block."""
        for values in self._cells.rows(block, results):
            self._csv.writerow(map(as_csv, values))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _WithoutReturns:
    """Takes the records of a ``csv.writer``, and ends each by a line feed alone."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, record: str) -> None:
        self._file.write(record.removesuffix("\r\n") + "\n")


class Parquet:
    """The columns of the input in their types, then those of the answers."""

    def __init__(
        self,
        path: Path | IO[bytes],
        texts: Sequence[Texts],
        decoders: Decoders,
        notes: Notes | None = None,
        columns: pa.Schema | None = None,
    ) -> None:
        """``columns``: those of the input, with ``text``, if they are known."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._decoders, self._source = decoders, texts[0].name
        self._notes, self._rows = notes, 0
        types = answer_types(decoders)
        if columns is None:
            names = input_names(texts, decoders)
            with _types_fit(self._source):
                found = pa.unify_schemas([*map(_schema, texts)], promote_options="permissive")
            columns = pa.schema([found.field(name) for name in names])
        self._columns: pa.Schema = columns
        with _types_fit(self._source):
            self._schema = pa.schema([*columns, *(pa.field(*pair) for pair in types.items())])
            self._writer = pq.ParquetWriter(path, self._schema)
        self._held: list[pa.Table] = []

    def write(self, block: TextBlock, results: Results) -> None:
        """Append a block."""
        import pyarrow as pa

        answers = []
        for result in results:
            self._rows += 1
            cells = answer_cells(self._decoders, result, self._notes, f"row {self._rows:,}")
            answers.append({**cells, ERROR: result.get(ERROR)})
        if block.batch is None:
            for row in block.rows:
                check_known(row, self._columns.names, self._source)
        with _types_fit(self._source):
            arrays = [self._column(field, block, results) for field in self._columns]
            arrays += [
                pa.array([one[field.name] for one in answers], field.type)
                for field in list(self._schema)[len(self._columns) :]
            ]
            self._held.append(pa.Table.from_arrays(arrays, schema=self._schema))
        if sum(map(len, self._held)) >= GROUP_ROWS:
            self._flush()

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Add to what the file says of itself."""
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        """Write what is held back, and the end of the file."""
        self._flush()
        self._writer.close()

    def _column(self, field: pa.Field, block: TextBlock, results: Results) -> pa.Array:
        import pyarrow as pa

        if block.batch is not None and field.name in block.batch.schema.names:
            return block.batch.column(field.name).cast(field.type)
        if field.name == TEXT:
            return pa.array([result[TEXT] for result in results], field.type)
        return pa.array([row.get(field.name) for row in block.rows], field.type)

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.concat_tables(self._held))
            self._held = []


WRITERS: Mapping[str, type[JsonLines] | type[Csv] | type[Excel] | type[Parquet]] = {
    ".jsonl": JsonLines,
    ".csv": Csv,
    ".xlsx": Excel,
    ".parquet": Parquet,
}
"""By the ending of the file."""


def _open(path: Path) -> IO[str]:
    # Half a surrogate pair, which no encoding has, can only come from the command line.
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def _schema(texts: Texts) -> pa.Schema:
    """Arrow's types of the columns of a source. Where the source has none they are found out."""
    import pyarrow as pa

    if texts.schema is not None:
        schema = texts.schema
        return schema if TEXT in schema.names else schema.append(pa.field(TEXT, pa.string()))
    others = [name for name in texts.columns if name != TEXT]
    # A text that is no string has an error, so only strings are written.
    schema = pa.schema([pa.field(TEXT, pa.string()), *((name, pa.null()) for name in others)])
    for rows in texts.sample():
        columns = pa.table({name: [row.get(name) for row in rows] for name in others})
        schema = pa.unify_schemas([schema, columns.schema], promote_options="permissive")
    return schema


@contextmanager
def _types_fit(source: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OverflowError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"{source}: the columns do not fit a Parquet file ({why}); write .jsonl"
        ) from None
