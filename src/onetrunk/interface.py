"""What :class:`~onetrunk.apps.engine.Engine` and the device's Runtime have in common."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, overload

import numpy as np

from onetrunk.errors import UserError

FEWEST_JUDGED = 3
"""Fewer examples have no score: right or wrong by chance, it would be 100 or 0."""


@dataclass(frozen=True)
class Score:
    """How good an app is that was taught, by cross-validation: each fifth of the examples is
    answered by a head that has not seen it. (Of very many examples it is one fifth.)

    The same examples chose the penalty, so the value is a little too good; with few examples it is
    a rough one. It prints as a line, which says so if there are too few (:data:`FEWEST_JUDGED`).
    """

    metric: str
    """``accuracy``, ``f1``, …: the family's."""
    value: float | None
    """In percent; None if fewer than :data:`FEWEST_JUDGED` are judged."""
    rows: int
    """How many examples it learnt from."""
    judged: int
    """How many of them ``value`` is about."""
    seconds: float
    penalty: float
    """The ridge penalty."""
    head_layers: int
    """The head reads the states of so many last layers."""
    before: float | None = None
    """What the app of this name and family, if there was one, scores on the judged examples. This
    is no cross-validation, and too good where that app has learnt from them: only examples that are
    new to it say how it did. None if there was none, and where ``value`` is None."""

    def __str__(self) -> str:
        if self.value is None or self.judged < FEWEST_JUDGED:
            return "too few examples to score"
        of = "" if self.judged == self.rows else f" of {self.rows:,}"
        said = f"{self.metric} {self.value:.1f} by cross-validation on {self.judged:,}{of} examples"
        if self.before is not None:
            said += f"; the app before: {self.before:.1f} on the same"
        return said

    __repr__ = __str__  # what a notebook shows


class Model(Protocol):
    """Apps on one backbone, ready to run over texts.

    ```python
    import onetrunk

    model: onetrunk.Model = onetrunk.load("phone")  # an Engine and a Client are Models, too
    for answer in model.stream(open("messages.txt")):
        print(answer["apps"])
    print(model.embed(["a text", "another"]).shape)
    ```
    """

    @property
    def names(self) -> list[str]:
        """The apps' names."""

    @overload
    def predict(self, texts: str, apps: Sequence[str] | None = None) -> dict[str, Any]: ...

    @overload
    def predict(
        self, texts: list[str] | tuple[str, ...], apps: Sequence[str] | None = None
    ) -> list[dict[str, Any]]: ...

    def predict(self, texts: Any, apps: Sequence[str] | None = None) -> Any:
        """Run apps (default: all) over one text, or over many.

        One text gives one result, a list gives a list. A result holds ``text`` and, under ``apps``,
        the answer of each app: ``entities`` with character offsets, ``labels`` with
        ``probabilities``, or a ``value``. An app that is not sure enough, and one that is asked for
        labels of an empty text, gives no label and says ``abstained``. Raises :class:`UserError`
        for an unknown app, and for anything that is neither a text nor a list of texts.
        """

    def stream(
        self, texts: Iterable[str | UserError], apps: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """:meth:`predict` for any number of texts, one result at a time, in order.

        What cannot be answered does not end the stream: its result holds ``text`` (None if it is no
        string) and ``error``, in place of ``apps``. An item may be a :class:`UserError`, for a text
        that could not be read.
        """

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """The text classification family's embedding of each text, ``(N, D)`` float32.

        It is the pooled last state under the family's task-primary LoRA, not normalised. One text
        gives ``(D,)``. Of a text that is longer than a window it is the mean over its windows.
        """


def streamed(texts: Any) -> Iterable[Any]:
    """What :meth:`Model.stream` goes through: one string is one text; a table is refused."""
    if isinstance(texts, str):
        return [texts]
    if (
        hasattr(texts, "columns")
        or isinstance(texts, bytes | dict | set | frozenset)
        or not _iterable(texts)
    ):
        return listed(texts)  # which says what to pass
    return cast(Iterable[Any], texts)


def stream_results(
    batches: Iterable[Sequence[Any]],
    predict: Callable[[list[str]], list[dict[str, Any]]],
    longest: int | None = None,
) -> Iterator[dict[str, Any]]:
    """What :meth:`Model.stream` yields, given :meth:`Model.predict` and batches of what it read.

    ``longest``: the most characters that a text may have.
    """
    for batch in batches:
        faults = [_fault(item, longest) for item in batch]
        answers = iter(
            predict([item for item, fault in zip(batch, faults, strict=True) if not fault])
        )
        for item, fault in zip(batch, faults, strict=True):
            text = item if isinstance(item, str) else None
            yield {"text": text, "error": fault} if fault else next(answers)


def _fault(text: Any, longest: int | None) -> str:
    """Why a text cannot be answered; empty if it can."""
    if isinstance(text, UserError):
        return str(text)
    if not isinstance(text, str):
        return f"{_shown(text)} is no text: every text must be a string"
    return too_long(text, longest)


def too_long(text: str, longest: int | None) -> str:
    """What is wrong with a text of more than ``longest`` characters; empty for others."""
    if longest is None or len(text) <= longest:
        return ""
    return (
        f"{len(text):,} characters; at most {longest:,} are read at once: cut the text into parts"
    )


def listed(texts: Any, what: str = "texts") -> list[str]:
    """A list of the texts in ``texts``: one string, or any ordered collection of strings.

    Raises :class:`UserError`, saying what to pass, for anything else: None, NaN, bytes, a table, or
    a collection that holds one of these.
    """
    if isinstance(texts, str):
        return [texts]
    if hasattr(texts, "columns") or isinstance(texts, dict):
        names = ", ".join(map(str, texts if isinstance(texts, dict) else texts.columns))
        raise UserError(f"{what}: pass one column of the table, not all of it: {names[:80]}")
    if isinstance(texts, bytes | set | frozenset) or not _iterable(texts):
        raise UserError(f"{what}: pass a string or a list of strings, not {_shown(texts)}")
    every = list(texts)
    for place, text in enumerate(every):
        if not isinstance(text, str):
            raise UserError(
                f"{what}: item {place} (counted from 0) is {_shown(text)}; every text must be a "
                "string"
            )
    return every


def _iterable(texts: Any) -> bool:
    return hasattr(texts, "__iter__") and getattr(texts, "ndim", 1) > 0


def _shown(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"
