from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from onetrunk.losses.concept import ConceptContrastive, synonyms

WIDTH, CONCEPTS, NAME = 6, 5, 4


@pytest.fixture
def names() -> Tensor:
    return torch.randn(CONCEPTS, NAME, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def objective() -> ConceptContrastive:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ConceptContrastive(WIDTH, NAME, 3)
    with torch.no_grad():  # away from their round initial values
        made.log_scale.fill_(1.3)
        made.bias.fill_(-0.7)
    return made


Batch = tuple[Tensor, Tensor, Tensor]


def tokens(seed: int = 0, count: int = 7) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, WIDTH, generator=generator)
    concept = torch.randint(-1, CONCEPTS, (count,), generator=generator)
    known = torch.rand(count, CONCEPTS, generator=generator) < 0.6
    known[concept >= 0, concept[concept >= 0]] = True
    return states, concept, known


def loss_of(objective: ConceptContrastive, names: Tensor, batch: Batch) -> Tensor:
    return objective(*batch, objective.project(names))


def reference(objective: ConceptContrastive, names: Tensor, batch: Batch) -> float:
    """The definition in float64, one (token, concept) at a time."""

    def project(linear: torch.nn.Linear, x: Tensor) -> np.ndarray:
        weight, bias = (
            linear.weight.detach().double().numpy(),
            linear.bias.detach().double().numpy(),
        )
        y = weight @ x.double().numpy() + bias
        return y / np.linalg.norm(y)

    scale, bias = math.exp(objective.log_scale.item()), objective.bias.item()
    total = 0.0
    states, concept, known_pairs = batch
    for state, at, known in zip(states, concept.tolist(), known_pairs.tolist(), strict=True):
        token = project(objective.token_projection, state)
        for c in range(CONCEPTS):
            if known[c]:
                name = project(objective.concept_projection, names[c])
                probability = 1 / (1 + math.exp(-(scale * float(token @ name) + bias)))
                total -= math.log(probability if c == at else 1 - probability)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_float64_loop(objective: ConceptContrastive, names: Tensor, seed: int) -> None:
    batch = tokens(seed)
    got = loss_of(objective, names, batch).item()
    assert got == pytest.approx(reference(objective, names, batch), abs=1e-5)


def test_order_of_the_tokens_changes_nothing(objective: ConceptContrastive, names: Tensor) -> None:
    batch = tokens()
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    states, concept, known = (part[order] for part in batch)
    got = loss_of(objective, names, (states, concept, known))
    assert got.item() == pytest.approx(loss_of(objective, names, batch).item(), rel=1e-6)


def test_a_pair_that_is_not_known_pulls_and_pushes_nothing(
    objective: ConceptContrastive, names: Tensor
) -> None:
    states, _, _ = tokens()
    states.requires_grad_()
    concept = torch.full((len(states),), -1)
    known = torch.ones(len(states), CONCEPTS, dtype=torch.bool)
    known[:, 2] = False
    known[3] = False  # a token of a corpus that annotates nothing
    names.requires_grad_()
    loss_of(objective, names, (states, concept, known)).backward()
    assert names.grad is not None
    assert states.grad is not None
    assert torch.count_nonzero(names.grad[2]) == 0
    assert all(names.grad[c].abs().max() > 0 for c in (0, 1, 3, 4))
    assert torch.count_nonzero(states.grad[3]) == 0
    assert all(states.grad[i].abs().max() > 0 for i in range(len(states)) if i != 3)


def test_what_is_not_known_does_not_change_the_loss(
    objective: ConceptContrastive, names: Tensor
) -> None:
    states, concept, known = tokens()
    concept[concept == 2] = -1
    known[:, 2] = False
    before = loss_of(objective, names, (states, concept, known))
    names[2] *= -3
    assert torch.equal(loss_of(objective, names, (states, concept, known)), before)
    names[1] *= -3
    assert not torch.equal(loss_of(objective, names, (states, concept, known)), before)


def test_a_token_outside_entities_is_a_negative_of_every_known_concept(
    objective: ConceptContrastive, names: Tensor
) -> None:
    states, _, _ = tokens(count=1)
    outside, known = torch.tensor([-1]), torch.ones(1, CONCEPTS, dtype=torch.bool)
    all_negative = loss_of(objective, names, (states, outside, known)).item()
    parts = [
        loss_of(objective, names, (states, outside, torch.arange(CONCEPTS)[None] == c)).item()
        for c in range(CONCEPTS)
    ]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(all_negative, abs=1e-5)
    # Its last concept is not taken for a positive (an index of -1 counts from the end).
    inside = loss_of(objective, names, (states, torch.tensor([CONCEPTS - 1]), known)).item()
    assert inside != pytest.approx(all_negative, abs=1e-3)


def test_descending_the_gradient_moves_a_token_towards_its_concept(
    objective: ConceptContrastive, names: Tensor
) -> None:
    states, _, _ = tokens(count=4)
    batch = (states, torch.tensor([0, 1, -1, 4]), torch.ones(4, CONCEPTS, dtype=torch.bool))
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = loss_of(objective, names, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_scale_and_bias_are_learned_or_stay(names: Tensor) -> None:
    made = [
        ConceptContrastive(WIDTH, NAME, 3, temperature=0.2, bias=-2.0, learned=learned)
        for learned in (True, False)
    ]
    learned, fixed = ({name for name, _ in one.named_parameters()} for one in made)
    assert learned - fixed == {"log_scale", "bias"}
    made[1].load_state_dict(made[0].state_dict(), strict=False)
    batch = tokens()
    values = [loss_of(one, names, batch) for one in made]
    assert torch.equal(values[0], values[1])
    assert made[0].log_scale.exp().item() == pytest.approx(5)
    for one, value in zip(made, values, strict=True):
        value.backward()
        torch.optim.SGD(one.parameters(), lr=0.1).step()
        assert (one.bias.item() == -2.0) == (one is made[1])


def test_names_are_synonyms_by_their_cosine_around_the_mean(names: Tensor) -> None:
    mean = names.mean(0)
    for threshold in (-0.4, 0.0, 0.3):
        alike = synonyms(names, mean, threshold)
        for i in range(CONCEPTS):
            for j in range(CONCEPTS):
                cosine = torch.cosine_similarity(names[i] - mean, names[j] - mean, dim=0)
                assert alike[i, j].item() == (i != j and cosine.item() > threshold)
    # A direction that all names share says nothing, however strong.
    moved = names + 100 * torch.ones(NAME)
    assert torch.equal(synonyms(moved, moved.mean(0), 0.3), synonyms(names, mean, 0.3))
    assert synonyms(moved, torch.zeros(NAME), 0.3).sum() == CONCEPTS * (CONCEPTS - 1)
    assert not synonyms(names, mean, 1.0).any()
