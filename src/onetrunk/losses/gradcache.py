"""Cached gradients: the exact gradient of a batch of any size in bounded memory.

A contrastive loss needs the embeddings of the whole batch at once, but not their graphs. With
embeddings E = f(θ, x) and a loss L(E), the gradient is the sum over chunks c of
(∂L/∂E_c) (∂E_c/∂θ). So it is enough to embed all chunks without graphs, to compute ∂L/∂E, and to
embed chunk after chunk once more with a graph (Gao et al. 2021, arXiv 2101.06983).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

Embed = Callable[[], Iterable[tuple[list[int], Tensor]]]
"""Embeds a batch chunk by chunk: the rows of a chunk, and their embeddings ``(b, D)``.

A chunk is computed when it is asked for. Every call gives the same chunks in the same order.
"""


class GradientCache:
    """The embeddings of a batch, detached from the graphs that computed them.

    ``embeddings (N, D)`` is a leaf, in the order of the rows. Run ``backward`` on a loss of it, and
    then call :meth:`backward` to pass its gradient on.

    ``tokens`` are the numbers of tokens of the rows. The last chunks that together have at most
    ``graph_tokens`` keep their graphs from the first pass. All others are embedded twice, both
    times with the same random numbers (dropout). With a budget for the whole batch this is the
    plain gradient, without a second pass.
    """

    def __init__(
        self,
        embed: Embed,
        tokens: Sequence[int],
        graph_tokens: int,
        width: int,
        device: torch.device,
    ) -> None:
        self._embed, self._device = embed, device
        self._graphs: list[tuple[list[int], Tensor]] = []
        self._random: list[list[Tensor]] = []  # before each chunk that is embedded twice
        order: list[int] = []
        parts = [torch.empty(0, width, device=device)]
        chunks, tokens_left = iter(embed()), sum(tokens)
        while len(order) < len(tokens):
            with_graph = tokens_left <= graph_tokens
            if not with_graph:
                self._random.append(_random_state(device))
            with nullcontext() if with_graph else torch.no_grad():
                rows, embedded = next(chunks)
            if with_graph:
                self._graphs.append((rows, embedded))
            order += rows
            parts.append(embedded.detach())
            tokens_left -= sum(tokens[row] for row in rows)
        position = torch.tensor(order, dtype=torch.int64, device=device).argsort()
        self.embeddings = torch.cat(parts)[position].requires_grad_()

    def backward(self) -> None:
        """Pass the gradient of the embeddings on. Without a ``backward`` on a loss, do nothing."""
        gradient = self.embeddings.grad
        if gradient is None:
            return
        while self._graphs:  # each graph is freed as soon as it has been used
            rows, embedded = self._graphs.pop()
            embedded.backward(gradient[rows])
        chunks = iter(self._embed())
        on_cuda = self._device.type == "cuda"
        with torch.random.fork_rng([self._device] if on_cuda else []):
            for state in self._random:
                _restore(state, self._device)
                rows, embedded = next(chunks)
                embedded.backward(gradient[rows])


def _random_state(device: torch.device) -> list[Tensor]:
    """The state of the random generators: of the CPU, and of the device if it has its own."""
    if device.type == "cuda":
        return [torch.get_rng_state(), torch.cuda.get_rng_state(device)]
    return [torch.get_rng_state()]


def _restore(state: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
