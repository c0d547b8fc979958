"""Cached gradients against a single graph over the whole batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from onetrunk.losses.gradcache import GradientCache

CPU = torch.device("cpu")
SIZES = [4, 1, 3, 3, 2, 5, 1, 4, 2, 3]  # tokens of each row
CHUNKS = [[1, 6], [4, 8], [2], [3, 9], [0, 7], [5]]


def network(dropout: float) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 4))


def embedder(
    model: nn.Module, repeats: int = 1
) -> Callable[[], Iterator[tuple[list[int], Tensor]]]:
    rows = torch.randn(len(SIZES), 6, generator=torch.Generator().manual_seed(1)).repeat(repeats, 1)

    def embed() -> Iterator[tuple[list[int], Tensor]]:
        for again in range(repeats):
            for chunk in CHUNKS:
                places = [again * len(SIZES) + row for row in chunk]
                yield places, model(rows[places])

    return embed


def loss_of(embeddings: Tensor) -> Tensor:
    """Every row meets every other."""
    return (embeddings @ embeddings.T).softmax(-1).diagonal().log().sum()


def gradients(model: nn.Module) -> list[Tensor]:
    found = []
    for parameter in model.parameters():
        assert parameter.grad is not None
        found.append(parameter.grad)
    return found


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("budget", [0, 5, 12, 27, 28, 10**9])
def test_equals_one_graph(budget: int, dropout: float) -> None:
    plain = network(dropout)
    torch.manual_seed(3)
    parts = list(embedder(plain)())
    order = torch.tensor([row for rows, _ in parts for row in rows])
    whole = torch.cat([part for _, part in parts])[order.argsort()]
    want = loss_of(whole)
    (0.5 * want).backward()
    after = torch.rand(3)

    cached = network(dropout)
    torch.manual_seed(3)
    cache = GradientCache(embedder(cached), SIZES, budget, 4, CPU)
    torch.testing.assert_close(cache.embeddings, whole, atol=0, rtol=0)
    got = loss_of(cache.embeddings)
    (0.5 * got).backward()
    cache.backward()
    assert torch.equal(torch.rand(3), after)  # random numbers go on as if nothing had been cached
    for mine, theirs in zip(gradients(cached), gradients(plain), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("budget", "again"), [(28, 0), (27, 1), (23, 2), (8, 5), (5, 5), (4, 6)])
def test_only_what_exceeds_the_budget_is_embedded_twice(budget: int, again: int) -> None:
    model, asked = network(0.0), list[list[int]]()

    def embed() -> Iterator[tuple[list[int], Tensor]]:
        for rows, embedded in embedder(model)():
            asked.append(rows)
            yield rows, embedded

    cache = GradientCache(embed, SIZES, budget, 4, CPU)
    loss_of(cache.embeddings).backward()
    cache.backward()
    assert asked == CHUNKS + CHUNKS[:again]


def live_peak(budget: int, repeats: int) -> int:
    """The most activations (numbers) held for gradients at any time."""
    live, peak = 0, 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal live, peak
            self.tensor, size = tensor, tensor.numel()
            live += size
            peak = max(peak, live)
            weakref.finalize(self, release, size)

    def release(size: int) -> None:
        nonlocal live
        live -= size

    model = network(0.0)
    embed = embedder(model, repeats)
    with saved_tensors_hooks(Held, lambda held: held.tensor):
        cache = GradientCache(embed, SIZES * repeats, budget, 4, CPU)
    cache.embeddings.grad = torch.ones_like(cache.embeddings)
    with saved_tensors_hooks(Held, lambda held: held.tensor):
        cache.backward()
    assert live == 0
    return peak


def test_memory_is_bounded_by_the_budget_not_the_batch() -> None:
    one_chunk, whole = live_peak(0, 1), live_peak(10**9, 1)
    assert 2 * one_chunk < whole
    assert live_peak(0, 20) == one_chunk
    assert live_peak(28, 20) == whole  # the last 28 of 560 tokens
    assert live_peak(10**9, 20) == 20 * whole


def test_a_batch_without_rows() -> None:
    """A process may have no part of a small batch."""
    cache = GradientCache(lambda: iter(()), [], 100, 4, CPU)
    assert cache.embeddings.shape == (0, 4)
    torch.cat([cache.embeddings, torch.ones(1, 4)]).sum().backward()
    cache.backward()


def test_a_loss_that_nobody_differentiates() -> None:
    model = network(0.0)
    with torch.no_grad():
        cache = GradientCache(embedder(model), SIZES, 10, 4, CPU)
        assert loss_of(cache.embeddings).isfinite()
        cache.backward()
    assert all(parameter.grad is None for parameter in model.parameters())
