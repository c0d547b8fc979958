"""Cells as files and as a table: nothing is lost on the way from one to the other."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from onetrunk.benchmark import store
from onetrunk.benchmark.cells import Cell, CellId, load_cell, save_cell
from onetrunk.benchmark.outcomes import Outcomes
from onetrunk.benchmark.store import TABLE, CellStore, load_cells, pack_cells
from onetrunk.errors import UserError


def cell(task: str = "who", seed: int = 0, **changes: Any) -> Cell:
    values: dict[str, Any] = {
        "id": CellId("tpl", task, "8-rows", "lora", seed, 1),
        "family": "ner",
        "scores": {"f1": 100 / 3, "precision": 0.1 + 0.2, "recall": 0.0},
        "train_rows": 8,
        "test_rows": 3,
        "fit_seconds": 1.25,
        "test_seconds": 0.003,
        "test_apps": 2,
        "trainable_parameters": 12345,
        "adapter_bytes": 1 << 40,
        "precision": "bf16",
        "settings": {"l2": None, "draw": {"rows": 8}, "cache": True, "alpha": 32.0, "k": 2},
        "hashes": {"data": "d", "backbone": "b"},
        "versions": {"python": "3.11", "onetrunk": "0.1.0+abc+dirty"},
        "outcomes": Outcomes("entities", np.array([[3, 2, 1], [0, 0, 0], [1, 70_000, 0]])),
    }
    return Cell(**values | changes)


def labelled(**changes: Any) -> Cell:
    labels = ["yes", "no", "ünsure, maybe"]
    outcomes = Outcomes("labels", np.array([[0, 1], [2, 2], [1, 0]]), labels)
    scores = {"accuracy": 33.0, "macro.f1": float("nan")}
    return cell("verb", family="tc", scores=scores, outcomes=outcomes, **changes)


CELLS = [
    cell(),
    cell(seed=1, hashes={"code": "c", "data": "d"}),
    cell(seed=2, outcomes=None, versions={}, hashes={}, settings={}),
    cell(seed=3, test_rows=0, outcomes=Outcomes("entities", np.zeros((0, 3), np.int64))),
    labelled(),
    labelled(seed=5, versions={"numpy": "2", "python": "3.12"}),
]


def as_text(each: Cell) -> str:
    """Everything in a cell, with types and the order of keys aside."""
    values = each.as_dict()
    outcomes = values.pop("outcomes")
    if outcomes is not None:
        shown = (outcomes.kind, outcomes.labels, outcomes.values.tolist(), outcomes.values.dtype)
        values["outcomes"] = shown
    for name in store.MAPPINGS:
        values[name] = sorted(values[name].items())
    return repr(values)


def test_packing_loses_nothing(tmp_path: Path) -> None:
    for each in CELLS:
        save_cell(each, tmp_path)
    loose = load_cells(tmp_path)
    assert list(map(as_text, loose)) == list(map(as_text, sorted(CELLS, key=lambda c: c.id)))
    assert pack_cells(tmp_path) == len(CELLS)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [TABLE]
    assert not (tmp_path / "cells").exists()
    packed = load_cells(tmp_path)
    assert list(map(as_text, packed)) == list(map(as_text, loose))
    for each in packed:
        outcomes = each.outcomes
        assert outcomes is None or len(outcomes.scores()) == 3
    before = (tmp_path / TABLE).read_bytes()
    assert pack_cells(tmp_path) == len(CELLS)  # there is nothing new
    assert (tmp_path / TABLE).read_bytes() == before


@pytest.mark.parametrize("each", CELLS)
def test_a_single_cell_of_each_kind(tmp_path: Path, each: Cell) -> None:
    save_cell(each, tmp_path)
    pack_cells(tmp_path)
    assert as_text(load_cells(tmp_path)[0]) == as_text(each)


def test_a_file_counts_before_the_table(tmp_path: Path) -> None:
    cells = CellStore(tmp_path)
    assert cells.get(CELLS[0].id) is None
    save_cell(CELLS[0], tmp_path)
    save_cell(CELLS[1], tmp_path)
    pack_cells(tmp_path)
    assert cells.get(CELLS[1].id) is not None  # the table is read once it is there
    save_cell(cell(fit_seconds=9.0), tmp_path)
    newer = cells.get(CELLS[0].id)
    assert newer is not None
    assert (
        [each.fit_seconds for each in load_cells(tmp_path)]
        == [newer.fit_seconds, 1.25]
        == [9, 1.25]
    )
    pack_cells(tmp_path)
    assert [each.fit_seconds for each in load_cells(tmp_path)] == [9, 1.25]
    again = cells.get(CELLS[0].id)
    assert again is not None
    assert again.fit_seconds == 9


def test_a_file_that_changes_while_packing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_cell(CELLS[0], tmp_path)
    save_cell(CELLS[1], tmp_path)
    write = store._write_table

    def slow(cells: list[Cell], path: Path, encoder: str) -> None:
        write(cells, path, encoder)
        save_cell(cell(fit_seconds=9.0), tmp_path)

    monkeypatch.setattr(store, "_write_table", slow)
    assert pack_cells(tmp_path) == 2
    (file,) = CellStore(tmp_path).files()
    assert load_cell(file).fit_seconds == 9
    assert [each.fit_seconds for each in load_cells(tmp_path)] == [9, 1.25]


def test_a_kill_while_packing_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for each in CELLS:
        save_cell(each, tmp_path)
    monkeypatch.setattr(pq, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        pack_cells(tmp_path)
    assert not (tmp_path / TABLE).exists()
    assert len(load_cells(tmp_path)) == len(CELLS)


def test_one_process_packs_at_a_time(tmp_path: Path) -> None:
    save_cell(CELLS[0], tmp_path)
    (tmp_path / "locks").mkdir()
    with (
        FileLock(tmp_path / "locks/pack.lock"),
        pytest.raises(UserError, match="another process is packing"),
    ):
        pack_cells(tmp_path)
    assert CELLS[0].id.file(tmp_path).exists()


def test_no_cells_make_no_table(tmp_path: Path) -> None:
    assert pack_cells(tmp_path) == 0
    assert not (tmp_path / TABLE).exists()
    with pytest.raises(UserError, match="no such folder"):
        pack_cells(tmp_path / "nowhere")


def test_a_damaged_table_is_refused_by_its_name(tmp_path: Path) -> None:
    save_cell(CELLS[0], tmp_path)
    save_cell(CELLS[4], tmp_path)
    pack_cells(tmp_path)
    table = tmp_path / TABLE
    whole, content = table.read_bytes(), pq.read_table(table)

    def changed(name: str, row: int, value: list[int]) -> pa.Table:
        values = content[name].to_pylist()
        values[row] = value
        return content.set_column(content.schema.get_field_index(name), name, [values])

    for damaged, message in (
        (content.replace_schema_metadata(None), "is not a table of cells of format 1"),
        (content.drop_columns(["family"]), "is damaged: .*'family'"),
        (content.drop_columns(["settings"]), "is damaged: .*settings"),
        (changed("gold", 1, [1]), "is damaged"),
        (changed("predicted", 0, [7, 7, 7]), "is damaged: outcomes name label 7 of 3"),
        (content.append_column("more", [["x", "y"]]), "is damaged: .*unexpected keyword.*'more'"),
    ):
        pq.write_table(damaged, table)
        with pytest.raises(UserError, match=message) as error:
            load_cells(tmp_path)
        assert str(table) in str(error.value)
        assert "\n" not in str(error.value)
    table.write_bytes(whole[:-9])
    with pytest.raises(UserError, match="is damaged"):
        load_cells(tmp_path)
