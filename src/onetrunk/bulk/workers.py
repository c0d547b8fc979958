"""Workers of this machine: processes, each with a model on one thread."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from onetrunk.bulk.partitions import Partition
from onetrunk.bulk.parts import Answerer, Outcome, Task
from onetrunk.data.formats.table import reason

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

_T = TypeVar("_T")


class Worker(Protocol):
    """Answers one partition at a time. A future that raises says that the worker is lost."""

    def start(self) -> Future[str]:
        """Load the model; the result says why that is impossible, and is empty if it was not."""

    def answer(self, partition: Partition) -> Future[Outcome]:
        """Answer a partition."""

    def stop(self) -> None:
        """End, at once."""


StartWorker = Callable[[], Worker]


class Here:
    """A worker in this process."""

    def __init__(self, task: Task, model: Engine | Runtime) -> None:
        self._answerer = Answerer(task, model)

    def start(self) -> Future[str]:
        """Nothing is to be loaded."""
        return _done("")

    def answer(self, partition: Partition) -> Future[Outcome]:
        """Answer a partition, before this returns."""
        return _done(self._answerer.answer(partition))

    def stop(self) -> None:
        """Nothing is to be done."""


class LocalWorker:
    """A worker in a process of its own."""

    def __init__(self, task: Task) -> None:
        context = get_context("spawn")  # a fork would share what threads hold
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, task), daemon=True)
        self._process.start()
        other.close()
        self._thread = ThreadPoolExecutor(1)

    def start(self) -> Future[str]:
        """Wait until the model is loaded."""
        return self._thread.submit(self._pipe.recv)

    def answer(self, partition: Partition) -> Future[Outcome]:
        """Answer a partition."""
        return self._thread.submit(self._ask, partition)

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._thread.shutdown()
        self._pipe.close()

    def _ask(self, partition: Partition) -> Any:
        self._pipe.send(partition)
        return self._pipe.recv()


def _work(pipe: Connection, task: Task) -> None:
    """What the process does: it answers until it is killed, or whoever started it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C its parent takes care
    Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("onetrunk").setLevel(logging.ERROR)  # its parent has said the rest
    try:
        answerer = Answerer(task)
    except Exception as error:
        pipe.send(reason(error))
        return
    pipe.send("")
    while True:
        pipe.send(answerer.answer(pipe.recv()))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _done(result: _T) -> Future[_T]:
    future: Future[_T] = Future()
    future.set_result(result)
    return future
