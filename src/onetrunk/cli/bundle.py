"""``onetrunk bundle``: what is done to a bundle that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]


def add(
    bundle: Bundle,
    apps: Annotated[list[Path], typer.Argument(metavar="APP...", help="App folders.")],
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the first app names.")
    ] = None,
) -> None:
    """Put apps into a bundle, in place of those of their names. Its graphs are not touched.

    An app whose LoRA the graphs have no place for is refused: export the backbone with it.

    Example: [cyan]onetrunk bundle add phone apps/dish[/]
    """
    from onetrunk.bundle.export import add_apps
    from onetrunk.cli.running import load_engine
    from onetrunk.progress import console

    with load_engine(apps, backbone) as engine:
        add_apps(bundle, engine.backbone, engine.apps)
    console.print(f"[bold green]wrote[/] {bundle}: {', '.join(engine.apps)}")


def remove(
    bundle: Bundle,
    apps: Annotated[list[str], typer.Argument(metavar="APP...", help="Names of apps in it.")],
) -> None:
    """Take apps out of a bundle.

    Example: [cyan]onetrunk bundle remove phone dish[/]
    """
    from onetrunk.bundle.export import remove_apps
    from onetrunk.progress import console

    remove_apps(bundle, apps)
    console.print(f"[bold green]wrote[/] {bundle}: without {', '.join(apps)}")


def adapters(
    bundle: Bundle,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write the LoRAs of a bundle as ONNX Runtime's adapter files.

    For programs that give a run one adapter by ONNX Runtime's own means.

    Example: [cyan]onetrunk bundle adapters phone --out phone-adapters[/]
    """
    from onetrunk.bundle.ort_adapters import write_adapters
    from onetrunk.progress import console

    for name in write_adapters(bundle, out, overwrite):
        console.print(f"[bold green]wrote[/] {out / name}")
