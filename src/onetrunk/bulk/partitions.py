"""Fixed parts of the input, each of which is answered as a whole: a file, or a range of its rows.

Where a Parquet file is cut follows from its row groups and the wanted number of rows; JSON Lines
are cut by bytes. So the same input always has the same partitions.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from typing import TYPE_CHECKING, cast

from onetrunk.bulk.columns import ERROR, TEXT, Decoders, answer_names, check_free
from onetrunk.bulk.columns_of_json import OTHERS, Kinds, json_columns, kinds_of
from onetrunk.bulk.files import File
from onetrunk.data.formats.columnar import parquet_rows
from onetrunk.data.formats.jsonfiles import json_lines
from onetrunk.data.formats.table import (
    BLOCK,
    Columns,
    Record,
    Stream,
    Table,
    blocks,
    reason,
    record_stream,
    record_table,
)
from onetrunk.data.formats.text import LINE_LIMIT, checked_lines
from onetrunk.data.notes import Notes
from onetrunk.data.texts import Texts
from onetrunk.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 20_000
"""Rows of a partition."""
BYTES = 64 * 2**20
"""A partition of longer rows has fewer of them, so that it takes about so many bytes at most."""
_BUFFER = 2**20
_PACKED = 4
"""How much longer compressed text usually is when it is unpacked."""
_READERS = 16
"""So many files are looked at together."""


@dataclass(frozen=True)
class Source:
    """How a file is read."""

    file: File
    names: tuple[str, ...]
    """Its columns; of JSON Lines those of the first rows."""
    text_column: str | None


@dataclass(frozen=True)
class Partition:
    """A part of a file, from ``start`` to before ``end``: rows of Parquet, bytes of JSON Lines."""

    number: int
    source: Source
    start: int
    end: int | None
    """None: to the end."""
    rows: int
    """How many; of JSON Lines about so many."""

    def __str__(self) -> str:
        what = "rows" if self.source.file.is_parquet else "bytes"
        end = "the end" if self.end is None else f"{self.end:,}"
        return f"{self.source.file.name}, {what} {self.start:,} to {end}"

    def texts(self) -> Texts:
        """Its rows. Raises :class:`UserError` if the file cannot be read."""
        file = self.source.file
        if file.is_parquet:
            stream = parquet_rows(file.name, file.open, self.start, self.end, keep_faults=True)
        else:
            name = f"{file.name} from byte {self.start:,}" if self.start else file.name
            read = partial(_tables, file, name, self.start, self.end)
            stream = Stream(name, self.source.names, read, open=True)
        return Texts(replace(stream, chosen=Columns(self.source.text_column)), Notes())


@dataclass(frozen=True)
class Plan:
    """All partitions, and the columns of the input in every part of the output."""

    partitions: Sequence[Partition]
    columns: pa.Schema


@dataclass(frozen=True)
class _Look:
    """What the first rows and the end of a file show."""

    source: Source
    columns: pa.Schema | Kinds
    """Kinds of JSON Lines, and of Parquet in which class numbers become names."""
    ranges: Sequence[tuple[int, int | None, int]]
    """Start, end and rows of each partition."""
    notes: Notes


def make_plan(
    files: Sequence[File],
    decoders: Decoders,
    text_column: str | None,
    rows: int,
    limit: int | None,
    notes: Notes,
) -> Plan:
    """Cut files into partitions of about ``rows`` rows, of the first ``limit`` rows if it is given.

    Raises :class:`UserError` for a file that cannot be read, for columns whose types do not fit
    each other, and for one with the name of an answer's.
    """
    looks: list[_Look] = []
    if limit is None:
        with ThreadPoolExecutor(_READERS) as pool:
            looks = [*pool.map(lambda file: _look(file, text_column, rows, None), files)]
    else:
        for file in files:
            if limit > 0:
                looks.append(_look(file, text_column, rows, limit))
                limit -= sum(count for *_, count in looks[-1].ranges)
    for look in looks:
        notes.update(look.notes)
    ranges = [(look.source, *one) for look in looks for one in look.ranges]
    partitions = [Partition(number, *one) for number, one in enumerate(ranges)]
    if not partitions:
        raise UserError(f"{files[0].name} has no rows" if len(files) == 1 else "no file has rows")
    return Plan(partitions, _columns([look for look in looks if look.ranges], decoders))


def _columns(looks: Sequence[_Look], decoders: Decoders) -> pa.Schema:
    import pyarrow as pa

    kinds = [look.columns for look in looks if isinstance(look.columns, Mapping)]
    columns = json_columns(kinds)
    taken = [*answer_names(decoders, (TEXT, ERROR, OTHERS)), OTHERS]
    for look in looks:
        names = look.columns if isinstance(look.columns, Mapping) else look.columns.names
        check_free(names, taken, look.source.file.name, decoders)
        if isinstance(look.columns, Mapping):
            continue
        try:
            columns = pa.unify_schemas([columns, look.columns], promote_options="permissive")
        except pa.ArrowException as error:
            raise UserError(
                f"{look.source.file.name}: its columns do not fit those of other files "
                f"({reason(error)}): annotate them apart"
            ) from None
    if TEXT not in columns.names:
        columns = columns.append(pa.field(TEXT, pa.string()))
    return columns.append(pa.field(OTHERS, pa.string())) if kinds else columns


def _look(file: File, text_column: str | None, rows: int, limit: int | None) -> _Look:
    notes = Notes()
    try:
        look = _look_at_parquet if file.is_parquet else _look_at_lines
        return look(file, text_column, rows, limit, notes)
    except UserError:
        raise
    except Exception as error:  # each store has exceptions of its own
        raise UserError(f"{file.name} cannot be read: {reason(error)}") from None


def _look_at_parquet(
    file: File, text_column: str | None, rows: int, limit: int | None, notes: Notes
) -> _Look:
    import pyarrow.parquet as pq

    stream = replace(parquet_rows(file.name, file.open), chosen=Columns(text_column))
    texts = Texts(stream, notes)
    with file.open() as opened:
        metadata = pq.read_metadata(opened)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    most = max(1, min(rows, int(BYTES / max(longest, 1))))
    cuts = list(_cuts([group.num_rows for group in groups], most, limit))
    if not cuts:
        notes.add("files without rows", file.name)
    return _Look(
        Source(file, tuple(stream.names), texts.text_column),
        kinds_of(next(texts.sample(), [])) if texts.schema is None else texts.schema,
        [(start, end, end - start) for start, end in cuts],
        notes,
    )


def _cuts(groups: Sequence[int], most: int, limit: int | None) -> Iterator[tuple[int, int]]:
    """Ranges of at most ``most`` rows; small row groups are joined, large ones are cut."""
    left = sum(groups) if limit is None else limit
    start = end = 0
    for group in groups:
        size = min(group, left - end)
        if start < end < end + size and end + size - start > most:
            yield start, end
            start = end
        end += size
        while end - start > most:
            yield start, start + most
            start += most
    if start < end:
        yield start, end


def _look_at_lines(
    file: File, text_column: str | None, rows: int, limit: int | None, notes: Notes
) -> _Look:
    lines = [*islice(_lines(file, 0, None), BLOCK)]
    if not lines:
        notes.add("files without rows", file.name)
        return _Look(Source(file, (), None), {}, [], notes)
    numbered = [(number, line) for number, (_, line) in enumerate(lines, 1)]

    def records() -> Iterator[tuple[int, Record]]:
        return json_lines(checked_lines(numbered, file.name), file.name)

    stream = record_stream(file.name, records, in_lines=True, keep_faults=True)
    texts = Texts(replace(stream, chosen=Columns(text_column)), notes)
    kinds = {**kinds_of(row for block in texts.sample() for row in block)}
    if TEXT in kinds:  # a text that is no string has an error
        kinds[TEXT] = {str}
    of_a_row = lines[-1][0] / max(1, sum(1 for _, line in lines if line.strip()))
    source = Source(file, tuple(stream.names), texts.text_column)
    return _Look(source, kinds, _byte_ranges(file, of_a_row, rows, limit), notes)


def _byte_ranges(
    file: File, of_a_row: float, rows: int, limit: int | None
) -> list[tuple[int, int | None, int]]:
    """Ranges of bytes with about ``rows`` rows, and how many they are; a row has about ``of_a_row``
    bytes. Of the first ``limit`` rows, if it is given. A row is of the range in which it starts."""
    size: int = file.state()[0]
    if limit is not None:
        filled = (end for end, line in _lines(file, 0, None) if line.strip())
        ((count, size),) = deque(enumerate(islice(filled, limit), 1), maxlen=1)
        of_a_row = size / count
    if file.is_compressed:  # which can only be read from its start
        packed = _PACKED if limit is None else 1
        return [(0, None if limit is None else size, round(packed * size / of_a_row))]
    step = max(1, min(round(rows * of_a_row), BYTES))
    starts = range(0, size, step)
    before = [round(start / of_a_row) for start in (*starts, size)]
    ends = [*starts[1:], size]
    return [
        (start, end, after - first)
        for start, end, (first, after) in zip(starts, ends, pairwise(before), strict=True)
    ]


def _lines(file: File, start: int, end: int | None) -> Iterator[tuple[int, str]]:
    """Yield the lines that start in a range of bytes, and where each ends; what is not UTF-8 as
    with ``surrogateescape``."""
    with file.open() as opened, io.BufferedReader(cast(io.RawIOBase, opened), _BUFFER) as stream:
        place = start
        if start:
            stream.seek(start - 1)
            place += len(_line(stream, file, start)) - 1  # the rest of what started before
        while end is None or place < end:
            line = _line(stream, file, place)
            if not line:
                return
            place += len(line)
            yield place, line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _line(stream: io.BufferedIOBase, file: File, place: int) -> bytes:
    line = stream.readline(LINE_LIMIT + 1)
    if len(line) > LINE_LIMIT:
        raise UserError(
            f"{file.name}: the line at byte {place:,} is longer than {LINE_LIMIT:,} bytes; "
            "write one row a line"
        )
    return line


def _tables(
    file: File,
    name: str,
    start: int,
    end: int | None,
    names: Sequence[str],
    optional: Sequence[str],
) -> Iterator[Table]:
    numbered = enumerate((line for _, line in _lines(file, start, end)), 1)
    for block in blocks(json_lines(checked_lines(numbered, name), name)):
        yield record_table(name, block, (*names, *optional), names, True, True)
