"""``onetrunk benchmark`` as a user meets it."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from onetrunk.benchmark import run as running

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """``run(…)``: exit code, stdout and stderr of ``onetrunk benchmark …``."""
    return partial(run, "benchmark")


@pytest.fixture
def suite(corpora: Path, tiny_encoder_folder: Any) -> Path:
    recipe = {
        "encoder": str(tiny_encoder_folder("bert")),
        "k": 2,
        "families": {
            "ner": {"batch_size": 4, "sources": [{"path": "pre_ner/a"}]},
            "tc": {"batch_size": 4, "sources": [{"path": "pre_pairs/c"}]},
        },
    }
    (corpora / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    content = {
        "recipe": "recipe.yaml",
        "strategies": ["none"],
        "draws": [{"rows": 8}],
        "adapters": ["linear"],
        "tasks": [{"name": "verb", "family": "tc", "data": "tc/app"}],
    }
    path = corpora / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def words(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines()]


def test_what_would_be_done_then_done_then_kept(
    run: Run, suite: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    code, printed, errors = run(suite, "--out", out, "--dry-run")
    assert (code, out.exists()) == (0, False)
    assert words(printed) == [["task", "none"], ["verb", "0/0/1"], ["done/stale/missing"]]
    assert "backbones to train: none.0" in errors

    code, printed, _ = run(suite, "--out", out)
    assert code == 0
    (file,) = (out / "cells").rglob("*.json")
    table = words(printed)
    assert table[:3] == [["tc"], ["8-rows"], ["strategy", "linear", "cells"]]
    assert [table[3][0], table[3][2]] == ["none", "1"]

    before = file.read_bytes()
    content = yaml.safe_load(suite.read_text()) | {"adapt": {"l2": 0.5}}
    suite.write_text(yaml.safe_dump(content))
    _, printed, errors = run(suite, "--out", out, "--dry-run", "--keep-stale")
    assert ["verb", "0/1/0"] in words(printed)
    assert "none, verb: 1 cell stale: settings (l2 was null, now 0.5): would be kept" in errors
    _, printed, errors = run(suite, "--out", out, "--keep-stale", "--threads", 1)
    assert "stale cells kept: 1" in printed
    assert "l2 was null, now 0.5): kept" in errors + caplog.text
    assert file.read_bytes() == before
    assert run(suite, "--out", out)[0] == 0
    assert file.read_bytes() != before


def test_another_encoder(run: Run, suite: Path, tmp_path: Path, tiny_encoder_folder: Any) -> None:
    """For all that is trained, named as a folder; a backbone of the first one is refused."""
    other, out = tiny_encoder_folder("distilbert"), tmp_path / "out"
    code, _, errors = run(suite, "--encoder", other, "--out", out)
    assert code == 0, errors
    record = json.loads((out / "backbones/none.0/onetrunk.json").read_text())
    assert record["recipe"]["encoder"] == str(other)
    code, _, errors = run(suite, "--out", out)
    assert code == 2
    assert "trained by another recipe: encoder was" in errors


def test_packing_needs_neither_data_nor_recipe(run: Run, suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, alive = run(suite, "--out", out)
    assert code == 0
    assert "1 of 1 cells, none.0 verb written" in alive  # off a terminal
    shutil.rmtree(suite.parent / "tc")
    (suite.parent / "recipe.yaml").unlink()
    code, _, errors = run(suite, "--out", out, "--pack")
    assert code == 0
    assert f"{out / 'cells.parquet'} holds 1 cell\n" in errors
    assert not list(out.rglob("*.adapt0.json"))
    assert run(suite, "--out", out, "--pack")[0] == 0
    assert run(suite, "--out", out, "--pack", "--dry-run")[0] == 2
    code, _, errors = run(suite, "--out", tmp_path / "nowhere", "--pack")
    assert (code, "no such folder" in errors) == (2, True)


def test_errors_are_one_line(run: Run, suite: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((tmp_path / "no.yaml", "--out", tmp_path / "out"), "no such suite"),
        ((suite, "--out", suite), "is a file; a folder is written here"),
    ):
        code, printed, errors = run(*arguments)
        assert (code, printed) == (2, "")
        assert errors.startswith("error: ")
        assert message in errors


def test_ctrl_c_says_that_cells_are_kept(
    run: Run, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "prefinetune", interrupted)
    code, _, errors = run(suite, "--out", tmp_path / "out")
    assert code == 130
    assert "finished cells are kept; the same command goes on" in errors
