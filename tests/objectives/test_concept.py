from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from onetrunk.objectives.concept import ConceptContrastive

WIDTH, CONCEPTS, NAME = 6, 5, 4


@pytest.fixture
def objective() -> ConceptContrastive:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ConceptContrastive(WIDTH, torch.randn(CONCEPTS, NAME, generator=generator), 3)
    with torch.no_grad():  # away from their round initial values
        made.log_scale.fill_(1.3)
        made.bias.fill_(-0.7)
    return made


def tokens(seed: int = 0, count: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, WIDTH, generator=generator)
    concept = torch.randint(-1, CONCEPTS, (count,), generator=generator)
    annotated = torch.rand(count, CONCEPTS, generator=generator) < 0.6
    annotated[concept >= 0, concept[concept >= 0]] = True
    return states, concept, annotated


def reference(
    objective: ConceptContrastive, states: Tensor, concept: Tensor, annotated: Tensor
) -> float:
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
    for state, at, known in zip(states, concept.tolist(), annotated.tolist(), strict=True):
        token = project(objective.token_projection, state)
        for c in range(CONCEPTS):
            if known[c]:
                name = project(objective.concept_projection, objective.concepts[c])
                probability = 1 / (1 + math.exp(-(scale * float(token @ name) + bias)))
                total -= math.log(probability if c == at else 1 - probability)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_float64_loop(objective: ConceptContrastive, seed: int) -> None:
    batch = tokens(seed)
    assert objective(*batch).item() == pytest.approx(reference(objective, *batch), abs=1e-5)


def test_order_of_the_tokens_changes_nothing(objective: ConceptContrastive) -> None:
    batch = tokens()
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    got, want = objective(*(part[order] for part in batch)), objective(*batch)
    assert got.item() == pytest.approx(want.item(), rel=1e-6)


def test_a_concept_that_the_corpus_never_annotates_is_unknown_not_negative(
    objective: ConceptContrastive,
) -> None:
    states, _, _ = tokens()
    states.requires_grad_()
    concept = torch.full((len(states),), -1)
    annotated = torch.ones(len(states), CONCEPTS, dtype=torch.bool)
    annotated[:, 2] = False
    annotated[3] = False  # a token of a corpus that annotates nothing

    objective.concepts.requires_grad_()
    objective(states, concept, annotated).backward()
    of_concept = objective.concepts.grad
    assert torch.count_nonzero(of_concept[2]) == 0
    assert all(of_concept[c].abs().max() > 0 for c in (0, 1, 3, 4))
    assert torch.count_nonzero(states.grad[3]) == 0
    assert all(states.grad[i].abs().max() > 0 for i in range(len(states)) if i != 3)


def test_what_is_not_annotated_does_not_change_the_loss(objective: ConceptContrastive) -> None:
    states, concept, annotated = tokens()
    concept[concept == 2] = -1
    annotated[:, 2] = False
    before = objective(states, concept, annotated)
    with torch.no_grad():
        objective.concepts[2] *= -3
    assert torch.equal(objective(states, concept, annotated), before)
    with torch.no_grad():
        objective.concepts[1] *= -3
    assert not torch.equal(objective(states, concept, annotated), before)


def test_a_token_outside_entities_is_a_negative_of_every_annotated_concept(
    objective: ConceptContrastive,
) -> None:
    states, _, _ = tokens(count=1)
    concept, annotated = torch.tensor([-1]), torch.ones(1, CONCEPTS, dtype=torch.bool)
    all_negative = objective(states, concept, annotated).item()
    parts = [
        objective(states, concept, torch.arange(CONCEPTS)[None] == c).item()
        for c in range(CONCEPTS)
    ]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(all_negative, abs=1e-5)
    # Its last concept is not taken for a positive (an index of -1 counts from the end).
    inside = objective(states, torch.tensor([CONCEPTS - 1]), annotated).item()
    assert inside != pytest.approx(all_negative, abs=1e-3)


def test_descending_the_gradient_moves_a_token_towards_its_concept() -> None:
    torch.manual_seed(0)
    objective = ConceptContrastive(WIDTH, torch.randn(CONCEPTS, NAME), 3)
    states = torch.randn(4, WIDTH)
    batch = (states, torch.tensor([0, 1, -1, 4]), torch.ones(4, CONCEPTS, dtype=torch.bool))
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(*batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_concept_names_are_frozen(objective: ConceptContrastive) -> None:
    names = {name for name, _ in objective.named_parameters()}
    assert "concepts" not in names
    assert {"log_scale", "bias", "token_projection.weight", "concept_projection.weight"} <= names
    assert "concepts" not in objective.state_dict()
