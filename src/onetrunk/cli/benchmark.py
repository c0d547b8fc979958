"""``onetrunk benchmark``"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from onetrunk.errors import UserError

if TYPE_CHECKING:
    from onetrunk.benchmark.cells import Cell
    from onetrunk.benchmark.staleness import Survey
    from onetrunk.benchmark.suite import Suite


def benchmark(
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE", help="YAML file that names strategies, tasks, …")
    ],
    out: Annotated[Path, typer.Option(help="Folder of backbones and cells; may be shared.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
    ] = False,
    keep_stale: Annotated[
        bool, typer.Option("--keep-stale", help="Do not compute stale cells again.")
    ] = False,
    pack: Annotated[
        bool,
        typer.Option("--pack", help="Compute nothing; put all cells into OUT/cells.parquet."),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(help="Instead of the recipe's: a folder, a hub name or package:NAME."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads. Default: PyTorch's own choice.")
    ] = None,
) -> None:
    """Compare ways to pre-finetune on many tasks: draws of labelled rows, seeds, adapters.

    Backbones that are missing are pre-finetuned into OUT[bold]/backbones[/]; every cell (a
    strategy, task, draw, adapter and two seeds) becomes a JSON file under OUT[bold]/cells[/] with
    its scores, costs and outcomes row by row. Cells that exist are kept: run the same command again
    to go on, or several times at once to share the work. Afterwards [bold]--pack[/] moves the files
    into one table.

    A cell is stale, and computed again, once the task's data, the backbone, the settings or the
    version of onetrunk have changed. A mean in the table is over the same tasks and seeds as in
    every other row, or is not given.

    Example: [cyan]onetrunk benchmark recipes/suite21.yaml --out runs/suite21 --dry-run[/]
    """
    from onetrunk.yaml_files import read_yaml

    read_yaml(suite, "suite")

    from onetrunk.benchmark.staleness import survey
    from onetrunk.benchmark.store import TABLE, encoder_name, pack_cells
    from onetrunk.benchmark.suite_file import load_suite
    from onetrunk.cli.console import console

    if out.is_file():
        raise UserError(f"{out} is a file; a folder is written here: choose another name")
    if pack and dry_run:
        raise UserError("--pack and --dry-run exclude each other")
    loaded = load_suite(suite, files=not pack, encoder=encoder)
    if pack:
        count = pack_cells(out, encoder_name(loaded, out))
        console.print(f"{out / TABLE} holds {count:,} cell{'s' * (count != 1)}")
        return
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if not dry_run:
        _run(loaded, out, keep_stale)
        return
    state = survey(loaded, out)
    for line in state.lines():
        console.print(line + (": would be kept" if keep_stale else ""))
    if state.untrained:
        console.print(f"backbones to train: {', '.join(state.untrained)}")
    _print(survey_table(loaded, state))


def _run(suite: Suite, out: Path, keep_stale: bool) -> None:
    from onetrunk.benchmark.run import run_suite
    from onetrunk.benchmark.staleness import survey
    from onetrunk.cli.bars import progress_bar
    from onetrunk.cli.console import console

    try:
        with progress_bar(period=3600) as bar:
            task = bar.add_task("cells", total=None, note="")

            def watch(what: str, done: int, total: int | None) -> None:
                shown = bar.tasks[0]
                if shown.total is None:  # cells of an earlier run say nothing of the speed
                    bar.reset(task, completed=done, total=total)
                elif done > shown.completed and not console.is_terminal:
                    # Nothing is drawn there: a line shows that the run is alive.
                    console.print(f"{done:,} of {total:,} cells, {what}")
                bar.update(task, completed=done, total=total, note=what)

            cells = run_suite(suite, out, watch, keep_stale)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished cells are kept; the same command goes on") from None
    stale = len(survey(suite, out).reasons) if keep_stale else 0
    _print(means_table(suite, cells, f"stale cells kept: {stale}" if stale else ""))


def means_table(suite: Suite, cells: Sequence[Cell], caption: str = "") -> Table:
    """A row for each strategy: the mean of each column, and how many cells exist.

    Where a cell is missing, the number of those that exist takes the place of the mean.
    """
    from onetrunk.benchmark.comparison import Results

    results, table = Results(suite, cells), _table(caption)
    table.add_column("strategy", no_wrap=True)
    for column in results.columns:
        table.add_column("\n".join(column), justify="right", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    for strategy in suite.strategies:
        means, every = [], []
        for column in results.columns:
            cells_of_column = results.cells_of(column, strategy)
            scores = results.scores(column, strategy)
            mean = None if scores is None else Text(f"{scores.mean():.2f}")
            means.append(mean or _count(cells_of_column))
            every += cells_of_column
        table.add_row(strategy.name, *means, _count(every))
    return table


def _count(cells: Sequence[Cell | None]) -> Text:
    exist = sum(cell is not None for cell in cells)
    all_exist = exist == len(cells)
    return Text(str(exist)) if all_exist else Text(f"{exist} of {len(cells)}", style="yellow")


def survey_table(suite: Suite, survey: Survey) -> Table:
    """A row for each task, a column for each strategy: cells done, stale and missing."""
    counts = Counter((id.strategy, id.task, state) for id, state in survey.states.items())
    table = _table("done/stale/missing")
    table.add_column("task", no_wrap=True)
    for strategy in suite.strategies:
        table.add_column(strategy.name, justify="right", no_wrap=True)
    for task in suite.tasks:
        cells = []
        for strategy in suite.strategies:
            done, stale, missing = (
                counts[strategy.name, task.name, state] for state in ("done", "stale", "missing")
            )
            colour = "yellow" if stale or missing else "green"
            cells.append(Text(f"{done}/{stale}/{missing}", style=colour))
        table.add_row(task.name, *cells)
    return table


def _table(caption: str) -> Table:
    return Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), caption=caption, caption_justify="left"
    )


def _print(table: Table) -> None:
    from onetrunk.cli.console import stdout

    results = stdout()
    results.width = max(100, results.width)
    results.print(table)
