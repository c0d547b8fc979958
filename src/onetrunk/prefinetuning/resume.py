"""The folder that a stage-1 run keeps beside its output, until the output is written.

OUT.checkpoints/run.json         recipe and data of the run
                training.jsonl   a line for each step
                step-000200/     the newest two checkpoints
"""

import json
import logging
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from onetrunk.config import Recipe
from onetrunk.corpora.tokenised import tokenizer_sha256
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.checkpoint import (
    Checkpoint,
    open_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from onetrunk.prefinetuning.log import LOG, read_log
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.storage import read_json, sha256_of_files, write_json

logger = logging.getLogger("onetrunk")

KEPT = 2
RUN = "run"
"""In the record of a backbone: the hash of the run that made it."""
_RUN, _LOCK = "run.json", "lock"
_MISSING = object()


class WorkFolder:
    """``OUT.checkpoints``, for the output ``OUT``."""

    def __init__(self, out: Path) -> None:
        self.folder = out.parent / f"{out.name}.checkpoints"
        self.log = self.folder / LOG

    def checkpoints(self) -> list[Path]:
        """Folders of checkpoints, whole or not, newest first."""
        steps = {step: path for path in self.folder.glob("step-*") if (step := _step(path)) >= 0}
        return [steps[step] for step in sorted(steps, reverse=True)]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of the folder; then delete it, unless it holds checkpoints.

        Raises :class:`UserError` if another process uses the folder, or if it holds something else.
        """
        if not (self.folder / _LOCK).exists():
            self._check()
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another process is training into {self.folder}") from None
        self._check()  # under the lock: a run that is just starting has no run.json for a moment
        try:
            yield
        finally:
            if not self.checkpoints():
                self.discard()
            lock.release()

    def _check(self) -> None:
        """Refuse a folder that is not ours; hidden files are what a killed run left."""
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        names = {path.name for path in entries if not path.name.startswith(".")}
        if self.folder.is_file() or (names - {_LOCK} and _RUN not in names):
            raise UserError(
                f"{self.folder} is needed for checkpoints, but holds something else (it has no "
                f"{_RUN}): move it away"
            )

    def find(self, recipe: Recipe, resume: bool, overwrite: bool) -> Checkpoint | None:
        """The newest checkpoint that is whole, if the run is to go on; None if it starts anew.

        What is wrong with newer ones is logged. Raises :class:`UserError` if there are checkpoints,
        but neither ``resume`` nor ``overwrite`` says what to do with them; if they belong to
        another recipe; or if none of them is whole.
        """
        paths = self.checkpoints()
        if not resume:
            if paths and not overwrite:
                raise UserError(
                    f"{paths[0]} was left by a run that did not end: set resume to go on from "
                    "there, or overwrite to start again"
                )
            return None
        if not paths:
            logger.info("%s holds no checkpoint: starting from the beginning", self.folder)
            return None
        saved = read_json(self.folder / _RUN, "the checkpoints of a run").get("recipe")
        for key, before, now in differences(saved, _json(recipe)):
            raise UserError(
                f"{self.folder} belongs to another recipe: {key} was {before}, now {now}; change "
                "it back, choose another folder, or start again with overwrite"
            )
        run = self.hash_of_run()
        faults: list[str] = []
        for path in paths:
            try:
                checkpoint = open_checkpoint(path, run)
                read_log(self.log, checkpoint.step)
            except UserError as error:
                faults.append(str(error))
                continue
            notes = Notes()
            for fault in faults:
                notes.add("checkpoint not used", fault)
            notes.log()
            logger.info("going on from %s: %d steps are done", path, checkpoint.step)
            return checkpoint
        raise UserError(f"no checkpoint can be used; start again with overwrite ({faults[0]})")

    def resume(self, trainer: Trainer, recipe: Recipe, checkpoint: Checkpoint) -> None:
        """Bring a fresh trainer to a checkpoint. Raises :class:`UserError` if data changed."""
        saved = read_json(self.folder / _RUN, "the checkpoints of a run").get("data")
        for key, _, _ in differences(saved, identity(trainer, recipe)["data"]):
            raise UserError(
                f"the {key} has changed since {checkpoint.folder} was written: change it back, or "
                "start again with overwrite"
            )
        restore_checkpoint(trainer, checkpoint)

    def tidy(self, checkpoint: Checkpoint) -> None:
        """Delete everything newer than a checkpoint, and everything refused or half written."""
        earlier = {path.name for path in self.checkpoints() if _step(path) <= checkpoint.step}
        self._clear({_RUN, LOG, *earlier})

    def begin(self, trainer: Trainer, recipe: Recipe) -> None:
        """Start a run from nothing. What another run left is deleted."""
        self._clear({_RUN})  # replaced below: without it the folder would not be known as ours
        write_json(self.folder / _RUN, identity(trainer, recipe))

    def save(self, trainer: Trainer, step: int) -> None:
        """Write a checkpoint, then delete all but the newest two."""
        save_checkpoint(trainer, step, self.folder, self.hash_of_run())
        for path in self.checkpoints()[KEPT:]:
            _delete(path)

    def _clear(self, keep: Collection[str]) -> None:
        for path in [*self.folder.iterdir()]:
            if path.name not in (_LOCK, *keep):
                _delete(path)

    def how_to_go_on(self) -> str:
        """A message for the person who stopped the run; empty if there is no checkpoint."""
        saved = self.checkpoints()
        if not saved:
            return ""
        return f"{saved[0]} is kept; the same run with resume goes on from there"

    def hash_of_run(self) -> str:
        """A hash of everything that determines the run's result; empty if there is no run."""
        return sha256_of_files(self.folder / _RUN) if (self.folder / _RUN).is_file() else ""

    def forget(self, backbone: Path) -> None:
        """Delete the folder if its run was killed after it had written ``backbone``."""
        record = backbone / RECORD
        if not (record.is_file() and self.folder.is_dir()):
            return
        run = self.hash_of_run()
        if run and read_json(record, "a backbone").get(RUN) != run:
            return
        # A folder that is not ours, or that another process uses, is refused, and left alone.
        with suppress(UserError), self.held():
            self.discard()

    def discard(self) -> None:
        """Delete the folder, run.json last: after a kill midway the rest is still known as ours."""
        with suppress(OSError):
            self._clear({_RUN})
        shutil.rmtree(self.folder, ignore_errors=True)


def identity(trainer: Trainer, recipe: Recipe) -> dict[str, Any]:
    """Everything that determines the result of a fresh trainer, as JSON values."""
    data: dict[str, Any] = {
        "encoder": trainer.encoder.fingerprint(),
        "tokenizer": tokenizer_sha256(trainer.encoder.tokenizer),
        "evaluation data": trainer.builder.evaluation.sha256,
    }
    for family in trainer.objectives:
        report = trainer.objective(family).report()  # nothing is drawn yet: it describes the data
        for source in report.pop("sources"):
            data[f"{family} source {source['name']!r}"] = source["sha256"]
        data |= {f"{family} {key}": value for key, value in report.items()}
    return {"recipe": _json(recipe), "data": data}


def _json(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json")


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two JSON values differ: dotted key, and both values as JSON (or ``missing``)."""
    if isinstance(before, list) and isinstance(now, list):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if isinstance(before, dict) and isinstance(now, dict):
        for part in {**before, **now}:
            place = f"{key}.{part}" if key else str(part)
            yield from differences(before.get(part, _MISSING), now.get(part, _MISSING), place)
    elif before != now:
        yield key, _shown(before), _shown(now)


def _shown(value: Any) -> str:
    return "missing" if value is _MISSING else json.dumps(value, ensure_ascii=False)


def _step(path: Path) -> int:
    """The step that a checkpoint's folder is named after; -1 if it has another name."""
    match = re.fullmatch(r"step-(\d{6,})", path.name)
    return int(match[1]) if match else -1


def _delete(path: Path) -> None:
    """Delete a file or a folder; a folder under a hidden name, so that a kill in the middle leaves
    no half of a checkpoint."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    hidden = path.with_name(f".{path.name.lstrip('.')}")
    if path != hidden:
        shutil.rmtree(hidden, ignore_errors=True)
        path.rename(hidden)
    shutil.rmtree(hidden)
