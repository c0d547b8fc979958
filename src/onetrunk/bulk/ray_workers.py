"""Workers of a Ray cluster: actors, each with a model on one thread of one core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from onetrunk.bulk.partitions import Partition
from onetrunk.bulk.parts import Answerer, Outcome, Task
from onetrunk.bulk.workers import StartWorker
from onetrunk.bundle.layout import MANIFEST, Bundle
from onetrunk.data.formats.table import reason
from onetrunk.errors import UserError


class RayWorker:
    """An actor."""

    def __init__(self, actor_class: Any, task: Any) -> None:
        self._actor = actor_class.remote()
        self._task = task

    def start(self) -> Future[str]:
        """Load the model, once the cluster has a free core."""
        loaded: Future[str] = self._actor.load.remote(self._task).future()
        return loaded

    def answer(self, partition: Partition) -> Future[Outcome]:
        """Answer a partition."""
        outcome: Future[Outcome] = self._actor.answer.remote(partition).future()
        return outcome

    def stop(self) -> None:
        """Kill the actor."""
        import ray

        ray.kill(self._actor)


class _Actor:
    def load(self, task: Task) -> str:
        try:
            self._answerer = Answerer(task)
        except Exception as error:
            return reason(error)
        return ""

    def answer(self, partition: Partition) -> Outcome:
        return self._answerer.answer(partition)


@contextmanager
def ray_workers(
    task: Task, count: int | None, address: str | None
) -> Iterator[tuple[StartWorker, int]]:
    """What starts a worker in a cluster, and how many there are to be: by default one a core.

    ``address`` is that of a running cluster; without one a cluster is started on this machine, and
    stopped afterwards. Raises :class:`UserError` if the cluster cannot be reached.
    """
    import ray

    was_there = ray.is_initialized()
    if not was_there:
        address = address or os.environ.get("RAY_ADDRESS")
        alone = {"num_cpus": count, "include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                address or "local",
                logging_level="ERROR",
                log_to_driver=False,
                **({} if address else alone),
            )
        except Exception as error:
            raise UserError(f"the Ray cluster cannot be reached: {reason(error)}") from None
    try:
        actor_class = ray.remote(num_cpus=1)(_Actor)
        shared = ray.put(_with_files(task))  # once a machine, however many workers it has
        cores = int(ray.cluster_resources().get("CPU", 1))
        yield lambda: RayWorker(actor_class, shared), count or cores
    finally:
        if not was_there:
            ray.shutdown()


def _with_files(task: Task) -> Task:
    """The task with the bundle in it: workers on other machines do not have its folder."""
    folder = task.model[0]
    if not (folder / MANIFEST).exists():
        return task
    files = {path: (folder / path).read_bytes() for path in (MANIFEST, *Bundle(folder).files)}
    return replace(task, bundle=files)
