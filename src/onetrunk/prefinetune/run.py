"""A stage-1 run from recipe to backbone folder, watched through a progress bar."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from onetrunk.config import Recipe
from onetrunk.model.backbone import Backbone, save_backbone
from onetrunk.prefinetune.loop import StepRecord, Trainer
from onetrunk.prefinetune.plot import plot_losses
from onetrunk.progress import console, progress_bar, say
from onetrunk.storage import atomic_folder, refuse_existing, write_json

LOG = "training.jsonl"
DECONTAMINATION = "decontamination.json"
PLOT = "losses.png"
# Off a terminal there is no bar; a line every so many steps shows that the run is alive.
LINE_EVERY = 20


def prefinetune(
    recipe: Recipe, out: Path, overwrite: bool = False, device: str = "cpu"
) -> Backbone:
    """Run stage 1 and write the backbone folder with ``training.jsonl`` and ``losses.png``.

    Nothing is written unless training ends. Raises :class:`UserError` for a bad recipe or source,
    or if ``out`` exists and ``overwrite`` is false.
    """
    refuse_existing(out, overwrite)
    start = time.perf_counter()
    with console.status("opening encoder and sources …") as status:
        trainer = Trainer(
            recipe, device,
            watch=lambda name, done: status.update(f"preparing {name}: {done:,} rows"),
        )  # fmt: skip
    ready = time.perf_counter()
    say(trainer.preparing.notes)
    records: list[StepRecord] = []
    if trainer.plan.families:
        _train(trainer, records)
    backbone = trainer.backbone()
    backbone.record["steps"] = len(records)
    backbone.record["useful_tokens"] = sum(record.tokens for record in records)
    backbone.record["padding_waste"] = padding_waste(records)
    backbone.record["seconds"] = {
        "opening": round(ready - start, 1),
        "training": round(time.perf_counter() - ready, 1),
    }
    with atomic_folder(out, overwrite) as folder:
        save_backbone(backbone, folder)
        if report := trainer.decontamination():
            write_json(folder / DECONTAMINATION, report)
        with (folder / LOG).open("w", encoding="utf-8") as log:
            for record in records:
                log.write(json.dumps(record.__dict__) + "\n")
        if records:
            plot_losses(records, folder / PLOT, f"{recipe.strategy}, {len(records)} steps")
    return backbone


def padding_waste(records: Sequence[StepRecord]) -> float:
    """Share of the positions that went through the encoder that were padding."""
    padded = sum(record.padded for record in records)
    return round(1 - sum(record.tokens for record in records) / max(1, padded), 4)


def _train(trainer: Trainer, records: list[StepRecord]) -> None:
    recipe, drawn = trainer.recipe, console.is_terminal
    with progress_bar() as bar:
        task = bar.add_task(f"pre-finetune {recipe.strategy}", total=recipe.steps, note="")

        def on_step(record: StepRecord) -> None:
            records.append(record)
            recent = records[-20:]
            note = "  ".join(
                f"{name} {sum(r.losses[name] for r in recent) / len(recent):.3f}"
                for name in record.losses
            )
            rate = sum(r.tokens for r in recent) / sum(r.seconds for r in recent)
            note += f"  {rate:,.0f} tok/s, {padding_waste(recent):.0%} padding"
            bar.update(task, advance=1, note=note)
            if not drawn and (record.step + 1) % LINE_EVERY == 0:
                left = (
                    (recipe.steps - record.step - 1) * sum(r.seconds for r in recent) / len(recent)
                )
                console.print(f"step {record.step + 1}/{recipe.steps}  {note}  ETA {left:.0f} s")

        trainer.run(on_step)
