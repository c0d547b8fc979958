"""The work folder of a labelling run: what is being done, and the finished shards.

A shard is a fixed range of source rows in one Parquet file, written beside and renamed, so that it
is whole or not there. Whatever kills a run, the next one finds out from the files what is left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.storage import read_json, refuse_existing, write_json

WORK = ".work"
_JOB = "job.json"
_SHARDS = "shards"
_OTHER = {
    "labeler": "another labeler",
    "texts": "other texts",
    "rows": "another number of texts",
    "shard_rows": "another --shard-rows",
}
_SCHEMA = pa.schema(
    {
        "source_row": pa.int64(),
        "text": pa.string(),
        "entities": pa.list_(
            pa.struct({"start": pa.int64(), "end": pa.int64(), "type": pa.string()})
        ),
        "counts": pa.map_(pa.string(), pa.int64()),
        "error": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text of the input, by its number from 0, and what the labeler said."""

    source_row: int
    text: str
    answer: Answer


class Job:
    """``about`` says what the labels depend on; ``rows`` texts in shards of ``shard_rows``."""

    def __init__(self, out: Path, rows: int, shard_rows: int) -> None:
        self.out = out
        self.folder = out / WORK
        self.rows, self.shard_rows = rows, shard_rows
        self.shards = range(-(-rows // shard_rows))
        self.damaged = 0

    def begin(self, about: Mapping[str, Any], overwrite: bool = False) -> None:
        """Start, or go on with what is there.

        Raises UserError if ``out`` holds the work on other texts or with another labeler; with
        ``overwrite`` its shards are deleted instead (not the cached answers).
        """
        about = {**about, "rows": self.rows, "shard_rows": self.shard_rows}
        path = self.folder / _JOB
        if overwrite:
            path.unlink(missing_ok=True)  # first: without it, no shard belongs to anything
            shutil.rmtree(self.folder / _SHARDS, ignore_errors=True)
        if path.exists():
            was = read_json(path, "the work folder of a labelling run")
            if other := [what for what in about if was.get(what) != about[what]]:
                raise UserError(
                    f"{self.out} was begun with {_OTHER[other[0]]} ({was.get(other[0])!r}, now "
                    f"{about[other[0]]!r}): choose another --out or pass --overwrite"
                )
        else:
            write_json(path, about)
        (self.folder / _SHARDS).mkdir(exist_ok=True)
        for left in (*self.out.glob(".*.partial"), *self.folder.rglob(".*.partial")):
            left.unlink()  # of a killed run

    def pending(self) -> dict[int, Collection[int]]:
        """The rows to be labelled, by shard: those of missing shards, and those that failed.

        A shard that cannot be read, or holds other rows than it should, is deleted, counted in
        ``damaged`` and done again.
        """
        left: dict[int, Collection[int]] = {}
        for number in self.shards:
            path = self._path(number)
            if not path.exists():
                left[number] = self._range(number)
                continue
            try:
                table = pq.read_table(path, columns=["source_row", "error"]).to_pydict()
            except (pa.ArrowException, OSError):
                table = {"source_row": []}
            if table["source_row"] != list(self._range(number)):
                path.unlink()
                self.damaged += 1
                left[number] = self._range(number)
            else:
                failed = {
                    row
                    for row, error in zip(table["source_row"], table["error"], strict=True)
                    if error
                }
                if failed:
                    left[number] = failed
        return left

    def write(self, number: int, new: Sequence[Labelled]) -> None:
        """Save the pending rows of a shard, together with those that it already has."""
        rows = {one.source_row: one for one in new}
        if self._path(number).exists():
            rows = {one.source_row: one for one in self.read(number)} | rows
        done = [rows[row] for row in self._range(number)]
        table = pa.Table.from_pydict(
            {
                "source_row": [one.source_row for one in done],
                "text": [one.text for one in done],
                "entities": [[one._asdict() for one in row.answer.entities] for row in done],
                "counts": [list(one.answer.counts.items()) for one in done],
                "error": [one.answer.error for one in done],
            },
            schema=_SCHEMA,
        )
        with whole_file(self._path(number)) as beside:
            pq.write_table(table, beside)

    def read(self, number: int) -> Iterator[Labelled]:
        """The rows of a finished shard, in order."""
        for row in pq.read_table(self._path(number)).to_pylist():
            entities = tuple(Entity(**one) for one in row["entities"])
            answer = Answer(entities, dict(row["counts"]), row["error"])
            yield Labelled(row["source_row"], row["text"], answer)

    def labelled(self) -> Iterator[Labelled]:
        """All rows, in order, once every shard is there."""
        for number in self.shards:
            yield from self.read(number)

    def _range(self, number: int) -> range:
        return range(number * self.shard_rows, min((number + 1) * self.shard_rows, self.rows))

    def _path(self, number: int) -> Path:
        return self.folder / _SHARDS / f"{number:06d}.parquet"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path``; what is written there takes its place, or is deleted."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        yield beside
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def refuse_foreign(out: Path) -> None:
    """Raise UserError if ``out`` is a file, or holds files that are not of a labelling run."""
    entries = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if out.is_file() or (entries - {WORK} and not (out / WORK / _JOB).exists()):
        refuse_existing(out)


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Hold the output folder; raises UserError if another process labels into it."""
    from filelock import FileLock, Timeout

    folder = out / WORK
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"another process is labelling into {out}") from None
