"""Teacher features on disk: a float16 vector for each token of each text, in shards.

A folder holds ``features.json`` and one safetensors file a shard: consecutive rows, with their
states, mask and row starts. One file a shard, so that the three cannot disagree and have one hash;
safetensors, because a slice is read without the rest and an open file costs neither memory nor a
file descriptor. The manifest is rewritten after each shard, so a killed build goes on behind the
last one.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from onetrunk.data.notes import Note, Notes
from onetrunk.errors import UserError
from onetrunk.storage import read_json, write_json

MANIFEST = "features.json"
_KEYS = {"key": str, "width": int, "rows": int, "shards": list}
_SHARD_KEYS = {"first", "rows", "bytes", "xxh3", "notes"}


class TeacherFeatures:
    """Aligned teacher states of N texts, read at random; rows are numbered as they were built.

    ``width`` is D of the states, ``notes`` what aligning found, ``key`` what the cache was made of.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.width = int(manifest["width"])
        self.key = str(manifest["key"])
        self.notes = _all_notes(manifest["shards"])
        self._firsts = [shard["first"] for shard in manifest["shards"]]
        self._open: dict[int, tuple[Any, Any, NDArray[np.int64]]] = {}

    @classmethod
    def open(cls, folder: Path) -> TeacherFeatures:
        """Open a finished folder: sizes are checked now, a shard's hash when it is first read.

        Raises :class:`UserError` if the folder is unfinished or a file is missing or cut.
        """
        manifest = _read_manifest(folder)
        unfinished = manifest["shards"].count(None)
        if unfinished:
            raise UserError(
                f"{folder} is not finished ({unfinished} of {len(manifest['shards'])} shards are "
                "missing): build it again, it goes on where it stopped"
            )
        for number, shard in enumerate(manifest["shards"]):
            path = shard_path(folder, number)
            if not path.exists() or path.stat().st_size != shard["bytes"]:
                raise _damaged(path)
        return cls(folder, manifest)

    def __len__(self) -> int:
        return int(self.manifest["rows"])

    def row(self, index: int) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """States ``(T, D)`` float16 and mask ``(T,)`` of one text.

        The states are zero where the mask is false: the teacher has nothing there.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: row {index} of {len(self)}")
        number = bisect_right(self._firsts, index) - 1
        states, mask, starts = self._shard(number)
        at = index - self._firsts[number]
        start, stop = int(starts[at]), int(starts[at + 1])
        return states[start:stop], mask[start:stop]

    def rows(self, indices: Sequence[int]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """States ``(total tokens, D)`` and mask ``(total tokens,)`` of these texts."""
        states = [np.empty((0, self.width), np.float16)]
        mask = [np.empty(0, np.bool_)]
        for index in indices:
            row_states, row_mask = self.row(index)
            states.append(row_states)
            mask.append(row_mask)
        return np.concatenate(states), np.concatenate(mask)

    def _shard(self, number: int) -> tuple[Any, Any, NDArray[np.int64]]:
        if number not in self._open:
            path = shard_path(self.folder, number)
            if not _intact(path, self.manifest["shards"][number]):
                raise _damaged(path)
            file = safe_open(path, framework="np")
            self._open[number] = (
                file.get_slice("states"),
                file.get_slice("mask"),
                file.get_tensor("starts"),
            )
        return self._open[number]


def plan_shards(lengths: Sequence[int], width: int, shard_bytes: int) -> list[range]:
    """Consecutive rows whose float16 states fill at most ``shard_bytes``; at least one row each.

    ``lengths`` are the tokens of each row.
    """
    plan, first, tokens = [], 0, 0
    for row, length in enumerate(lengths):
        if row > first and (tokens + length) * width * 2 > shard_bytes:
            plan.append(range(first, row))
            first, tokens = row, 0
        tokens += length
    return [*plan, range(first, len(lengths))] if len(lengths) else []


def resume(folder: Path, about: Mapping[str, Any], plan: Sequence[range]) -> tuple[list[int], int]:
    """Begin a cache, or go on with one: numbers of the shards to write, and how many were damaged.

    ``about`` (with ``key`` and ``width``) is kept in the manifest. Every shard that the manifest
    holds is hashed: one that is missing or is not what was written has to be written again.
    One process at a time may build a folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.partial"):  # of a killed build
        left.unlink()
    shards: list[Any] = [None] * len(plan)
    damaged = 0
    if (folder / MANIFEST).exists():
        try:
            was = _read_manifest(folder)
            same = was["key"] == about["key"] and len(was["shards"]) == len(plan)
        except UserError:
            same = False
        if not same:
            damaged += 1
        for number, shard in enumerate(was["shards"] if same else []):
            if shard is not None and _intact(shard_path(folder, number), shard):
                shards[number] = shard
            elif shard is not None:
                damaged += 1
    rows = plan[-1].stop if plan else 0
    write_json(folder / MANIFEST, {"format": 1, **about, "rows": rows, "shards": shards})
    return [number for number, shard in enumerate(shards) if shard is None], damaged


def write_shard(
    folder: Path,
    number: int,
    first: int,
    states: NDArray[np.float16],
    mask: NDArray[np.bool_],
    starts: NDArray[np.int64],
    notes: Notes,
) -> None:
    """Write one shard whole, then enter it in the manifest.

    ``states (tokens, D)``, ``mask (tokens,)``; ``starts (rows + 1,)`` says where in them each row
    begins, row ``first`` of the cache first.
    """
    content = save({"states": states, "mask": mask, "starts": starts})
    path = shard_path(folder, number)
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    manifest = _read_manifest(folder)
    manifest["shards"][number] = {
        "first": first,
        "rows": len(starts) - 1,
        "bytes": len(content),
        "xxh3": xxhash.xxh3_128_hexdigest(content),
        "notes": notes.as_json(),
    }
    write_json(folder / MANIFEST, manifest)


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"{number:05d}.safetensors"


def _intact(path: Path, shard: Mapping[str, Any]) -> bool:
    """Whether the bytes of a shard are those that were written."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, xxhash.xxh3_128).hexdigest() == shard["xxh3"]
    except OSError:
        return False


def _all_notes(shards: Sequence[Mapping[str, Any]]) -> Notes:
    notes = Notes()
    for shard in shards:
        part = Notes()
        for what, note in shard["notes"].items():
            part.found[what] = Note(note["count"], list(note["first"]))
        notes.update(part)
    return notes


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / MANIFEST, "a folder of teacher features")
    for key, kind in _KEYS.items():
        if not isinstance(manifest.get(key), kind):
            raise UserError(f"{folder / MANIFEST} is damaged: it has no valid {key!r}")
    for number, shard in enumerate(manifest["shards"]):
        if shard is not None and (not isinstance(shard, dict) or shard.keys() != _SHARD_KEYS):
            raise UserError(f"{folder / MANIFEST} is damaged: shard {number} is not described")
    return manifest


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is missing or damaged: build the features again to replace it")
