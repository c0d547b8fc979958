"""``onetrunk report``"""

from pathlib import Path
from typing import Annotated

import typer

from onetrunk import kinds

OURS = "tpl"


def report(
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE", help="The suite that the cells are of.")
    ],
    out: Annotated[Path, typer.Option(help="The folder that [bold]benchmark[/] wrote.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder to write to. Default: OUT[bold]/report[/].")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="Compared with each other one. Default: tpl, or the suite's last."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the report.")] = False,
) -> None:
    """Show what came of a benchmark: scores, intervals and p-values, plots, costs.

    Writes [bold]report.html[/] (one file, no network), [bold]report.md[/] with its pictures and
    [bold]report.json[/], from the cells that exist. The suite's data and backbones are not needed;
    conflict heat maps are drawn for the backbones that exist. It does not look for stale cells
    ([bold]benchmark --dry-run[/] does), but says where cells of different versions or data would be
    compared.

    Example: [cyan]onetrunk report recipes/suite21.yaml --out runs/suite21[/]
    """
    from onetrunk.cli.bars import progress_bar
    from onetrunk.cli.console import say, wrote
    from onetrunk.storage import refuse_existing
    from onetrunk.yaml_files import read_yaml

    to = to or out / "report"
    refuse_existing(to, overwrite, kinds.REPORT)
    read_yaml(suite, "suite")

    from onetrunk.benchmark.report import write_report
    from onetrunk.benchmark.suite_file import load_suite

    loaded = load_suite(suite, files=False)
    names = [each.name for each in loaded.strategies]
    chosen = strategy or (OURS if OURS in names else names[-1])
    with progress_bar() as bar:
        task = bar.add_task("report", total=None, note="")

        def watch(what: str, done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total, note=what)

        results = write_report(loaded, out, to, chosen, overwrite, watch)
    for line in results.mixed():
        say("note:", "yellow", line)
    wrote(f"{to / 'report.html'}, report.md, report.json")
