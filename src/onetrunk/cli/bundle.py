"""``onetrunk bundle``: change or measure a bundle."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from onetrunk import kinds
from onetrunk.cli.options import LabelColumn, TextColumn

if TYPE_CHECKING:
    from onetrunk.bundle.costs import Costs

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]
_SHOWN = 6
"""A table names so many labels of an app."""


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


def show(
    bundle: Bundle,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the apps of a bundle: family, kind, labels, size, and how many examples each keeps.

    Example: [cyan]onetrunk bundle show phone[/]
    """
    from rich.text import Text

    from onetrunk.bundle.examples import read_examples
    from onetrunk.bundle.layout import Bundle, app_path
    from onetrunk.cli.console import stdout
    from onetrunk.errors import first_of

    opened = Bundle(bundle)
    rows = []
    for name in opened.apps:
        app, size = opened.app(name), len(opened.read(app_path(name)))
        row: dict[str, Any] = {
            "app": name, "family": app.family, "kind": "lora" if app.lora else "linear",
            "labels": app.labels, "bytes": size, "examples": len(read_examples(opened, name) or ()),
        }  # fmt: skip
        rows.append(row)
    if as_json:
        print(json.dumps({"bundle": str(bundle), "apps": rows}, ensure_ascii=False))
        return
    right = [Column(name, justify="right") for name in ("kB", "examples kept")]
    table = Table(Column("app", no_wrap=True), "family", "kind", "labels", *right)
    for row in rows:
        labels = row["labels"]
        numbers = f"{row['bytes'] / 1000:,.0f}", str(row["examples"] or "")
        counted = Text(f"{len(labels)}: {first_of(labels, _SHOWN)}")
        table.add_row(Text(row["app"]), row["family"], row["kind"], counted, *numbers)
    stdout().print(table)


def teach(
    bundle: Bundle,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the app is to be called.")],
    family: Annotated[str, typer.Option(help="ner, nested-ner, tc, multi-label or rating.")],
    data: Annotated[Path, typer.Option(help="Labelled rows, as for [bold]adapt[/].")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="A label that no row has yet; may be repeated. Of a rating, an end."),
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens a window; longer texts are read in several.")
    ] = None,
    none_below: Annotated[
        float | None,
        typer.Option(help="Give no answer that is less probable, from 0 to 1: 0.7."),
    ] = None,
    keep_examples: Annotated[
        bool, typer.Option("--keep-examples", help="Keep the rows in the bundle, to correct them.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="An app to go on from: a few corrections of its labels improve it. Rows of a new "
            "label need as many others beside them, or --stay."
        ),
    ] = None,
    stay: Annotated[
        Path | None,
        typer.Option(
            help="With --start: texts whose answers are to stay, as many as there are rows or more."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the app NAME, and the rows that it keeps.")
    ] = False,
) -> None:
    """Make an app from labelled rows, here and without PyTorch: a linear head on the bundle's own
    states.

    An app of the same name is replaced only with [bold]--overwrite[/], or if [bold]--start[/] goes
    on from it.

    Its score is by cross-validation on these rows. [bold]adapt[/] with a LoRA is better where there
    are many rows, and needs PyTorch.

    Example: [cyan]onetrunk bundle teach phone intents --family tc --data intents.csv[/]

    Example: [cyan]onetrunk bundle teach phone news --family ner --data wrong.jsonl --start news[/]
    """
    from onetrunk.bundle.examples import examples_path
    from onetrunk.bundle.layout import Bundle
    from onetrunk.bundle.runtime import Runtime
    from onetrunk.cli.bars import watched
    from onetrunk.cli.console import console, say, wrote
    from onetrunk.data.sources import read_texts
    from onetrunk.errors import UserError

    if stay is not None and start is None:
        raise UserError("--stay keeps answers of the app that --start names: give --start")
    known = Bundle(bundle)
    if start is not None:
        known.check_known(start)
    is_there = name in known.apps
    has_kept = is_there and examples_path(name) in known.files
    if is_there and start != name and not overwrite:
        rows = " and the rows that it keeps" if has_kept else ""
        option = shlex.quote(name)
        raise UserError(
            f"{bundle} already has an app {name}: go on from it by --start {option}, or replace it"
            f"{rows} by --overwrite, or choose another name"
        )
    texts = [] if stay is None else read_texts(stay)
    named = [one for one in dict.fromkeys((name, start)) if one in known.apps]
    runtime = Runtime(bundle, named)
    with watched(f"teach {name}") as progress:
        score = runtime.teach(
            name, family, data, label or (), text_column=text_column, label_column=label_column,
            max_length=max_length, none_below=none_below, keep_examples=keep_examples,
            start=start, stay=texts, progress=progress,
        )  # fmt: skip
    runtime.save()
    if has_kept and not overwrite:  # they went unasked
        say("note:", "yellow", f"the rows that {name} kept before are deleted")
    wrote(f"{bundle}: {name}, {family}, {len(runtime.apps[name].labels)} labels")
    console.print(f"  {score}")


def examples(
    bundle: Bundle,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An app in it.")],
    forget: Annotated[bool, typer.Option("--forget", help="Delete them.")] = False,
) -> None:
    """Print the labelled examples that an app keeps as JSON Lines, or delete them.

    Example: [cyan]onetrunk bundle examples phone intents > kept.jsonl[/]
    """
    from onetrunk.bundle.runtime import Runtime
    from onetrunk.cli.console import wrote

    runtime = Runtime(bundle, [name])
    if forget:
        runtime.forget_examples(name)
        wrote(f"{bundle}: {name} without examples")
        return
    for example in runtime.examples(name):
        print(json.dumps(example, ensure_ascii=False))


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


def page(
    bundle: Bundle,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    ort: Annotated[
        Path | None,
        typer.Option(help="Folder of onnxruntime-web's files, if not installed here."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write a web page that runs a bundle in the browser; any static host serves it.

    There one types texts, corrects answers, teaches apps and annotates tables. The page works
    offline after one visit, and sends nothing anywhere.

    Example: [cyan]onetrunk bundle page phone --out phone-page[/]
    """
    from onetrunk.bundle.page import write_page
    from onetrunk.cli.console import serve_hint, wrote

    write_page(bundle, out, ort, overwrite)
    wrote(out)
    serve_hint(out)


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
    Without matplotlib, --out has no plot.

    Example: [cyan]onetrunk bundle report phone[/]
    """
    from onetrunk.bundle.costs import TEXT, measure_costs, plot_costs
    from onetrunk.bundle.layout import Bundle
    from onetrunk.cli.bars import progress_bar
    from onetrunk.cli.console import say, stdout, wrote
    from onetrunk.errors import extra_of
    from onetrunk.storage import atomic_folder, refuse_existing, write_json

    Bundle(bundle)
    if out is not None:
        refuse_existing(out, overwrite, kinds.COSTS)
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
        with atomic_folder(out, overwrite, kinds.COSTS) as folder:
            write_json(folder / "costs.json", asdict(costs))
            try:
                from onetrunk.figures import save_figure

                save_figure(plot_costs(costs), folder / "costs.png")
                lacking = ""
            except ModuleNotFoundError as error:  # a device measures without matplotlib
                lacking = error.name or "matplotlib"
        wrote(out)
        if lacking:
            need = f"it needs {lacking}: pip install '{extra_of(lacking)}'"
            say("note:", "yellow", f"the plot, costs.png, was left out; {need}")


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
