"""The files of one split in a folder: ``train.csv``, numbered shards, or a folder ``train``."""

import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from onetrunk.data.formats.text import stem_of, suffix_of
from onetrunk.errors import UserError, missing
from onetrunk.kinds import KINDS
from onetrunk.storage import read_json

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
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


def split_of(name: str) -> str | None:
    """Return the split that a name is of (``Test``, ``dev set``); None for any other."""
    match = _SPLIT_WORD.fullmatch(name.strip().lower())
    return match and match.lastgroup


def files_of_split(folder: Path, split: str) -> list[Path]:
    """Return the files of a split, in order; all files of a folder in which no name is that of a
    split, for ``train``.

    Raises UserError, with the names that were found, if there is no such split, if it is there in
    two forms, or if a shard is missing.
    """
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
    elif not whole and (below := files_below(folder / split)):
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


def why_joined(files: Sequence[Path], split: str) -> str:
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


def files_meant(folder: Path, files: Sequence[Path], split: str) -> list[Path]:
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


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` of ``datasets`` wrote a folder."""
    return (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()


def _no_split(folder: Path, split: str, names: Iterable[str]) -> UserError:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    listed = ", ".join(entries[:12]) + (f", … ({len(entries)} in all)" if entries[12:] else "")
    close = get_close_matches(split, sorted(set(names)), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    wanted = f"{folder} holds no file or folder {split!r}"
    if entries and not data_files(folder) and not files_below(folder):
        wanted = f"{folder} holds no file of a format that is read ({', '.join(SUFFIXES[:9])}, …)"
        hint = ";"
    return UserError(f"{wanted}{hint} found: {listed or 'nothing'}; name the file to read")
