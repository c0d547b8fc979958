"""``onetrunk demo``"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated

import typer

from onetrunk.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from onetrunk.benchmark.suite import Suite
    from onetrunk.demo.run import Command, Scores


def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that the demo makes.")] = Path(
        "runs/demo"
    ),
    corpus_only: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the corpus of phone messages there, and stop."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the corpus.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier demo wrote.")
    ] = False,
) -> None:
    """See the whole method in two minutes, offline: from weak data to a bundle for a device.

    Makes a corpus of phone messages and pre-finetunes an encoder on it. Adapts four apps to it,
    runs them over unseen messages and exports them. Then compares heads on the pre-finetuned
    encoder with heads on the encoder as it comes, and writes a page that runs the apps in the
    browser. Every command is printed before it runs, so that you can repeat it.

    Needs [bold]pip install 'onetrunk\\[demo]'[/].

    Example: [cyan]onetrunk demo --out runs/demo[/]
    """
    if corpus_only is not None:
        _write_corpus(corpus_only, seed, overwrite)
        return
    from onetrunk.benchmark.suite_file import load_suite
    from onetrunk.bundle.page import find_ort
    from onetrunk.cli.console import say, stdout
    from onetrunk.demo.run import check_installed, plot_scores, read_scores, steps
    from onetrunk.storage import ANYTHING, refuse_existing

    check_installed()
    refuse_existing(out, overwrite, ANYTHING)  # each command looks at what it replaces
    start = time.perf_counter()
    console = stdout()
    for step in steps(out, seed, overwrite):
        console.rule(step.heading)
        for command in step.commands:
            _run(command, out)
    suite = load_suite(out / "corpus/suite.yaml", files=False)
    scores = read_scores(suite, out / "benchmark")
    console.print(_table(suite, scores))
    plot_scores(suite, scores, out / "scores.png")
    console.print(
        f"plots: {out}/scores.png, {out}/tpl/losses.png   "
        f"this demo took {time.perf_counter() - start:.0f} s",
    )
    try:
        find_ort()
    except UserError as error:
        say("note:", "yellow", f"no page for the browser: {error}")
        return
    console.rule("the four apps in your browser, where you can correct and teach them")
    command = ("onetrunk", "bundle", "page", f"{out}/bundle", "--out", f"{out}/page", "--overwrite")
    _run(command, out)


def _run(command: Command, out: Path) -> None:
    """Print a command and run it. It runs in this process: to import PyTorch and transformers takes
    longer than most commands."""
    from onetrunk import cli
    from onetrunk.cli.console import stdout

    stdout().print(f"\n$ {shlex.join(command)}", style="bold cyan")
    _, *arguments = command
    if (code := cli.run(arguments)) == cli.INTERRUPTED:
        raise KeyboardInterrupt(f"what was finished is in {out}")
    if code:
        raise typer.Exit(code)


def _write_corpus(folder: Path, seed: int, overwrite: bool) -> None:
    """Write the corpus; print how many rows each file has, and the first of them."""
    import pyarrow.parquet as pq

    from onetrunk.demo.corpus import write_corpus

    write_corpus(folder, seed, overwrite=overwrite)
    for file in sorted(folder.rglob("*.parquet")):
        table = pq.read_table(file)
        cells = table.slice(0, 1).to_pylist()[0].values()
        first = " | ".join(" ".join(cell) if isinstance(cell, list) else cell for cell in cells)
        print(f"{file.relative_to(folder)}: {table.num_rows} rows\n    {first}")


def _table(suite: Suite, scores: Scores) -> Table:
    from rich.table import Table

    from onetrunk.demo.run import ROWS

    of_draws = f"mean (lowest–highest) of {len(suite.adaptation_seeds)} draws"
    table = Table(title=f"Test scores of heads on {ROWS} rows: {of_draws}")
    for column in ("task", "metric"):
        table.add_column(column)
    strategies = [strategy.name for strategy in suite.strategies]
    for column in (*strategies, "tpl - none"):
        table.add_column(column, justify="right")
    for task in suite.tasks:
        none, tpl = (scores[strategy, task.name] for strategy in strategies)
        gain = f"{mean(tpl) - mean(none):+.1f}"
        table.add_row(task.name, task.score, _spread(none), _spread(tpl), gain)
    return table


def _spread(draws: list[float]) -> str:
    return f"{mean(draws):.1f} ({min(draws):.0f}–{max(draws):.0f})"
