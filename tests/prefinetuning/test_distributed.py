"""Several processes train as one does on the same global batch (invariant 8)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from onetrunk import processes as exchange
from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.model import precision
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.processes import ALONE, Processes

STEPS = 3


@pytest.fixture
def make_recipe(corpora: Path, tiny_encoder_folder: Any) -> Any:
    """Recipes with odd batches, two passes over pairs, and negatives of which rows have 0 to 2."""
    folder = corpora / "pre_pairs/negatives"
    folder.mkdir()
    columns = {
        "query": [f"play music {i}" for i in range(30)],
        "positive": [f"met mum in the river {i}" for i in range(30)],
        "negatives": [[f"call {i} {j}" for j in range(i % 3)] for i in range(30)],
    }
    pq.write_table(pa.table(columns), folder / "train.parquet")

    def make(ner: int = 7, tc: int = 5, **changes: Any) -> Recipe:
        sources = {"ner": ["pre_ner/a", "pre_ner/b"], "tc": ["pre_pairs/negatives"]}
        special = {
            "ner": {"batch_size": ner},
            "tc": {"batch_size": tc, "weight": 0.5, "learn_temperature": True, "graph_tokens": 20},
        }
        families = {
            name: {"sources": [{"path": str(corpora / path)} for path in paths], **special[name]}
            for name, paths in sources.items()
        }
        data = {
            "encoder": str(tiny_encoder_folder("bert")), "steps": STEPS, "k": 2, "seed": 10,
            "precision": "fp32", "lora": {"rank": 4, "alpha": 8}, "families": families,
        }  # fmt: skip
        return Recipe.model_validate(data | changes)

    return make


Learned = dict[str, np.ndarray]


def learned(trainer: Trainer) -> Learned:
    tensors = {**trainer.encoder.model.state_dict(), **trainer.objectives.state_dict()}
    if trainer.stack is not None:
        tensors |= trainer.stack.state_dict()
    # Copies: a state_dict shares memory with what goes on learning.
    return {name: np.array(tensor) for name, tensor in tensors.items() if "pooler" not in name}


def train(recipe: Recipe, processes: Processes = ALONE) -> tuple[list[StepRecord], Learned]:
    """What a run records, and all that it learned."""
    trainer, records = Trainer(recipe, processes=processes), []
    trainer.run(records.append)
    return records, learned(trainer)


@pytest.mark.parametrize(
    ("strategy", "world", "ner", "tc"),
    [
        *((strategy, 2, 7, 5) for strategy in ("tpl", "joint", "ner", "tc", "pcgrad")),
        ("tpl", 3, 7, 2),  # the last process has no pair
        ("tpl", 3, 2, 5),  # … or no sentence
    ],
)
def test_processes_train_as_one(
    make_recipe: Any, together: Any, monkeypatch: pytest.MonkeyPatch,
    strategy: str, world: int, ner: int, tc: int,
) -> None:  # fmt: skip
    """Not bit for bit: sums over a batch are rounded in another order.

    Adam scales all gradients to steps of like length, and with them the rounding of those that are
    nearly zero, so single numbers may differ by a hundredth of a step. The gradient of the bias of
    attention keys is nothing but rounding (softmax does not see what it adds to every score): it
    is left out.
    """
    monkeypatch.setattr(exchange, "TALL", 50)  # so that the tiny vocabulary counts as one
    recipe = make_recipe(ner, tc, strategy=strategy)
    start = learned(Trainer(recipe))
    alone, weights = train(recipe)
    answers = together(world, lambda processes: train(recipe, processes))
    for records, theirs in answers:
        for name, value in theirs.items():
            np.testing.assert_array_equal(value, answers[0][1][name], err_msg=name)
            if "key.bias" not in name:
                np.testing.assert_allclose(value, weights[name], 1e-5, 5e-6, err_msg=name)
                learnt = np.linalg.norm(weights[name] - start[name])
                assert np.linalg.norm(value - weights[name]) <= 1e-3 * learnt, name
        for record, expected in zip(records, alone, strict=True):
            assert (record.tokens, record.step) == (expected.tokens, expected.step)
            assert record.losses == pytest.approx(expected.losses, rel=1e-5)
            assert record.weights == pytest.approx(expected.weights, rel=1e-4)
            # Adam and clipping would hide a gradient that is a multiple of what it should be.
            assert record.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)
            for family, norms in expected.gradient_norms.items():
                assert record.gradient_norms[family] == pytest.approx(norms, rel=1e-4, abs=2e-6)
            for pair, cosines in expected.cosines.items():
                assert record.cosines[pair] == pytest.approx(cosines, abs=2e-4)
    if strategy == "pcgrad":
        assert any(record.weights["tc"] > 0.55 for record in alone), "no conflict in this test"


def test_dropout_differs_between_processes_and_their_weights_do_not(
    make_recipe: Any, together: Any
) -> None:
    def work(processes: Processes) -> tuple[float, Learned]:
        trainer = Trainer(make_recipe(dropout=0.5), processes=processes)
        masks = []
        dropout = next(m for m in trainer.encoder.model.modules() if type(m) is torch.nn.Dropout)
        dropout.register_forward_hook(lambda _m, _i, output: masks.append((output == 0).flatten()))
        trainer.run(lambda record: None)
        return masks[0][:64].tolist(), learned(trainer)

    (first, weights), (second, others) = together(2, work)
    assert first != second
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


def test_a_loss_that_is_not_finite_anywhere_stops_all(make_recipe: Any, together: Any) -> None:
    def work(processes: Processes) -> str:
        trainer = Trainer(make_recipe(), processes=processes)
        if processes.rank == 1:
            with torch.no_grad():
                trainer.encoder.linear(0, "query").weight.fill_(float("nan"))
        with pytest.raises(UserError) as error:
            trainer.step(0)
        return str(error.value)

    for message in together(2, work):
        assert re.match("step 0: the (ner loss|norm of the gradient) is nan", message)


def test_processes_agree_on_precision(
    make_recipe: Any, together: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each measures for itself, and may come to another answer."""

    def work(processes: Processes) -> str:
        answer = "bf16" if processes.first else "fp32"
        monkeypatch.setattr(precision, "choose", lambda *_: answer)
        return Trainer(make_recipe(), processes=processes).precision

    assert together(2, work) == ["fp32", "fp32"]


LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    # Without --multi_gpu accelerate starts one process, whatever their number. Devices are ours.
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_command_line_under_a_launcher(make_recipe: Any, tmp_path: Path, launcher: str) -> None:
    def run(recipe: Recipe, out: Path) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe.model_dump()))
        options = ["-m", "onetrunk", "prefinetune", str(file), "--out", str(out)]
        return subprocess.run(
            [sys.executable, *LAUNCHERS[launcher], *options],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    recipe, out = make_recipe(threads=1), tmp_path / "many"
    done = run(recipe, out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"wrote {out}") == 1
    made, expected = Backbone.load(out), prefinetune(recipe, tmp_path / "one")
    assert (made.record["processes"], expected.record["processes"]) == (2, 1)
    for name, value in made.encoder.model.state_dict().items():
        if "key.bias" not in name:
            torch.testing.assert_close(
                value, expected.encoder.model.state_dict()[name], rtol=1e-5, atol=1e-6
            )
    logs = [tmp_path / name / "training.jsonl" for name in ("many", "one")]
    lines, others = ([json.loads(line) for line in log.read_text().splitlines()] for log in logs)
    assert [line["tokens"] for line in lines] == [line["tokens"] for line in others]

    failed = run(make_recipe(encoder=str(tmp_path / "nowhere")), tmp_path / "failed")
    assert failed.returncode != 0
    assert any(line.startswith("error: ") for line in failed.stderr.splitlines())
    assert not (tmp_path / "failed").exists()


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_run_goes_on(make_recipe: Any, tmp_path: Path) -> None:
    """The same command with ``--resume`` comes to the same weights: not a bit is different."""
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(make_recipe(threads=1, steps=60, dropout=0.1).model_dump()))

    def start(out: Path) -> subprocess.Popen[bytes]:
        options = ["--out", str(out), "--resume", "--checkpoint-every", "5"]
        command = [*LAUNCHERS["torchrun"], "-m", "onetrunk", "prefinetune", str(file), *options]
        return subprocess.Popen([sys.executable, *command])

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(timeout=300) == 0
    run, began = start(killed), time.monotonic()
    while not list(tmp_path.glob("killed.checkpoints/step-*")):
        assert run.poll() is None
        assert time.monotonic() < began + 200
        time.sleep(0.02)
    psutil.Process(run.pid).children()[-1].kill()
    assert run.wait(timeout=60) != 0
    assert not killed.exists()
    assert start(killed).wait(timeout=300) == 0
    assert Backbone.load(killed).fingerprint == Backbone.load(whole).fingerprint
