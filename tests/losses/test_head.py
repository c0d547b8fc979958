"""The losses of a linear head equal those of PyTorch, and so do their gradients."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onetrunk.families import FAMILIES
from onetrunk.losses.head import (
    binary_cross_entropy,
    cross_entropy,
    cross_entropy_of_tags,
    squared_error,
)

UNITS, CLASSES = 40, 6
RNG = np.random.default_rng(0)
SHARES = RNG.dirichlet(np.ones(CLASSES), UNITS)
SHARES[3] = 0.0  # a unit that a teacher did not read: no loss comes from it


def of_tags(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if targets.is_floating_point():
        return F.cross_entropy(logits.reshape(-1, 3), targets.reshape(-1, 3))
    return F.cross_entropy(logits.reshape(-1, 3), targets.flatten())


def binary(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


CASES = {
    "classes": (cross_entropy, F.cross_entropy, RNG.integers(0, CLASSES, UNITS)),
    "shares": (cross_entropy, F.cross_entropy, SHARES),
    "tags": (cross_entropy_of_tags, of_tags, RNG.integers(0, 3, (UNITS, CLASSES // 3))),
    "shares of tags": (cross_entropy_of_tags, of_tags, SHARES),
    "yes or no": (binary_cross_entropy, binary, RNG.integers(0, 2, (UNITS, CLASSES)) * 1.0),
    "numbers": (squared_error, F.mse_loss, RNG.normal(size=(UNITS, CLASSES))),
}


@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_pytorch(case: str, dtype: Any, size: float) -> None:
    """For very large logits, too."""
    loss, reference, targets = CASES[case]
    if targets.dtype == np.float64:
        targets = targets.astype(dtype)
    logits = (size * RNG.normal(size=(UNITS, CLASSES))).astype(dtype)
    before = logits.copy()
    value, gradient = loss(logits, targets)
    variable = torch.from_numpy(before).double().requires_grad_()
    of_double = torch.from_numpy(targets)
    want = reference(variable, of_double.double() if of_double.is_floating_point() else of_double)
    want.backward()
    assert np.array_equal(logits, before)
    assert gradient.dtype == dtype
    close = 1e-5 if dtype == np.float32 else 1e-12
    assert value == pytest.approx(float(want.detach()), rel=close)
    assert variable.grad is not None
    np.testing.assert_allclose(gradient, variable.grad.numpy(), rtol=10 * close, atol=close)


@pytest.mark.parametrize("name", ["ner", "nested-ner", "tc", "multi-label", "rating"])
def test_a_family_names_the_loss_that_it_trains_with(name: str) -> None:
    family = FAMILIES[name]
    targets = {
        "ner": torch.arange(UNITS) % CLASSES,
        "nested-ner": torch.arange(2 * UNITS).view(UNITS, 2) % 3,
        "tc": torch.arange(UNITS) % CLASSES,
        "multi-label": (torch.rand(UNITS, CLASSES) > 0.7).float(),
        "rating": torch.rand(UNITS, 1),
    }[name]
    logits = torch.randn(UNITS, 1 if name == "rating" else CLASSES)
    for goal in (targets, family.soft_targets(targets, logits.shape[1])):
        value, _ = family.head_loss(logits.numpy(), goal.numpy())
        assert value == pytest.approx(float(family.loss(logits, goal)), rel=1e-5)
