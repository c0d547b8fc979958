"""``onetrunk bundle``: change or measure a bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

if TYPE_CHECKING:
    from onetrunk.bundle.costs import Costs

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]


def add(
    bundle: Bundle,
    apps: Annotated[list[Path], typer.Argument(metavar="APP...", help="App folders.")],
) -> None:
    """Put apps into a bundle; they replace those of the same names. Its graphs are not touched.

    An app is refused if the graphs have no place for its LoRA: export the backbone with it.

    Example: [cyan]onetrunk bundle add phone apps/dish[/]
    """
    from onetrunk.bundle.change import add_folders
    from onetrunk.cli.console import wrote

    wrote(f"{bundle}: {', '.join(add_folders(bundle, apps))}")


def remove(
    bundle: Bundle,
    apps: Annotated[list[str], typer.Argument(metavar="APP...", help="Names of apps in it.")],
) -> None:
    """Take apps out of a bundle.

    Example: [cyan]onetrunk bundle remove phone dish[/]
    """
    from onetrunk.bundle.change import remove_apps
    from onetrunk.cli.console import wrote

    remove_apps(bundle, apps)
    wrote(f"{bundle}: without {', '.join(apps)}")


def adapters(
    bundle: Bundle,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write the LoRAs of a bundle as ONNX Runtime's adapter files.

    They are for programs that pass one adapter to a run of ONNX Runtime.

    Example: [cyan]onetrunk bundle adapters phone --out phone-adapters[/]
    """
    from onetrunk.bundle.ort_adapters import write_adapters
    from onetrunk.cli.console import wrote

    for name in write_adapters(bundle, out, overwrite):
        wrote(out / name)


def report(
    bundle: Bundle,
    text: Annotated[str | None, typer.Option(help="The text to read. Default: a message.")] = None,
    repeats: Annotated[int, typer.Option(min=3, help="Passes for each median.")] = 50,
    out: Annotated[
        Path | None, typer.Option(help="Folder for [bold]costs.json[/] and [bold]costs.png[/].")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """What a bundle costs on this machine: bytes, cold start, memory, latency for 1 to 100 apps.

    Each number of apps is also run app by app, as separate models of the same encoder would run.

    Example: [cyan]onetrunk bundle report phone[/]
    """
    from onetrunk.bundle.costs import TEXT, measure_costs, plot_costs
    from onetrunk.bundle.layout import Bundle
    from onetrunk.cli.console import progress_bar, stdout, wrote
    from onetrunk.storage import atomic_folder, refuse_existing, write_json

    Bundle(bundle)
    if out is not None:
        from onetrunk.prefinetuning.plot import save_figure

        refuse_existing(out, overwrite)
    with progress_bar() as bar:
        task = bar.add_task("measure", total=None, note="")
        costs = measure_costs(
            bundle,
            text or TEXT,
            repeats=repeats,
            progress=lambda what, done, total: bar.update(
                task, completed=done, total=total, note=what
            ),
        )
    for table in cost_tables(costs):
        stdout().print(table)
    if out is not None:
        with atomic_folder(out, overwrite) as folder:
            write_json(folder / "costs.json", asdict(costs))
            save_figure(plot_costs(costs), folder / "costs.png")
        wrote(out)


def cost_tables(costs: Costs) -> list[Table]:
    """Tables of sizes and of latencies."""
    sizes = Table("part", Column("MB", justify="right"), title=f"{costs.apps} apps")
    for part, count in [*costs.sizes.items(), ("together", sum(costs.sizes.values()))]:
        sizes.add_row(part, f"{count / 1e6:,.2f}")
    memory = "" if costs.resident_mib is None else f", {costs.resident_mib:,.0f} MiB more in memory"
    names = ("apps", "threads", "p50 ms", "p95", "p99", "a pass for each", "times")
    latency = Table(
        *(Column(name, justify="right") for name in names),
        title=f"first answer of a new process after {costs.cold_seconds:.2f} s{memory}",
    )
    for row in costs.latency:
        times = [f"{value:.2f}" for value in (row.p50, row.p95, row.p99, row.apart)]
        ratio = f"{row.apart / row.p50:.1f}"
        latency.add_row(str(row.apps), str(row.threads or "all"), *times, ratio)
    return [sizes, latency]
