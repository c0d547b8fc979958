"""Finding a source: a file, the files of a split in a folder, a data set of the hub, or memory."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from onetrunk.data.formats.hub import hub_fingerprint, hub_spec
from onetrunk.data.formats.memory import InMemory
from onetrunk.data.formats.table import USUAL, Columns
from onetrunk.data.formats.text import stem_of, suffix_of
from onetrunk.errors import UserError, alike
from onetrunk.kinds import KINDS, kind_of
from onetrunk.storage import read_json, sha256_of_files

SUFFIXES = (
    ".parquet", ".arrow", ".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".spacy", ".txt",
    ".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio", ".ann",
)  # fmt: skip
"""The files that are looked for in folders; text files may also be compressed (``.gz`` etc.)."""

_SPLIT_WORDS = {
    "train": "train(?:ing)?",
    "test": "test(?:ing|a|b)?",
    "validation": "val|valid|validation|dev|devel|development|eval|evaluation|held.?out|holdout"
    "|trial|gold",
}
_SPLIT_WORD = re.compile(
    "(?<![a-z])(?:"
    + "|".join(f"(?P<{split}>(?:{words}))" for split, words in _SPLIT_WORDS.items())
    + ")[-_. ]?(?:s|sets?|data|files?|split)?(?![a-z])"
)
"""A word of a file's name that is that of a split: ``dev``, ``trainset``, ``Test-Data``."""
_SHARD = re.compile(r"[-_.](\d+)(?:-of-(\d+)(?:-[0-9a-f]{8,64})?)?")
"""The number of a shard, and of all; the hub wrote a fingerprint after them for years."""
_DIGITS = re.compile(r"(\d+)")
_ADDRESS = re.compile("[a-z][a-z0-9+.-]+:/")
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


@dataclass(frozen=True)
class Located:
    """One split of a source: its files in order, its name and configuration at the hub, or rows."""

    name: str
    files: tuple[Path, ...]
    hub: tuple[str, str | None] | None = None
    split: str = "train"
    memory: InMemory | None = None
    columns: Columns = USUAL
    """The columns to read, if they are chosen."""
    namesakes: tuple[Path, ...] = field(default=(), compare=False)
    """Other files of the folder, whose names begin as that of the split."""
    below: tuple[Path, ...] = field(default=(), compare=False)
    """Files in folders below those that are read, which may have been meant, too."""
    joined: str = field(default="", compare=False)
    """Why several files are read as one split, if their names do not say so."""

    def __str__(self) -> str:
        """Return the name for messages: the file, the folder, or the data set of the hub."""
        if self.memory:
            return str(self.memory)
        if self.hub:
            return hub_spec(*self.hub)
        return str(self.files[0] if len(self.files) == 1 else self.files[0].parent)

    def sha256(self) -> str:
        """Return a hex SHA-256 of all files, of the rows in memory, or of the hub's revision."""
        if self.memory:
            return self.memory.sha256()
        if self.hub:
            return hub_fingerprint(*self.hub, self.split)
        other = {".ann": ".txt", ".txt": ".ann"}  # brat's other half of a document
        halves = [f.with_suffix(other[f.suffix]) for f in self.files if f.suffix in other]
        return sha256_of_files(*self.files, *(half for half in halves if half.exists()))


Spec = str | Path | Located | Any
"""A file, a folder, ``hub:NAME[:CONFIG]``, rows in memory, or any of these as :class:`Located`."""


