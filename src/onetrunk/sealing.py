"""Folders that say what is in them: the size and hash of every file, and of the record itself.

A file that changed after it was written, by a fault of the disk or by hand, would change answers
without a word. So it is refused. Folders that were written before there were seals have none.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from onetrunk.errors import UserError
from onetrunk.storage import regular_size, sha256_of_files

FILES, SEAL = "files", "seal"
"""Keys of a sealed record."""
UNSEALED = (
    "README.md", "modules.json", "config_sentence_transformers.json", "decontamination.json",
)  # fmt: skip
"""People write in model cards; sentence-transformers writes the next two anew when it saves; the
last is a report of stage 1, which comes after the record."""


def sealed(record: Mapping[str, Any], folder: Path, loose: Collection[str] = ()) -> dict[str, Any]:
    """A record with the files that ``folder`` holds by now, and a hash of it all.

    The keys in ``loose`` may change later, and so may files called :data:`UNSEALED`.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": sha256_of_files(path),
            "bytes": path.stat().st_size,
        }
        for path in paths
        if path.name not in UNSEALED
    }
    return with_seal({**record, FILES: files}, loose)


def with_seal(record: Mapping[str, Any], loose: Collection[str] = ()) -> dict[str, Any]:
    """A record that lists its files, with a hash of all but the keys in ``loose``."""
    return {**record, SEAL: _hash_of(record, loose)}


def are_files(value: Any) -> bool:
    """Whether a value can be what :func:`sealed` lists."""
    return isinstance(value, dict) and all(
        isinstance(said, dict) and {"bytes", "sha256"} <= said.keys() and _is_inside(name)
        for name, said in value.items()
    )


def _is_inside(name: str) -> bool:
    path = Path(name)
    escapes = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    return bool(path.parts) and not escapes


def check_seal(record: Mapping[str, Any], path: Path, loose: Collection[str] = ()) -> None:
    """Raise :class:`UserError` if a record with a seal, read from ``path``, is not the one that was
    written."""
    if SEAL in record and record[SEAL] != _hash_of(record, loose):
        raise UserError(f"{path} is not the file that was written: it was changed, or is damaged")


def check_files(record: Mapping[str, Any], folder: Path) -> None:
    """Raise :class:`UserError` if a file that a record lists is not as it was written, or if the
    list has no seal. Of a file that is missing, its reader tells what it is needed for."""
    if FILES in record and SEAL not in record:
        raise UserError(f"{folder}: its record lists files and has no seal: it was changed")
    for name, said in record.get(FILES, {}).items():
        path = folder / name
        if not os.path.lexists(path):
            continue
        size = regular_size(path)
        if size != said["bytes"] or sha256_of_files(path) != said["sha256"]:
            raise UserError(f"{path} is not the file that was written: its hash differs")


def _hash_of(record: Mapping[str, Any], loose: Collection[str]) -> str:
    kept = {key: value for key, value in record.items() if key != SEAL and key not in loose}
    read_back = json.loads(json.dumps(kept))  # JSON turns keys that are numbers into texts
    return hashlib.sha256(json.dumps(read_back, sort_keys=True).encode()).hexdigest()
