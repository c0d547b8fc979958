"""The work folder of a labelling run: what is labelled how, and the finished shards.

A shard is a fixed range of source rows in one Parquet file. It is written under another name and
then renamed, so it is whole or absent. Whatever kills a run, the next one sees from the files what
is left to do.
"""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from onetrunk import kinds
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.storage import read_json, refuse_existing, write_json

_WORK, _SHARDS = ".work", "shards"
_OTHER = {
    "labeler": "another labeler",
    "texts": "other texts",
    "shard_rows": "another --shard-rows",
}
_ENTITY = pa.struct({"start": pa.int64(), "end": pa.int64(), "type": pa.string()})
_SCHEMA = pa.schema(
    {
        "source_row": pa.int64(),
        "text": pa.string(),
        "entities": pa.list_(_ENTITY),
        "counts": pa.map_(pa.string(), pa.int64()),
        "error": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A row of the source, numbered from 0, with the labeler's answer."""

    source_row: int
    text: str
    answer: Answer


class Job:
    """``rows`` texts in shards of ``shard_rows``. Use :func:`open_job`."""

    def __init__(self, out: Path, rows: int, shard_rows: int) -> None:
        self.out, self.folder = out, out / _WORK
        self.rows, self.shard_rows = rows, shard_rows
        self.shards = range(-(-rows // shard_rows))
        self.damaged = 0

    def pending(self) -> dict[int, Collection[int]]:
        """Return by shard the rows that have no answer yet, or an error instead of one.

        A damaged shard is deleted and counted in ``damaged``; all its rows are pending.
        """
        return {shard: rows for shard in self.shards if (rows := self._pending_rows(shard))}

    def _pending_rows(self, shard: int) -> Collection[int]:
        path, rows = self._path(shard), self._rows(shard)
        try:
            table = pq.read_table(path, columns=["source_row", "error"]).to_pydict()
        except FileNotFoundError:
            return rows
        except (pa.ArrowException, OSError):
            table = {"source_row": []}
        if table["source_row"] != list(rows):
            path.unlink()
            self.damaged += 1
            return rows
        return {row for row, error in zip(rows, table["error"], strict=True) if error}

    def write(self, shard: int, answered: Sequence[LabelledRow]) -> None:
        """Save the pending rows of a shard, together with the rows that it already has."""
        existing = self.read(shard) if self._path(shard).exists() else ()
        by_number = {row.source_row: row for row in (*existing, *answered)}
        rows = [by_number[number] for number in self._rows(shard)]
        table = pa.Table.from_pydict(
            {
                "source_row": [row.source_row for row in rows],
                "text": [row.text for row in rows],
                "entities": [[e._asdict() for e in row.answer.entities] for row in rows],
                "counts": [list(row.answer.counts.items()) for row in rows],
                "error": [row.answer.error for row in rows],
            },
            schema=_SCHEMA,
        )
        beside = self.folder / "unfinished.parquet"
        pq.write_table(table, beside)
        beside.replace(self._path(shard))

    def read(self, shard: int) -> Iterator[LabelledRow]:
        """Yield the rows of a finished shard, in order."""
        for row in pq.read_table(self._path(shard)).to_pylist():
            entities = tuple(Entity(**entity) for entity in row["entities"])
            answer = Answer(entities, dict(row["counts"]), row["error"])
            yield LabelledRow(row["source_row"], row["text"], answer)

    def labelled(self) -> Iterator[LabelledRow]:
        """Yield all rows, in order. Every shard has to be there."""
        for shard in self.shards:
            yield from self.read(shard)

    def _rows(self, shard: int) -> range:
        return range(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.rows))

    def _path(self, shard: int) -> Path:
        return self.folder / _SHARDS / f"{shard:06d}.parquet"


@contextmanager
def open_job(
    out: Path, about: Mapping[str, Any], rows: int, shard_rows: int, overwrite: bool = False
) -> Iterator[Job]:
    """Start a job in the folder ``out``, or continue the one that is there.

    ``about`` names the labeler and the texts. Raises UserError if ``out`` holds other files or a
    job with another ``about``, and if another process labels into it. ``overwrite`` deletes the
    shards that are there, but no cached answer.
    """
    about = {**about, "rows": rows, "shard_rows": shard_rows}
    job = Job(out, rows, shard_rows)
    record, shards = job.folder / "job.json", job.folder / _SHARDS
    lock = job.folder / "lock"  # the record is missing where --overwrite was killed
    entries = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if out.is_file() or (entries - {_WORK} and not record.exists() and not lock.exists()):
        refuse_existing(out, overwrite, kinds.LABELLED)
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            for leftover in job.folder.glob(".output.*"):  # of a killed run
                shutil.rmtree(leftover)
            if overwrite:
                record.unlink(missing_ok=True)  # first: shards without a record count for nothing
                shutil.rmtree(shards, ignore_errors=True)
            if record.exists():
                _refuse_other(out, read_json(record, "the work folder of a labelling run"), about)
            else:
                write_json(record, about)
            shards.mkdir(exist_ok=True)
            yield job
    except Timeout:
        raise UserError(f"another process is labelling into {out}") from None


def _refuse_other(out: Path, recorded: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    for key, other in _OTHER.items():
        if recorded.get(key) != about.get(key):
            raise UserError(
                f"{out} was begun with {other} ({recorded.get(key)!r}, now {about.get(key)!r}): "
                "choose another --out or pass --overwrite"
            )