def locate(spec: Spec, split: str = "train") -> Located:
    """Find a split of a source: a file, a folder, ``hub:NAME[:CONFIG]`` (not opened), or memory.

    A folder has a split as one file ``{split}.SUFFIX``, as numbered shards
    (``{split}-00000-of-00003.parquet``, ``{split}_1.jsonl``), or as a folder ``{split}`` of files;
    or ``save_to_disk`` of ``datasets`` wrote it. If no name in a folder is that of a split, all its
    files are the training set. Files of folders below these are not read (``Located.below``). Rows
    in memory, and what is located, are taken as they are.

    Raises UserError, with the names that were found, if there is no such split, if it is there in
    two of these forms, or if a shard is missing.
    """
    if isinstance(spec, Located):
        return spec
    if not isinstance(spec, str | os.PathLike):
        return Located("memory", (), split=split, memory=InMemory(spec))
    if str(spec).startswith("hub:"):
        name, _, config = str(spec)[4:].partition(":")
        if not name:
            raise UserError(f"{str(spec)!r} names no data set: write hub:NAME or hub:NAME:CONFIG")
        short = Path(name).name + (f"-{config}" if config else "")
        return Located(short, (), (name, config or None), split)
    path, absolute = Path(spec), Path(os.path.abspath(spec))
    if path.is_dir():
        if kind := kind_of(path):
            raise UserError(f"{path} is {kind}, not rows: name a file of rows, or a folder of them")
        files = _files(path, split)
        beside = [file for file in data_files(path) if file not in files]
        namesakes = [file for file in beside if file.name.lower().startswith(split)]
        return Located(
            absolute.name,
            tuple(files),
            split=split,
            namesakes=tuple(namesakes),
            below=tuple(_below(path, files, split)),
            joined=_joined(files, split),
        )
    if not path.exists():
        missing(path)
    name = absolute.parent.name if stem_of(absolute) == split else stem_of(absolute)
    return Located(name, (path,), split=split)


def located(source: Spec, split: str, columns: Columns = USUAL) -> Spec:
    """Return a path as the files of one split, and anything else as it is, with chosen columns."""
    if columns != USUAL:
        return replace(locate(source, split), columns=columns)
    return locate(source, split) if isinstance(source, str | os.PathLike) else source


def _joined(files: Sequence[Path], split: str) -> str:
    """Say why files are read as one split, unless they are counted from 0 or 1 or in its folder."""
    # brat keeps a file for each document.
    if not files or files[0].parent.name == split or {f.suffix for f in files} == {".ann"}:
        return ""
    shards = [shard for file in files if (shard := _shard(file, split))]
    if len(shards) < len(files):
        what = f"files of a folder without names of splits, all read as {split!r}"
        return what if len(files) > 1 else ""
    numbers = sorted(number for number, _ in shards)
    counts = numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    return "" if counts else f"files whose numbers do not count, all read as {split!r}"


def split_of(name: str) -> str | None:
    """Return the split that a name is of (``Test``, ``dev set``); None for any other."""
    match = _SPLIT_WORD.fullmatch(name.strip().lower())
    return match and match.lastgroup


def find_file(path: str | Path, split: str = "train") -> Path:
    """Return the file that :func:`locate` finds. Raises UserError also if there are several."""
    located = locate(path, split)
    if len(located.files) != 1:
        number = f"{len(located.files)} files of" if located.files else "no file of"
        raise UserError(f"{located} holds {number} the split {split!r}; name one file")
    return located.files[0]


def missing(path: Path) -> NoReturn:
    """Raise UserError for a missing file or folder, with the name nearest to what is missing."""
    if _ADDRESS.match(str(path)):  # a Path has one slash of two
        raise UserError(f"{path} is an address, which only recipes of stage 1 read: fetch the file")
    absent = path
    while not absent.parent.exists():
        absent = absent.parent
    names = [entry.name for entry in absent.parent.iterdir()] if absent.parent.is_dir() else []
    close = get_close_matches(absent.name, sorted(names), n=1)
    close = [name for name in close if alike(absent.stem, Path(name).stem)]  # not by ".txt" alone
    shown = close if absent == path else [str(absent.with_name(name)) for name in close]
    hint = f"; did you mean {shown[0]!r}?" if shown else ""
    raise UserError(f"no such file: {path}{hint}")


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
    data = data_files(folder)
    below = files_below(folder / split)
    whole = [file for file in data if stem_of(file) == split]
    shards = [file for file in data if _shard(file, split)]
    inside = data_files(folder / split) if (folder / split).is_dir() else []
    forms = [file.name for file in [*whole, *shards[:1]]] + [f"{split}/"] * bool(inside)
    if len(forms) > 1:
        raise UserError(f"{folder} holds {' and '.join(forms)}; name the file to read")
    if shards:
        _check_shards(shards, split)
    elif inside:
        _check_folder(folder / split, inside)
        for file in inside:
            match = _SPLIT_WORD.search(stem_of(file).lower())
            if match and match[split if split in _SPLIT_WORDS else 0] is None:
                raise UserError(
                    f"{file} has the name of another split than its folder: move it, or rename it"
                )
    elif below and not whole:
        named = f"{below[0]}" + (f", … ({len(below)} in all)" if below[1:] else "")
        why = f"holds files only in folders below it ({named}), which are not read"
        raise UserError(f"{folder / split} {why}: name one of these folders")
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


