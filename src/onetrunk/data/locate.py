"""Where a source lies: a file, the files of one split in a folder, or a data set of the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from onetrunk.data.formats.hub import hub_fingerprint, hub_spec
from onetrunk.data.formats.text import stem_of, suffix_of
from onetrunk.errors import UserError
from onetrunk.storage import read_json, sha256_of_files

SUFFIXES = (
    ".parquet", ".arrow", ".jsonl", ".json", ".csv", ".tsv", ".spacy", ".txt",
    ".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio",
)  # fmt: skip
"""Of the files that are looked for in folders; .gz and the like may follow that of a text file."""

_SPLIT_WORD = re.compile(r"(?<![a-z])(train|training|test|val|valid|validation|dev|eval)(?![a-z])")
_SHARD = re.compile(r"[-_.](\d+)(?:-of-(\d+))?")
_DIGITS = re.compile(r"(\d+)")
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


@dataclass(frozen=True)
class Located:
    """One split of a source: its files in order, or name and configuration at the hub."""

    name: str
    files: tuple[Path, ...]
    hub: tuple[str, str | None] | None = None
    split: str = "train"

    def __str__(self) -> str:
        """For messages: the file, the folder of the files, or the hub's name."""
        if self.hub:
            return hub_spec(*self.hub)
        return str(self.files[0] if len(self.files) == 1 else self.files[0].parent)

    def sha256(self) -> str:
        """Hex SHA-256 of the files' bytes, one after the other.

        For the hub, of what ``datasets`` knows the content by (its revision, or a hash of files).
        """
        if self.hub:
            return hub_fingerprint(*self.hub, self.split)
        return sha256_of_files(*self.files)


def locate(spec: str | Path, split: str = "train") -> Located:
    """Find a source: a file, a folder, or ``hub:NAME[:CONFIG]`` (not opened here).

    A folder holds a split as one file ``{split}.SUFFIX``, as numbered shards
    (``{split}-00000-of-00003.parquet``, ``{split}_1.jsonl``), or as a folder ``{split}`` of files;
    or it was written by the ``save_to_disk`` of ``datasets``. A folder in which no name speaks of
    a split is a training set as a whole.

    Raises UserError, saying what was found, if there is no such split, if two of these are there,
    or if a shard is missing.
    """
    if str(spec).startswith("hub:"):
        name, _, config = str(spec)[4:].partition(":")
        if not name:
            raise UserError(f"{str(spec)!r} names no data set: write hub:NAME or hub:NAME:CONFIG")
        short = Path(name).name + (f"-{config}" if config else "")
        return Located(short, (), (name, config or None), split)
    path = Path(os.path.abspath(spec))
    given = Path(spec)
    if not given.is_dir():
        if not given.exists():
            missing(given)
        name = path.parent.name if stem_of(path) == split else stem_of(path)
        return Located(name, (given,), split=split)
    return Located(path.name, tuple(_files(given, split)), split=split)


def find_file(path: str | Path, split: str = "train") -> Path:
    """The one file that :func:`locate` finds. Raises UserError also if there are several."""
    located = locate(path, split)
    if len(located.files) != 1:
        held = f"{len(located.files)} files of" if located.files else "no file of"
        raise UserError(f"{located} holds {held} the split {split!r}; name one file")
    return located.files[0]


def missing(file: Path) -> NoReturn:
    """Raise UserError for a file that does not exist, with the nearest sibling's name."""
    names = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
    raise UserError(f"no such file: {file}{_closest(file.name, names)}")


