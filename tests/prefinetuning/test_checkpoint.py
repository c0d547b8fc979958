"""Stopped at any step and resumed, a run ends as if it had never stopped."""

import hashlib
import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning import run
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.resume import WorkFolder
from onetrunk.prefinetuning.run import prefinetune

STEPS = 5

MakeRecipe = Callable[..., Recipe]
Before = Callable[[int, Callable[[], None]], None]


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "plot_losses", lambda *_: None)  # half of the time of these tests


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe(steps=STEPS, dropout=0.2)


class Stopped(Exception):
    """In place of whatever ends a process."""


def stop() -> None:
    raise Stopped


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    """``before(n, do)``: from now on, training does this before step n."""
    step = Trainer.step

    def at(number: int, do: Callable[[], None]) -> None:
        def doing(trainer: Trainer, now: int) -> StepRecord:
            if now == number:
                do()
            return step(trainer, now)

        monkeypatch.setattr(Trainer, "step", doing)

    return at


def left_by(folder: Path) -> tuple[str, dict[str, Any], list[Any], Any]:
    """All that a run leaves, but for times: fingerprint, LoRAs, log, data report."""
    backbone = Backbone.load(folder)
    matrices = {
        f"{family} {place} {i}": matrix.numpy().tobytes()
        for family, adapter in backbone.primary_loras.items()
        for place, pair in adapter.matrices.items()
        for i, matrix in enumerate(pair)
    }
    records = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    for record in records:
        del record["seconds"]
    return backbone.fingerprint, matrices, records, backbone.record["data"]


def kept_by(out: Path) -> Path:
    return out.with_name(out.name + ".checkpoints")


def stopped(recipe: Recipe, out: Path, before: Before, at: int = 4, every: int = 1) -> Path:
    """The folder of checkpoints of a run that was stopped before step ``at``."""
    before(at, stop)
    with pytest.raises(Stopped):
        prefinetune(recipe, out, checkpoint_every=every)
    before(at, lambda: None)
    assert not out.exists()
    return kept_by(out)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "tpl"},
        {"strategy": "tpl", "balance": "gradient_norm"},
        {"strategy": "joint", "balance": "uncertainty"},
        {"strategy": "pcgrad"},
        {"strategy": "frozen"},
        {"strategy": "ner"},
    ],
    ids=lambda changes: "-".join(changes.values()),
)
def test_stopped_anywhere_and_resumed_nothing_differs(
    make_recipe: MakeRecipe, tmp_path: Path, before: Before, changes: dict[str, str]
) -> None:
    """Invariant 7, with checkpoints that are older than the stop."""
    recipe = make_recipe(steps=STEPS, dropout=0.2, **changes)
    prefinetune(recipe, tmp_path / "whole")
    expected = left_by(tmp_path / "whole")
    assert len(expected[2]) == STEPS
    points = range(STEPS) if changes == {"strategy": "tpl"} else [3]
    for at in points:
        out = tmp_path / f"stopped-{at}"
        folder = stopped(recipe, out, before, at, every=2)
        assert folder.exists() == (at >= 2)
        torch.rand(7)  # the generator is not where it was left
        prefinetune(recipe, out, resume=True)
        assert left_by(out) == expected
        assert not folder.exists()
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_stopped_twice(recipe: Recipe, tmp_path: Path, before: Before) -> None:
    prefinetune(recipe, tmp_path / "whole")
    out = tmp_path / "out"
    stopped(recipe, out, before, at=2)
    before(4, stop)
    with pytest.raises(Stopped):
        prefinetune(recipe, out, resume=True, checkpoint_every=timedelta(0))
    assert names(kept_by(out)) == [
        "lock", "run.json", "step-000003", "step-000004", "training.jsonl"
    ]  # fmt: skip
    before(4, lambda: None)
    prefinetune(recipe, out, resume=True)
    assert left_by(out) == left_by(tmp_path / "whole")


def test_precision_and_threads_are_those_of_the_start(
    make_recipe: MakeRecipe, tmp_path: Path, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(steps=STEPS, precision="auto")
    monkeypatch.setattr("onetrunk.model.precision.bf16_speedup", lambda *_: 2.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    stopped(recipe, tmp_path / "out", before)
    monkeypatch.setattr("onetrunk.model.precision.bf16_speedup", lambda *_: pytest.fail("measured"))
    set_to: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    made = prefinetune(recipe, tmp_path / "out", resume=True)
    assert set(set_to) == {5}
    assert made.record["precision"] == "bf16"
    assert made.record["recipe"]["precision"] == "auto"
    assert made.record["recipe"]["threads"] is None


# ----------------------------------------------------------------------------- damaged checkpoints


def cut(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def alter_a_weight(folder: Path) -> None:
    tensors = load_file(folder / "state.safetensors")
    tensors["lora.a.layer_2_query"][1, 0, 0] += 1e-3
    save_file(tensors, folder / "state.safetensors")


def alter_a_count(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text().replace('"texts": ', '"texts": 1'))


def cut_the_record(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text()[:-30])


def belong_to_another_run(folder: Path) -> None:
    path = folder / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"run": "0" * 64}))


