"""Token states for an app in training: computed in full, or from cached trunk activations.

LoRA sits on the last k layers, so what enters them never changes while an app trains: with the
trunk cached, each epoch costs k layers instead of L.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from onetrunk.data.alignment import Encoded, encode_windows
from onetrunk.data.batching import by_length, pad
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling

BATCH_ROWS = 32

States = Callable[[Sequence[int]], tuple[Tensor, Tensor]]
"""Window indices -> final token states ``(B, T, D)`` and mask ``(B, T)`` of those windows."""


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

    def batch(self, windows: Sequence[int], encoder: Encoder) -> tuple[Tensor, Tensor]:
        """input_ids and mask ``(B, T)`` of some windows, on the encoder's device."""
        ids, mask = pad([self.encoded[w].ids for w in windows], encoder.tokenizer.pad_token_id)
        return ids.to(encoder.device), mask.to(encoder.device)

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


def full_states(examples: Examples, encoder: Encoder) -> States:
    """States by the whole forward, every time anew."""

    def states(rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        ids, mask = examples.batch(rows, encoder)
        return encoder.states(ids, mask), mask

    return states


@torch.no_grad()
def cached_states(examples: Examples, encoder: Encoder, k: int) -> States:
    """States by the last ``k`` layers alone, on trunk activations that are computed here, once.

    Keeps ``(total tokens, D)`` fp32 in memory, without padding.
    """
    starts = [0]
    for length in examples.lengths:
        starts.append(starts[-1] + length)
    hidden = torch.empty(starts[-1], encoder.width)
    for rows in by_length(examples.lengths, BATCH_ROWS):
        trunk = encoder.trunk(*examples.batch(rows, encoder), k).cpu()
        for row, states in zip(rows, trunk, strict=True):
            hidden[starts[row] : starts[row + 1]] = states[: starts[row + 1] - starts[row]]

    def states_from_cache(rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        parts = [hidden[starts[row] : starts[row + 1]] for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True).to(encoder.device)
        _, mask = examples.batch(rows, encoder)
        return encoder.top(padded, mask, k), mask

    return states_from_cache


@torch.no_grad()
def unit_features(
    examples: Examples, family: Family[Any, Any], states: States, pooling: Pooling
) -> list[Tensor]:
    """What a head reads, for every window: a list of ``(u_w, D)`` on the CPU."""
    features = [torch.empty(0)] * len(examples.encoded)
    for rows in by_length(examples.lengths, BATCH_ROWS):
        units = [examples.units[row] for row in rows]
        gathered = family.gather(*states(rows), units, pooling).cpu()
        for row, part in zip(rows, gathered.split(examples.visible(rows)), strict=True):
            features[row] = part
    return features
