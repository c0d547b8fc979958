"""``onetrunk conflict``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onetrunk.errors import UserError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from onetrunk.prefinetuning.advise import Advice, Estimate

PICTURES = (".png", ".svg", ".pdf")


def conflict(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="As for prefinetune; its strategy is ignored.")
    ],
    batches: Annotated[int, typer.Option(min=2, help="Batches a family.")] = 16,
    warmup: Annotated[
        int,
        typer.Option(min=0, help="Steps that train the objectives' own parameters alone before."),
    ] = 50,
    out: Annotated[Path | None, typer.Option(metavar="JSON", help="Write it all as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw it (.png, .svg or .pdf).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")] = "cpu",
) -> None:
    """Before stage 1: see where the families' gradients conflict, and get advice on k.

    Measures the gradients of a handful of batches on the encoder as it is; the encoder is not
    trained. The table says for each layer whether two batches of different families pull the same
    way (cosine above 0) or against each other (below 0), and advises how many top layers to give
    to task-primary LoRAs. The advice says how sure it is of this moment; conflict can fade as
    training goes on ([bold]conflict.png[/] of a run shows it), so hold it against a sweep of k.

    Objectives start with random parameters of their own, whose gradients say little:
    [bold]--warmup[/] trains those, and only those, before.

    Example: [cyan]onetrunk conflict recipes/tpl.yaml --batches 32 --plot conflict.png[/]
    """
    from onetrunk.cli.console import console, progress_bar, say, stdout
    from onetrunk.cli.prefinetune import check_device
    from onetrunk.config import load_recipe
    from onetrunk.prefinetuning.advise import advise
    from onetrunk.prefinetuning.loop import Trainer
    from onetrunk.prefinetuning.plot import plot_advice
    from onetrunk.prefinetuning.profile import profile, profiled
    from onetrunk.storage import write_json

    for path in (out, plot):
        if path is not None and not path.parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}")
    if plot is not None and plot.suffix not in PICTURES:
        raise UserError(f"--plot {plot}: {nearest(plot.suffix, PICTURES)}")
    check_device(device)
    settings = profiled(load_recipe(recipe, seed=seed))
    with console.status("opening encoder and sources …") as status:
        trainer = Trainer(
            settings, device,
            watch=lambda name, done: status.update(f"preparing {name}: {done:,} rows"),
        )  # fmt: skip
    say(trainer.builder.notes)
    with progress_bar() as bar:
        task = bar.add_task("profile", note="")
        found = profile(
            trainer, batches, warmup,
            lambda note, done, total: bar.update(task, completed=done, total=total, note=note),
        )  # fmt: skip
    advice = advise(found)
    results = stdout()
    results.width = max(90, results.width)  # rather wrapped by the terminal than numbers cut
    results.print(_table(advice))
    results.print(advice.sentence())
    if out is not None:
        about = {
            "encoder": settings.encoder,
            "batches": batches,
            "warmup": warmup,
            "seed": settings.seed,
            "losses": {name: sum(each) / len(each) for name, each in found.losses.items()},
        }
        write_json(out, about | advice.as_json())
    if plot is not None:
        plot_advice(advice, plot, f"{recipe.stem}, {batches} batches a family")


def _table(advice: Advice) -> Table:
    """A row a layer, the top first; with more than two families a row a layer and pair."""
    from rich.table import Table

    pairs = list(advice.layers[0].conflicts)
    table = Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0), caption_justify="left",
        caption="cosine: of two batches, one of each family; expected: the noise of batches taken "
        "out of it, ? where nothing is left; norms: ratio of the gradients; agreement: cosine of "
        "two batches of one family",
    )  # fmt: skip
    table.add_column("layer", no_wrap=True)
    if len(pairs) > 1:
        table.add_column("families", no_wrap=True)
    for name in ("cosine", "90 %", "expected", "90 %", "norms", "agreement"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for layer in reversed(advice.layers):
        for pair in pairs:
            found, names = layer.conflicts[pair], pair.split("|")
            table.add_row(
                layer.name,
                *([", ".join(names)] if len(pairs) > 1 else []),
                *_cells(found.batch_cosine, 3),
                *_cells(found.expected_cosine, 2),
                f"{found.norm_ratio:.2f}",
                ", ".join(f"{max(0.0, layer.agreement[name]):.2f}" for name in names),
                "[bold magenta]private[/]" if layer.private else "shared",
            )
    return table


def _cells(estimate: Estimate | None, digits: int) -> tuple[str, str]:
    if estimate is None:
        return "?", ""
    colour = "red" if estimate.high < 0 else "blue" if estimate.low > 0 else "dim"
    value, low, high = (f"{x:+.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"[{colour}]{value}[/]", f"{low} {high}"
