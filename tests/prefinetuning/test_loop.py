from typing import Any

import pytest
import torch

from onetrunk.config import OptimizerSettings, Recipe
from onetrunk.errors import UserError
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.loop import Trainer, _train_mode
from onetrunk.prefinetuning.optimizer import rate


def trained(recipe: Recipe) -> tuple[Trainer, list[StepRecord]]:
    trainer, records = Trainer(recipe), []
    trainer.run(records.append)
    return trainer, records


@pytest.mark.parametrize("family", ["ner", "tc"])
def test_a_loss_leaves_the_other_lora_untouched(make_recipe: Any, family: str) -> None:
    """Invariant 1: φ_f only by L_f; θ by every loss."""
    trainer = Trainer(make_recipe())
    assert trainer.stack is not None
    own, other = (trainer.stack.slot(name) for name in (family, {"ner": "tc", "tc": "ner"}[family]))
    with torch.no_grad():  # B = 0 would hide a gradient of A
        for b in trainer.stack.b.values():
            b[1:].normal_()
    trainer.backward(family, 0)
    for part in (trainer.stack.a, trainer.stack.b):
        for name, matrix in part.items():
            assert matrix.grad is not None
            assert matrix.grad[own].abs().sum() > 0, name
            assert matrix.grad[other].abs().sum() == 0, name
            assert matrix.grad[0].abs().sum() == 0, name
    bottom = trainer.encoder.linear(0, "query").weight.grad
    assert bottom is not None
    assert bottom.abs().sum() > 0


def test_a_step_adds_the_weighted_gradients_of_both_families(make_recipe: Any) -> None:
    def gradient(**weights: float) -> torch.Tensor:
        trainer = Trainer(make_recipe(strategy="joint"))
        for family, weight in weights.items():
            trainer.backward(family, 0, weight)
        grad = trainer.encoder.linear(1, "ffn_up").weight.grad
        assert grad is not None
        return grad

    alone = gradient(ner=1.0) + gradient(tc=1.0) * 0.5
    torch.testing.assert_close(gradient(ner=1.0, tc=0.5), alone, atol=1e-6, rtol=1e-5)

    stepped = Trainer(make_recipe(strategy="joint", optimizer={"clip": 1e9}))
    record = stepped.step(0)
    grad = stepped.encoder.linear(1, "ffn_up").weight.grad
    assert grad is not None
    torch.testing.assert_close(grad, alone, atol=1e-6, rtol=1e-5)
    assert record.weights == {"ner": 1.0, "tc": 0.5}


@pytest.mark.parametrize(
    ("strategy", "primary", "losses"),
    [
        ("none", set(), set()),
        ("ner", set(), {"ner"}),
        ("tc", set(), {"tc"}),
        ("joint", set(), {"ner", "tc"}),
        ("tpl", {"ner", "tc"}, {"ner", "tc"}),
    ],
)
def test_strategies(make_recipe: Any, strategy: str, primary: set[str], losses: set[str]) -> None:
    recipe = make_recipe(strategy=strategy)
    before = Trainer(recipe).encoder.fingerprint()
    trainer, records = trained(recipe)
    backbone = trainer.backbone()
    assert set(backbone.primary_loras) == primary
    assert all(set(record.losses) == losses for record in records)
    assert len(records) == (4 if losses else 0)
    assert (backbone.fingerprint == before) == (strategy == "none")
    for adapter in backbone.primary_loras.values():
        assert adapter.layers == [1, 2]
        assert all(b.abs().sum() > 0 for _, b in adapter.matrices.values())


def test_tpl_starts_where_joint_starts(make_recipe: Any) -> None:
    """A fresh LoRA changes nothing: the first losses are those of the bare backbone."""
    first = [trained(make_recipe(strategy=s, steps=1))[1][0].losses for s in ("joint", "tpl")]
    assert first[0] == pytest.approx(first[1], abs=1e-6)


def test_training_learns_and_repeats_itself(make_recipe: Any) -> None:
    recipe = make_recipe(steps=30, optimizer={"backbone_lr": 1e-3, "lora_lr": 1e-3})
    trainer, records = trained(recipe)
    again, repeated = trained(recipe)
    assert [r.losses for r in records] == [r.losses for r in repeated]
    assert trainer.encoder.fingerprint() == again.encoder.fingerprint()
    for family in ("ner", "tc"):
        assert sum(r.losses[family] for r in records[-5:]) < sum(
            r.losses[family] for r in records[:5]
        )


def test_useful_tokens_count_no_padding(make_recipe: Any) -> None:
    trainer = Trainer(make_recipe())
    record = trainer.step(0)
    batches = [trainer.objectives[name].draw(0) for name in ("ner", "tc")]
    texts = [*batches[0].ids, *batches[1].queries, *batches[1].positives]
    assert record.tokens == sum(map(len, texts))


def test_dropout_reaches_every_layer(make_recipe: Any) -> None:
    trainer = Trainer(make_recipe())
    _train_mode(trainer.encoder, 0.3)
    rates = {m.p for m in trainer.encoder.model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.3}


def test_learning_rate_rises_then_falls() -> None:
    for decay in ("linear", "cosine"):
        settings = OptimizerSettings(warmup=0.2, decay=decay)
        rates = [rate(step, 50, settings) for step in range(51)]
        assert rates[:10] == sorted(rates[:10])
        assert rates[10] == pytest.approx(1)
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert rates[0] > 0
        assert rates[50] == pytest.approx(0)
    assert rate(40, 50, OptimizerSettings(decay="constant")) == 1


@pytest.mark.parametrize("what", ["the ner loss", "the norm of the gradient"])
def test_what_is_not_finite_stops_the_run(make_recipe: Any, what: str) -> None:
    trainer = Trainer(make_recipe())
    weight = trainer.encoder.linear(0, "query").weight
    if what == "the ner loss":
        with torch.no_grad():
            weight.fill_(float("nan"))
    else:  # the loss may be a number where its gradient is none
        weight.register_hook(lambda gradient: gradient * float("nan"))
    before = trainer.encoder.linear(1, "query").weight.clone()
    with pytest.raises(UserError, match=f"step 0: {what} is nan; lower"):
        trainer.step(0)
    assert torch.equal(trainer.encoder.linear(1, "query").weight, before)


def test_bad_plans(make_recipe: Any) -> None:
    good = make_recipe()
    with pytest.raises(UserError, match="strategy 'tpl' needs two families, got 1"):
        Trainer(make_recipe(families={"ner": good.families["ner"]}))
    with pytest.raises(UserError, match=r"strategy 'tc' needs families\.tc"):
        Trainer(make_recipe(strategy="tc", families={"ner": good.families["ner"]}))
    with pytest.raises(UserError, match="unknown family 'nre'; did you mean 'ner'"):
        Trainer(make_recipe(families={"nre": good.families["ner"]}))
    with pytest.raises(UserError, match=r"families\.ner: unknown key 'batchsize'; did you mean"):
        Trainer(make_recipe(families={**good.families, "ner": {"batchsize": 3}}))
    with pytest.raises(UserError, match="k 9: the encoder has 3 layers"):
        Trainer(make_recipe(k=9))
