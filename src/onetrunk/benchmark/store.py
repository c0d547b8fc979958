"""The cells in a benchmark's folder: a file for each while it runs, one table of them afterwards.

``cells.parquet`` has a row for each cell (columns: ``results/README.md``). Where a cell has both a
row and a file, the file counts: it is newer.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.benchmark.cells import FOLDER, FORMAT, Cell, CellId, load_cell
from onetrunk.benchmark.jobs import LOCKS, taken
from onetrunk.benchmark.outcomes import COLUMNS, Outcomes
from onetrunk.benchmark.suite import Suite
from onetrunk.cards import encoder_of
from onetrunk.errors import UserError
from onetrunk.model.backbone import RECORD
from onetrunk.storage import atomic_file, read_json

TABLE = "cells.parquet"
MAPPINGS = ("scores", "hashes", "versions")
"""Fields of a cell that become a column for each of their keys: ``scores.f1``."""
TYPES = {
    "labels": pa.list_(pa.string()),
    **{name: pa.list_(pa.uint32()) for name in COLUMNS["entities"]},
}
_FORMAT_KEY, _ENCODER_KEY = b"onetrunk.cells", b"onetrunk.encoder"


class CellStore:
    """Reads cells from the files and the table in a benchmark's folder."""

    def __init__(self, out: Path) -> None:
        self.out, self.table = out, out / TABLE
        self._stamp: tuple[int, ...] | None = None
        self._packed: dict[CellId, Cell] = {}

    def get(self, id: CellId) -> Cell | None:
        """A cell, or None if it is missing. Raises :class:`UserError` if it is damaged."""
        file = id.file(self.out)
        try:
            return load_cell(file)
        except UserError:
            if file.exists():
                raise
            return self.packed().get(id)

    def packed(self) -> dict[CellId, Cell]:
        """The cells in the table, which is read again when it has changed."""
        stamp = _stamp(self.table)
        if stamp != self._stamp:
            cells = _read_table(self.table) if stamp else []
            self._packed, self._stamp = {cell.id: cell for cell in cells}, stamp
        return self._packed

    def files(self) -> list[Path]:
        """The files of single cells."""
        return sorted((self.out / FOLDER).glob("*/*/*.json"))


def load_cells(out: Path) -> list[Cell]:
    """All cells in a benchmark's folder, in the order of their ids.

    Raises :class:`UserError` with the file's name if one is damaged, or if there is no such folder.
    """
    store = _existing(out)
    cells = store.packed() | {cell.id: cell for cell in map(load_cell, store.files())}
    return sorted(cells.values(), key=lambda cell: cell.id)


def encoder_name(suite: Suite, out: Path) -> str:
    """The encoder of a benchmark, as the recipe of a backbone names it or, where no backbone is
    left, the table; empty if neither knows. A folder is relative to here, because a report travels.
    """
    for strategy in suite.strategies:
        record = suite.backbone(strategy, suite.seeds[0], out) / RECORD
        if record.exists():
            encoder = encoder_of(read_json(record, "a backbone"), "")
            return os.path.relpath(encoder) if os.path.isabs(encoder) else encoder
    table = out / TABLE
    return _metadata(table).get(_ENCODER_KEY, b"").decode() if table.exists() else ""


def pack_cells(out: Path, encoder: str = "") -> int:
    """Move the files of single cells into the table, which also keeps the encoder's name; returns
    the number of cells in the table.

    A file goes only after the table that holds its cell is written, and stays if it has changed
    meanwhile. Raises :class:`UserError` for a damaged cell or while another process packs.
    """
    store = _existing(out)
    with taken(out / LOCKS / "pack.lock") as free:
        if not free:
            raise UserError(f"another process is packing {out}")
        files = {file: _stamp(file) for file in store.files()}
        cells = load_cells(out)
        if files:
            _write_table(cells, store.table, encoder)
        for file, stamp in files.items():
            if _stamp(file) == stamp:
                file.unlink()
        for folder in sorted((out / FOLDER).glob("**"), reverse=True):
            with suppress(OSError):  # not empty
                folder.rmdir()
    return len(cells)


def _existing(out: Path) -> CellStore:
    if not out.is_dir():
        raise UserError(f"no such folder: {out}")
    return CellStore(out)


def _write_table(cells: list[Cell], path: Path, encoder: str) -> None:
    """Write the table, whole or not at all. Cells of one task lie together: that packs best."""
    rows = [_row(cell) for cell in sorted(cells, key=lambda cell: (cell.id.task, cell.id))]
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table(
        {name: pa.array([row.get(name) for row in rows], TYPES.get(name)) for name in names}
    ).replace_schema_metadata({_FORMAT_KEY: str(FORMAT), _ENCODER_KEY: encoder})
    with atomic_file(path) as beside:
        pq.write_table(table, beside, compression="zstd", compression_level=19)


def _metadata(path: Path) -> dict[bytes, bytes]:
    try:
        return pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _read_table(path: Path) -> list[Cell]:
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(_FORMAT_KEY) != str(FORMAT).encode():
            raise UserError(f"{path} is not a table of cells of format {FORMAT}")
        return [Cell.from_dict(_fields(row), path) for row in table.to_pylist()]
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _row(cell: Cell) -> dict[str, Any]:
    """The row of a cell in the table."""
    row = cell.as_dict()
    for name in MAPPINGS:
        row |= {f"{name}.{key}": value for key, value in row.pop(name).items()}
    row["settings"] = json.dumps(row["settings"])
    if (outcomes := row.pop("outcomes")) is not None:
        columns = zip(COLUMNS[outcomes.kind], outcomes.values.T, strict=True)
        row |= {"outcomes": outcomes.kind, "labels": outcomes.labels, **dict(columns)}
    return row


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """Undo :func:`_row`."""
    fields: dict[str, Any] = {name: {} for name in MAPPINGS} | {"outcomes": None}
    for name, value in row.items():
        field, _, key = name.partition(".")
        if value is not None:
            (fields[field] if key else fields)[key or field] = value
    fields["settings"] = json.loads(fields["settings"])
    labels = fields.pop("labels", [])
    counts = [fields.pop(name) for name in COLUMNS["entities"] if name in fields]
    if (kind := fields["outcomes"]) is not None:
        fields["outcomes"] = Outcomes(kind, np.array(counts, np.int64).T, labels)
    return fields


def _stamp(file: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced; None if there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
