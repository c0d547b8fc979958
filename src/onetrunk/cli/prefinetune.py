"""``onetrunk prefinetune``"""

import re
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from onetrunk import kinds
from onetrunk.cli.console import console, wrote
from onetrunk.errors import UserError

# Off a terminal there is no bar. Instead a line is printed after this number of steps.
LINE_EVERY = 20


def prefinetune(
    recipe: Annotated[
        Path,
        typer.Argument(metavar="RECIPE", help="YAML file that names encoder, sources, steps, …"),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the backbone to.")],
    strategy: Annotated[
        str | None, typer.Option(help="Instead of the recipe's: tpl, joint, ner, tc, none, …")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")] = "cpu",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace OUT; without --resume, discard its checkpoints."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint, if there is one.")
    ] = False,
    checkpoint_every: Annotated[
        str, typer.Option(metavar="EVERY", help="Time (30s, 5m, 2h) or number of steps (200).")
    ] = "5m",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write event files, to OUT/tensorboard.")
    ] = False,
) -> None:
    """Teach an encoder the task families of a recipe (stage 1), and write a backbone.

    The result is a Hugging Face model folder with a task-primary LoRA for each family (PEFT
    folders under [bold]primary/[/]), [bold]onetrunk.json[/] (recipe, data hashes, fingerprint),
    [bold]training.jsonl[/], [bold]losses.png[/] and, where families share the backbone,
    [bold]conflict.png[/].

    Strategies: [bold]tpl[/] trains backbone and task-primary LoRAs together; [bold]joint[/] the
    bare backbone on the sum of losses; [bold]ner[/] and [bold]tc[/] one family alone;
    [bold]frozen[/] the LoRAs alone; [bold]none[/] trains nothing and is the baseline.
    [bold]pcgrad[/], [bold]cagrad[/], [bold]imtl-g[/] and [bold]upgrad[/] are joint with gradient
    surgery, [bold]tpl+upgrad[/] is tpl with it; [bold]muppet[/] trains on labelled sets.

    While it trains, checkpoints are kept in OUT[bold].checkpoints[/] beside the output. Whatever
    stops the run, the same command with [bold]--resume[/] goes on from the newest one.

    Example: [cyan]onetrunk prefinetune recipes/tpl.yaml --out runs/tpl[/]
    """
    from onetrunk.config import load_recipe
    from onetrunk.model.place import locate_model
    from onetrunk.storage import refuse_existing

    settings = load_recipe(recipe, strategy=strategy, steps=steps, seed=seed)
    every = _every(checkpoint_every)
    try:
        refuse_existing(out, overwrite, kinds.BACKBONE)
    except UserError:
        if resume:
            from onetrunk.prefinetuning.resume import WorkFolder

            WorkFolder(out).forget(out)
        raise
    locate_model(settings.encoder, "encoder")
    from onetrunk.model.place import check_device

    check_device(device)

    from onetrunk.prefinetuning.run import prefinetune as run
    from onetrunk.processes import Processes

    with closing(_RunDisplay()) as progress:
        backbone = run(settings, out, overwrite, device, resume, every, tensorboard, progress)
    processes, record = Processes.join(device), backbone.record
    if processes.first:
        wrote(
            f"{out}  strategy {settings.strategy}, {record['steps']} steps, "
            f"{record['useful_tokens']:,} tokens in {record['seconds']['training']} s, "
            f"{record['precision']}, primary LoRAs: {', '.join(backbone.primary_loras) or 'none'}"
        )
        for name, report in record["data"].items():
            if report["truncated_share"]:
                console.print(
                    f"  {name}: {report['truncated_share']:.1%} of its texts were cut at max_length"
                )
    processes.leave()


class _RunDisplay:
    """Shows the progress of a run in one bar; off a terminal, in a line for every 20th step."""

    def __init__(self) -> None:
        from rich.progress import TaskID

        from onetrunk.cli.bars import progress_bar

        self._bar, self._task, self._phase = progress_bar(), TaskID(0), ""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Take note of progress; ``what`` is ``PHASE`` or ``PHASE: details``."""
        if total is None and not console.is_terminal:
            return
        phase, _, details = what.partition(": ")
        if phase != self._phase:
            self._begin(phase, done)
        self._bar.update(self._task, completed=done, total=total, note=details)
        if total is not None and phase.startswith("pre-finetune") and not console.is_terminal:
            steps = done - self._first
            if steps and done % LINE_EVERY == 0:
                left = (time.monotonic() - self._start) / steps * (total - done)
                console.print(f"step {done}/{total}  {details}  ETA {left:.0f} s")

    def _begin(self, phase: str, done: int) -> None:
        if self._phase:
            self._bar.remove_task(self._task)
        self._bar.start()
        self._task = self._bar.add_task(phase, total=None, completed=done, note="")
        self._phase, self._first, self._start = phase, done, time.monotonic()

    def close(self) -> None:
        """End the bar. It stays on the screen if it shows training."""
        if self._phase and not self._phase.startswith("pre-finetune"):
            self._bar.remove_task(self._task)
        if self._phase:
            self._bar.stop()


def _every(text: str) -> int | timedelta:
    match = re.fullmatch(r"([1-9]\d*)([smh]?)", text.strip())
    if match is None:
        raise UserError(
            f"--checkpoint-every {text!r}: a number of steps (200) or a time (30s, 5m, 2h) is meant"
        )
    count, unit = int(match[1]), match[2]
    return timedelta(seconds=count * {"s": 1, "m": 60, "h": 3600}[unit]) if unit else count
