"""The command line: one module a verb. Heavy imports wait until a verb runs."""

from __future__ import annotations

import inspect
import os
import sys

import click
import typer
from rich.console import Console

from onetrunk import __version__
from onetrunk.cli.adapt import adapt
from onetrunk.cli.evaluate import evaluate
from onetrunk.cli.predict import predict
from onetrunk.cli.prefinetune import prefinetune
from onetrunk.errors import UserError

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="onetrunk",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""One small text encoder, many text tasks.

    [bold]1. prefinetune[/] teaches one encoder two task families, named entities and text
    classification, from weak data, and writes a [bold]backbone[/].

    [bold]2. adapt[/] trains a small [bold]app[/] on the frozen backbone from a few labelled rows.

    [bold]3. predict[/] runs many apps over texts in one pass, [bold]evaluate[/] scores one.
    """,
)
for verb in (prefinetune, adapt, predict, evaluate):
    # Paragraphs are wrapped to the terminal, not to the source file.
    paragraphs = inspect.cleandoc(verb.__doc__ or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(part.split()) for part in paragraphs))(verb)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"onetrunk {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line: exit code 2 and one line for a user's error, 130 for Ctrl-C."""
    # The libraries below draw bars and print advice of their own; ours is enough.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        errors.print("[bold red]error:[/]", end=" ")
        errors.print(str(error), markup=False)
        code = USER_ERROR
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        errors.print("[bold]interrupted:[/] nothing was written")
        code = INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)
