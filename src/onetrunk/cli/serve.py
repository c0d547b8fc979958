"""``onetrunk serve``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onetrunk.cli.options import Device
from onetrunk.errors import UserError

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine


def serve(
    apps: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE | APP...", help="One bundle, or app folders.")
    ],
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the first app names.")
    ] = None,
    device: Device = "cpu",
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the token that changes of apps need. Default: the environment "
            "variable ONETRUNK_TOKEN; without a token changes are refused."
        ),
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Texts that run together.")] = 32,
    max_queue: Annotated[
        int, typer.Option(help="Texts that may wait; more are answered by 429.")
    ] = 512,
    deadline: Annotated[
        float, typer.Option(help="Seconds until a request is answered by 504.")
    ] = 10.0,
    max_texts: Annotated[int, typer.Option(help="Texts of one request.")] = 256,
    max_characters: Annotated[int, typer.Option(help="Characters of one text.")] = 20_000,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A web site whose pages may call: https://example.com; may be given several times."
        ),
    ] = None,
    no_page: Annotated[
        bool, typer.Option("--no-page", help="No playground at /, and no files of the bundle.")
    ] = False,
    threads: Annotated[
        int, typer.Option(help="Threads of a bundle's runtime; 0: one for each core.")
    ] = 0,
) -> None:
    """Answer over HTTP, with a page in which to try, correct and teach the apps of a bundle.

    POST /v1/predict, POST /v1/embed, GET /v1/apps; docs/serve.md has the rest. The page is at /.

    Requests that arrive at the same time run as one batch. Ctrl-C or SIGTERM ends the service once
    all requests are answered. It logs JSON Lines to stdout, and never a text.

    Example: [cyan]onetrunk serve phone --token-file token.txt[/]
    """
    from onetrunk.opening import check_folders, load
    from onetrunk.serving.server import bind, run
    from onetrunk.serving.settings import LARGEST_CHARACTER, Limits, read_origins, read_token

    body_bytes = max(Limits.body_bytes, LARGEST_CHARACTER * max_characters + 4096)
    limits = Limits(max_batch, max_queue, deadline, max_texts, max_characters, body_bytes)
    token, origins = read_token(token_file), read_origins(cors_origin or ())
    is_bundle = check_folders(apps, backbone, device)
    listening = bind(host, port)  # a port that is taken is said before anything is loaded

    from onetrunk.cli.console import say
    from onetrunk.serving.api import create_app
    from onetrunk.serving.changes import PROBES
    from onetrunk.serving.logs import log_to

    if is_bundle:
        from onetrunk.bundle.runtime import Runtime

        model: Engine | Runtime = Runtime(apps[0], threads=threads)
    else:
        model = load(*apps, backbone=backbone, device=device)
    model.predict(PROBES[1])  # the first answer takes longest
    app = create_app(model, apps[0] if is_bundle else None, limits, token, origins, not no_page)
    log_to(sys.stdout)
    address, at = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    say("serving", "bold green", f"{', '.join(model.names) or 'no apps'} on http://{shown}:{at}")
    say("page:", "bold", _about_page(f"http://{shown}:{at}/", is_bundle, not no_page))
    say("changes:", "bold", _about_changes(is_bundle, token is not None))
    run(app, listening)


def _about_page(address: str, is_bundle: bool, is_wanted: bool) -> str:
    """What a browser shows at the address."""
    from onetrunk.bundle.page import find_ort

    none = "none; / only lists the routes"
    if not is_wanted:
        return f"{none} (--no-page)"
    if not is_bundle:
        return f"{none}, since a page runs a bundle, and these are app folders"
    try:
        find_ort()
    except UserError as error:
        return f"{none}. For the page, {error}"
    return f"{address} runs the bundle in the browser: try, correct and teach its apps there"


def _about_changes(is_bundle: bool, has_token: bool) -> str:
    """Whether apps may be changed over HTTP."""
    from onetrunk.serving.settings import TOKEN

    if not is_bundle:
        return "refused, since app folders are served as they are; a bundle's apps can change"
    if not has_token:
        return f"refused; to allow teach, put and remove, give --token-file FILE or set {TOKEN}"
    return "teach, put and remove are allowed to whoever has the token"
