"""A cache of arrays on disk: each is made once and then read through memory maps.

A store is a folder of raw little-endian arrays and ``record.json``. Its name is a key: a hash of
everything that the arrays follow from, so a store is never out of date. It appears whole or not at
all. Processes that need the same store take turns, and a damaged store is made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from filelock import FileLock

from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.storage import ANYTHING, atomic_folder, read_json, write_json

RECORD = "record.json"
# Damage is looked for block by block. A file of up to a GiB is checked whole, which takes a
# fraction of a second. In a larger file some blocks are checked, so that opening stays fast.
_BLOCK_BYTES, _BLOCKS_CHECKED = 2**20, 1024


def cache_folder() -> Path:
    """The folder of all stores: ``$ONETRUNK_CACHE``, or ``onetrunk`` in the user's cache folder."""
    chosen = os.environ.get("ONETRUNK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen or f"{base}/onetrunk").expanduser()


@dataclass(frozen=True)
class Prepared:
    """An open store: read-only memory maps by name, and what was recorded with them.

    ``notes`` say what was changed or found odd when the store was made.
    """

    folder: Path
    arrays: Mapping[str, np.ndarray]
    record: dict[str, Any]
    notes: Notes = field(default_factory=Notes)

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Map a store. Raises :class:`UserError` if a file is missing, cut or altered."""
        described = read_json(folder / RECORD, "a prepared corpus")
        try:
            arrays = {
                name: _map(folder / f"{name}.bin", about["dtype"], about["size"], about["blocks"])
                for name, about in described["arrays"].items()
            }
            record = described["about"]
            return cls(folder, arrays, record, Notes.from_json(record.pop("notes", {})))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{folder / RECORD} is damaged: {error!r}") from None

    def part(self, name: str, starts: str, row: int) -> np.ndarray:
        """One row of an array that holds rows of different lengths one after another.

        The array called ``starts`` says where each row begins, and last where the array ends.
        """
        start, end = self.arrays[starts][row : row + 2]
        return self.arrays[name][start:end]

    def __reduce__(self) -> tuple[Any, ...]:
        return Prepared.open, (self.folder,)  # another process maps the files itself


class Writer:
    """Appends to the arrays of a store that is being made.

    ``notes`` are stored, too: what is changed or found odd on the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = Notes()
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def append(self, name: str, values: np.ndarray) -> None:
        """Add values at the end of an array. The first ones set its dtype.

        An array of several dimensions is stored flat.
        """
        dtype = self._dtypes.setdefault(name, values.dtype)
        if values.dtype != dtype:
            raise TypeError(f"{name} is {dtype}, not {values.dtype}")
        with (self.folder / f"{name}.bin").open("ab") as file:
            file.write(values.tobytes())

    def close(self, record: dict[str, Any]) -> None:
        """Describe the arrays in ``record.json``, with ``record`` and the notes."""
        arrays = {}
        for name, dtype in self._dtypes.items():
            file = self.folder / f"{name}.bin"
            arrays[name] = {
                "dtype": dtype.str,
                "size": file.stat().st_size // dtype.itemsize,
                "blocks": _block_hashes(file),
            }
        about = {**record, "notes": self.notes.as_json()}
        write_json(self.folder / RECORD, {"format": 1, "about": about, "arrays": arrays})


def prepared(
    kind: str, key: str, make: Callable[[Writer], dict[str, Any]], notes: Notes | None = None
) -> Prepared:
    """Open the store with this key, or call ``make`` to fill it.

    ``make`` appends the arrays and returns what is to be recorded with them. A damaged store is
    made again, which is added to ``notes``, as are the store's own notes. Several processes or
    threads may call this at once: one of them makes the store, the others wait for it.
    """
    notes = Notes() if notes is None else notes
    folder = cache_folder() / kind / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        store = _open_if_whole(folder, notes)
        if store is None:
            with atomic_folder(folder, True, ANYTHING) as partial:
                writer = Writer(partial)
                writer.close(make(writer))
            store = Prepared.open(folder)
    notes.update(store.notes)
    return store


def _open_if_whole(folder: Path, notes: Notes) -> Prepared | None:
    if not folder.exists():
        return None
    try:
        return Prepared.open(folder)
    except UserError as error:
        notes.add(f"damaged cache made anew ({error})", str(folder))
        return None


def _map(file: Path, dtype: str, size: int, hashes: list[str]) -> np.ndarray:
    """A read-only memory map of an array. Raises :class:`UserError` if the file is damaged."""
    kind = np.dtype(dtype)
    if not file.exists() or file.stat().st_size != size * kind.itemsize:
        raise UserError(f"{file} is damaged: {size:,} values were written")
    count = min(len(hashes), _BLOCKS_CHECKED)
    with file.open("rb") as stream:
        for block in np.unique(np.linspace(0, len(hashes) - 1, count).astype(int)).tolist():
            stream.seek(block * _BLOCK_BYTES)
            if xxhash.xxh3_64_hexdigest(stream.read(_BLOCK_BYTES)) != hashes[block]:
                raise UserError(f"{file} is damaged: block {block} of {len(hashes)} was altered")
    return np.memmap(file, kind, "r", shape=(size,)) if size else np.empty(0, kind)


def _block_hashes(file: Path) -> list[str]:
    hashes = []
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            hashes.append(xxhash.xxh3_64_hexdigest(block))
    return hashes
