"""A stage-1 run from recipe to backbone folder, with progress, a log and checkpoints."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from onetrunk import kinds
from onetrunk.config import Recipe, as_recipe
from onetrunk.errors import UserError, as_number, as_path
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.checkpoint import Checkpoint
from onetrunk.prefinetuning.events import EVENTS, Events, require_tensorboard
from onetrunk.prefinetuning.interrupt import asked_to_stop
from onetrunk.prefinetuning.log import LOG, Log, StepRecord, read_log, write_log
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.plot import counted, plot_conflict, plot_losses
from onetrunk.prefinetuning.resume import RUN, WorkFolder
from onetrunk.processes import Processes
from onetrunk.progress import Progress, silent
from onetrunk.storage import atomic_folder, refuse_existing, write_json

logger = logging.getLogger("onetrunk")

DECONTAMINATION = "decontamination.json"
LOSSES, CONFLICT = "losses.png", "conflict.png"
CHECKPOINT_EVERY = timedelta(minutes=5)
# Progress shows means of the latest steps.
RECENT = 20


def prefinetune(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    out: str | Path,
    overwrite: bool = False,
    device: str = "cpu",
    resume: bool = False,
    checkpoint_every: int | timedelta = CHECKPOINT_EVERY,
    tensorboard: bool = False,
    progress: Progress = silent,
) -> Backbone:
    """Run stage 1: teach one encoder every task family of a recipe.

    ``recipe`` is a :class:`Recipe`, the path of a YAML file, or a mapping with the same keys. The
    folder ``out`` appears when training ends. It holds the backbone, ``training.jsonl``,
    ``losses.png`` and, if several families share the backbone, ``conflict.png``.

    Until then, checkpoints are written to ``OUT.checkpoints``: ``checkpoint_every`` is a number of
    steps or an interval of time. With ``resume`` the run goes on from the newest one; on a CPU in
    fp32 it ends with the weights of a run that was never interrupted. With ``tensorboard`` event
    files are written there, too, and copied to ``out``. Ctrl-C writes a checkpoint at the end of
    the step; the message of the :class:`KeyboardInterrupt` says how to go on.

    Raises :class:`UserError` for a bad recipe or source; if ``out`` exists and ``overwrite`` is
    false; if there are checkpoints and neither ``resume`` nor ``overwrite`` is true (``overwrite``
    without ``resume`` discards them); and if they do not belong to this recipe and its data.

    ```python
    import onetrunk

    backbone = onetrunk.prefinetune("recipe.yaml", out="runs/mine")
    ```
    """
    recipe, out = as_recipe(recipe), as_path(out, "out")
    work = WorkFolder(out)
    if resume and not overwrite:
        work.forget(out)
    refuse_existing(out, overwrite, kinds.BACKBONE)
    if tensorboard:
        require_tensorboard()
    processes = Processes.join(device)
    if not processes.first:  # the others would report the same things once more
        logger.setLevel(logging.ERROR)
        progress = silent
    with work.held() if processes.first else nullcontext():
        checkpoint = work.find(recipe, resume, overwrite)
        start = time.perf_counter()
        progress("opening encoder and sources", 0, None)
        pinned = recipe if checkpoint is None else checkpoint.pinned(recipe)
        trainer = Trainer(pinned, device, processes, progress)
        trainer.builder.notes.log()
        opening = time.perf_counter() - start
        records = []
        if trainer.plan.families:
            records = _restored(trainer, recipe, work, checkpoint)
            if processes.first:
                work.begin(trainer, recipe) if checkpoint is None else work.tidy(checkpoint)
                due = _due(checkpoint_every)
                _train(trainer, recipe, records, work, due, tensorboard, progress)
            else:
                trainer.run(records.append, len(records))
        backbone = trainer.backbone()
        backbone.record |= {**_summary(recipe, records, opening), RUN: work.hash_of_run()}
        if processes.first:
            _write(trainer, backbone, records, work, out, overwrite)
            work.discard()
        processes.wait()
    backbone.encoder.source = str(out)
    return backbone


def padding_waste(records: Sequence[StepRecord]) -> float:
    """The share of padding among the positions that went through the encoder."""
    padded = sum(record.padded for record in records)
    return round(1 - sum(record.tokens for record in records) / max(1, padded), 4)


def _restored(
    trainer: Trainer, recipe: Recipe, work: WorkFolder, checkpoint: Checkpoint | None
) -> list[StepRecord]:
    """Bring the trainer to the checkpoint; returns the records of the steps that are done."""
    records: list[StepRecord] = []
    if checkpoint is not None:
        work.resume(trainer, recipe, checkpoint)
        records = read_log(work.log, checkpoint.step)
    processes, done = trainer.processes, len(records)
    # All processes wait here until each has read its log. Without a shared disk, the numbers of
    # steps that they found differ.
    if processes.total(done, trainer.encoder.device) != processes.world * done:
        raise UserError(f"only some processes see the checkpoints in {work.folder}: share its disk")
    return records


def _train(
    trainer: Trainer,
    recipe: Recipe,
    records: list[StepRecord],
    work: WorkFolder,
    due: Callable[[int], bool],
    tensorboard: bool,
    progress: Progress,
) -> None:
    """Train to the end. Each step is appended to ``records`` and logged."""
    with ExitStack() as stack:
        log = stack.enter_context(closing(Log(work.log, records)))
        events: Events | None = None
        if tensorboard:
            events = stack.enter_context(closing(Events(work.folder / EVENTS, recipe, records)))
            logger.info("tensorboard --logdir %s", work.folder / EVENTS)
        # A single process may finish its step before it stops. With several, only one may have got
        # the signal, and the others would wait for it for ever: so they stop at once.
        alone = trainer.processes.world == 1
        stopping = stack.enter_context(asked_to_stop()) if alone else lambda: False
        phase = f"pre-finetune {recipe.strategy}"
        progress(phase, len(records), recipe.steps)

        def on_step(record: StepRecord) -> None:
            records.append(record)
            log.write(record)
            if events is not None:
                events.write(record)
            done, stop = record.step + 1, stopping()
            progress(f"{phase}: {_recent(records[-RECENT:])}", done, recipe.steps)
            if done < recipe.steps and (due(done) or stop):
                log.sync()
                work.save(trainer, done)
                if stop:
                    raise KeyboardInterrupt

        try:
            trainer.run(on_step, len(records))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(work.how_to_go_on()) from None


def _due(every: int | timedelta) -> Callable[[int], bool]:
    """A function that says, after each step, whether a checkpoint is due. Raises
    :class:`UserError` for a number of steps below 1."""
    if not isinstance(every, timedelta):
        every = as_number(every, "checkpoint_every", 1)
    last = time.monotonic()

    def due(steps: int) -> bool:
        nonlocal last
        if isinstance(every, int):
            return steps % every == 0
        now = time.monotonic()
        if now - last < every.total_seconds():
            return False
        last = now
        return True

    return due


def _recent(records: Sequence[StepRecord]) -> str:
    """Losses and speed of the latest steps, in a few words."""
    losses = [
        f"{name} {sum(record.losses[name] for record in records) / len(records):.3f}"
        for name in records[-1].losses
    ]
    speed = sum(record.tokens for record in records) / sum(record.seconds for record in records)
    return "  ".join([*losses, f"{speed:,.0f} tok/s, {padding_waste(records):.0%} padding"])


def _summary(recipe: Recipe, records: Sequence[StepRecord], opening: float) -> dict[str, object]:
    """What the backbone's record says about the run."""
    return {
        "recipe": recipe.model_dump(),
        "steps": len(records),
        "useful_tokens": sum(record.tokens for record in records),
        "padding_waste": padding_waste(records),
        "seconds": {
            "opening": round(opening, 1),
            "training": round(sum(record.seconds for record in records), 1),
        },
    }


def _write(
    trainer: Trainer,
    backbone: Backbone,
    records: Sequence[StepRecord],
    work: WorkFolder,
    out: Path,
    overwrite: bool,
) -> None:
    with atomic_folder(out, overwrite, kinds.BACKBONE) as folder:
        backbone.write(folder)
        if report := trainer.decontamination():
            write_json(folder / DECONTAMINATION, report)
        write_log(folder / LOG, records)
        if (work.folder / EVENTS).exists():
            shutil.copytree(work.folder / EVENTS, folder / EVENTS)
        if records:
            title = f"{trainer.recipe.strategy}, {counted(len(records))}"
            plot_losses(records, folder / LOSSES, title)
            if records[0].cosines:
                plot_conflict(records, folder / CONFLICT, title)
