"""The interface of a labeler: it takes texts and gives one answer for each, in the same order."""

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
    """The entities of one text, in order and without overlaps.

    ``error`` says why there is no answer. Such a text has no entities and becomes no training row;
    a text in which the labeler found nothing becomes one. ``counts`` holds events by name
    (``hallucinated``, ``retries: timeout``, ...); the report adds them up.
    """

    entities: tuple[Entity, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


class Labeler(Protocol):
    """Finds entities in texts."""

    @property
    def fingerprint(self) -> str:
        """Names everything that the answers depend on; only an equal labeler resumes a run."""

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """Yield one answer per text, in order. Texts are taken when needed, a few ahead.

        Raises :class:`Unfinished` to stop early, and :class:`~onetrunk.errors.UserError` for a
        fault that would hit every text.
        """


class Unfinished(Exception):
    """Labelling stopped before the end, for example because a budget is spent."""
