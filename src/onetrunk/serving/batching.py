"""Texts of all callers, run together by one thread.

A batch begins as soon as the one before has ended, with what waits by then, so nobody waits for a
batch to fill. A text is given to the model once for all apps that anyone in the batch asks of it.
A request of many texts takes several batches and lets others in between.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from onetrunk.errors import nearest
from onetrunk.serving.refusal import Refusal
from onetrunk.serving.settings import Limits

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

BATCH_CHARACTERS = 20_000
"""A batch that has so many takes no further text."""
TEXT_COST = 50
"""What a text costs beside its characters, in characters."""
SMOOTHING = 0.2
"""The weight of the last batch in the measured speed."""


@dataclass(eq=False)
class _Request:
    texts: Sequence[str]
    apps: frozenset[str] | None
    """None: embeddings."""
    model: Engine | Runtime
    """The model when it was accepted: it sees the same apps to its end."""
    future: asyncio.Future[list[Any]]
    begun: int = 0
    answers: list[Any] = field(default_factory=list)


_Part = tuple[_Request, Sequence[str]]
"""A request, and those of its texts that a batch holds."""


class Batcher:
    """The queue and the thread of a service. ``observe`` is told of each batch: its number of texts
    and its seconds."""

    def __init__(self, limits: Limits, observe: Callable[[int, float], None]) -> None:
        self._limits, self._observe = limits, observe
        self._waiting: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "onetrunk-predict")
        self.texts_waiting = 0
        self._cost_waiting = 0
        self._cost_running = 0
        self._speed = math.inf
        self._batch_began: float | None = None

    async def predict(
        self, model: Engine | Runtime, texts: Sequence[str], apps: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        """What ``model.predict`` gives for each text. Raises :class:`Refusal` for an unknown app,
        if too much waits, and after the deadline."""
        known = dict.fromkeys(model.names)
        names = [*(known if apps is None else dict.fromkeys(apps))]
        for name in names:
            if name not in known:
                raise Refusal(422, f"unknown app {name!r}; {nearest(name, known)}")
        answers = await self._ask(model, texts, frozenset(names))
        return [
            {"text": answer["text"], "apps": {name: answer["apps"][name] for name in names}}
            for answer in answers
        ]

    async def embed(self, model: Engine | Runtime, texts: Sequence[str]) -> list[Any]:
        """The embedding ``(D,)`` of each text. Raises :class:`Refusal` as :meth:`predict` does."""
        return await self._ask(model, texts, None)

    def is_stuck(self) -> bool:
        """Whether a batch takes longer than two requests may."""
        began = self._batch_began
        return began is not None and time.monotonic() - began > 2 * self._limits.deadline

    async def run(self) -> None:
        """Answer requests until the task is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            self._cost_running = sum(_cost(texts) for _, texts in batch)
            self._batch_began = began = time.monotonic()
            outcomes = await loop.run_in_executor(self._thread, _outcomes, batch)
            seconds = time.monotonic() - began
            self._batch_began = None
            self._note_speed(seconds)
            self._observe(sum(len(texts) for _, texts in batch), seconds)
            for (request, _), outcome in zip(batch, outcomes, strict=True):
                _answer(request, outcome)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _ask(
        self, model: Engine | Runtime, texts: Sequence[str], apps: frozenset[str] | None
    ) -> list[Any]:
        if not texts:
            return []
        self._admit(len(texts))
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        request = _Request(texts, apps, model, future)
        self._waiting.append(request)
        self._count(texts, 1)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._limits.deadline):
                return await future
        except TimeoutError:
            raise Refusal(
                504, f"no answer within {self._limits.deadline:g} seconds: send fewer texts"
            ) from None

    def _admit(self, count: int) -> None:
        """Raise :class:`Refusal` if these texts would wait too long."""
        seconds = (self._cost_waiting + self._cost_running) / self._speed
        too_many = self.texts_waiting + count > self._limits.max_queue
        too_slow = self.texts_waiting > 0 and seconds > self._limits.deadline / 2
        if too_many or too_slow:
            raise Refusal(
                429,
                f"too busy: {self.texts_waiting} texts wait; try again in a moment",
                max(1, math.ceil(seconds)),
            )

    def _next_batch(self) -> list[_Part]:
        """The next texts of the requests that wait longest; those with more go to the end."""
        batch: list[_Part] = []
        unfinished = []
        room, characters = self._limits.max_batch, BATCH_CHARACTERS
        while self._waiting and room > 0 and characters > 0:
            request = self._waiting.popleft()
            rest = request.texts[request.begun :]
            if request.future.done():  # its deadline has passed
                self._count(rest, -1)
                continue
            count = 0
            while count < len(rest) and room > 0 and characters > 0:
                room, characters = room - 1, characters - len(rest[count])
                count += 1
            request.begun += count
            self._count(rest[:count], -1)
            batch.append((request, rest[:count]))
            if count < len(rest):
                unfinished.append(request)
        self._waiting.extend(unfinished)
        return batch

    def _count(self, texts: Sequence[str], sign: int) -> None:
        self.texts_waiting += sign * len(texts)
        self._cost_waiting += sign * _cost(texts)

    def _note_speed(self, seconds: float) -> None:
        speed, self._cost_running = self._cost_running / max(seconds, 1e-6), 0
        if math.isinf(self._speed):
            self._speed = speed
        # The mean of times, not of speeds: that of a slow batch counts as much as it took.
        self._speed = 1 / ((1 - SMOOTHING) / self._speed + SMOOTHING / speed)


