"""``onetrunk push``"""

import os
from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A backbone, an app or a bundle.")
    ],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Its name at the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only you can see it.")] = False,
    branch: Annotated[
        str | None, typer.Option(help="Upload to this branch. Default: main.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Of an app: the hub's name of the backbone that it was trained on."),
    ] = None,
) -> None:
    """Upload a backbone, an app or a bundle to the Hugging Face hub, with its model card.

    Wherever a folder is named, [bold]owner/name[/] or [bold]owner/name@revision[/] does as well
    from then on. Log in by [bold]hf auth login[/], or set HF_TOKEN. An upload that broke off goes
    on when it is started again.

    Example: [cyan]onetrunk push phone ann/phone --private[/]
    """
    from onetrunk.cli.console import wrote
    from onetrunk.hub import push_to_hub

    os.environ.pop("HF_HUB_DISABLE_PROGRESS_BARS", None)  # the bars of an upload are the hub's
    wrote(push_to_hub(folder, name, private=private, branch=branch, backbone=backbone))