def data_files(folder: Path) -> list[Path]:
    """Return the files of a supported format, ``part_2`` before ``part_10``."""
    files = [
        entry
        for entry in folder.iterdir()
        if entry.is_file() and _is_data(entry) and not _has_annotations(entry)
    ]

    def by_number(file: Path) -> list[str]:
        return [part.zfill(20) if part.isdigit() else part for part in _DIGITS.split(file.name)]

    return sorted(files, key=by_number)


def files_below(folder: Path) -> list[Path]:
    """Return the files of a supported format in all folders below this one.

    Hidden folders are passed over, and those of apps, bundles and encoders.
    """
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        if KINDS.keys() & {*names}:
            folders.clear()
        elif Path(parent) != folder:
            found += data_files(Path(parent))
    return found


def _below(folder: Path, files: Sequence[Path], split: str) -> list[Path]:
    """Return the files below those of a split that may have been meant, too."""
    if any((folder / name).exists() for name in ("dataset_dict.json", "state.json")):
        return []  # it lists its files

    are_named = any(
        file.parent != folder or stem_of(file) == split or _shard(file, split) for file in files
    )

    def is_meant(file: Path) -> bool:
        parts = [part.lower() for part in file.relative_to(folder).parts]
        if are_named:
            return any(part.startswith(split) for part in parts)
        # No name is that of a split, so those of another split alone are not meant.
        words = [match for part in parts if (match := _SPLIT_WORD.search(part))]
        return all(match.lastgroup == split for match in words)

    return [file for file in files_below(folder) if file not in files and is_meant(file)]


def _is_data(file: Path) -> bool:
    return suffix_of(file) in SUFFIXES and file.name[0] != "." and file.name not in _NO_DATA


def _has_annotations(file: Path) -> bool:
    """Whether this is a text of brat, which is read with the ``.ann`` file beside it."""
    return file.suffix == ".txt" and file.with_suffix(".ann").exists()


def _shard(file: Path, split: str) -> tuple[int, int | None] | None:
    """Return the number of a shard, and the number of all shards if the name has it."""
    stem = stem_of(file)
    match = _SHARD.fullmatch(stem, len(split)) if stem.startswith(split) else None
    return (int(match[1]), int(match[2]) if match[2] else None) if match else None


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
    """Raise UserError for a file of another format, or for one that is there in two formats."""
    for file in sorted(folder.iterdir()):
        known = file in files or file.name[0] == "." or file.name in _NO_DATA
        known = known or _has_annotations(file)
        if not known and file.is_file() and file.suffix not in ("", ".md", ".conf"):
            raise UserError(f"{file} is of no supported format ({', '.join(SUFFIXES)})")
    seen: dict[str, Path] = {}
    for file in files:
        if other := seen.get(stem_of(file)):
            raise UserError(f"{file} and {other.name} differ by suffix alone; keep one of them")
        seen[stem_of(file)] = file


def _saved(folder: Path) -> list[Path]:
    """Return the files of a data set that ``save_to_disk`` wrote."""
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


def _no_split(folder: Path, split: str, names: Iterable[str]) -> UserError:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    listed = ", ".join(entries[:12]) + (f", … ({len(entries)} in all)" if entries[12:] else "")
    close = get_close_matches(split, sorted(set(names)), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    wanted = f"{folder} holds no file or folder {split!r}"
    return UserError(f"{wanted}{hint} found: {listed or 'nothing'}; name the file to read")
