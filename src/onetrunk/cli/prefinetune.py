"""``onetrunk prefinetune``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onetrunk.errors import UserError, nearest


def prefinetune(
    recipe: Annotated[
        Path,
        typer.Argument(metavar="RECIPE", help="YAML file that names encoder, sources, steps, …"),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the backbone to.")],
    strategy: Annotated[
        str | None, typer.Option(help="Instead of the recipe's: none, ner, tc, joint or tpl.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Stage 1: teach one encoder every task family of a recipe.

    The result is a Hugging Face model folder with a task-primary LoRA for each family (PEFT
    folders under [bold]primary/[/]), [bold]onetrunk.json[/] (recipe, data hashes, fingerprint),
    [bold]training.jsonl[/] and [bold]losses.png[/].

    Strategies: [bold]tpl[/] trains backbone and task-primary LoRAs together; [bold]joint[/] the
    bare backbone on the sum of losses; [bold]ner[/] and [bold]tc[/] one family alone;
    [bold]none[/] trains nothing and is the baseline.

    Example: [cyan]onetrunk prefinetune recipes/first-run.yaml --out runs/tpl[/]
    """
    from onetrunk.config import load_recipe
    from onetrunk.prefinetune.run import prefinetune as run
    from onetrunk.progress import console

    _check_device(device)
    settings = load_recipe(recipe, strategy=strategy, steps=steps, seed=seed)
    backbone = run(settings, out, overwrite, device)
    record = backbone.record
    console.print(
        f"[bold green]wrote[/] {out}  strategy {settings.strategy}, {record['steps']} steps, "
        f"{record['useful_tokens']:,} tokens in {record['seconds']['training']} s, "
        f"{record['precision']}, primary LoRAs: {', '.join(backbone.primary) or 'none'}"
    )
    for name, report in record["data"].items():
        if report["truncated_share"]:
            console.print(
                f"  {name}: {report['truncated_share']:.1%} of its texts were cut at max_length"
            )


def _check_device(device: str) -> None:
    import torch

    available = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if device.split(":")[0] not in available:
        raise UserError(f"--device {device!r} is not available here; {nearest(device, available)}")
