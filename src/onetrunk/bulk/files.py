"""Files and folders by path or URL: local, in memory or in an object store, through fsspec."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from onetrunk.data.formats.table import reason
from onetrunk.data.formats.text import COMPRESSED, suffix_of
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError, missing, nearest
from onetrunk.replacing import held
from onetrunk.storage import write_bytes

_T = TypeVar("_T")
SUFFIXES = (".parquet", ".jsonl")
"""What is read; JSON Lines may also be compressed."""


@dataclass(frozen=True)
class File:
    """A file of rows."""

    name: str
    """For messages: as it was given."""
    filesystem: Any
    path: str

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet; otherwise it is JSON Lines."""
        return suffix_of(Path(self.path)) == ".parquet"

    @property
    def is_compressed(self) -> bool:
        """Whether it can only be read from its start."""
        return Path(self.path).suffix.lower() in COMPRESSED

    @property
    def url(self) -> str:
        """Its full address."""
        return str(self.filesystem.unstrip_protocol(self.path))

    def open(self) -> IO[bytes]:
        """Its bytes, unpacked if it is compressed."""
        unpacked: IO[bytes] = self.filesystem.open(self.path, "rb", compression="infer")
        return unpacked

    def state(self) -> list[Any]:
        """What tells that it has changed: its size, and its hash or the time of its last change."""
        found = self.filesystem.info(self.path)
        marks = (found.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "created"))
        return [found["size"], str(next((mark for mark in marks if mark is not None), ""))]


def input_files(inputs: Iterable[str], notes: Notes) -> list[File]:
    """The files of rows among some files and in some folders, each once, in a fixed order.

    Raises :class:`UserError` for what is missing, and for what is no Parquet or JSON Lines.
    """
    files: dict[str, File] = {}
    for name in inputs:
        filesystem, path = _opened(name)
        rows: dict[str, File] = {}
        for file in _reached(name, partial(_listed, filesystem, path, name)):
            if suffix_of(Path(file.path)) in SUFFIXES:
                rows[file.url] = file
            else:
                notes.add("files that are neither .parquet nor .jsonl, not read", file.name)
        if not rows:
            raise UserError(f"{name} holds no .parquet and no .jsonl file")
        files |= rows
    return list(files.values())


def _listed(filesystem: Any, path: str, name: str) -> list[File]:
    """A file, or the files of a folder or pattern; hidden ones (``.x``, ``_x``) are left out."""
    if filesystem.isfile(path):
        suffix = suffix_of(Path(path))
        if suffix not in SUFFIXES:
            raise UserError(
                f"{name}: {suffix!r} is not read in bulk; {nearest(suffix, SUFFIXES)}; "
                "onetrunk predict --out reads other formats"
            )
        return [File(name, filesystem, path)]
    if "*" in path:
        paths = [one for one in filesystem.glob(path) if filesystem.isfile(one)]
        shown = str if _is_local(filesystem) else filesystem.unstrip_protocol
        return [File(shown(one), filesystem, one) for one in sorted(paths)]
    if not filesystem.exists(path):
        if _is_local(filesystem):
            missing(Path(name))
        raise UserError(f"no such file or folder: {name}")
    root = path.rstrip("/")
    below = [(one, one[len(root) :].lstrip("/")) for one in sorted(filesystem.find(path))]
    return [
        File(f"{name.rstrip('/')}/{inside}", filesystem, one)
        for one, inside in below
        if not any(part.startswith((".", "_")) for part in inside.split("/"))
    ]


@dataclass(frozen=True)
class OutputFolder:
    """A folder in which every file appears whole or not at all."""

    name: str
    filesystem: Any
    path: str

    @classmethod
    def at(cls, name: str) -> OutputFolder:
        """The folder of this path or URL; nothing is made. Raises :class:`UserError` for a file."""
        filesystem, path = _opened(name)
        if _reached(name, lambda: filesystem.isfile(path)):
            raise UserError(f"{name} is a file; a folder is written here: choose another name")
        return cls(name, filesystem, path.rstrip("/"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep other runs on this machine out of it, inside the block.

        Raises :class:`UserError` if one is at work. A store has no locks: nobody is kept out.
        """
        if not _is_local(self.filesystem):
            yield
            return
        Path(self.path).mkdir(parents=True, exist_ok=True)
        with held(Path(self.path), wait=False) as free:
            if not free:
                raise UserError(f"another process is writing into {self.name}")
            yield

    def names(self) -> set[str]:
        """The names of what is in it."""

        def listed() -> set[str]:
            self.filesystem.invalidate_cache()
            if not self.filesystem.isdir(self.path):
                return set()
            return {Path(path).name for path in self.filesystem.ls(self.path, detail=False)}

        return _reached(self.name, listed)

    def open(self, name: str) -> IO[bytes]:
        """The bytes of a file."""
        opened: IO[bytes] = self.filesystem.open(f"{self.path}/{name}", "rb")
        return opened

    def write(self, name: str, content: bytes) -> None:
        """Write a file: beside its place and then renamed, or as one object of a store."""
        if _is_local(self.filesystem):
            Path(self.path).mkdir(parents=True, exist_ok=True)
            write_bytes(Path(self.path) / name, content)
        else:
            self.filesystem.pipe_file(f"{self.path}/{name}", content)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file, as :meth:`write` does."""
        self.write(name, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def remove(self, names: Iterable[str]) -> None:
        """Delete some files."""
        for name in names:
            with suppress(FileNotFoundError):
                self.filesystem.rm_file(f"{self.path}/{name}")

    def check_apart(self, inputs: Iterable[str], files: Iterable[File]) -> None:
        """Raise :class:`UserError` if input files are in this folder, or would be once it is
        written."""
        for file in files:
            if file.filesystem == self.filesystem and file.path.startswith(f"{self.path}/"):
                raise UserError(f"{self.name} holds {file.name}: name another folder for answers")
        for name in inputs:
            filesystem, path = _opened(name)
            if filesystem == self.filesystem and f"{self.path}/".startswith(f"{path}/"):
                raise UserError(
                    f"{self.name} lies in {name}, of which all files are read: name "
                    "another folder for answers"
                )


def is_in_memory(filesystem: Any) -> bool:
    """Whether only this process sees the files."""
    from fsspec.implementations.memory import MemoryFileSystem

    return isinstance(filesystem, MemoryFileSystem)


def _is_local(filesystem: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(filesystem, LocalFileSystem)


def _opened(name: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    filesystem, path = _reached(name, lambda: url_to_fs(name))
    return filesystem, os.path.abspath(path) if _is_local(filesystem) else path


def _reached(name: str, work: Callable[[], _T]) -> _T:
    """What ``work`` gives. What a store's own library raises becomes a :class:`UserError`."""
    try:
        return work()
    except UserError:
        raise
    except Exception as error:  # each store has exceptions of its own
        raise UserError(f"{name} cannot be reached: {reason(error)}") from None
