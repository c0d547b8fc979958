"""Examples of one family, tokenised into windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from onetrunk.data.alignment import Encoded, encode_windows
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder


@dataclass
class Examples:
    """Examples of one family, tokenised. A long text is several windows, read one by one.

    Window w belongs to example ``example_of[w]`` (ascending) and reads the units of it whose token
    positions ``units[w]`` gives.
    """

    rows: list[Any]
    encoded: list[Encoded]
    example_of: list[int]
    units: list[list[int]]

    @classmethod
    def prepare(
        cls, family: Family[Any, Any], rows: Sequence[Any], encoder: Encoder, max_length: int
    ) -> Examples:
        """Tokenise ``rows`` into windows of at most ``max_length`` tokens."""
        texts = [family.text(row) for row in rows]
        windows = encode_windows(encoder.tokenizer, texts, min(max_length, encoder.max_length))
        units = [family.units(row, parts) for row, parts in zip(rows, windows, strict=True)]
        example_of = [i for i, parts in enumerate(windows) for _ in parts]
        return cls(list(rows), [*chain(*windows)], example_of, [*chain(*units)])

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(text.ids) for text in self.encoded]

    @property
    def long(self) -> int:
        """How many examples are longer than a window."""
        return sum(count > 1 for count in Counter(self.example_of).values())

    def unread(self) -> list[tuple[int, int]]:
        """Units that no window reads, as (example, unit): the tokenizer keeps nothing of them."""
        parts = [torch.empty(0)] * len(self.encoded)
        return [
            (example, unit)
            for example, (_, _, units) in enumerate(self.joined(parts))
            for unit, at in enumerate(units)
            if at < 0
        ]

    def visible(self, windows: Sequence[int]) -> list[int]:
        """How many units each of these windows reads: its rows of logits."""
        return [sum(at >= 0 for at in self.units[window]) for window in windows]

    def joined(self, parts: Sequence[Tensor]) -> list[tuple[Any, Tensor, list[int]]]:
        """By example: itself, its windows' rows of ``parts`` in order, and which units they are of.

        ``parts[w]`` is ``(u_w, …)``. Every unit is read by one window at most, and windows keep the
        order of units, so the rows of an example are in order too.
        """
        of_example: list[list[int]] = [[] for _ in self.rows]
        for window, example in enumerate(self.example_of):
            of_example[example].append(window)
        return [
            (
                row,
                torch.cat([parts[window] for window in windows]),
                [max(at) for at in zip(*(self.units[window] for window in windows), strict=True)],
            )
            for row, windows in zip(self.rows, of_example, strict=True)
        ]