def _files(folder: Path, split: str) -> list[Path]:
    if (folder / "dataset_dict.json").exists():
        splits = read_json(folder / "dataset_dict.json", "a saved data set").get("splits")
        if not isinstance(splits, list) or split not in splits:
            raise _no_split(folder, split, map(str, splits or []))
        return _saved(folder / split)
    if (folder / "state.json").exists():
        saved = read_json(folder / "state.json", "a saved data set").get("_split") or "train"
        if saved != split:
            raise UserError(f"{folder} holds the split {saved!r}, not {split!r}")
        return _saved(folder)
    data = _data_files(folder)
    whole = [file for file in data if stem_of(file) == split]
    shards = [file for file in data if _shard(file, split)]
    inside = _data_files(folder / split) if (folder / split).is_dir() else []
    found = [file.name for file in [*whole, *shards[:1]]] + [f"{split}/"] * bool(inside)
    if len(found) > 1:
        raise UserError(f"{folder} holds {' and '.join(found)}; name the file to read")
    if shards:
        _check_shards(shards, split)
    elif inside:
        _check_folder(folder / split, inside)
    elif not whole:
        if (
            split != "train"
            or not data
            or any(_SPLIT_WORD.search(file.name.lower()) for file in data)
        ):
            raise _no_split(folder, split, map(stem_of, data))
        _check_folder(folder, data)
        return data
    return whole or shards or inside


def _data_files(folder: Path) -> list[Path]:
    """The files of a supported format, ``part_2`` before ``part_10``."""
    files = [entry for entry in folder.iterdir() if entry.is_file() and _is_data(entry)]

    def in_number_order(file: Path) -> list[str]:
        return [part.zfill(20) if part.isdigit() else part for part in _DIGITS.split(file.name)]

    return sorted(files, key=in_number_order)


def _is_data(file: Path) -> bool:
    return suffix_of(file) in SUFFIXES and file.name[0] != "." and file.name not in _NO_DATA


def _shard(file: Path, split: str) -> tuple[int, int | None] | None:
    """The number of a shard, and of how many it is one if the name says so."""
    stem = stem_of(file)
    found = _SHARD.fullmatch(stem, len(split)) if stem.startswith(split) else None
    return (int(found[1]), int(found[2]) if found[2] else None) if found else None


def _check_shards(shards: Sequence[Path], split: str) -> None:
    seen: dict[int, Path] = {}
    totals: set[int] = set()
    for file in shards:
        number, total = _shard(file, split) or (0, None)
        if number in seen:
            raise UserError(f"{file} and {seen[number].name} are one shard twice; remove one")
        seen[number] = file
        totals |= {total} if total else set()
    if len(totals) > 1:
        raise UserError(
            f"{shards[0].parent} holds shards of {split!r} in {min(totals)} and in "
            f"{max(totals)} parts; keep those of one set"
        )
    for total in totals:
        absent = set(range(total)) - seen.keys()
        if absent:
            raise UserError(
                f"{shards[0].parent} lacks shard {min(absent)} of {split!r} "
                f"({len(absent)} of {total} are missing)"
            )


def _check_folder(folder: Path, files: Sequence[Path]) -> None:
    """Every file of a folder is read, so none may be of another kind or come twice."""
    for file in sorted(folder.iterdir()):
        known = file in files or file.name[0] == "." or file.name in _NO_DATA
        if not known and file.is_file() and file.suffix not in ("", ".md"):
            raise UserError(f"{file} is of no supported format ({', '.join(SUFFIXES)})")
    seen: dict[str, Path] = {}
    for file in files:
        if other := seen.get(stem_of(file)):
            raise UserError(f"{file} and {other.name} differ by suffix alone; keep one of them")
        seen[stem_of(file)] = file


def _saved(folder: Path) -> list[Path]:
    """The files of a data set that ``save_to_disk`` wrote."""
    listed = read_json(folder / "state.json", "a saved data set").get("_data_files")
    try:
        files = [folder / entry["filename"] for entry in listed or []]
    except (TypeError, KeyError):
        raise UserError(f"{folder / 'state.json'} is damaged: it names no files") from None
    for file in files:
        if not file.exists():
            missing(file)
    if not files:
        raise UserError(f"{folder} has no rows")
    return files


def _no_split(folder: Path, split: str, there: Iterable[str]) -> UserError:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    listed = ", ".join(entries[:12]) + (f", … ({len(entries)} in all)" if entries[12:] else "")
    hint = _closest(split, set(there)) or ";"
    wanted = f"{folder} holds no file or folder {split!r} ({', '.join(SUFFIXES)})"
    return UserError(f"{wanted}{hint} found: {listed or 'nothing'}")


def _closest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
