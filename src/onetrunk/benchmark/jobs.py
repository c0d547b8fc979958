"""Jobs that several processes share, on one machine or on several that see the same folder.

Each process works on the first job that is neither done nor taken. A job is taken by holding a lock
file, which the system releases when the process ends, however it ends.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

LOCKS = "locks"
WAIT = 3.0
"""Seconds until the next look where all the jobs left are under way in other processes."""


@contextmanager
def taken(lock: Path) -> Iterator[bool]:
    """Hold a lock file inside the block, if it is free; yields whether it was."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = FileLock(lock)
    try:
        file.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        file.release()


@dataclass(frozen=True)
class Job:
    """A piece of work that one process does while it holds ``lock``."""

    lock: Path
    done: Callable[[], bool]
    make: Callable[[], object]
    ready: Callable[[], bool] = lambda: True
    """Whether the results of other jobs that it needs are there."""


def work(jobs: Sequence[Job], waiting: Callable[[], None] = lambda: None) -> None:
    """Do the jobs that are neither done nor taken, in order, until every one is done.

    ``waiting`` is called again and again while other processes have all that is left.
    """
    while left := [job for job in jobs if not job.done()]:
        if not any(map(_attempt, left)):
            waiting()
            time.sleep(WAIT)


def _attempt(job: Job) -> bool:
    """Whether a job is done now."""
    if not job.ready():
        return False
    with taken(job.lock) as free:
        if free and not job.done():  # another process may have done it meanwhile
            job.make()
        return free