def _cost(texts: Sequence[str]) -> int:
    return sum(map(len, texts)) + TEXT_COST * len(texts)


def _answer(request: _Request, outcome: list[Any] | Exception) -> None:
    if request.future.done():
        return
    if isinstance(outcome, Exception):
        request.future.set_exception(outcome)
        return
    request.answers += outcome
    if len(request.answers) == len(request.texts):
        request.future.set_result(request.answers)


class _Asked(NamedTuple):
    """What a batch asks of a text; callers who ask the same share the answer."""

    model: Any
    embeds: bool
    text: str


def _asked(request: _Request, text: str) -> _Asked:
    return _Asked(request.model, request.apps is None, text)


def _outcomes(batch: Sequence[_Part]) -> list[list[Any] | Exception]:
    """For each part, what its texts got, or why one of them got nothing."""
    apps_of: dict[_Asked, frozenset[str]] = {}
    for request, texts in batch:
        for text in texts:
            asked = _asked(request, text)
            apps_of[asked] = apps_of.get(asked, frozenset()) | (request.apps or frozenset())
    together: dict[Any, list[_Asked]] = {}
    for asked, apps in apps_of.items():
        together.setdefault((asked.model, asked.embeds, apps), []).append(asked)
    answers: dict[_Asked, Any] = {}
    for (_, _, apps), group in together.items():
        answers |= _run(group, apps)
    outcomes: list[list[Any] | Exception] = []
    for request, texts in batch:
        of_part = [answers[_asked(request, text)] for text in texts]
        faults = [answer for answer in of_part if isinstance(answer, Exception)]
        outcomes.append(faults[0] if faults else of_part)
    return outcomes


def _run(group: Sequence[_Asked], apps: frozenset[str]) -> dict[_Asked, Any]:
    """Answers to texts of one model; an exception in place of an answer that failed."""
    model, embeds, _ = group[0]
    texts = [asked.text for asked in group]
    try:
        if embeds:
            return dict(zip(group, model.embed(texts), strict=True))
        ordered = [name for name in model.names if name in apps]
        return dict(zip(group, model.predict(texts, ordered), strict=True))
    except Exception as error:
        if len(group) == 1:
            return {group[0]: error}
        # One text's fault is not that of the others.
        return {asked: answer for one in group for asked, answer in _run([one], apps).items()}
