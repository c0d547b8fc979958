"""Weights of the families' losses, alone and through the trainer."""

from collections.abc import Callable

import pytest
import torch

from onetrunk.config import Recipe
from onetrunk.prefinetuning.balance import MEMORY, Balance
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.loop import Trainer

LAMBDA = {"ner": 1.0, "tc": 0.3}
MakeRecipe = Callable[..., Recipe]


def run(recipe: Recipe) -> tuple[Trainer, list[StepRecord]]:
    trainer, records = Trainer(recipe), []
    trainer.run(records.append)
    return trainer, records


def test_fixed_weights_stay_those_of_the_recipe() -> None:
    balance = Balance("fixed", LAMBDA)
    balance.observe({"ner": 9.0, "tc": 0.1}, {"ner": 2.0, "tc": 7.0})
    assert balance.weights() == LAMBDA
    assert not any(p.numel() for p in balance.parameters())


def test_uncertainty_has_the_gradient_of_its_loss() -> None:
    """d/ds of Σ λ (exp(-s) L + s), by autograd."""
    balance, losses = Balance("uncertainty", LAMBDA), {"ner": 0.7, "tc": 2.5}
    with torch.no_grad():
        balance.log_variance.copy_(torch.tensor([0.4, -0.9]))
    s = balance.log_variance.detach().clone().requires_grad_()
    weight, loss = torch.tensor(list(LAMBDA.values())), torch.tensor(list(losses.values()))
    (weight * ((-s).exp() * loss + s)).sum().backward()
    balance.observe(losses, {"ner": 1.0, "tc": 1.0})
    torch.testing.assert_close(balance.log_variance.grad, s.grad)


def test_uncertainty_settles_where_the_factor_is_one_over_the_loss() -> None:
    balance, losses = Balance("uncertainty", LAMBDA), {"ner": 0.5, "tc": 2.0}
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    for _ in range(200):
        balance.observe(losses, {})
        optimizer.step()
    expected = {name: LAMBDA[name] / losses[name] for name in LAMBDA}
    assert balance.weights() == pytest.approx(expected, rel=1e-4)


def test_gradient_norms_become_equal_but_for_the_recipe() -> None:
    balance, norms = Balance("gradient_norm", LAMBDA), {"ner": 0.2, "tc": 6.0}
    assert balance.weights() == LAMBDA  # nothing is known yet
    for _ in range(3):
        balance.observe({}, norms)
    weights = balance.weights()
    lengths = {name: weights[name] * norms[name] for name in norms}
    assert lengths["tc"] / lengths["ner"] == pytest.approx(LAMBDA["tc"] / LAMBDA["ner"])
    assert lengths["ner"] == pytest.approx(3.1)  # λ times the mean norm


def test_gradient_norms_are_remembered_and_survive_a_save() -> None:
    balance = Balance("gradient_norm", LAMBDA)
    for norm in (1.0, 3.0):
        balance.observe({}, {"ner": norm, "tc": 1.0})
    assert balance.norms.tolist() == pytest.approx([MEMORY * 1 + (1 - MEMORY) * 3, 1])
    other = Balance("gradient_norm", LAMBDA)
    other.load_state_dict(balance.state_dict())
    assert other.weights() == balance.weights()


def test_a_family_without_gradient_does_not_blow_up_the_other() -> None:
    balance = Balance("gradient_norm", LAMBDA)
    balance.observe({}, {"ner": 0.0, "tc": 1.0})
    assert balance.weights() == LAMBDA


def test_the_trainer_balances_gradient_norms(make_recipe: MakeRecipe) -> None:
    """Each step's weights follow from the norms recorded before it."""
    _, records = run(make_recipe(strategy="joint", balance="gradient_norm", steps=6))
    mean: dict[str, float] = {}
    for record in records:
        factor = {
            name: sum(mean.values()) / 2 / mean[name] if mean else 1.0 for name in ("ner", "tc")
        }
        assert record.weights == pytest.approx(
            {"ner": factor["ner"], "tc": 0.5 * factor["tc"]}, rel=1e-4
        )
        for name, by_layer in record.gradient_norms.items():
            norm = sum(value**2 for value in by_layer) ** 0.5
            mean[name] = MEMORY * mean[name] + (1 - MEMORY) * norm if name in mean else norm


def test_the_trainer_learns_the_uncertainty(make_recipe: MakeRecipe) -> None:
    """A family's weight falls where its loss is above exp(s), and rises where it is below."""
    trainer, records = run(
        make_recipe(
            strategy="joint", balance="uncertainty", steps=8, optimizer={"objective_lr": 0.05}
        )
    )
    assert records[0].weights == {"ner": 1.0, "tc": 0.5}
    for name, first in (("ner", 1.0), ("tc", 0.5)):
        losses = [record.losses[name] for record in records]
        assert min(losses) > 1 or max(losses) < 1, "the test needs losses on one side of exp(0)"
        assert (records[-1].weights[name] < first) == (losses[0] > 1)
    assert trainer.balance.log_variance.abs().min() > 0


def test_losses_and_norms_are_recorded_without_weights(make_recipe: MakeRecipe) -> None:
    """The same first step under other weights tells the same losses and norms."""
    base = make_recipe(strategy="joint")
    heavier = base.model_copy(deep=True)
    heavier.families["ner"]["weight"] = 7.0
    plain, weighted = (Trainer(recipe).step(0) for recipe in (base, heavier))
    assert plain.losses == weighted.losses
    for name, norms in plain.gradient_norms.items():
        assert weighted.gradient_norms[name] == pytest.approx(norms, rel=1e-4, abs=2e-6)
    assert weighted.cosines["ner|tc"] == pytest.approx(plain.cosines["ner|tc"], abs=2e-4)


def test_clipping_leaves_the_uncertainty_alone(make_recipe: MakeRecipe) -> None:
    """Its gradient is another loss's: it neither is clipped nor shrinks the update by its size."""
    clip = 1e-3
    recipe = make_recipe(strategy="joint", balance="uncertainty", optimizer={"clip": clip})
    trainer = Trainer(recipe)
    record = trainer.step(0)
    expected = [w * (1 - record.losses[n]) for n, w in (("ner", 1.0), ("tc", 0.5))]
    assert trainer.balance.log_variance.grad is not None
    assert trainer.balance.log_variance.grad.tolist() == pytest.approx(expected, rel=1e-5)
    gradients = [p.grad for p in [*trainer.shared.values(), *trainer.objectives.parameters()]]
    length = sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5
    assert length == pytest.approx(clip, rel=1e-3)
