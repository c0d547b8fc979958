"""Token states for apps in training: trunk activations, kept, and the layers above them.

LoRA sits on the last k layers, so what enters them never changes while an app trains: with the
trunk cached, each epoch costs k layers instead of L. Texts lie side by side, without padding.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onetrunk.data.alignment import Encoded, encode_windows
from onetrunk.data.batching import TokenIds, by_tokens
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.packing import unpack
from onetrunk.model.precision import Chosen, autocast

# Tokens that go through layers together where no gradients are needed.
CHUNK_TOKENS = 2048
# Each app's tokens are filled up to a multiple of this by a text of zeros that no one reads. oneDNN
# compiles a kernel for every number of tokens that it has not seen lately, which takes longer than
# a small product does.
STEP_TOKENS = 32
# Kept activations beyond this lie in a file.
MEMORY_BYTES = 2 * 2**30


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


class Top:
    """The last ``k`` layers of an encoder, under a stack's adapters. With ``precision`` bf16 the
    encoder's products are (:meth:`Encoder.in_bf16`), and what enters and leaves is fp32."""

    def __init__(
        self, encoder: Encoder, stack: LoraStack, k: int, precision: Chosen = "fp32"
    ) -> None:
        self.encoder, self.stack, self.start = encoder, stack, encoder.depth - k
        self.precision = precision

    def __call__(self, parts: Sequence[tuple[Trunk, Sequence[int]]]) -> list[tuple[Tensor, Tensor]]:
        """Windows of several apps in one pass: for each, the states that it reads
        ``(B, T, reads D)`` and mask ``(B, T)``."""
        lengths = [[trunk.lengths[window] for window in windows] for trunk, windows in parts]
        filler = [-sum(of) % STEP_TOKENS for of in lengths]
        hidden = [
            F.pad(trunk(windows), (0, 0, 0, extra))
            for (trunk, windows), extra in zip(parts, filler, strict=True)
        ]
        tokens = list(map(len, hidden))
        reads = [trunk.reads for trunk, _ in parts]
        slots = self.stack.slots([trunk.name for trunk, _ in parts])
        every = [n for of, extra in zip(lengths, filler, strict=True) for n in (*of, extra) if n]
        with self.stack.route(slots, tokens):
            states = self.run(torch.cat(hidden), every, max(reads))
        width = self.encoder.width
        return [
            unpack(own[: sum(of), -count * width :], of)
            for own, of, count in zip(states.split(tokens), lengths, reads, strict=True)
        ]

    def run(self, hidden: Tensor, lengths: Sequence[int], reads: int) -> Tensor:
        """The top: :meth:`Encoder.run_packed`."""
        with autocast(self.precision, self.encoder.device):
            states = self.encoder.run_packed(hidden, lengths, self.start, self.encoder.depth, reads)
        return states.float()

    def below(self, ids: Sequence[TokenIds]) -> Tensor:
        """What enters the top, of texts side by side: ``(N, D)``."""
        hidden = self.encoder.embed_packed(ids)
        with autocast(self.precision, self.encoder.device):
            return self.encoder.run_packed(hidden, list(map(len, ids)), 0, self.start).float()


class Trunk:
    """What enters the top under adapter ``name``, for every window of some examples.

    The adapter may reach below the top; what it has there is not trained. ``cache`` computes all of
    it once and keeps ``(total tokens, D)`` fp32: in memory up to :data:`MEMORY_BYTES`, else in a
    file without a name, gone with this object. Otherwise it is computed when it is asked for.
    ``reads``: of how many layers the head is to read the states, the last one and those before it.
    """

    def __init__(
        self, examples: Examples, top: Top, name: str, cache: bool, reads: int = 1
    ) -> None:
        self.examples, self.top, self.name, self.reads = examples, top, name, reads
        self.lengths = examples.lengths
        self._ends = np.cumsum(self.lengths, dtype=np.int64)
        self._kept: Tensor | None = None
        if cache and self.lengths:
            self._kept = self._keep()

    def __call__(self, windows: Sequence[int]) -> Tensor:
        """Windows side by side, without padding: ``(N, D)`` of N tokens in all."""
        if self._kept is None:
            return self._compute(windows)
        parts = [self._kept[self._place(window)] for window in windows]
        return torch.cat(parts).to(self.top.encoder.device)

    @torch.no_grad()
    def _compute(self, windows: Sequence[int]) -> Tensor:
        stack, tokens = self.top.stack, sum(self.lengths[window] for window in windows)
        with stack.route(stack.slots([self.name]), [tokens]):
            return self.top.below([self.examples.encoded[window].ids for window in windows])

    def _keep(self) -> Tensor:
        shape = int(self._ends[-1]), self.top.encoder.width
        if 4 * shape[0] * shape[1] <= MEMORY_BYTES:
            kept = torch.empty(shape)
        else:
            with tempfile.TemporaryFile(prefix="onetrunk-trunk-") as file:  # mapped until forgotten
                kept = torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
        for windows in by_tokens(self.lengths, CHUNK_TOKENS):
            hidden = self._compute(windows).cpu().split([self.lengths[w] for w in windows])
            for window, states in zip(windows, hidden, strict=True):
                kept[self._place(window)] = states
        return kept

    def _place(self, window: int) -> slice:
        end = int(self._ends[window])
        return slice(end - self.lengths[window], end)


@torch.no_grad()
def unit_features(trunk: Trunk, family: Family[Any, Any], pooling: Pooling) -> list[Tensor]:
    """What a head reads, by window: a list of ``(u_w, reads D)`` on the CPU."""
    examples = trunk.examples
    features = [torch.empty(0)] * len(examples.encoded)
    for windows in by_tokens(trunk.lengths, CHUNK_TOKENS):
        ((states, mask),) = trunk.top([(trunk, windows)])
        units = [examples.units[window] for window in windows]
        gathered = family.gather(states, mask, units, pooling).cpu()
        for window, part in zip(windows, gathered.split(examples.visible(windows)), strict=True):
            features[window] = part
    return features
