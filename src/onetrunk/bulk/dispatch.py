"""Partitions to workers, until each is answered once, whichever workers are lost meanwhile."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from onetrunk.bulk.partitions import Partition
from onetrunk.bulk.parts import Outcome
from onetrunk.bulk.workers import StartWorker, Worker
from onetrunk.data.formats.table import reason
from onetrunk.errors import UserError

ATTEMPTS = 3
"""A partition is tried so often; so many workers in a row may be lost while they start."""


class Dispatch:
    """A run of some partitions on ``count`` workers."""

    def __init__(self, start_worker: StartWorker, count: int) -> None:
        self._start_worker = start_worker
        self.count = count
        self.ready = 0
        """Workers that have loaded the model."""
        self.lost = 0
        """Workers that were killed or died."""
        self._starts_lost = 0
        self._busy: dict[Future[Any], tuple[Worker, Partition | None]] = {}
        self._idle: list[Worker] = []

    def outcomes(self, partitions: Sequence[Partition]) -> Iterator[Outcome | None]:
        """Yield what came of each partition, as they end, and None about each second meanwhile.

        Raises :class:`UserError` if workers cannot be started.
        """
        waiting, attempts = deque(partitions), Counter[int]()
        left = len(partitions)
        try:
            for _ in range(min(self.count, left)):
                self._add_worker()
            while left:
                while waiting and self._idle:
                    worker, following = self._idle.pop(), waiting.popleft()
                    attempts[following.number] += 1
                    self._busy[worker.answer(following)] = worker, following
                ended, _ = wait(self._busy, timeout=1, return_when=FIRST_COMPLETED)
                for future in ended:
                    partition, outcome = self._after(future)
                    if partition is None:
                        continue
                    if outcome.fault and attempts[partition.number] < ATTEMPTS:
                        waiting.append(partition)
                    else:
                        left -= 1
                        yield outcome
                if not ended:
                    yield None
        finally:
            for worker in (*self._idle, *(worker for worker, _ in self._busy.values())):
                worker.stop()

    def _add_worker(self) -> None:
        worker = self._start_worker()
        self._busy[worker.start()] = worker, None

    def _after(self, future: Future[Any]) -> tuple[Partition | None, Outcome]:
        """What a worker has done; it is idle then. One that is lost gives way to a new one."""
        worker, partition = self._busy.pop(future)
        number = -1 if partition is None else partition.number
        if error := future.exception():
            worker.stop()
            self.lost += 1
            if partition is None:
                self._starts_lost += 1
                if self._starts_lost >= ATTEMPTS:
                    raise UserError(f"workers end while they start: {_why(error)}")
            else:
                self.ready -= 1
            self._add_worker()
            return partition, Outcome(number, fault=f"{partition}: {_why(error)}")
        if partition is None:
            if fault := future.result():
                raise UserError(fault)
            self._starts_lost = 0
            self.ready += 1
        self._idle.append(worker)
        return partition, Outcome(number) if partition is None else future.result()


def _why(error: BaseException) -> str:
    if isinstance(error, EOFError | ConnectionError):
        return "the process was killed or died, perhaps for want of memory"
    return reason(error)  # type: ignore[arg-type]
