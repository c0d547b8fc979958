"""The shared gather gives the values and gradients of the plain lookup."""

import pytest
import torch
from torch import nn

from onetrunk.model.embedding import gathered

CHUNKS = [[[4, 9, 4], [0, 7, 1]], [[9, 2, 1]]]


def run(embedding: nn.Embedding) -> torch.Tensor:
    states = torch.cat([embedding(torch.tensor(chunk)).flatten(0, 1) for chunk in CHUNKS])
    (states * torch.arange(states.numel()).view_as(states)).sum().backward()
    return states.detach()


@pytest.mark.parametrize("padding", [None, 1])
def test_values_and_gradients_of_the_plain_lookup(padding: int | None) -> None:
    plain = nn.Embedding(11, 5, padding_idx=padding, dtype=torch.float64)
    shared = nn.Embedding(11, 5, padding_idx=padding, dtype=torch.float64)
    shared.load_state_dict(plain.state_dict())
    with gathered(shared, [row for chunk in CHUNKS for row in chunk]):
        found = run(shared)
    assert torch.equal(found, run(plain))
    assert plain.weight.grad is not None
    assert plain.weight.grad.abs().sum() > 0
    torch.testing.assert_close(shared.weight.grad, plain.weight.grad, rtol=1e-12, atol=0)


def test_each_chunk_may_have_its_own_backward() -> None:
    embedding = nn.Embedding(11, 5, dtype=torch.float64)
    run(embedding)
    assert embedding.weight.grad is not None
    whole, embedding.weight.grad = embedding.weight.grad, None
    at = 0
    with gathered(embedding, [row for chunk in CHUNKS for row in chunk]):
        for chunk in CHUNKS:
            states = embedding(torch.tensor(chunk)).flatten(0, 1)
            factor = torch.arange(at, at := at + states.numel()).view_as(states)
            (states * factor).sum().backward()
    torch.testing.assert_close(embedding.weight.grad, whole, rtol=1e-12, atol=0)


def test_the_embedding_is_itself_again_outside() -> None:
    embedding = nn.Embedding(11, 5)
    before = embedding(torch.arange(11))
    with pytest.raises(RuntimeError, match="stop"), gathered(embedding, [[3]]):
        raise RuntimeError("stop")
    assert torch.equal(embedding(torch.arange(11)), before)
