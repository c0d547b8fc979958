"""``onetrunk benchmark``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onetrunk.errors import UserError

if TYPE_CHECKING:
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
    encoder: Annotated[
        str | None,
        typer.Option(help="Instead of the recipe's: a folder, a hub name or package:NAME."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads. Default: PyTorch's own choice.")
    ] = None,
) -> None:
    """Compare strategies on many tasks: draws of labelled rows, seeds, adapters.

    Backbones that are missing are pre-finetuned into OUT[bold]/backbones[/]; every cell (a
    strategy, task, draw, adapter and two seeds) becomes a JSON file under OUT[bold]/cells[/] with
    its scores, costs and outcomes row by row. What is there is kept: run the same command again to
    go on, or several times at once to share the work.

    A cell is stale, and computed again, once the code that scores follow from, the task's data, the
    backbone or the settings have changed. A mean in the table is over the same tasks and seeds as
    in every other row, or is not given.

    Example: [cyan]onetrunk benchmark recipes/suite21.yaml --out runs/suite21 --dry-run[/]
    """
    from onetrunk.benchmark.run import survey
    from onetrunk.benchmark.suite import load_suite
    from onetrunk.benchmark.table import survey_table
    from onetrunk.cli.console import console, stdout

    if out.is_file():
        raise UserError(f"{out} is a file; a folder is written here: choose another name")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    loaded = load_suite(suite, encoder=encoder)
    if not dry_run:
        _run(loaded, out, keep_stale)
        return
    found, results = survey(loaded, out), stdout()
    results.width = max(100, results.width)
    for line in found.lines():
        console.print(line + (": would be kept" if keep_stale else ""), markup=False)
    if found.untrained:
        console.print(f"backbones to train: {', '.join(found.untrained)}", markup=False)
    results.print(survey_table(loaded, found))


def _run(suite: Suite, out: Path, keep_stale: bool) -> None:
    from onetrunk.benchmark.run import run_suite, survey
    from onetrunk.benchmark.table import means_table
    from onetrunk.cli.console import progress_bar, stdout

    try:
        with progress_bar(period=3600) as bar:
            task = bar.add_task("cells", total=None, note="")

            def watch(what: str, done: int, total: int) -> None:
                if bar.tasks[0].total is None:  # cells of an earlier run say nothing of the speed
                    bar.reset(task, completed=done, total=total)
                bar.update(task, completed=done, total=total, note=what)

            cells = run_suite(suite, out, watch, keep_stale)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished cells are kept; the same command goes on") from None
    stale = len(survey(suite, out).reasons) if keep_stale else 0
    results = stdout()
    results.width = max(100, results.width)
    results.print(means_table(suite, cells, f"stale cells kept: {stale}" if stale else ""))
