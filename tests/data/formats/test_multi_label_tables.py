"""Tables of texts with any number of labels."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.data.locate import Located, locate
from onetrunk.data.notes import Notes
from onetrunk.data.overview import overview
from onetrunk.data.rows import LabelledText
from onetrunk.data.sources import Columns, read_classification
from onetrunk.errors import UserError

openpyxl = pytest.importorskip("openpyxl")

Records = list[dict[str, Any]]


def _xlsx(file: Path, rows: Records) -> Path:
    book = openpyxl.Workbook()
    for row in [list(rows[0]), *([*row.values()] for row in rows)]:
        book.active.append(row)
    book.save(file.with_suffix(".xlsx"))
    return file.with_suffix(".xlsx")


def _jsonl(file: Path, rows: Records) -> Path:
    file.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file.with_suffix(".jsonl")


def _csv(file: Path, rows: Records) -> Path:
    pd.DataFrame(rows).to_csv(file.with_suffix(".csv"), index=False)
    return file.with_suffix(".csv")


def _parquet(file: Path, rows: Records) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), file.with_suffix(".parquet"))
    return file.with_suffix(".parquet")


WAYS_IN: dict[str, Callable[[Path, Records], Any]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "pandas": lambda _, rows: pd.DataFrame(rows),
    "list": lambda _, rows: rows,
}


def counts(notes: Notes) -> dict[str, int]:
    return {what: note.count for what, note in notes.found.items()}


@pytest.mark.parametrize("name", ["label", "labels", "Category"])
@pytest.mark.parametrize("way", WAYS_IN)
def test_an_empty_cell_is_a_text_without_labels(tmp_path: Path, way: str, name: str) -> None:
    cells = ["late", None, "rude", "late", None, "late"]
    rows = [{"text": f"please call me back {n}", name: cell} for n, cell in enumerate(cells)]
    source = WAYS_IN[way](tmp_path / "a", rows)
    notes = Notes()
    read = read_classification(source, notes, several=True)
    assert [row.labels for row in read] == [(cell,) if cell else () for cell in cells]
    note = notes.found["empty cells, read as texts without labels"]
    assert note.count == 2
    assert [place.rpartition(" ")[2].rpartition(":")[2] for place in note.places] == (
        ["2", "5"] if way in ("parquet", "pandas", "list", "jsonl") else ["3", "6"]
    )
    if name != "labels" or way in ("csv", "xlsx"):
        for numbers in (False, True):  # tc and rating
            with pytest.raises(UserError, match=f"{name}' is (null|an empty string)"):
                read_classification(source, numbers=numbers)


def test_white_space_around_labels_makes_no_label_of_its_own(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("text, label\na, refund\nb,refund\nc,late \n")
    read = read_classification(file, notes)
    assert [row.labels for row in read] == [("refund",), ("refund",), ("late",)]
    assert notes.found["labels with white space around them, which is left out"].count == 2


def test_decimal_numbers_are_ratings() -> None:
    table = pa.table({"text": ["a", "b"], "label": [Decimal("1.50"), Decimal("4.25")]})
    read = read_classification(table, numbers=True)
    assert [row.labels for row in read] == [("1.50",), ("4.25",)]
    with pytest.raises(UserError, match="not a string or an integer"):
        read_classification(table)


@pytest.mark.parametrize("cell", ["", "  ", "\t"])
def test_blank_strings_are_empty_cells(cell: str) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": cell}]
    assert read_classification(rows, several=True)[1] == LabelledText("b")
    with pytest.raises(UserError, match="row 2: 'label' item 2 is an empty string"):
        read_classification([rows[0], {"text": "b", "label": ["x", cell]}], several=True)


FLAGS = [(1, 0), (0, 0), (1, 1), (0, 1)]
WANT = [("toxic",), (), ("toxic", "rude"), ("rude",)]


def _flagged(forms: dict[int, Any]) -> Records:
    return [
        {"id": n, "text": f"comment {n}", "toxic": forms[toxic], "rude": forms[rude]}
        for n, (toxic, rude) in enumerate(FLAGS)
    ]


def chosen(source: Any, *labels: str) -> Located:
    return replace(locate(source), columns=Columns(None, labels))


@pytest.mark.parametrize(
    "forms", [{0: 0, 1: 1}, {0: "0", 1: "1"}, {0: False, 1: True}, {0: "false", 1: "True"},
              {0: 0.0, 1: 1.0}]
)  # fmt: skip
@pytest.mark.parametrize("way", WAYS_IN)
def test_columns_of_0_and_1_have_the_names_of_labels(
    tmp_path: Path, way: str, forms: dict[int, Any]
) -> None:
    source = WAYS_IN[way](tmp_path / "a", _flagged(forms))
    rows = read_classification(chosen(source, "toxic", "rude"), several=True)
    assert [row.labels for row in rows] == WANT
    assert [row.labels for row in rows] == [
        row.labels for row in overview(source, columns=Columns(None, ("toxic", "rude"))).examples
    ]
    with pytest.raises(UserError, match=r"one column of labels, not 'toxic', 'rude'.*multi-label"):
        read_classification(chosen(source, "toxic", "rude"))
    # Neither is a column of 0 and 1 taken for two labels, nor is its name guessed.
    with pytest.raises(UserError, match=r"'toxic' holds nothing but 0 and 1.* --label-column"):
        read_classification(chosen(source, "toxic"), several=True)
    with pytest.raises(UserError, match=r"0 and 1 in 'toxic', 'rude'.* --label-column"):
        read_classification(source, several=True)


def test_one_label_each_is_several_columns_of_labels() -> None:
    rows = _flagged({0: 0, 1: 1})[::3]
    assert overview(rows, columns=Columns(None, ("toxic", "rude"))).family == "multi-label"


@pytest.mark.parametrize(("cell", "shown"), [("", "empty"), (None, "empty"), ("2", "'2'"), (7, "7"),
                                             ("x", "'x'"), (["a"], r"\['a'\]")])  # fmt: skip
def test_cells_that_are_neither_0_nor_1(cell: Any, shown: str) -> None:
    rows: Records = _flagged({0: 0, 1: 1})
    rows[2]["rude"] = cell
    with pytest.raises(UserError, match=f"row 3: 'rude' is {shown}, not 0 or 1"):
        read_classification(chosen(rows, "toxic", "rude"), several=True)


@pytest.mark.parametrize("labels", [["0", "1", "2"], ["0", "x", "1"], [["0"], ["1"], []]])
def test_numbers_may_still_be_labels(labels: list[Any]) -> None:
    rows = [{"text": "a", "label": label} for label in labels]
    want = [tuple(label) for label in labels]
    assert [row.labels for row in read_classification(rows, several=True)] == want
    numbers = [{"text": "a", "label": n % 2} for n in range(4)]  # one label each
    assert [row.labels for row in read_classification(numbers)] == [("0",), ("1",)] * 2


def test_sets_as_python_writes_them(tmp_path: Path) -> None:
    cells = ["{'a'}", "set()", "frozenset({'a', 'b'})", "{}", "frozenset()", "set(['b'])"]
    table = "".join(f'text {number},"{cell}"\n' for number, cell in enumerate(cells))
    (tmp_path / "a.csv").write_text(f"text,labels\n{table}")
    rows = read_classification(tmp_path / "a.csv", several=True)
    assert [row.labels for row in rows] == [("a",), (), ("a", "b"), (), (), ("b",)]
