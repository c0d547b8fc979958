"""Token states for an app in training: computed in full, or from cached trunk activations.

LoRA sits on the last k layers, so what enters them never changes while an app trains: with the
trunk cached, each epoch costs k layers instead of L.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onetrunk.data.alignment import Encoded, encode
from onetrunk.data.batching import by_length, pad
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling

BATCH_ROWS = 32

States = Callable[[Sequence[int]], tuple[Tensor, Tensor]]
"""Row indices -> final token states ``(B, T, D)`` and mask ``(B, T)`` of those examples."""


@dataclass
class Examples:
    """Examples of one family, tokenised: ``units[i]`` are the token positions of example i."""

    rows: list[Any]
    encoded: list[Encoded]
    units: list[list[int]]

    @classmethod
    def prepare(
        cls, family: Family[Any, Any], rows: Sequence[Any], encoder: Encoder, max_length: int
    ) -> Examples:
        """Tokenise ``rows`` to at most ``max_length`` tokens."""
        texts = [family.text(row) for row in rows]
        encoded = encode(encoder.tokenizer, texts, min(max_length, encoder.max_length))
        units = [family.units(row, text) for row, text in zip(rows, encoded, strict=True)]
        return cls(list(rows), encoded, units)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(text.ids) for text in self.encoded]

    @property
    def truncated(self) -> int:
        """How many examples were cut."""
        return sum(text.truncated for text in self.encoded)

    def visible(self, rows: Sequence[int]) -> list[int]:
        """How many units of each of these examples have a token, and so a row of logits."""
        return [sum(at >= 0 for at in self.units[row]) for row in rows]

    def batch(self, rows: Sequence[int], encoder: Encoder) -> tuple[Tensor, Tensor]:
        """input_ids and mask ``(B, T)`` of some rows, on the encoder's device."""
        ids, mask = pad([self.encoded[row].ids for row in rows], encoder.tokenizer.pad_token_id)
        return ids.to(encoder.device), mask.to(encoder.device)


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
    """What a head reads, for every example: a list of ``(u_i, D)`` on the CPU."""
    features = [torch.empty(0)] * len(examples.rows)
    for rows in by_length(examples.lengths, BATCH_ROWS):
        units = [examples.units[row] for row in rows]
        gathered = family.gather(*states(rows), units, pooling).cpu()
        for row, part in zip(rows, gathered.split(examples.visible(rows)), strict=True):
            features[row] = part
    return features
