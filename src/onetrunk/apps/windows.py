"""Examples of one family, tokenised into windows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from onetrunk.data.alignment import Encoded, encode_windows
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Place, Span
from onetrunk.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor

Rows = TypeVar("Rows", bound="np.ndarray | Tensor")


class Tokenising(Protocol):
    """What windows are cut by: an encoder, or the device's runtime."""

    @property
    def tokenizer(self) -> Any:
        """A ``tokenizers.Tokenizer``, or a fast tokenizer of transformers."""

    @property
    def max_length(self) -> int:
        """The longest window in tokens."""


class OfUnits(NamedTuple):
    """Numbers for the units of one example."""

    units: Sequence[Span]
    """The characters of each unit; empty for a whole text."""
    values: Tensor
    """``(u, C)``, or ``(1, C)`` for a whole text."""

    def of(self, units: Sequence[Span]) -> Tensor:
        """The values for the units of another tokenizer: each has those of the unit here that its
        first character is in, and zeros if that is in none."""
        if list(units) == list(self.units):
            return self.values
        ends = [end for _, end in self.units]
        values = self.values.new_zeros(len(units), self.values.shape[1])
        for number, (start, _) in enumerate(units):
            at = bisect_right(ends, start)
            if at < len(ends) and self.units[at][0] <= start:
                values[number] = self.values[at]
        return values


@dataclass
class Examples:
    """Examples of one family, tokenised. A long text is several windows, read one by one.

    Window ``w`` belongs to example ``example_of[w]`` (ascending) and reads units of it at its
    tokens ``tokens[w]``. ``units[e]`` are the characters of each unit of example ``e``.
    """

    rows: list[Any]
    encoded: list[Encoded]
    example_of: list[int]
    tokens: list[list[int]]
    units: list[Sequence[Span]]

    @classmethod
    def prepare(
        cls, family: Family[Any, Any], rows: Sequence[Any], encoder: Tokenising, max_length: int
    ) -> Examples:
        """Tokenise ``rows`` into windows of at most ``max_length`` tokens."""
        texts = [family.text(row) for row in rows]
        windows = encode_windows(encoder.tokenizer, texts, min(max_length, encoder.max_length))
        units = [family.units(row, parts) for row, parts in zip(rows, windows, strict=True)]
        example_of = [i for i, parts in enumerate(windows) for _ in parts]
        tokens = [of_window for of_row in units for of_window in of_row.tokens]
        return cls(
            list(rows), [*chain(*windows)], example_of, tokens, [of_row.spans for of_row in units]
        )

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(text.ids) for text in self.encoded]

    @property
    def long(self) -> int:
        """How many examples are longer than a window."""
        return sum(count > 1 for count in Counter(self.example_of).values())

    def counts(self, windows: Sequence[int]) -> list[int]:
        """How many units each of these windows reads: its rows of logits."""
        return [len(self.tokens[window]) for window in windows]

    def by_window(self, values: Sequence[Rows]) -> list[Rows]:
        """Divide the rows of each example among its windows.

        ``values[e]`` has a row for each unit of the example, or one row for the whole text, which
        each of its windows gets.
        """
        parts: list[Rows] = []
        for windows, of_example in zip(self._windows(), values, strict=True):
            counts = self.counts(windows)
            whole = len(of_example) != sum(counts)
            if whole:
                parts += [of_example] * len(windows)
            else:
                ends = np.cumsum(counts).tolist()
                divided: Any = [of_example[e - n : e] for n, e in zip(counts, ends, strict=True)]
                parts += divided
        return parts

    def joined(self, parts: Sequence[Tensor]) -> list[tuple[Any, Tensor, Sequence[Span]]]:
        """Each example, the rows of ``parts`` of all its windows in order, and its units.

        If units are words, this undoes :meth:`by_window`. A whole text has a row for each window.
        """
        import torch

        return [
            (row, torch.cat([parts[window] for window in windows]), units)
            for row, windows, units in zip(self.rows, self._windows(), self.units, strict=True)
        ]

    @cached_property
    def cut_entities(self) -> list[tuple[int, Span]]:
        """The entities that begin or end inside a unit, by the index of their example: no answer
        can be right about them."""
        cut = []
        for row, (example, units) in enumerate(zip(self.rows, self.units, strict=True)):
            if not (entities := getattr(example, "entities", ())):
                continue
            starts, ends = {start for start, _ in units}, {end for _, end in units}
            for start, end, _ in entities:
                if start not in starts or end not in ends:
                    cut.append((row, (start, end)))
        return cut

    def note_cut_entities(self, place: Place, notes: Notes) -> None:
        """Note the :attr:`cut_entities`. ``place`` says where a row is."""
        for row, (start, end) in self.cut_entities:
            where = f"{place(row)}: {self.rows[row].text[start:end]!r}"
            notes.add("entities that begin or end inside a unit, counted as missed", where)

    def _windows(self) -> list[list[int]]:
        of_example: list[list[int]] = [[] for _ in self.rows]
        for window, example in enumerate(self.example_of):
            of_example[example].append(window)
        return of_example
