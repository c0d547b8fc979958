"""Finding a source: a file, the files of a split in a folder, a data set of the hub, or memory."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onetrunk.data.formats.hub import hub_fingerprint, hub_spec
from onetrunk.data.formats.memory import InMemory
from onetrunk.data.formats.table import USUAL, Columns
from onetrunk.data.formats.text import stem_of
from onetrunk.data.splits import data_files, files_meant, files_of_split, why_joined
from onetrunk.errors import UserError, missing
from onetrunk.kinds import kind_of
from onetrunk.storage import sha256_of_files


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
        files = files_of_split(path, split)
        beside = [file for file in data_files(path) if file not in files]
        namesakes = [file for file in beside if file.name.lower().startswith(split)]
        return Located(
            absolute.name,
            tuple(files),
            split=split,
            namesakes=tuple(namesakes),
            below=tuple(files_meant(path, files, split)),
            joined=why_joined(files, split),
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


def find_file(path: str | Path, split: str = "train") -> Path:
    """Return the file that :func:`locate` finds. Raises UserError also if there are several."""
    located = locate(path, split)
    if len(located.files) != 1:
        number = f"{len(located.files)} files of" if located.files else "no file of"
        raise UserError(f"{located} holds {number} the split {split!r}; name one file")
    return located.files[0]
