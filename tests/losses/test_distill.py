"""Distillation against float64 loops over tokens and pairs of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from onetrunk.losses.distill import Distillation, relational

STUDENT, TEACHER = 5, 7
Batch = tuple[Tensor, Tensor, Tensor]


def batch(seed: int = 0, sentences: int = 3, length: int = 6) -> Batch:
    """States of both, and which tokens the teacher knows: all, some, one, ..."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(sentences, length, STUDENT, generator=generator)
    teacher = torch.randn(sentences, length, TEACHER, generator=generator)
    known = torch.rand(sentences, length, generator=generator) < 0.7
    known[0] = True
    known[-1] = False
    known[-1, 2] = True
    return states, teacher, known


def distillation(match: str, relations: float = 0.0) -> Distillation:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Distillation(STUDENT, TEACHER, match, relations)  # type: ignore[arg-type]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def matched(made: Distillation, states: Tensor, teacher: Tensor, known: Tensor) -> float:
    weight = made.projection.weight.detach().double().numpy()
    bias = made.projection.bias.detach().double().numpy()
    total = 0.0
    for sentence, token in known.nonzero().tolist():
        mine = weight @ states[sentence, token].double().numpy() + bias
        other = teacher[sentence, token].double().numpy()
        if made.match == "cosine":
            total += 1 - cosine(mine, other)
        else:
            total += sum((a - b) ** 2 for a, b in zip(mine, other, strict=True)) / TEACHER
    return total


def related(states: Tensor, teacher: Tensor, known: Tensor) -> float:
    total = 0.0
    for mine, other, visible in zip(
        states.double().numpy(), teacher.double().numpy(), known.numpy(), strict=True
    ):
        tokens = np.flatnonzero(visible)
        for i in tokens:
            rest = [j for j in tokens if j != i]
            differences = [
                (cosine(mine[i], mine[j]) - cosine(other[i], other[j])) ** 2 for j in rest
            ]
            total += sum(differences) / max(1, len(rest))
    return total


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("match", ["cosine", "mse"])
@pytest.mark.parametrize("relations", [0.0, 0.5])
def test_equals_a_float64_loop(match: str, relations: float, seed: int) -> None:
    made, parts = distillation(match, relations), batch(seed)
    want = matched(made, *parts) + relations * related(*parts)
    assert made(*parts).item() == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("match", ["cosine", "mse"])
def test_padding_and_unknown_tokens_change_nothing(match: str) -> None:
    made, (states, teacher, known) = distillation(match, 0.5), batch()
    before = made(states, teacher, known)
    states[~known] = 7.0
    teacher[~known] = -3.0
    torch.testing.assert_close(made(states, teacher, known), before)
    wider = [torch.nn.functional.pad(part, (0, 0, 0, 4), value=2.0) for part in (states, teacher)]
    torch.testing.assert_close(
        made(*wider, torch.nn.functional.pad(known, (0, 4))), before
    )  # False
    alone = sum(made(*(part[i : i + 1] for part in (states, teacher, known))) for i in range(3))
    torch.testing.assert_close(alone, before)


def test_nothing_known_is_a_loss_of_zero_that_can_be_differentiated() -> None:
    states, teacher, known = batch()
    states.requires_grad_()
    loss = distillation("cosine", 0.5)(states, teacher, torch.zeros_like(known))
    loss.backward()
    assert loss.item() == 0
    assert states.grad is not None
    assert not states.grad.any()


def test_relations_see_angles_alone() -> None:
    """Neither a rotation nor the width or the scale of a teacher that says the same matters."""
    states, _, known = batch()
    turned = torch.linalg.qr(torch.randn(TEACHER, STUDENT, dtype=torch.float64)).Q.float()
    assert relational(states, 3 * states @ turned.T, known).item() == pytest.approx(0, abs=1e-9)
    assert relational(states, -states @ turned.T, known).item() == pytest.approx(0, abs=1e-9)
    changed = states.clone()
    changed[0, 0] *= -1
    assert relational(changed, states, known).item() > 0.1


def test_descending_relations_moves_the_student_without_a_projection() -> None:
    states, teacher, known = batch()
    states.requires_grad_()
    optimizer = torch.optim.Adam([states], lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = relational(states, teacher, known)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


@pytest.mark.parametrize("match", ["cosine", "mse"])
def test_a_linear_student_is_found_out(match: str) -> None:
    """What a linear map can explain, the projection learns to explain."""
    states, _, known = batch(sentences=8)
    map_ = torch.randn(STUDENT, TEACHER, generator=torch.Generator().manual_seed(2))
    made = distillation(match)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = made(states, states @ map_, known)
        loss.backward()
        optimizer.step()
    assert loss.item() / known.sum().item() < 0.01
