from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from onetrunk.objectives.pairs import info_nce


def pairs(size: int, seed: int = 0, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(size, 8, generator=generator)
    return queries, queries + noise * torch.randn(size, 8, generator=generator)


def reference(queries: Tensor, positives: Tensor, temperature: float) -> float:
    """The definition in float64, one pair at a time."""
    q, p = queries.double().numpy(), positives.double().numpy()
    size = len(q)
    cosine = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            cosine[i, j] = q[i] @ p[j] / (np.linalg.norm(q[i]) * np.linalg.norm(p[j]))
    total = 0.0
    for i in range(size):
        forward = sum(math.exp(cosine[i, j] / temperature) for j in range(size))
        backward = sum(math.exp(cosine[j, i] / temperature) for j in range(size))
        total -= cosine[i, i] / temperature - math.log(forward)
        total -= cosine[i, i] / temperature - math.log(backward)
    return total / (2 * size)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_equals_a_float64_loop(size: int, temperature: float) -> None:
    queries, positives = pairs(size, seed=size, noise=2.0)
    want = reference(queries, positives, temperature)
    assert float(info_nce(queries, positives, temperature)) == pytest.approx(want, abs=1e-5)


def test_order_of_the_pairs_changes_nothing_but_their_partners_do() -> None:
    queries, positives = pairs(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = info_nce(queries, positives, 0.1)
    assert info_nce(queries[order], positives[order], 0.1) == pytest.approx(float(loss), abs=1e-6)
    assert info_nce(queries[order], positives, 0.1) > loss + 1


def test_both_directions_count_alike() -> None:
    queries, positives = pairs(6, noise=2.0)
    forward, backward = info_nce(queries, positives, 0.1), info_nce(positives, queries, 0.1)
    assert float(forward) == pytest.approx(float(backward), abs=1e-6)


def test_length_of_the_vectors_changes_nothing() -> None:
    queries, positives = pairs(5)
    loss = info_nce(queries, positives, 0.1)
    scaled = info_nce(queries * 7, positives * torch.arange(1, 6)[:, None], 0.1)
    assert float(scaled) == pytest.approx(float(loss), abs=1e-5)


def test_limits() -> None:
    same = torch.ones(4, 8)
    assert float(info_nce(same, same, 0.05)) == pytest.approx(math.log(4), abs=1e-5)
    apart = torch.eye(4)
    assert float(info_nce(apart, apart, 0.05)) == pytest.approx(0, abs=1e-6)
    assert float(info_nce(apart, -apart, 0.05)) > 10


def test_a_lower_temperature_rewards_right_pairs_and_punishes_wrong_ones() -> None:
    queries, positives = pairs(6, noise=0.2)
    wrong = positives.roll(1, 0)
    temperatures = (1.0, 0.3, 0.1, 0.05)
    right_losses = [float(info_nce(queries, positives, t)) for t in temperatures]
    wrong_losses = [float(info_nce(queries, wrong, t)) for t in temperatures]
    assert right_losses == sorted(right_losses, reverse=True)
    assert wrong_losses == sorted(wrong_losses)


def test_a_lower_temperature_puts_more_of_the_gradient_on_the_hardest_negative() -> None:
    query = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    shares = []
    for temperature in (1.0, 0.2):
        # Of the first query's negatives, row 1 is close to it and row 2 is not.
        positives = torch.tensor([[1.0, 0.2, 0.0], [0.8, 0.6, 0.0], [-0.8, 0.6, 0.0]])
        positives.requires_grad_()
        logits_loss = info_nce(query, positives, temperature)
        logits_loss.backward()
        hard, easy = positives.grad[1].norm(), positives.grad[2].norm()
        shares.append(float(hard / (hard + easy)))
    assert shares[1] > shares[0]


def test_gradient_pulls_pairs_together() -> None:
    queries, positives = pairs(6, noise=2.0)
    queries.requires_grad_()
    before = info_nce(queries, positives, 0.1)
    before.backward()
    after = info_nce(queries.detach() - 0.05 * queries.grad, positives, 0.1)
    assert after < before
