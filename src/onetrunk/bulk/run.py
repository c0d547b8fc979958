"""From sources of texts to files of answers: one file for all, or one for each in a folder.

A folder is written file by file, each beside its place and then renamed, so a run that was stopped
goes on with the first file that is not there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetrunk.apps.record import read_record
from onetrunk.bulk.cells import input_names
from onetrunk.bulk.columns import ERROR, decoders_of
from onetrunk.bulk.writers import WRITERS, JsonLines
from onetrunk.bundle.layout import MANIFEST
from onetrunk.data.findings import Findings
from onetrunk.data.formats.text import stem_of, suffix_of
from onetrunk.data.texts import TextBlock, Texts
from onetrunk.errors import UserError, nearest
from onetrunk.progress import Progress
from onetrunk.replacing import PARTIAL, held, is_beginning_of
from onetrunk.sealing import SEAL
from onetrunk.storage import (
    already_exists,
    atomic_file,
    read_json,
    refuse_existing,
    sha256_of_files,
    write_json,
)

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

logger = logging.getLogger(__name__)

RECORD = ".predict.json"
"""In a folder of answers: by which apps, to which files."""
_ENDINGS = {
    ".parquet": ".parquet",
    ".arrow": ".parquet",
    ".csv": ".csv",
    ".tsv": ".csv",
    ".xlsx": ".xlsx",
}
"""Of an output by that of its input; others become JSON Lines."""


@dataclass
class Run:
    """Answers to some sources, counted."""

    model: Engine | Runtime
    findings: Findings
    progress: Progress
    total: int | None
    """How many rows there are, if it is known."""
    strict: bool = False
    """Whether the first row that cannot be answered ends the run."""
    answered: int = 0
    failed: int = 0

    def results(self, texts: Texts) -> Iterator[tuple[TextBlock, Iterator[dict[str, Any]]]]:
        """Yield the blocks of a source, and with each the results of its rows, in order.

        Raises :class:`UserError` where the source breaks off.
        """
        self._show()
        for block in texts.blocks(self.findings):
            yield block, self._of_block(block)
            self._show()

    def write(self, sources: Sequence[Texts], out: Path) -> None:
        """Write the answers to some sources into one file, beside it first."""
        out.parent.mkdir(parents=True, exist_ok=True)
        kind, decoders = WRITERS[out.suffix.lower()], decoders_of(self.model)
        with (
            atomic_file(out) as beside,
            closing(kind(beside, sources, decoders, self.findings.notes)) as writer,
        ):
            for texts in sources:
                for block, results in self.results(texts):
                    writer.write(block, list(results))

    def _of_block(self, block: TextBlock) -> Iterator[dict[str, Any]]:
        for result in self.model.stream(block.texts):
            if self.strict and ERROR in result:
                raise UserError(result[ERROR])
            self.failed += ERROR in result
            self.answered += ERROR not in result
            yield result

    def _show(self) -> None:
        self.progress("", self.answered + self.failed, self.total)


@dataclass(frozen=True)
class Folder:
    """A folder with one file of answers for each file of texts. Other files in it stay: answers of
    the same apps to other texts, and what is not in the record."""

    path: Path
    files: Mapping[str, Texts]
    """What each file in it answers."""
    finished: Sequence[str]
    """The files that an earlier run finished."""
    replaced: Sequence[str]
    """The files of earlier runs that are to be deleted."""
    record: Mapping[str, Any]
    record_before: bytes
    """That of an earlier run, as it was found."""

    @classmethod
    def open(
        cls,
        path: Path,
        sources: Sequence[Texts],
        apps: Sequence[Path],
        overwrite: bool,
        chosen: Sequence[str] | None = None,
    ) -> Folder:
        """Check what an earlier run left in the folder. Nothing is written or deleted yet.
        ``chosen`` names the apps of a bundle that answer, if it is not all of them.

        Raises :class:`UserError` if no run has written it, for answers of other apps or to a file
        that has changed since, and for another file where answers are to be written.
        """
        files = _answer_files(path, sources)
        inputs = {name: _state(texts.path) for name, texts in files.items() if texts.path}
        record: dict[str, Any] = {
            "apps": {str(app): " ".join([identity_of(app), *(chosen or [])]) for app in apps},
            "files": inputs,
        }
        found = _record_in(path)
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if names and all(is_beginning_of(name, RECORD) for name in names):
            return cls(path, files, [], [], record, found)  # a run was killed, or begins now
        if overwrite or not names:
            refuse_existing(path, overwrite, (RECORD, "**"))
        if not names:
            return cls(path, files, [], [], record, found)
        if not (path / RECORD).exists():
            raise UserError(f"{path} already holds other files: choose another name")
        apps_before, before = _read_record(path)
        for name in files:
            if name in names and (name not in before or (path / name).is_dir()):
                raise UserError(
                    f"{path / name} is not of a run of onetrunk predict, and answers to "
                    f"{files[name].path} would replace it: choose another name, or move it"
                )
        if overwrite:
            replaced = [name for name in before if not (path / name).is_dir()]
            return cls(path, files, [], replaced, record, found)
        if [*apps_before.values()] != [*record["apps"].values()]:
            raise UserError(
                f"{path} holds answers of other apps ({', '.join(apps_before)}): "
                "choose another name, or start again by --overwrite"
            )
        finished = [name for name in files if (path / name).exists()]
        for name in finished:
            if before[name] != inputs[name]:
                raise UserError(
                    f"{files[name].path} is not the file that {path / name} answers: "
                    "choose another name, or start again by --overwrite"
                )
        record["files"] = before | inputs
        return cls(path, files, finished, [], record, found)

    @property
    def pending(self) -> list[Texts]:
        """The sources that are not answered yet."""
        return [texts for name, texts in self.files.items() if name not in self.finished]

    def write(self, run: Run) -> None:
        """Write the files that are not there. Raises :class:`UserError` if another process writes
        into the folder, or has done so since it was checked; and for columns of one name."""
        for name, texts in self.files.items():
            if name not in self.finished and WRITERS[Path(name).suffix] is not JsonLines:
                input_names([texts], decoders_of(run.model))  # before anything is deleted
        self.path.mkdir(parents=True, exist_ok=True)
        with held(self.path, wait=False) as free:
            if not free:
                raise UserError(f"another process is writing into {self.path}")
            if _record_in(self.path) != self.record_before:
                raise UserError(f"another process has written into {self.path}: start again")
            self._write(run)

    def _write(self, run: Run) -> None:
        # The record tells whose the files are, so an earlier one stays until the new one is there:
        # a run that was killed anywhere can begin again.
        for name in self.replaced:
            (self.path / name).unlink(missing_ok=True)
        ours = [RECORD, *self.replaced, *self.files]
        for partial in self.path.glob(f".*{PARTIAL}"):
            if any(is_beginning_of(partial.name, name) for name in ours) and partial.is_file():
                partial.unlink()
        write_json(self.path / RECORD, self.record)
        if self.finished:
            done = f"{len(self.finished)} of {len(self.files)} files are done and skipped"
            logger.info("%s: %s", done, ", ".join(self.finished))
        left = len(self.files) - len(self.finished)
        for name, texts in self.files.items():
            if name not in self.finished:
                try:
                    run.write([texts], self.path / name)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(
                        f"{self.path} holds {len(self.files) - left} of {len(self.files)} files: "
                        "the same command goes on"
                    ) from None
                left -= 1


def _answer_files(path: Path, sources: Sequence[Texts]) -> dict[str, Texts]:
    """The names of the files in which some sources are answered. Raises :class:`UserError` for a
    source that is no file, and for two of one name."""
    files: dict[str, Texts] = {}
    for texts in sources:
        if texts.path is None:
            raise UserError(f"{path} is a folder, for files of texts; {texts.name} is none")
        name = stem_of(texts.path) + _ENDINGS.get(suffix_of(texts.path), ".jsonl")
        if name in files:
            raise UserError(
                f"{files[name].path} and {texts.path} would both be answered in {path / name}: "
                "rename one, or answer them apart"
            )
        files[name] = texts
    return files


def check_apart(out: Path, sources: Sequence[Texts]) -> None:
    """Raise :class:`UserError` if answers would be written over a file of texts, or into a folder
    with one in it, at any depth."""
    place = out.resolve()
    for texts in sources:
        file = texts.path and texts.path.resolve()
        if file == place:
            raise UserError(f"{out} is the file of texts: choose another name for what is written")
        if file and place in file.parents:
            raise UserError(f"{out} holds the texts: name another folder for the answers")


def check_out(out: Path, overwrite: bool) -> bool:
    """Whether answers go to a folder and not to one file, by the ending of its name.

    Raises :class:`UserError` for another ending, and for a file that is there already.
    """
    suffix = out.suffix.lower()
    if out.is_dir() or not suffix:
        return True
    if suffix not in WRITERS:
        raise UserError(
            f"{out}: answers are not written as {suffix!r}; {nearest(suffix, WRITERS)}, "
            "or a name without an ending for a folder"
        )
    if out.exists() and not overwrite:
        raise already_exists(out)
    return False


def _record_in(path: Path) -> bytes:
    return (path / RECORD).read_bytes() if (path / RECORD).is_file() else b""


def _read_record(path: Path) -> tuple[dict[str, str], dict[str, list[int]]]:
    """By which apps, and to which files, an earlier run answered into a folder."""
    record = read_json(path / RECORD, "a folder of answers")
    apps, files = record.get("apps", {}), record.get("files", {})
    if not (isinstance(apps, dict) and isinstance(files, dict)) or any(
        name != Path(name).name or Path(name).suffix not in WRITERS for name in files
    ):
        raise UserError(f"{path / RECORD} is damaged: 'apps' and 'files' are not what was written")
    return apps, files


def _state(path: Path) -> list[int]:
    """What tells that a file has changed."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def identity_of(folder: Path) -> str:
    """A hash of an app or of a bundle, by the record in which it has the hash of each file."""
    if (folder / MANIFEST).exists():
        return sha256_of_files(folder / MANIFEST)
    if seal := read_record(folder).get(SEAL):
        return str(seal)
    return sha256_of_files(*sorted(file for file in folder.iterdir() if file.is_file()))
