"""Token states for apps in training: the trunk's output, which is kept, and the layers above it.

LoRA sits on the last k layers, so the output of the layers below (the trunk) never changes while an
app trains. If it is kept, each epoch costs k layers instead of L. Texts lie side by side, without
padding.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onetrunk.apps.top import CHUNK_TOKENS, Top
from onetrunk.apps.windows import Examples
from onetrunk.data.batching import by_tokens
from onetrunk.families.base import Family
from onetrunk.model.heads import Pooling
from onetrunk.model.packing import unpack

# The tokens of a batch are filled up to a multiple of this by a text of zeros that no one reads.
# oneDNN compiles a kernel for every number of tokens that it has not seen lately. That takes longer
# than a small product does.
STEP_TOKENS = 32
# Kept activations beyond this lie in a file.
MEMORY_BYTES = 2 * 2**30


class TrunkCache:
    """The trunk's output under adapter ``name``, for every window of some examples.

    The adapter may have layers of the trunk, too; those are not trained. With ``cache``, all of
    the output is computed once and kept, ``(total tokens, D)`` fp32: in memory up to
    :data:`MEMORY_BYTES`, else in a file without a name, gone with this object. Otherwise it is
    computed when it is asked for.
    ``head_layers``: how many states the head reads side by side, counted from the last.
    """

    def __init__(
        self, examples: Examples, top: Top, name: str, cache: bool, head_layers: int = 1
    ) -> None:
        self.examples, self.top, self.name, self.head_layers = examples, top, name, head_layers
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
            stored = torch.empty(shape)
        else:
            with tempfile.TemporaryFile(prefix="onetrunk-trunk-") as file:  # mapped until forgotten
                stored = torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
        for windows in by_tokens(self.lengths, CHUNK_TOKENS):
            hidden = self._compute(windows).cpu().split([self.lengths[w] for w in windows])
            for window, states in zip(windows, hidden, strict=True):
                stored[self._place(window)] = states
        return stored

    def _place(self, window: int) -> slice:
        end = int(self._ends[window])
        return slice(end - self.lengths[window], end)


@torch.no_grad()
def unit_features(trunk: TrunkCache, family: Family[Any, Any], pooling: Pooling) -> list[Tensor]:
    """What a head reads, by window: a list of ``(u_w, head_layers D)`` on the CPU."""
    examples = trunk.examples
    features = [torch.empty(0)] * len(examples.encoded)
    for windows in by_tokens(trunk.lengths, CHUNK_TOKENS):
        states, mask = top_states(trunk, windows)
        tokens = [examples.tokens[window] for window in windows]
        gathered = family.gather(states, mask, tokens, pooling).cpu()
        for window, part in zip(windows, gathered.split(examples.counts(windows)), strict=True):
            features[window] = part
    return features


def top_states(trunk: TrunkCache, windows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The states that a head reads, ``(B, T, head_layers D)``, and their mask ``(B, T)``."""
    lengths = [trunk.lengths[window] for window in windows]
    filler = -sum(lengths) % STEP_TOKENS
    hidden = F.pad(trunk(windows), (0, 0, 0, filler))
    packed = [length for length in (*lengths, filler) if length]
    stack = trunk.top.stack
    with stack.route(stack.slots([trunk.name]), [len(hidden)]):
        states = trunk.top.run(hidden, packed, trunk.head_layers)
    return unpack(states[: sum(lengths)], lengths)
