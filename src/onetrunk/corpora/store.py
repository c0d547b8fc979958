"""Arrays on disk that are made once and read through memory maps.

A store is a folder of raw little-endian arrays and ``record.json``. Its name is a key: a hash of
everything that the arrays follow from, so that it never has to be brought up to date. It appears
whole or not at all, processes that want the same one take turns, and a damaged one is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from filelock import FileLock

from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.storage import atomic_folder, read_json, write_json

RECORD = "record.json"
# Damage is looked for block by block. Up to a GiB everything is read, which takes a fraction of a
# second; of more, blocks spread evenly, so that opening stays fast.
_BLOCK, _BLOCKS = 2**20, 1024


def cache_folder() -> Path:
    """Where prepared data are kept: ``$ONETRUNK_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("ONETRUNK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen or f"{base}/onetrunk").expanduser()


def key_of(**parts: Any) -> str:
    """A hash of everything that a store follows from (JSON values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Prepared:
    """An open store: read-only memory maps by name, and what was recorded with them."""

    folder: Path
    arrays: Mapping[str, np.ndarray]
    record: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Map a store. Raises :class:`UserError` if a file is missing, cut or altered."""
        record = read_json(folder / RECORD, "a prepared corpus")
        arrays = {}
        for name, described in record["arrays"].items():
            file, size = folder / f"{name}.bin", described["size"]
            dtype = np.dtype(described["dtype"])
            if not file.exists() or file.stat().st_size != size * dtype.itemsize:
                raise UserError(f"{file} is damaged: {size:,} values were written")
            arrays[name] = (
                np.memmap(file, dtype, "r", shape=(size,)) if size else np.empty(0, dtype)
            )
            _check(file, described["blocks"])
        return cls(folder, arrays, record["about"])

    def __reduce__(self) -> tuple[Any, ...]:
        return Prepared.open, (self.folder,)  # another process maps the files itself


class Writer:
    """Appends to the arrays of a store that is being made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def append(self, name: str, values: np.ndarray) -> None:
        """Add values at the end of an array; the first ones set its dtype."""
        dtype = self._dtypes.setdefault(name, values.dtype)
        if values.dtype != dtype:
            raise TypeError(f"{name} is {dtype}, not {values.dtype}")
        with (self.folder / f"{name}.bin").open("ab") as file:
            file.write(values.tobytes())

    def close(self, about: dict[str, Any]) -> None:
        """Write the record."""
        arrays = {}
        for name, dtype in self._dtypes.items():
            file = self.folder / f"{name}.bin"
            arrays[name] = {
                "dtype": dtype.str,
                "size": file.stat().st_size // dtype.itemsize,
                "blocks": _hashes(file),
            }
        write_json(self.folder / RECORD, {"format": 1, "about": about, "arrays": arrays})


def prepared(
    kind: str, key: str, make: Callable[[Writer], dict[str, Any]], notes: Notes | None = None
) -> Prepared:
    """Open the store of a key, or call ``make`` to fill it; ``make`` returns what to record.

    A damaged store is made anew, which is noted. Safe for several processes and threads: one makes
    the store, the others wait for it.
    """
    folder = cache_folder() / kind / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            try:
                return Prepared.open(folder)
            except (UserError, KeyError, TypeError, ValueError) as error:
                if notes is not None:
                    notes.add(f"damaged cache made anew ({error})", str(folder))
        with atomic_folder(folder, overwrite=True) as partial:
            writer = Writer(partial)
            writer.close(make(writer))
        return Prepared.open(folder)


def _hashes(file: Path) -> list[str]:
    hashes = []
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hashes.append(xxhash.xxh3_64_hexdigest(block))
    return hashes


def _check(file: Path, hashes: list[str]) -> None:
    chosen = np.unique(np.linspace(0, len(hashes) - 1, min(len(hashes), _BLOCKS)).astype(int))
    with file.open("rb") as stream:
        for block in chosen.tolist():
            stream.seek(block * _BLOCK)
            if xxhash.xxh3_64_hexdigest(stream.read(_BLOCK)) != hashes[block]:
                raise UserError(f"{file} is damaged: block {block} of {len(hashes)} was altered")
