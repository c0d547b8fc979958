"""What the parts in a folder follow from, so that a run goes on only if that is the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onetrunk.bulk.files import File, OutputFolder
from onetrunk.bulk.partitions import ROWS
from onetrunk.bulk.run import identity_of
from onetrunk.errors import UserError
from onetrunk.replacing import is_beginning_of

RECORD, REPORT = "_annotate.json", "_report.json"
"""In the folder, beside the parts: what they follow from, and what came of the run. Readers of
Parquet folders leave out names that begin with ``_``."""
_FORMAT = 1
"""Of the record, and of how the input is cut."""
_READERS = 16
"""So many files are asked for their state together."""


@dataclass(frozen=True)
class Settings:
    """What the parts follow from, beside the model and the input."""

    text_column: str | None = None
    partition_rows: int = ROWS
    limit: int | None = None


def record_of(files: Sequence[File], model: Sequence[Path], settings: Settings) -> dict[str, Any]:
    """What the parts follow from."""
    with ThreadPoolExecutor(_READERS) as pool:
        states = pool.map(File.state, files)
        inputs = {file.url: state for file, state in zip(files, states, strict=True)}
    return {
        "format": _FORMAT,
        "model": [identity_of(folder) for folder in model],
        "model_names": [folder.name for folder in model],
        "inputs": inputs,
        "settings": asdict(settings),
    }


def parts_before(folder: OutputFolder, record: Mapping[str, Any], overwrite: bool) -> set[str]:
    """The parts that an earlier run left; none, if they are to be replaced. Nothing is changed yet.

    Raises :class:`UserError` if the folder is not of a run that can go on.
    """
    names = {name for name in folder.names() if not is_beginning_of(name, RECORD)}
    if not names:
        return names
    if RECORD not in names:
        raise UserError(f"{folder.name} already holds other files: choose another name")
    if overwrite:
        return set()
    try:
        with folder.open(RECORD) as opened:
            before = json.load(opened)
    except ValueError:
        raise UserError(f"{folder.name}/{RECORD} is damaged: not JSON") from None
    if difference := _difference(before, record):
        raise UserError(
            f"{folder.name} holds answers {difference}: choose another name, or start again by "
            "--overwrite"
        )
    return {name for name in names if _is_of_part(name)}


def begin(folder: OutputFolder, record: Mapping[str, Any], overwrite: bool) -> None:
    """Write the record, and delete what is not of this run: what killed workers left, and all of an
    earlier run that is to be replaced."""
    ours = filter(_is_of_part, folder.names())
    folder.remove(name for name in ours if overwrite or name.startswith("."))
    if overwrite:
        folder.remove([REPORT])
    folder.write_json(RECORD, record)


def _is_of_part(name: str) -> bool:
    return re.fullmatch(r"(\.)?part-\d{6,}\.parquet(?(1)(\.\d+)?\.partial)", name) is not None


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How an earlier run differs from this one; empty if it does not."""
    if before.get("model") != now["model"]:
        return f"of another model ({', '.join(before.get('model_names', []))})"
    inputs, known = now["inputs"], before.get("inputs", {})
    for url, state in inputs.items():
        if url not in known:
            return f"to other files, without {url}"
        if known[url] != state:
            return f"to {url}, which has changed since"
    for url in known:
        if url not in inputs:
            return f"to more files, such as {url}"
    for name, value in now["settings"].items():
        other = before.get("settings", {}).get(name)
        if other != value:
            option = f"--{name.replace('_', '-')}"
            return f"without {option}" if other is None else f"with {option} {other}"
    return "" if before == now else "of another version of onetrunk"
