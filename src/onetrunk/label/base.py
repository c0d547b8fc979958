"""What a labeler is: texts in, one answer a text out, in the same order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Entity(NamedTuple):
    """The characters ``text[start:end]`` are an entity of this type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The entities of one text, in order and without overlaps, or why there are none to be had.

    ``counts`` says what came up on the way (``hallucinated``, ``retries: timeout``, …); the report
    adds them up. A text with an ``error`` has no entities, which is not the same as an empty list:
    it never becomes a training row.
    """

    entities: tuple[Entity, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


class Labeler(Protocol):
    """Finds entities in texts."""

    @property
    def fingerprint(self) -> str:
        """What the answers depend on: a run goes on only with a labeler of the same one."""

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """Yield one answer a text, in order; texts are taken as needed, a few ahead.

        Raises :class:`Unfinished` to stop early, :class:`~onetrunk.errors.UserError` for a fault
        that every text would meet.
        """


class Unfinished(Exception):
    """Labelling stops before the end, by itself or by the endpoint's will; what is done is kept."""