def rename(folder: Path) -> None:
    folder.rename(folder.with_name("step-000007"))


DAMAGES: dict[Callable[[Path], None], str] = {
    cut: "SHA-256 is not the one recorded",
    alter_a_weight: "SHA-256 is not the one recorded",
    alter_a_count: "SHA-256 is not the one recorded",
    cut_the_record: "state.json is damaged",
    belong_to_another_run: "belongs to another run",
    lambda folder: (folder / "state.safetensors").unlink(): "it has no state.safetensors",
    lambda folder: (folder / "state.json").unlink(): "it has no state.json",
    rename: "was renamed",
}


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    recipe: Recipe, tmp_path: Path, before: Before, caplog: pytest.LogCaptureFixture
) -> None:
    prefinetune(recipe, tmp_path / "whole")
    pristine = stopped(recipe, tmp_path / "out", before)
    for i, (damage, why) in enumerate(DAMAGES.items()):
        out = tmp_path / f"out-{i}"
        shutil.copytree(pristine, kept_by(out))
        damage(kept_by(out) / "step-000004")
        caplog.clear()
        with caplog.at_level(logging.INFO, "onetrunk"):
            found = WorkFolder(out).find(recipe, resume=True, overwrite=False)
        assert found is not None
        assert found.step == 3
        refused, going_on = caplog.records
        assert refused.levelname == "WARNING"
        assert f"checkpoint not used: 1 ({kept_by(out)}/step-00000" in refused.message
        assert why in refused.message
        assert going_on.message == f"going on from {found.folder}: 3 steps are done"
    # The damaged one makes room, and what is written from there on is as good as any.
    assert (kept_by(out) / "step-000007").exists()
    (kept_by(out) / ".step-000005.abc.partial").mkdir()
    before(4, stop)
    with pytest.raises(Stopped):
        prefinetune(recipe, out, resume=True, checkpoint_every=1)
    assert names(kept_by(out)) == names(pristine)
    before(4, lambda: None)
    prefinetune(recipe, out, resume=True)
    assert left_by(out) == left_by(tmp_path / "whole")


def test_a_log_that_lacks_steps_is_damage_too(
    recipe: Recipe, tmp_path: Path, before: Before, caplog: pytest.LogCaptureFixture
) -> None:
    folder = stopped(recipe, tmp_path / "out", before)
    log = folder / "training.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    log.write_text("".join(lines[:3]) + lines[3][:40])
    prefinetune(recipe, tmp_path / "out", resume=True)
    assert f"{log}, line 4: step 3 is missing or damaged" in caplog.text
    assert len(left_by(tmp_path / "out")[2]) == STEPS


def test_no_good_checkpoint_is_an_error_and_nothing_is_deleted(
    recipe: Recipe, tmp_path: Path, before: Before
) -> None:
    folder = stopped(recipe, tmp_path / "out", before)
    cut(folder / "step-000003")
    (folder / "step-000004/state.json").unlink()
    there = names(folder)
    with pytest.raises(UserError, match=r"no checkpoint can be used.*with overwrite.*state.json"):
        prefinetune(recipe, tmp_path / "out", resume=True)
    assert names(folder) == there


# --------------------------------------------------------------------------- other runs, other data


@pytest.mark.parametrize(
    ("key", "change", "shown"),
    [
        ("steps", {"steps": 9}, "was 5, now 9"),
        ("optimizer.backbone_lr", {"optimizer": {"backbone_lr": 0.5}}, "was 0.0001, now 0.5"),
        ("decontaminate", {"decontaminate": {"against": ["x"]}}, "was null, now {"),
    ],
)
def test_another_recipe_is_refused(
    recipe: Recipe, make_recipe: MakeRecipe, tmp_path: Path, before: Before,
    key: str, change: dict[str, Any], shown: str,
) -> None:  # fmt: skip
    folder = stopped(recipe, tmp_path / "out", before)
    there = names(folder)
    other = make_recipe(**{"steps": STEPS, "dropout": 0.2, **change})
    with pytest.raises(UserError, match=f"belongs to another recipe: {key} {shown}"):
        prefinetune(other, tmp_path / "out", resume=True)
    assert names(folder) == there


def test_a_source_that_changed_is_refused_by_name(
    recipe: Recipe, corpora: Path, tmp_path: Path, before: Before
) -> None:
    folder = stopped(recipe, tmp_path / "out", before)
    there = names(folder)
    path = corpora / "pre_pairs/d/train.parquet"
    table = pq.read_table(path).to_pydict()
    table["query"][3] = "play music"
    pq.write_table(pa.table(table), path)
    with pytest.raises(UserError, match=r"the tc source 'd' has changed since .*step-000004"):
        prefinetune(recipe, tmp_path / "out", resume=True)
    assert names(folder) == there


