"""A suite end to end: what is computed, kept, shared, and computed again."""

import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from onetrunk.benchmark import jobs, measure, run, staleness
from onetrunk.benchmark.cells import Cell, CellId, load_cell, save_cell
from onetrunk.benchmark.report import write_report
from onetrunk.benchmark.run import run_suite
from onetrunk.benchmark.staleness import survey
from onetrunk.benchmark.store import load_cells, pack_cells
from onetrunk.benchmark.suite import Suite
from onetrunk.benchmark.versions import package_version
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.storage import read_json

MakeSuite = Callable[..., Suite]
ONE = ["none"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[CellId]:
    """The adapters of the apps that are fitted, one after the other."""
    fitted: list[Any] = []
    fit = measure.fit

    def counted(*arguments: Any) -> Any:
        fitted.append(arguments[3].adapter)
        return fit(*arguments)

    monkeypatch.setattr(measure, "fit", counted)
    return fitted


def files(out: Path) -> dict[str, tuple[int, bytes]]:
    """Every file but locks: when it was written, and what it holds."""
    return {
        str(file.relative_to(out)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.suffix != ".lock"
    }


def test_from_suite_to_cells_and_again(
    make_suite: MakeSuite, tmp_path: Path, fits: list[Any]
) -> None:
    suite, out, progress = make_suite(), tmp_path / "out", []
    cells = run_suite(suite, out, lambda *arguments: progress.append(arguments))
    assert len(cells) == len(fits) == 3 * 2 * 2
    assert {path.name for path in (out / "backbones").iterdir()} == {"none.0", "tpl.0"}
    assert (out / "cells/tpl/who/8-rows.lora.seed0.adapt0.json").exists()
    assert [cell.id for cell in load_cells(out)] == sorted(cell.id for cell in cells)
    assert progress[-1] == ("", 12, 12)
    assert [done for _, done, _ in progress] == sorted(done for _, done, _ in progress)
    for cell in cells:
        assert cell.outcomes is not None
        assert cell.outcomes.scores() == cell.scores
        assert set(cell.scores) == set(FAMILIES[cell.family].metrics)
        assert (cell.train_rows, cell.test_rows) == (8, 12)
        # The strategies of one backbone are scored together.
        assert cell.test_apps == (2 if cell.id.strategy == "none" else 4)
        parameters = cell.trainable_parameters
        assert cell.adapter_bytes == 4 * parameters or cell.id.strategy == "tpl"
    by_id = {cell.id: cell for cell in cells}
    for adapter in ("linear", "lora"):
        ids = [CellId(name, "who", "8-rows", adapter, 0, 0) for name in ("tpl", "tpl-discarded")]
        assert by_id[ids[0]].hashes["backbone"] != by_id[ids[1]].hashes["backbone"]

    write_report(suite, out, tmp_path / "report", "tpl")
    encoder = Backbone.load(out / "backbones/tpl.0").record["recipe"]["encoder"]
    assert f"Encoder: {os.path.relpath(encoder)}." in (tmp_path / "report/report.md").read_text()

    before = files(out)
    again = run_suite(suite, out)
    assert files(out) == before
    assert len(fits) == 12
    assert [cell.scores for cell in again] == [cell.scores for cell in cells]
    # Nothing is trained for cells that are there.
    shutil.rmtree(out / "backbones")
    run_suite(suite, out)
    assert not (out / "backbones").exists()


def test_where_the_folder_is_absent_the_hub_is_read(
    make_suite: MakeSuite, tmp_path: Path, corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` reads a folder as it reads the hub."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    task = {"name": "verb", "family": "tc", "data": "tc/absent", "hub": str(corpora / "tc/app")}
    far = make_suite(strategies=["tpl"], adapters=["linear"], tasks=[task])
    near = make_suite(strategies=["tpl"], adapters=["linear"], tasks=[task | {"data": "tc/app"}])
    (one,), (other,) = (run_suite(suite, tmp_path / str(i)) for i, suite in enumerate((far, near)))
    assert (one.scores, one.test_rows) == (other.scores, 12)
    assert one.hashes["data"] != other.hashes["data"]
    near_sets = {"tc/app/test", "tc/app/validation"}
    for out, sets in (("0", {f"{corpora / 'tc/app'}/test"}), ("1", near_sets)):
        report = read_json(tmp_path / out / "backbones/tpl.0/decontamination.json", "a backbone")
        assert set(report["evaluation_sets"]) == sets


def test_a_task_with_fewer_rows_gives_all(make_suite: MakeSuite, tmp_path: Path) -> None:
    suite = make_suite(strategies=ONE, draws=[{"rows": 1000}, {"fraction": 0.5}, {"shots": 2}])
    cells = run_suite(suite, tmp_path / "out")
    rows = {(cell.id.task, cell.id.draw): cell.train_rows for cell in cells}
    assert rows["verb", "1000-rows"] == 24
    assert rows["verb", "50-percent"] == 12
    assert rows["verb", "2-shot"] == 4


def test_one_pass_is_each_app_alone(
    make_suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ["tpl", {"name": "discarded", "strategy": "tpl", "discard_primary": True}]
    suite = make_suite(strategies=pair)
    together = run_suite(suite, tmp_path / "together")
    shutil.copytree(tmp_path / "together/backbones", tmp_path / "alone/backbones")
    monkeypatch.setattr(measure, "PASS_APPS", 1)
    alone = run_suite(suite, tmp_path / "alone")
    assert {cell.test_apps for cell in alone} == {1}
    assert {cell.test_apps for cell in together} == {4}
    for cell, alone_cell in zip(together, alone, strict=True):
        assert (cell.id, cell.scores) == (alone_cell.id, alone_cell.scores)
        assert cell.outcomes is not None
        assert alone_cell.outcomes is not None
        assert (cell.outcomes.values == alone_cell.outcomes.values).all()


def test_a_killed_run_goes_on(
    make_suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: list[Any]
) -> None:
    suite, out, save = make_suite(strategies=ONE), tmp_path / "out", run.save_cell

    def killed(cell: Cell, folder: Path) -> None:
        if list(folder.glob("cells/*/*/*.json")):
            raise KeyboardInterrupt
        save(cell, folder)

    monkeypatch.setattr(run, "save_cell", killed)
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, out)
    (first,) = load_cells(out)
    content = first.id.file(out).read_bytes()
    monkeypatch.setattr(run, "save_cell", save)
    fits.clear()
    assert len(run_suite(suite, out)) == 4
    assert len(fits) == 3
    assert first.id.file(out).read_bytes() == content


def test_two_processes_share_the_work(
    make_suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    suite = make_suite(adaptation_seeds=[0, 1], adapters=["linear"])
    save, train = run.save_cell, run.prefinetune

    def saved(cell: Cell, folder: Path) -> None:
        with log.open("a") as lines:
            lines.write(f"{multiprocessing.current_process().name} {cell.id}\n")
        save(cell, folder)

    def trained(recipe: Any, folder: Path, **options: Any) -> Any:
        with log.open("a") as lines:
            lines.write(f"training {folder.name}\n")
        return train(recipe, folder, **options)

    monkeypatch.setattr(run, "save_cell", saved)
    monkeypatch.setattr(run, "prefinetune", trained)
    monkeypatch.setattr(jobs, "WAIT", 0.05)
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=run_suite, args=(suite, out), name=name) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = log.read_text().splitlines()
    assert sorted(line for line in lines if "training" in line) == [
        "training none.0", "training tpl.0"
    ]  # fmt: skip
    written = [line.split(" ", 1)[1] for line in lines if "training" not in line]
    assert len(written) == len(set(written)) == len(load_cells(out)) == 12


# ---------------------------------------------------------------------------------------- staleness


def reasons(suite: Suite, out: Path) -> dict[str, set[str]]:
    """By task, why its cells are stale."""
    by_task: dict[str, set[str]] = {}
    for id, why in survey(suite, out).reasons.items():
        by_task.setdefault(id.task, set()).update(why)
    return by_task


def test_each_kind_of_staleness_is_named(
    make_suite: MakeSuite,
    tmp_path: Path,
    corpora: Path,
    monkeypatch: pytest.MonkeyPatch,
    fits: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    suite, out = make_suite(strategies=["tpl"], adapters=["linear"]), tmp_path / "out"
    run_suite(suite, out)
    assert reasons(suite, out) == {}

    slower = make_suite(strategies=["tpl"], adapters=["linear"], adapt={"epochs": 2, "rank": 4})
    why = {"settings (epochs was 1, now 2)"}
    assert reasons(slower, out) == {"who": why, "verb": why}

    with monkeypatch.context() as patch:
        patch.setattr(staleness, "package_version", lambda: "0.2.0")
        why = {f"version (was {package_version()}, now 0.2.0)"}
        assert reasons(suite, out) == {"who": why, "verb": why}

    ner = out / "backbones/tpl.0/primary/ner/adapter_model.safetensors"
    before = ner.read_bytes()
    ner.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert reasons(suite, out) == {"who": {"backbone"}}  # tc starts from its own LoRA
    ner.write_bytes(before)

    test = corpora / "tc/app/test.parquet"
    shutil.copy(corpora / "tc/app/validation.parquet", test)
    assert reasons(suite, out) == {"verb": {"data"}}
    fits.clear()
    old = files(out)
    caplog.set_level(logging.WARNING, "onetrunk")
    run_suite(suite, out, keep_stale=True)
    assert "tpl, verb: 1 cell stale: data: kept" in caplog.messages
    assert files(out) == old
    run_suite(suite, out)
    assert "tpl, verb: 1 cell stale: data" in caplog.messages
    changed = {name for name, content in files(out).items() if old[name] != content}
    assert changed == {"cells/tpl/verb/8-rows.linear.seed0.adapt0.json"}
    assert len(fits) == 1
    assert reasons(suite, out) == {}


def test_a_backbone_of_another_recipe_is_refused(make_suite: MakeSuite, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_suite(make_suite(strategies=["tpl"], adapters=["linear"]), out)
    longer = make_suite(strategies=["tpl"], adapters=["linear"], steps=3)
    with pytest.raises(UserError, match=r"tpl\.0 was trained by another.*: steps was 2, now 3"):
        run_suite(longer, out)
    assert len(run_suite(longer, out, keep_stale=True)) == 2


def test_ready_backbones_are_used_where_they_lie(make_suite: MakeSuite, tmp_path: Path) -> None:
    trained = make_suite(strategies=["joint"], seeds=[0, 1], adapters=["linear"])
    made = run_suite(trained, tmp_path / "out")
    ready = make_suite(
        recipe=None,
        strategies=[{"name": "mine", "folder": "out/backbones/joint.{seed}"}],
        seeds=[0, 1],
        adapters=["linear"],
    )
    cells = run_suite(ready, tmp_path / "other")
    assert [cell.scores for cell in cells] == [cell.scores for cell in made]
    assert {cell.id.strategy for cell in cells} == {"mine"}
    assert not (tmp_path / "other/backbones").exists()


def test_a_damaged_cell_is_refused_by_its_name(make_suite: MakeSuite, tmp_path: Path) -> None:
    suite, out = make_suite(strategies=ONE, adapters=["linear"]), tmp_path / "out"
    cell = run_suite(suite, out)[0]
    file = cell.id.file(out)
    whole = file.read_text()
    for torn, message in (
        (whole[:-9], "is damaged: not JSON"),
        (whole.replace('"scores"', '"scoer"'), "is damaged: .*unexpected keyword.*'scoer'"),
        (whole.replace('"outcomes"', '"outcome"'), "is damaged: it has no 'outcomes'"),
        (whole.replace('"data": "eN', '"data": "eX'), "is damaged"),
        (whole.replace('"adaptation_seed": 0', '"adaptation_seed": 1'), "was moved"),
        (whole.replace('"format": 1', '"format": 2'), "is not a cell of format 1"),
    ):
        assert torn != whole
        file.write_text(torn)
        with pytest.raises(UserError, match=message) as error:
            load_cells(out)
        assert str(file) in str(error.value)
    with pytest.raises(UserError, match=str(file)):
        run_suite(suite, out)
    with pytest.raises(UserError, match="no such folder"):
        load_cells(tmp_path / "nowhere")


def test_cells_of_before_commits_were_recorded_are_stale(
    make_suite: MakeSuite, tmp_path: Path, fits: list[Any]
) -> None:
    suite, out = make_suite(strategies=ONE, adapters=["linear"]), tmp_path / "out"
    for cell in run_suite(suite, out):
        cell.hashes["code"] = "c" * 64
        save_cell(cell, out)
    why = {f"version (was {package_version()} with code {'c' * 12}, now {package_version()})"}
    assert reasons(suite, out) == {"who": why, "verb": why}
    fits.clear()
    run_suite(suite, out, keep_stale=True)
    assert not fits
    run_suite(suite, out)
    assert len(fits) == 2
    assert reasons(suite, out) == {}


def test_packed_cells_are_done_and_a_newer_file_counts(
    make_suite: MakeSuite, tmp_path: Path, fits: list[Any]
) -> None:
    suite, out = make_suite(strategies=["tpl"], adapters=["linear"]), tmp_path / "out"
    made = run_suite(suite, out)
    assert pack_cells(out) == 2
    assert not list(out.rglob("*.json.lock"))
    assert not (out / "cells").exists()
    fits.clear()
    assert [cell.scores for cell in run_suite(suite, out)] == [cell.scores for cell in made]
    assert not fits

    slower = make_suite(strategies=["tpl"], adapters=["linear"], adapt={"epochs": 2, "rank": 4})
    assert len(survey(slower, out).reasons) == 2
    run_suite(slower, out)
    assert len(fits) == 2
    assert [load_cell(cell.id.file(out)).settings["epochs"] for cell in made] == [2, 2]
    assert not survey(slower, out).reasons
    assert pack_cells(out) == 2
    assert [cell.settings["epochs"] for cell in load_cells(out)] == [2, 2]
