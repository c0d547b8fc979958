"""Partitions to workers that are lost: each partition has one outcome."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Future
from typing import Any

import pytest

from onetrunk.bulk.dispatch import ATTEMPTS, Dispatch
from onetrunk.bulk.parts import Outcome
from onetrunk.errors import UserError


class Unreliable:
    """A worker that is lost with some probability, at its start or at work."""

    def __init__(self, rng: random.Random, answered: Counter[int], start: float, work: float):
        self.rng, self.answered, self.odds = rng, answered, (start, work)

    def start(self) -> Future[str]:
        return self._future("", self.odds[0])

    def answer(self, partition: Any) -> Future[Outcome]:
        self.answered[partition.number] += 1
        return self._future(Outcome(partition.number, rows=1), self.odds[1])

    def stop(self) -> None:
        pass

    def _future(self, result: Any, odds: float) -> Future[Any]:
        future: Future[Any] = Future()
        if self.rng.random() < odds:
            future.set_exception(EOFError())
        else:
            future.set_result(result)
        return future


class Numbered:
    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return f"partition {self.number}"


def outcomes(
    seed: int, start: float, work: float, count: int = 40
) -> tuple[list[Outcome], Counter[int]]:
    rng, answered = random.Random(seed), Counter[int]()
    dispatch = Dispatch(lambda: Unreliable(rng, answered, start, work), 3)
    parts: list[Any] = [*map(Numbered, range(count))]
    return [one for one in dispatch.outcomes(parts) if one is not None], answered


@pytest.mark.parametrize("seed", range(10))
def test_each_partition_ends_once(seed: int) -> None:
    found, answered = outcomes(seed, 0.1, 0.2)
    assert sorted(one.number for one in found) == list(range(40))
    for one in found:
        assert one.rows == (not one.fault)
        assert answered[one.number] <= ATTEMPTS
        assert not one.fault or answered[one.number] == ATTEMPTS


def test_a_partition_that_kills_its_workers_is_given_up() -> None:
    found, answered = outcomes(0, 0, 1, count=2)
    assert all("perhaps for want of memory" in one.fault for one in found)
    assert set(answered.values()) == {ATTEMPTS}


def test_workers_that_never_start_end_the_run() -> None:
    with pytest.raises(UserError, match="workers end while they start"):
        outcomes(0, 1, 0)
