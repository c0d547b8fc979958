"""Strategies through the trainer: what is trained, and how the families' gradients are combined."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.objectives.base import Encode, Objective
from onetrunk.prefinetuning.strategies import STRATEGIES, plan

MakeRecipe = Callable[..., Recipe]
SURGERY = [name for name, sharing in STRATEGIES.items() if sharing.surgery]
# Clipping scales the whole update; these tests look at it before.
UNCLIPPED = {"clip": 1e9}


class Scaled(Objective):
    """Another objective, its loss times a factor, on batches of its own: steps later."""

    def __init__(self, objective: Objective, factor: float, later: int = 0) -> None:
        torch.nn.Module.__init__(self)  # its sources are prepared already
        self.objective, self.factor, self.later = objective, factor, later
        self.mixture = objective.mixture

    def prepare(self, builder: Any) -> Any:
        return self.mixture

    def draw(self, step: int, rank: int = 0, world: int = 1) -> Any:
        return self.objective.draw(step + self.later, rank, world)

    def texts(self, batch: Any) -> Any:
        return self.objective.texts(batch)

    def parts(self, encode: Encode, batch: Any, processes: Any) -> Iterator[Tensor]:
        for part in self.objective.parts(encode, batch, processes):
            yield self.factor * part

    def report(self) -> dict[str, Any]:
        return self.objective.report()


def trainer_of(recipe: Recipe, factor: float | None = None, later: int = 0) -> Trainer:
    """A trainer; with a factor, tc's loss is that many times the loss of ner."""
    trainer = Trainer(recipe)
    if factor is not None:
        ner = trainer.objectives["ner"]
        assert isinstance(ner, Objective)
        trainer.objectives["tc"] = Scaled(ner, factor, later)
    return trainer


def flat(gradients: Any) -> Tensor:
    return torch.cat([g.detach().double().flatten() for g in gradients])


def step_of(trainer: Trainer) -> tuple[Tensor, list[Tensor]]:
    """The backbone's update in step 0 (before clipping), and each family's weighted gradient."""
    own = []
    for name, weight in trainer.balance.weights().items():
        trainer.backward(name, 0, weight)
        own.append(flat(trainer._take_gradient()))
    trainer.optimizer.zero_grad()
    trainer.step(0)
    return flat(p.grad for p in trainer.shared.values()), own


# -------------------------------------------------------------------------------------- surgery


