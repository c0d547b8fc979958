"""Commands of which none needs another, in processes of their own: one on each core."""

import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from multiprocessing import get_context
from threading import Thread

from onetrunk.bulk.workers import cores, end_with_parent

MOST = 8
"""Processes at most: each holds an encoder."""


class SideBySide:
    """Processes that are ready to run commands of this package's command line."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, commands: Sequence[Sequence[str]]) -> Iterator[int]:
        """Run commands, whose first word is the program. Yields their exit codes in their order,
        each once what the command printed has been printed here."""
        terminals = [(sys.stdout.isatty(), sys.stderr.isatty())] * len(commands)
        for code, out, err in self._pool.map(_run, commands, terminals):
            sys.stdout.write(out)
            sys.stdout.flush()
            sys.stderr.write(err)
            yield code


@contextmanager
def side_by_side(*modules: str) -> Iterator[SideBySide]:
    """Inside the block the processes are there. ``modules`` are what their commands import.

    Nothing may have been computed by PyTorch before: a process that is forked does not have the
    threads that it has started, and would wait for them.
    """
    for module in modules:
        import_module(module)
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(min(cores(), MOST), context, _begin) as pool:
        pool.submit(os.getpid).result()  # the processes are started by the first call
        try:
            yield SideBySide(pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin() -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's, too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with_parent, daemon=True).start()


class _Output(io.StringIO):
    """What is shown later, as it is on a terminal or elsewhere."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether it will be shown on a terminal."""
        return self._terminal


def _run(command: Sequence[str], terminals: tuple[bool, bool]) -> tuple[int, str, str]:
    from onetrunk import cli

    out, err = map(_Output, terminals)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.run(command[1:])
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code, out.getvalue(), err.getvalue()
