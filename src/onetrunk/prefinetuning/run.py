"""A stage-1 run from recipe to backbone folder: watched, logged and checkpointed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext
from datetime import timedelta
from pathlib import Path

from onetrunk.cli.console import console, progress_bar, say
from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone, save_backbone
from onetrunk.prefinetuning.checkpoint import Checkpoint
from onetrunk.prefinetuning.events import EVENTS, Events, require_tensorboard
from onetrunk.prefinetuning.interrupt import asked_to_stop
from onetrunk.prefinetuning.log import LOG, Log, read_log, write_log
from onetrunk.prefinetuning.loop import StepRecord, Trainer
from onetrunk.prefinetuning.plot import plot_conflict, plot_losses
from onetrunk.prefinetuning.resume import WorkFolder
from onetrunk.processes import Processes
from onetrunk.storage import atomic_folder, refuse_existing, write_json

DECONTAMINATION = "decontamination.json"
LOSSES, CONFLICT = "losses.png", "conflict.png"
CHECKPOINT_EVERY = timedelta(minutes=5)
# Off a terminal there is no bar; a line every so many steps shows that the run is alive.
LINE_EVERY = 20


def prefinetune(
    recipe: Recipe,
    out: Path,
    overwrite: bool = False,
    device: str = "cpu",
    resume: bool = False,
    checkpoint_every: int | timedelta = CHECKPOINT_EVERY,
    tensorboard: bool = False,
) -> Backbone:
    """Run stage 1 and write the backbone folder with ``training.jsonl``, ``losses.png`` and, where
    families share a backbone, ``conflict.png``.

    ``out`` appears when training ends. Until then checkpoints are written to ``OUT.checkpoints``
    every so many steps or so much time; with ``resume`` the run goes on from the newest one, which
    on CPU in fp32 gives the weights of a run that was never interrupted. With ``tensorboard`` event
    files are written there, too, and come along to ``out``.

    Ctrl-C writes a checkpoint at the end of the step; :class:`KeyboardInterrupt` says how to go on.
    Raises :class:`UserError` for a bad recipe or source, if ``out`` exists and ``overwrite`` is
    false, if there are checkpoints and neither ``resume`` nor ``overwrite`` is true (which discards
    them unless ``resume`` is true, too), or if they do not belong to this recipe and its data.
    """
    refuse_existing(out, overwrite)
    if tensorboard:
        require_tensorboard()
    processes = Processes.join(device)
    console.quiet = not processes.first
    work = WorkFolder(out)
    with work.held() if processes.first else nullcontext():
        found = work.find(recipe, resume, overwrite)
        start = time.perf_counter()
        trainer = _trainer(recipe if found is None else found.pinned(recipe), device, processes)
        opening = time.perf_counter() - start
        records = []
        if trainer.plan.families:
            records = _train(trainer, recipe, work, found, checkpoint_every, tensorboard)
        backbone = trainer.backbone()
        backbone.record |= _summary(recipe, records, opening)
        if processes.first:
            _write(trainer, backbone, records, work, out, overwrite)
            work.discard()
        processes.wait()
    return backbone


def padding_waste(records: Sequence[StepRecord]) -> float:
    """Share of the positions that went through the encoder that were padding."""
    padded = sum(record.padded for record in records)
    return round(1 - sum(record.tokens for record in records) / max(1, padded), 4)


def _trainer(recipe: Recipe, device: str, processes: Processes) -> Trainer:
    with console.status("opening encoder and sources …") as status:
        trainer = Trainer(
            recipe, device,
            watch=lambda name, done: status.update(f"preparing {name}: {done:,} rows"),
            processes=processes,
        )  # fmt: skip
    say(trainer.builder.notes)
    return trainer


def _train(
    trainer: Trainer,
    recipe: Recipe,
    work: WorkFolder,
    found: Checkpoint | None,
    checkpoint_every: int | timedelta,
    tensorboard: bool,
) -> list[StepRecord]:
    processes, records = trainer.processes, _restored(trainer, recipe, work, found)
    if not processes.first:
        trainer.run(records.append, len(records))
        return records
    work.begin(trainer, recipe) if found is None else work.tidy(found)
    due, watch = _due(checkpoint_every), _watch(recipe, records)
    with ExitStack() as stack:
        log = stack.enter_context(closing(Log(work.log, records)))
        events: Events | None = None
        if tensorboard:
            events = stack.enter_context(closing(Events(work.folder / EVENTS, recipe, records)))
            console.print(f"tensorboard --logdir {work.folder / EVENTS}", markup=False)
        # One process alone may take its time to stop; several would wait for one another.
        alone = processes.world == 1
        stopping = stack.enter_context(asked_to_stop()) if alone else lambda: False
        bar = stack.enter_context(progress_bar())
        task = bar.add_task(
            f"pre-finetune {recipe.strategy}", total=recipe.steps, completed=len(records), note=""
        )

        def on_step(record: StepRecord) -> None:
            records.append(record)
            log.write(record)
            if events is not None:
                events.write(record)
            bar.update(task, advance=1, note=watch(record))
            done, stop = record.step + 1, stopping()
            if done < recipe.steps and (due(done) or stop):
                log.sync()
                work.save(trainer, done)
                if stop:
                    raise KeyboardInterrupt

        try:
            trainer.run(on_step, len(records))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(work.how_to_go_on()) from None
    return records


def _restored(
    trainer: Trainer, recipe: Recipe, work: WorkFolder, found: Checkpoint | None
) -> list[StepRecord]:
    """Bring the trainer to where it goes on from; returns the steps that are done."""
    records: list[StepRecord] = []
    if found is not None:
        work.resume(trainer, recipe, found)
        records = read_log(work.log, found.step)
    processes, done = trainer.processes, len(records)
    # Also where all wait until each has read. Machines that share no disk see different things.
    if processes.total(done, trainer.encoder.device) != processes.world * done:
        raise UserError(f"only some processes see the checkpoints in {work.folder}: share its disk")
    return records


def _due(every: int | timedelta) -> Callable[[int], bool]:
    """Whether a checkpoint is due after so many steps."""
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


def _watch(recipe: Recipe, records: Sequence[StepRecord]) -> Callable[[StepRecord], str]:
    """Says how training goes; off a terminal also prints it every few steps."""

    def watch(record: StepRecord) -> str:
        recent = records[-20:]
        note = "  ".join(
            f"{name} {sum(r.losses[name] for r in recent) / len(recent):.3f}"
            for name in record.losses
        )
        seconds = sum(r.seconds for r in recent)
        rate = sum(r.tokens for r in recent) / seconds
        note += f"  {rate:,.0f} tok/s, {padding_waste(recent):.0%} padding"
        if not console.is_terminal and (record.step + 1) % LINE_EVERY == 0:
            left = (recipe.steps - record.step - 1) * seconds / len(recent)
            console.print(f"step {record.step + 1}/{recipe.steps}  {note}  ETA {left:.0f} s")
        return note

    return watch


def _summary(recipe: Recipe, records: Sequence[StepRecord], opening: float) -> dict[str, object]:
    """What the backbone's record tells of the run."""
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
    with atomic_folder(out, overwrite) as folder:
        save_backbone(backbone, folder)
        if report := trainer.decontamination():
            write_json(folder / DECONTAMINATION, report)
        write_log(folder / LOG, records)
        if (work.folder / EVENTS).exists():
            shutil.copytree(work.folder / EVENTS, folder / EVENTS)
        if records:
            title = f"{trainer.recipe.strategy}, {len(records)} steps"
            plot_losses(records, folder / LOSSES, title)
            if records[0].cosines:
                plot_conflict(records, folder / CONFLICT, title)