@pytest.mark.parametrize("strategy", ["pcgrad", "upgrad"])
def test_without_conflict_surgery_is_joint(make_recipe: MakeRecipe, strategy: str) -> None:
    updates = []
    for name in ("joint", strategy):
        trainer = trainer_of(make_recipe(strategy=name, optimizer=UNCLIPPED), 2.0, later=1)
        update, (first, second) = step_of(trainer)
        assert float(first @ second) > 0
        updates.append(update)
    torch.testing.assert_close(updates[0], updates[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("strategy", ["pcgrad", "upgrad", "imtl-g"])
@pytest.mark.parametrize("factor", [-0.3, -4.0])
def test_in_conflict_no_loss_rises(make_recipe: MakeRecipe, strategy: str, factor: float) -> None:
    """To first order: the update has no negative part along any family's gradient."""
    trainer = trainer_of(make_recipe(strategy=strategy, optimizer=UNCLIPPED), factor, later=1)
    update, own = step_of(trainer)
    assert float(own[0] @ own[1]) < 0
    for gradient in own:
        assert float(update @ gradient) >= -1e-4 * float(update.norm() * gradient.norm())
    joint = own[0] + own[1]
    assert min(float(joint @ gradient) for gradient in own) < 0, "the plain sum would not do"


def test_opposite_gradients_leave_nothing(make_recipe: MakeRecipe) -> None:
    trainer = trainer_of(make_recipe(strategy="pcgrad", optimizer=UNCLIPPED), -1.0)
    update, own = step_of(trainer)
    assert float(update.norm()) < 1e-4 * float(own[0].norm())


@pytest.mark.parametrize("strategy", SURGERY)
def test_the_update_is_what_the_record_says(make_recipe: MakeRecipe, strategy: str) -> None:
    """Σ α_f g_f of the families' own gradients; the record's weights are λ_f α_f."""
    trainer = trainer_of(make_recipe(strategy=strategy, optimizer=UNCLIPPED), -0.7, later=1)
    plain = []
    for name in trainer.plan.families:
        trainer.backward(name, 0)
        plain.append(flat(trainer._take_gradient()))
    trainer.optimizer.zero_grad()
    record = trainer.step(0)
    expected = sum(w * g for w, g in zip(record.weights.values(), plain, strict=True))
    update = flat(p.grad for p in trainer.shared.values())
    torch.testing.assert_close(update, expected, rtol=1e-3, atol=1e-6)


def test_surgery_leaves_the_loras_alone(make_recipe: MakeRecipe) -> None:
    """A primary LoRA gets λ_f times its own family's gradient, whatever the backbone gets."""
    after = {}
    for strategy in ("tpl", "tpl+upgrad"):
        recipe = make_recipe(strategy=strategy, optimizer=UNCLIPPED)
        trainer = trainer_of(recipe, -0.9, later=1)
        record = trainer.step(0)
        assert trainer.stack is not None
        after[strategy] = (
            flat(p.grad for p in trainer.stack.parameters()),
            flat(p.grad for p in trainer.shared.values()),
            [p.detach().clone() for p in trainer.stack.parameters()],
        )
    assert record.weights["ner"] > 1, "surgery had something to do"
    plain, operated = after.values()
    assert plain[0].abs().sum() > 0
    assert torch.equal(plain[0], operated[0])
    assert all(map(torch.equal, plain[2], operated[2]))
    assert not torch.allclose(plain[1], operated[1], rtol=1e-2)


def test_a_missing_extra_stops_the_run_before_it_trains(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(strategy="cagrad")
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(UserError, match=r"'cagrad' needs .* pip install 'onetrunk\[surgery\]'"):
        Trainer(recipe)


# ------------------------------------------------------------------------------ what is trained


def test_frozen_trains_the_loras_alone(make_recipe: MakeRecipe) -> None:
    trainer = Trainer(make_recipe(strategy="frozen"))
    before = {name: p.detach().clone() for name, p in trainer.encoder.model.named_parameters()}
    fingerprint = trainer.encoder.fingerprint()
    records: list[Any] = []
    trainer.run(records.append)
    assert all(torch.equal(p, before[n]) for n, p in trainer.encoder.model.named_parameters())
    backbone = trainer.backbone()
    assert backbone.fingerprint == fingerprint
    assert set(backbone.primary_loras) == {"ner", "tc"}
    for adapter in backbone.primary_loras.values():
        assert all(b.abs().sum() > 0 for _, b in adapter.matrices.values())
    assert all(
        record.cosines == {} and record.weights == {"ner": 1, "tc": 0.5} for record in records
    )


@pytest.mark.parametrize("strategy", ["joint", "tpl", *SURGERY])
def test_every_other_strategy_trains_the_backbone(make_recipe: MakeRecipe, strategy: str) -> None:
    trainer = Trainer(make_recipe(strategy=strategy))
    before = {name: p.detach().clone() for name, p in trainer.shared.items()}
    record = trainer.step(0)
    assert (trainer.stack is not None) == STRATEGIES[strategy].primary_loras
    moved = {name for name, p in trainer.shared.items() if not torch.equal(p, before[name])}
    # A key's bias shifts all scores of a query alike, which softmax does not see.
    still = {name for name in before if name not in moved}
    assert all(name.endswith("key.bias") for name in still), still
    assert set(record.cosines) == {"ner|tc"}
    assert len(record.cosines["ner|tc"]) == trainer.encoder.depth + 1
    assert all(len(norms) == trainer.encoder.depth + 1 for norms in record.gradient_norms.values())


def test_one_family_has_no_conflict(make_recipe: MakeRecipe) -> None:
    record = Trainer(make_recipe(strategy="ner")).step(0)
    assert record.cosines == {}
    assert set(record.gradient_norms) == {"ner"}


# ----------------------------------------------------------------------------------------- plans


def test_plans(make_recipe: MakeRecipe) -> None:
    assert plan(make_recipe(strategy="none")).families == ()
    assert plan(make_recipe(strategy="tc")).families == ("tc",)
    for name, sharing in STRATEGIES.items():
        found = plan(make_recipe(strategy=name))
        assert found.families == ("ner", "tc")
        assert found.sharing == sharing
    assert {name for name in STRATEGIES if STRATEGIES[name].primary_loras} == {
        "tpl", "frozen", "tpl+upgrad",
    }  # fmt: skip


def test_plans_that_cannot_be(make_recipe: MakeRecipe) -> None:
    good = make_recipe()
    ner = {"ner": good.families["ner"]}
    with pytest.raises(UserError, match="unknown strategy 'upgrade'; did you mean 'upgrad'"):
        plan(make_recipe(strategy="upgrade"))
    for strategy in STRATEGIES:
        with pytest.raises(UserError, match="needs two families, got 1"):
            plan(make_recipe(strategy=strategy, families=ner))
    with pytest.raises(UserError, match=r"strategy 'tc' needs families\.tc"):
        plan(make_recipe(strategy="tc", families=ner))
    rating = {**ner, "rating": good.families["tc"]}
    with pytest.raises(UserError, match=r"rating: this family has no stage 1; .* families\.tc"):
        plan(make_recipe(strategy="tpl", families=rating))
    with pytest.raises(UserError, match="unknown family 'nre'; did you mean 'ner'"):
        plan(make_recipe(families={"nre": good.families["ner"]}))