def test_checkpoints_are_neither_used_nor_discarded_unasked(
    recipe: Recipe, tmp_path: Path, before: Before, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    folder = stopped(recipe, out, before)
    there = names(folder)
    with pytest.raises(UserError, match=r"step-000004 was left .* set resume .* overwrite"):
        prefinetune(recipe, out)
    assert names(folder) == there
    before(1, stop)
    with pytest.raises(Stopped):
        prefinetune(recipe, out, overwrite=True, checkpoint_every=1)
    assert names(folder) == ["lock", "run.json", "step-000001", "training.jsonl"]
    before(1, lambda: None)
    out.mkdir()
    (out / "onetrunk.json").write_text("{}")
    with caplog.at_level(logging.INFO, "onetrunk"):
        prefinetune(recipe, out, overwrite=True, resume=True)
    assert "going on from" in caplog.text
    assert (out / "model.safetensors").exists()


def test_resume_without_checkpoints_starts_and_says_so(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefinetune(recipe, tmp_path / "whole")
    with caplog.at_level(logging.INFO, "onetrunk"):
        prefinetune(recipe, tmp_path / "out", resume=True)
    assert "out.checkpoints holds no checkpoint: starting from the beginning" in caplog.text
    assert left_by(tmp_path / "out") == left_by(tmp_path / "whole")


def test_a_folder_of_something_else_is_not_touched(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "out.checkpoints"
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(UserError, match=r"out\.checkpoints is needed .* holds something else"):
        prefinetune(recipe, tmp_path / "out", overwrite=True)
    assert names(folder) == ["precious"]


def test_two_runs_do_not_share_a_folder(recipe: Recipe, tmp_path: Path, before: Before) -> None:
    out = tmp_path / "out"

    def start_another() -> None:
        with pytest.raises(UserError, match="another process is training into"):
            prefinetune(recipe, out, overwrite=True)

    before(3, start_another)
    prefinetune(recipe, out, checkpoint_every=1)
    assert len(left_by(out)[2]) == STEPS


# ------------------------------------------------------------------------------------ being stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_step_is_finished_and_kept(
    recipe: Recipe, tmp_path: Path, before: Before, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    before(2, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt, match=r"step-000003 is kept; the same run with resume"):
        prefinetune(recipe, out)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    before(2, lambda: None)
    prefinetune(recipe, tmp_path / "whole")
    prefinetune(recipe, out, resume=True)
    assert left_by(out) == left_by(tmp_path / "whole")


def test_interrupted_twice_it_stops_at_once(recipe: Recipe, tmp_path: Path, before: Before) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before(2, twice)
    with pytest.raises(KeyboardInterrupt, match="step-000002 is kept"):
        prefinetune(recipe, tmp_path / "out", checkpoint_every=1)


def test_stopped_before_the_first_step_nothing_is_kept(
    recipe: Recipe, tmp_path: Path, before: Before
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    before(0, interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        prefinetune(recipe, tmp_path / "out")
    assert "out.checkpoints" not in names(tmp_path)


@pytest.mark.parametrize("is_written", [False, True])
def test_a_folder_killed_as_it_is_deleted_is_known_as_ours(
    is_written: bool,
    tmp_path: Path,
    killed_before_each_step: Callable[[Callable[[], object]], Iterator[int]],
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "onetrunk.json").write_text(json.dumps({"run": hashlib.sha256(b"{}").hexdigest()}))
    for _ in killed_before_each_step(lambda: WorkFolder(out).discard()):
        work = WorkFolder(out)
        assert all([*folder.iterdir()] for folder in work.checkpoints())
        if is_written:
            work.forget(out)
            assert not work.folder.exists()
        with work.held():  # raises for a folder of somebody else
            pass
        for name in ("step-000002", "step-000004"):
            (work.folder / name).mkdir(parents=True, exist_ok=True)
            (work.folder / name / "state.json").write_text("{}")
        for name in ("run.json", "training.jsonl"):
            (work.folder / name).write_text("{}")


def test_checkpoints_of_a_run_that_was_killed_when_it_was_done_are_deleted(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work = tmp_path / "out", WorkFolder(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "discard", lambda self: None)
        prefinetune(recipe, out, checkpoint_every=2)
    assert work.checkpoints()
    with pytest.raises(UserError, match="already exists"):
        prefinetune(recipe, out)
    assert work.checkpoints()
    (work.folder / "run.json").write_text("{}")  # of another run: it may go on
    with pytest.raises(UserError, match="already exists"):
        prefinetune(recipe, out, resume=True)
    assert work.checkpoints()
    shutil.rmtree(work.folder)
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "discard", lambda self: None)
        prefinetune(recipe, out, overwrite=True, checkpoint_every=2)
    with pytest.raises(UserError, match="already exists"):
        prefinetune(recipe, out, resume=True)
    assert not work.folder.exists()
