"""The same tickets in each shape of spreadsheet, and columns of other names."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import onetrunk
from onetrunk.config import Source
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import Columns, Located, read_classification, read_ner, read_pairs
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

openpyxl = pytest.importorskip("openpyxl")

PRODUCTS, DAYS = ("blue lamp", "desk", "café set", "chair"), ("Monday", "3 May", "Friday")


def tickets(count: int = 40) -> list[dict[str, Any]]:
    rows = []
    for number in range(count):
        product, order = PRODUCTS[number % 4], f"A-{100 + number}"
        day = DAYS[number % 3] if number % 5 else None
        text = f"The {product} of order {order} did not come" + (f" on {day}" if day else "")
        rows.append({"id": number, "text": text, "product": product, "order": order, "day": day})
    return rows


def workbook(file: Path, names: list[str], rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in [names, *rows]:
        book.active.append(row)
    book.save(file)
    return file


def expected() -> list[AnnotatedText]:
    rows = []
    for row in tickets():
        spans = [(row["text"].index(row[kind]), row[kind], kind) for kind in ("product", "order")]
        if row["day"]:
            spans.append((row["text"].index(row["day"]), row["day"], "day"))
        entities = sorted((start, start + len(word), kind) for start, word, kind in spans)
        rows.append(AnnotatedText(row["text"], tuple(entities)))
    return rows


def written(folder: Path) -> dict[str, Path]:
    """The same tickets in each shape that spreadsheets have."""
    names = ["id", "text", "product", "order", "day"]
    cells = [[row[name] for name in names] for row in tickets()]
    files = {"xlsx": workbook(folder / "tickets.xlsx", names, cells)}
    lines = [";".join("" if cell is None else str(cell) for cell in row) for row in [names, *cells]]
    files["csv"] = folder / "tickets.csv"
    files["csv"].write_bytes("\r\n".join(lines).encode("cp1252"))
    spans = [[row.text, json.dumps([list(e) for e in row.entities])] for row in expected()]
    files["json"] = workbook(folder / "spans.xlsx", ["text", "spans"], spans)
    tokens: list[list[Any]] = []
    for number, row in enumerate(expected()):
        start = 0
        for position, word in enumerate(row.text.split(" ")):
            entity = next((e for e in row.entities if e[0] <= start < e[1]), None)
            tag = "O" if entity is None else f"{'B' if entity[0] == start else 'I'}-{entity[2]}"
            tokens.append([f"Sentence: {number}" if position == 0 else None, word, "NN", tag])
            start += len(word) + 1
    files["tokens"] = workbook(folder / "tokens.xlsx", ["Sentence #", "Word", "POS", "Tag"], tokens)
    return files


@pytest.mark.parametrize("shape", ["xlsx", "csv", "json", "tokens"])
def test_entities_of_a_spreadsheet(tmp_path: Path, shape: str) -> None:
    notes = Notes()
    assert read_ner(written(tmp_path)[shape], notes) == expected()
    said = " ".join(notes.lines())
    assert ("ids, numbers, dates or lists beside the text, not read: 1" in said) == (
        shape in ("xlsx", "csv")
    )
    assert ("read as Windows-1252 with ';' between fields" in said) == (shape == "csv")


def test_a_workbook_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    load = openpyxl.load_workbook
    monkeypatch.setattr(
        openpyxl, "load_workbook", lambda *args, **how: opened.append(args) or load(*args, **how)
    )
    assert read_ner(written(tmp_path)["xlsx"]) == expected()
    assert len(opened) == 1


def test_every_shape_gives_the_same_app(tiny_backbone: Backbone, tmp_path: Path) -> None:
    heads = [
        onetrunk.adapt(tiny_backbone, "ner", file, adapter="linear").head.weight
        for file in written(tmp_path).values()
    ]
    assert all(head.equal(heads[0]) for head in heads[1:])


def test_words_that_do_not_occur_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,product\na desk and a lamp,desk | lamp\na chair,table\n")
    with pytest.raises(UserError, match=r"a.csv:3: 'product' is 'table', which does not occur"):
        read_ner(file)
    file.write_text("text,product\na desk and a lamp at a desk,desk | lamp\n")
    (row,) = read_ner(file)
    assert [(row.text[a:b], kind) for a, b, kind in row.entities] == [
        ("desk", "product"), ("lamp", "product"), ("desk", "product")
    ]  # fmt: skip


def test_columns_by_name_and_by_likely_name(tmp_path: Path) -> None:
    rows = [LabelledText("hi", ("a",)), LabelledText("bye", ("b",))]
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("Id\tMessage\tIntent\n1\thi\ta\n2\tbye\tb\n")
    assert read_classification(file, notes) == rows
    assert notes.lines()[:2] == [
        f"column 'Message' is read as text ({file})",
        f"column 'Intent' is read as label ({file})",
    ]
    frame = pd.DataFrame({"what": ["hi", "bye"], "kind": ["a", "b"], "text": ["x", "y"]})
    with pytest.raises(UserError, match="no column 'label'"):
        read_classification(frame)
    file.write_text("Comment,Review,Intent\nx,y,a\n")
    with pytest.raises(UserError, match="'Comment', 'Review'; choose one with --text-column"):
        read_classification(file)


def test_columns_that_a_user_names(tiny_backbone: Backbone, tmp_path: Path) -> None:
    rows = [("play music", "a"), ("call mum", "b")] * 5
    usual = pd.DataFrame(rows, columns=["text", "label"])
    other = pd.DataFrame([(x, y, "z") for x, y in rows], columns=["what", "kind", "text"])
    names = {"text_column": "what", "label_column": "kind"}
    apps = [
        onetrunk.adapt(tiny_backbone, "tc", usual, adapter="linear"),
        onetrunk.adapt(tiny_backbone, "tc", other, test=other, adapter="linear", **names),
    ]
    assert apps[0].head.weight.equal(apps[1].head.weight)
    assert apps[1].record["test"]["accuracy"] == 100
    assert apps[0].evaluate(other, **names).accuracy == 100
    with pytest.raises(UserError, match="no column 'whta'; did you mean 'what'"):
        apps[0].evaluate(other, text_column="whta", label_column="kind")


def test_token_rows_end_where_a_row_is_blank(tmp_path: Path) -> None:
    rows = [["Oslo", "B-LOC"], ["calls", "O"], [], ["Ann", "B-PER"]]
    assert read_ner(workbook(tmp_path / "a.xlsx", ["Word", "Tag"], rows)) == [
        AnnotatedText("Oslo calls", ((0, 4, "LOC"),)), AnnotatedText("Ann", ((0, 3, "PER"),))
    ]  # fmt: skip
    file = workbook(
        tmp_path / "b.xlsx", ["Word", "Tag"], [["Oslo", "B-LOC"], ["calls", None], [], ["Ann", "O"]]
    )
    with pytest.raises(UserError, match=r"b.xlsx, row 3: 'Tag' is empty"):
        read_ner(file)


def test_the_first_sheet_that_holds_anything_is_read_and_said(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("March")
    for row in ([], ["text", "label"], ["hi", 3.0], [datetime.date(2026, 3, 1), "x"]):
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    notes = Notes()
    assert read_classification(tmp_path / "a.xlsx", notes) == [
        LabelledText("hi", ("3",)), LabelledText("2026-03-01", ("x",))
    ]  # fmt: skip
    assert "of 2 sheets 'March' is read (" in notes.lines()[-1]


def test_a_table_without_entities_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,text\n1,a desk\n2,a lamp\n")
    with pytest.raises(UserError, match="none with words that occur in 'text'; columns: id, text"):
        read_ner(file)


def test_a_recipe_and_unlabelled_texts_choose_columns(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "cache"))
    names = {"text_column": "Was", "label_column": ["day", "product"]}
    rows = pd.DataFrame(tickets()).rename(columns={"text": "Was"})
    rows.to_csv(tmp_path / "a.csv", index=False)
    builder = CorpusBuilder(tiny_backbone.encoder.tokenizer)
    corpora = [
        builder.ner(Source(path=str(tmp_path / "a.csv"), **chosen), 64)
        for chosen in (names, names | {"label_column": "day"})
    ]
    assert [sorted(corpus.types) for corpus in corpora] == [["day", "product"], ["day"]]
    app = onetrunk.adapt(
        tiny_backbone, "ner", rows, unlabelled=rows[["Was"]], adapter="linear", epochs=1, **names
    )
    assert app.record["unlabelled_rows"] == len(rows)
    with pytest.raises(UserError, match="the columns are 'query' and 'positive'; no others can be"):
        read_pairs(Located("a", (tmp_path / "a.csv",), columns=Columns("Was")))
