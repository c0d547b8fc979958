"""Gradients of single batches: sketched, and taken without training the backbone."""

from collections.abc import Callable

import pytest
import torch

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.prefinetuning import conflict
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.profile import CountSketch, profile, profiled

MakeRecipe = Callable[..., Recipe]


def test_a_sketch_of_a_small_layer_is_exact() -> None:
    sketch = CountSketch([40, 64], width=64)
    generator = torch.Generator().manual_seed(0)
    for layer, size in enumerate((40, 64)):
        a, b = torch.randn(2, size, generator=generator)
        assert sketch(layer, a).shape == (64,)
        found = sketch(layer, a) @ sketch(layer, b)
        torch.testing.assert_close(found, a @ b, atol=1e-5, rtol=1e-5)


def test_a_sketch_is_linear() -> None:
    sketch = CountSketch([1000], width=61)
    a, b = torch.randn(2, 1000, generator=torch.Generator().manual_seed(1))
    found = sketch(0, 2 * a - b)
    torch.testing.assert_close(found, 2 * sketch(0, a) - sketch(0, b), atol=1e-4, rtol=1e-4)


def test_sketched_inner_products_are_unbiased_and_their_error_bounded() -> None:
    """Over many draws of the signs: mean <a, b>, standard deviation below |a||b| √(2/width)."""
    width, size = 101, 2000
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(size, generator=generator)
    b = 0.3 * a + torch.randn(size, generator=generator)
    found = torch.stack(
        [
            sketch(0, a) @ sketch(0, b)
            for sketch in (CountSketch([size], width, seed) for seed in range(400))
        ]
    )
    bound = float(a.norm() * b.norm()) * (2 / width) ** 0.5
    assert float(found.std()) < bound
    assert float(found.mean()) == pytest.approx(float(a @ b), abs=4 * bound / 400**0.5)


def test_a_profile_holds_the_inner_products_of_the_batches(make_recipe: MakeRecipe) -> None:
    """Tiny layers are sketched exactly, so they equal those of the gradients themselves."""
    recipe = profiled(make_recipe())
    found = profile(Trainer(recipe), batches=2, warmup=0)
    trainer = Trainer(recipe)
    layers = [conflict.layer_of(trainer.encoder, name) for name in trainer.shared]
    gradients, losses = [], []
    for name in ("ner", "tc"):
        for step in range(2):
            losses.append(trainer.backward(name, step)[0])
            gradients.append([p.grad for p in trainer.shared.values() if p.grad is not None])
            trainer.optimizer.zero_grad()
    grams = conflict.grams(gradients, layers)
    assert found.families == ("ner", "tc")
    assert found.grams.shape == (trainer.encoder.depth + 1, 2, 2, 2, 2)
    torch.testing.assert_close(found.grams, grams.view_as(found.grams), rtol=1e-4, atol=1e-8)
    assert [*found.losses["ner"], *found.losses["tc"]] == pytest.approx(losses)


def test_only_the_objectives_own_parameters_are_warmed_up(make_recipe: MakeRecipe) -> None:
    trainer = Trainer(profiled(make_recipe()))
    backbone = trainer.encoder.fingerprint()
    own = {name: p.detach().clone() for name, p in trainer.objectives.named_parameters()}
    told: list[tuple[str, int, int]] = []
    found = profile(trainer, 2, 25, lambda *what: told.append(what))
    assert trainer.encoder.fingerprint() == backbone
    assert all(p.requires_grad for p in trainer.shared.values())
    assert all(not torch.equal(p, own[n]) for n, p in trainer.objectives.named_parameters())
    assert [done for _, done, _ in told] == list(range(1, 30))
    assert {total for _, _, total in told} == {29}  # 25 for ner alone: tc has nothing to warm up
    fresh = profile(Trainer(profiled(make_recipe())), 2, 0)
    assert sum(found.losses["ner"]) < 0.8 * sum(fresh.losses["ner"])


def test_a_profile_repeats_itself(make_recipe: MakeRecipe) -> None:
    first, second = (profile(Trainer(profiled(make_recipe())), 2, 3) for _ in range(2))
    assert torch.equal(first.grams, second.grams)


def test_a_loss_that_is_not_finite_is_an_error(make_recipe: MakeRecipe) -> None:
    trainer = Trainer(profiled(make_recipe()))
    with torch.no_grad():
        trainer.encoder.linear(0, "ffn_up").weight.fill_(float("nan"))
    with pytest.raises(UserError, match="the ner loss of batch 0 is nan"):
        profile(trainer, 2, 0)


def test_the_bare_backbone_is_profiled(make_recipe: MakeRecipe) -> None:
    for strategy, expected in (("tpl+upgrad", "joint"), ("frozen", "joint"), ("muppet", "muppet")):
        assert profiled(make_recipe(strategy=strategy)).strategy == expected
    alone = make_recipe(families={"ner": make_recipe().families["ner"]}, strategy="ner")
    with pytest.raises(UserError, match="needs two families"):
        Trainer(profiled(alone))
