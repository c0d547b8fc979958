"""Labelled tables as people who work in spreadsheets have them."""

import csv
import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import pytest

from onetrunk.data.formats import workbook
from onetrunk.data.locate import Located, locate
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import (
    Columns,
    read_classification,
    read_ner,
    read_texts,
)
from onetrunk.errors import UserError

openpyxl = pytest.importorskip("openpyxl")

Cells = Sequence[Sequence[Any]]


def write_xlsx(file: Path, **sheets: Cells) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file


def write_csv(file: Path, rows: Cells, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with file.open("w", newline="", encoding=encoding) as out:
        csv.writer(out, delimiter=delimiter).writerows(rows)
    return file


def refused(read: Callable[..., Any], source: Any, *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        read(source)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def chosen(source: Any, text: str | None = None, *labels: str) -> Located:
    place = locate(source)
    return Located(place.name, place.files, memory=place.memory, columns=Columns(text, labels))


MAIL = [("café closed; why?", "complaint"), ("who, me?", "question"), ("I like it", "praise")]
MAILS = [LabelledText(text, (label,)) for text, label in MAIL]


# How a file is written


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_delimiter_and_encoding(tmp_path: Path, suffix: str, encoding: str, delimiter: str) -> None:
    rows = [("text", "label"), *MAIL]
    file = write_csv(tmp_path / f"mail{suffix}", rows, delimiter, encoding)
    notes = Notes()
    assert read_classification(file, notes) == MAILS
    usual = {".csv": ",", ".tsv": "\t"}[suffix]
    if delimiter == usual and encoding.startswith("utf-8"):
        assert notes.lines() == []
        return
    (line,) = notes.lines()
    name = {"utf-16": "UTF-16", "cp1252": "Windows-1252"}.get(encoding, "UTF-8")
    shown = "tabs" if delimiter == "\t" else f"'{delimiter}'"
    seen = f"{file}: 'café'" if encoding == "cp1252" else f"{file}"
    assert line == f"read as {name} with {shown} between fields ({seen})"


def test_a_delimiter_in_texts_is_not_one_between_fields(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\na; b; c,x\nd; e; f,y\n")
    assert [row.text for row in read_classification(file)] == ["a; b; c", "d; e; f"]
    file.write_text('"text";"note, if any";label\n"a, b";"";x\nc;d;y\n')
    assert [row.text for row in read_classification(file)] == ["a, b", "c"]
    file.write_text("text\na;b\nc;d\n")
    assert read_texts(file) == ["a;b", "c;d"]


def test_blank_rows_of_a_spreadsheet(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text;label\na;x\n;\nb;y\n;\n;\n")
    assert [row.text for row in read_classification(file)] == ["a", "b"]
    rows = [["text", "label"], ["a", "x"], [None, None], ["b", "y"], [None, " "]]
    book = write_xlsx(tmp_path / "a.xlsx", Sheet=rows)
    assert read_classification(book) == read_classification(file)
    rows[3] = ["b", None]
    refused(
        read_classification, write_xlsx(book, Sheet=rows), f"{book}, row 4: 'label' is an empty"
    )


def test_damaged_encodings(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    advice = "is not valid UTF-8; save the file as UTF-8"
    file.write_bytes("text,label\né,x\n".encode() + b"\xe9,y\n")
    refused(read_classification, file, f"{file}:3: byte 0xe9 at offset 16 {advice}")
    file.write_bytes(b"text,label\n\x81,x\n")
    refused(read_classification, file, f"{file}:2: byte 0x81 at offset 11 {advice}")
    file.write_bytes("text,label\né,x\n".encode("utf-16")[:-1])
    refused(read_classification, file, f"{file} is not valid UTF-16: ")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "где моя посылка"),
        ("koi8-r", "где моя посылка"),
        ("cp1253", "πού είναι το δέμα"),
        ("cp1256", "أين الطرد"),
        ("cp1255", "איפה החבילה"),
        ("cp874", "พัสดุอยู่ที่ไหน"),
        ("euc-kr", "소포는 어디에 있나요"),
        ("gb18030", "包裹在哪里"),
    ],
)
def test_other_old_encodings_are_not_taken_for_windows_1252(
    tmp_path: Path, encoding: str, text: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"text,label\nwhere is it,track\n{text},track\n", encoding=encoding)
    with pytest.raises(UserError, match=r"a\.csv:3: byte 0x.. at .* save the file as UTF-8"):
        read_classification(file)
    western = "Où est passé le colis? Größe, piñata, ÀÉÈ, \u201c\u2026\u201d, 5\u00a0\u20ac"
    file.write_text(f"text;label\n{western};x\n", encoding="cp1252")
    assert read_classification(file)[0].text == western


# Excel


def test_a_workbook(tmp_path: Path) -> None:
    rows = [["text", "label", "stars"], ["a", "x", 3], [7, "y", 4.0], [None, "z", 4.5]]
    file = write_xlsx(tmp_path / "a.xlsx", Empty=[], Mail=rows, Other=[["no"]])
    notes = Notes()
    assert [row.text for row in read_classification(file, notes)] == ["a", "7", ""]
    assert notes.lines()[-1] == f"of 3 sheets 'Mail' is read ({file})"
    stars = read_classification(chosen(file, "text", "stars"), numbers=True)
    assert [row.labels for row in stars] == [("3",), ("4",), ("4.5",)]


def test_cells_without_a_name_are_counted(tmp_path: Path) -> None:
    rows = [["text", None, "label"], ["a", "b", "x"], ["c", None, "y", "see Ada"], ["d", None, "x"]]
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=rows)
    notes = Notes()
    assert [row.text for row in read_classification(file, notes)] == ["a", "c", "d"]
    what = "rows with cells under no column name, which are not read"
    assert notes.lines() == [f"{what}: 2 ({file}, row 2, {file}, row 3)"]


@pytest.mark.parametrize("order", [1, -1])
def test_sheets_with_the_names_of_splits(tmp_path: Path, order: int) -> None:
    sheets = {
        name: [["text", "label"], [f"of {name}", "x"], ["b", "y"]]
        for name in ["Train", "Dev set", "TEST "][::order]
    }
    file = write_xlsx(tmp_path / "a.xlsx", **sheets)
    for split, name in (("train", "Train"), ("validation", "Dev set"), ("test", "TEST ")):
        notes = Notes()
        assert read_classification(file, notes, split)[0].text == f"of {name}"
        assert notes.lines() == [f"of 3 sheets {name!r} is read ({file})"]
    del sheets["TEST "]
    with pytest.raises(UserError, match=r"a\.xlsx has no sheet 'test'; sheets: '.*'; rename one"):
        read_classification(write_xlsx(file, **sheets), split="test")
    # A sheet of another name holds what is trained on, and a sheet alone whatever is asked for.
    sheets = {"Test": sheets["Dev set"], "rows": sheets["Train"]}
    assert read_classification(write_xlsx(file, **sheets))[0].text == "of Train"
    only = write_xlsx(file, Train=sheets["rows"], Notes=[])
    assert read_classification(only, split="test")[0].text == "of Train"


def test_hidden_sheets_come_last(tmp_path: Path) -> None:
    file = write_xlsx(tmp_path / "a.xlsx", Lists=[["text"], ["x"]], Mail=[["text"], ["a"]])
    book = openpyxl.load_workbook(file)
    book["Lists"].sheet_state = "hidden"
    book.save(file)
    assert read_texts(file) == ["a"]


def test_formulas_without_values(tmp_path: Path) -> None:
    """Programs that write them do not compute them."""
    rows = [["text", "label", "sum"], ["a", '="x"&"y"', 1], ["b", "z", "=1+1"]]
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=rows)
    why = "row 2: 'label' holds a formula without its value; open the file in Excel and save it"
    refused(read_classification, file, f"{file}, {why}")
    assert read_texts(file) == ["a", "b"]
    # Excel writes the value, which may be an empty text.
    cells = {"A1": "<v>1</v>", "A2": '<f t="shared" si="0"/>', "A3": "<f>B1</f><v></v>"}
    found = [
        workbook._FORMULA.findall(f'<c r="{at}" s="1"{kind}>{cell}</c>'.encode())
        for at, cell in cells.items()
        for kind in ("", ' t="str"')
    ]
    assert found == [[], [], [b"A2"], [], [b"A3"], []]


def merge(file: Path, *ranges: str) -> Path:
    book = openpyxl.load_workbook(file)
    for area in ranges:
        book.active.merge_cells(area)
    book.save(file)
    return file


def test_merged_cells_have_their_value_in_each_row(tmp_path: Path) -> None:
    """Excel shows it there; the file has it in the first row alone."""
    rows = [
        ["text", "label"], ["a", "x"], ["b", None], ["c", None], ["d", "y"], ["e", "x"], ["f", None]
    ]  # fmt: skip
    file = merge(write_xlsx(tmp_path / "a.xlsx", Sheet=rows), "B2:B4", "B6:B7", "D2:E9")
    notes = Notes()
    assert [row.labels for row in read_classification(file, notes)] == [
        (label,) for label in ("x", "x", "x", "y", "x", "x")
    ]
    what = "ranges of merged cells, whose value is read in each of their rows"
    assert notes.lines() == [f"{what}: 2 ({file}: B2:B4, {file}: B6:B7)"]
    rows = [["text", "dish"], ["a pie", "pie"], ["one pie", None], ["no tea", None]]
    file = merge(write_xlsx(tmp_path / "b.xlsx", Sheet=rows), "B2:B3")
    assert [row.entities for row in read_ner(file)] == [((2, 5, "dish"),), ((4, 7, "dish"),), ()]
    merge(file, "A3:A4")  # a row that only repeats what stands above is none
    assert [row.text for row in read_ner(file)] == ["a pie", "one pie"]
    tokens = [list(row) for row in TOKENS]
    file = merge(write_xlsx(tmp_path / "c.xlsx", Sheet=tokens), "A2:A3", "A4:A6")
    assert read_ner(file) == SENTENCES


def test_cells_merged_over_columns(tmp_path: Path) -> None:
    rows = [["text", "dish", "drink"], ["a pie", "pie", None], ["pie", None, None]]
    file = merge(write_xlsx(tmp_path / "a.xlsx", Sheet=rows), "B2:C3")
    notes = Notes()
    assert [len(row.entities) for row in read_ner(file, notes)] == [1, 1]
    what = "ranges of cells merged over columns, of which the first has the value"
    assert f"{what}: 1 ({file}: B2:C3)" in notes.lines()
    merge(file, "A1:A2")
    refused(read_ner, file, f"{file}, row 1: cells A1:A2 are merged with the row below; write the")


def test_a_value_that_merged_cells_hide(tmp_path: Path) -> None:
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=[["text", "label"], ["a", "x"], ["b", "y"]])
    with ZipFile(file) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    merged = b'</sheetData><mergeCells><mergeCell ref="B2:B3"/></mergeCells>'
    parts[sheet] = parts[sheet].replace(b"</sheetData>", merged)
    with ZipFile(file, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    why = "'label' holds 'y', but is merged into B2:B3, which shows 'x'; unmerge them"
    refused(read_classification, file, f"{file}, row 3: {why}")


def test_control_characters_of_excel(tmp_path: Path) -> None:
    rows = [["text"], ["a_x000D_\nb"], ["_x005F_x000D_"], ["x_x0041_"]]
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=rows)
    assert read_texts(file) == ["a\r\nb", "_x000D_", "x_x0041_"]


def test_what_is_no_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.xlsx"
    file.write_text("text,label\n")
    refused(read_texts, file, f"{file} holds text, not an Excel workbook: rename it to end in .csv")
    refused(read_texts, write_xlsx(file, Sheet=[]), f"{file} has no rows")
    refused(read_texts, write_xlsx(file, Sheet=[["text"]]), f"{file} has no rows")
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    refused(
        read_texts, file, f"{file}: reading .xlsx needs openpyxl: pip install 'onetrunk[excel]'"
    )


# Names of columns


@pytest.mark.parametrize(
    ("text", "label"),
    [("Message", "Intent"), ("REVIEW", "Stars"), ("customer_message", "ticket category")],
)
def test_likely_names(tmp_path: Path, text: str, label: str) -> None:
    rows = [("id", text, label), *((number, *row) for number, row in enumerate(MAIL))]
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    for source in (
        write_csv(tmp_path / "a.csv", rows),
        write_xlsx(tmp_path / "a.xlsx", Sheet=rows),
        frame,
        frame.to_dict("records"),
    ):
        notes = Notes()
        assert read_classification(source, notes) == MAILS
        lines = notes.lines()
        assert lines[0].startswith(f"column {text!r} is read as text (")
        assert lines[1].startswith(f"column {label!r} is read as label (")
        assert read_texts(source) == [text for text, _ in MAIL]


def test_several_likely_names_are_refused(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [("title", "body", "topic"), ("a", "b", "c")])
    refused(
        read_classification, file,
        f"{file} has several columns that may hold the text: 'title', 'body'; choose one with "
        "--text-column, or name it 'text'",
    )  # fmt: skip
    assert read_classification(chosen(file, "body")) == [LabelledText("b", ("c",))]
    file = write_csv(tmp_path / "a.csv", [("text", "intent", "topic"), ("a", "b", "c")])
    refused(read_classification, file, "the label: 'intent', 'topic'; choose", "--label-column")


def test_columns_that_are_chosen(tmp_path: Path) -> None:
    rows = [("text", "label", "Frage", "Art"), ("a", "b", "c", "d")]
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    files = [
        write_csv(tmp_path / "a.csv", rows), write_xlsx(tmp_path / "a.xlsx", S=rows),
        tmp_path / "a.parquet", tmp_path / "a.jsonl", frame,
    ]  # fmt: skip
    for file in files:
        assert read_classification(chosen(file, "Frage", "Art")) == [LabelledText("c", ("d",))]
        assert read_classification(chosen(file, "Frage")) == [LabelledText("c", ("b",))]
        assert read_classification(file) == [LabelledText("a", ("b",))]
        refused(
            read_classification, chosen(file, "Frag"), "no column 'Frag'; did you mean 'Frage'?"
        )
        refused(read_classification, chosen(file, None, "Arten"), "no column 'Arten'")
        refused(read_classification, chosen(file, None, "Art", "label"), "one column of labels")
    (tmp_path / "a.conll").write_text("a O\n")
    refused(read_ner, chosen(tmp_path / "a.conll", "a"), "'.conll' has no columns to choose")


def test_two_columns_are_told_apart_by_their_values(tmp_path: Path) -> None:
    rows = [(f"please help me with number {n}", "ab"[n % 2]) for n in range(10)]
    want = [LabelledText(text, (label,)) for text, label in rows]
    notes = Notes()
    file = write_csv(tmp_path / "a.csv", [("Was", "Art"), *rows])
    assert read_classification(file, notes) == want
    assert [line.partition(" (")[0] for line in notes.lines()] == [
        "column 'Was' is read as text",
        "column 'Art' is read as label",
    ]
    flipped = [("Art", "Was"), *(row[::-1] for row in rows)]
    assert read_classification(write_csv(file, flipped)) == want
    # The first row of a file without names is not a row of names.
    refused(read_classification, write_csv(file, rows), "no column 'text'")


# Entities


WANT = [
    AnnotatedText("Nova is late", ((0, 4, "product"),)),
    AnnotatedText("send Nova and Orbit on 3 May", ((5, 9, "product"), (14, 19, "product"),
                                                     (23, 28, "date"))),
    AnnotatedText("thank you", ()),
]  # fmt: skip
SURFACES = [
    ("ticket_id", "text", "product", "date"),
    (17, WANT[0].text, "Nova", ""),
    (18, WANT[1].text, "Nova | Orbit", "3 May"),
    (19, WANT[2].text, "", ""),
]


def test_a_column_for_each_type(tmp_path: Path) -> None:
    frame = pd.DataFrame(SURFACES[1:], columns=SURFACES[0]).replace("", None)
    sources = [
        write_csv(tmp_path / "a.csv", SURFACES),
        write_csv(tmp_path / "a.tsv", SURFACES, "\t"),
        write_xlsx(tmp_path / "a.xlsx", Sheet=SURFACES),
        frame,
    ]
    for source in sources:
        notes = Notes()
        assert read_ner(source, notes) == WANT
        ignored, types = notes.lines()
        assert ignored.startswith(
            "columns of ids, numbers, dates or lists beside the text, not read"
        )
        assert "'ticket_id'" in ignored
        assert types.startswith("columns 'product', 'date' are read as types of")
        dates = [tuple(e for e in row.entities if e[2] == "date") for row in WANT]
        assert [row.entities for row in read_ner(chosen(source, None, "date"))] == dates


def test_every_occurrence_and_whole_words() -> None:
    rows = [{"text": "Max met Max, not Maximum", "person": "Max"}]
    (row,) = read_ner(rows)
    assert row.entities == ((0, 3, "person"), (8, 11, "person"))
    # A separator may belong to what is named.
    rows = [
        {"text": "at AT&T; Bell today, Bell", "who": "AT&T; Bell"},
        {"text": "a; b", "who": "b;a"},
    ]
    assert [row.entities for row in read_ner(rows)] == [
        ((3, 13, "who"),), ((0, 1, "who"), (3, 4, "who")),
    ]  # fmt: skip


def test_a_string_that_does_not_occur(tmp_path: Path) -> None:
    rows = [("text", "product"), ("Nova is late", "Nova"), ("orbit too", "Orbit")]
    why = "'product' is 'Orbit', which occurs only in another case in 'orbit too'; --label-column"
    file = write_csv(tmp_path / "a.csv", rows)
    refused(read_ner, file, f"{file}:3: {why} chooses other columns")
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=rows)
    refused(read_ner, file, f"{file}, row 3: {why}")
    rows[2] = ("Nova, Orbit too", "Nova, Orbit too; Orbit,  Nova")
    why = "'product' is 'Orbit,  Nova': write ' | ' or ';' between several strings"
    refused(read_ner, write_csv(tmp_path / "a.csv", rows), f":3: {why}")
    for text in ("Caf\xe9 Nova", "Cafe\u0301\xa0Nova"):
        rows[2] = (text, "Cafe\u0301 Nova")
        how = "which occurs only with other spaces, invisible characters or in another Unicode form"
        file = write_csv(tmp_path / "a.csv", rows)
        refused(read_ner, file, f"'product' is 'Cafe\\u0301 Nova', {how} in {text!a}")
    rows[2] = ("Orbit too", '["Orbit"]')
    rows[1] = ("Nova is late", "['Nova']")
    why = "column 'product' holds lists of strings; write ' | ' or ';' between several strings"
    refused(read_ner, write_csv(tmp_path / "a.csv", rows), f"a.csv: {why}")
    for name in ("status", "label"):
        rows = [("text", "product", name), ("Nova is late", "Nova", "open"), ("I", "", "done")]
        file = write_csv(tmp_path / "a.csv", rows)
        refused(read_ner, file, f"{file}:2: {name!r} is 'open', which does not occur in 'Nova is")
        assert read_ner(chosen(file, None, "product"))[0].entities == ((0, 4, "product"),)


@pytest.mark.parametrize(
    "value", ["T-1001", "#17", "2026-05-03 09:00", "3 May 2026", "Sun, 3 May", "4.5", "TRUE"]
)
def test_ids_numbers_and_dates_beside_the_text(value: str) -> None:
    rows = [{"text": "Nova", "of": value, "product": "Nova"}]
    notes = Notes()
    assert read_ner(rows, notes) == [AnnotatedText("Nova", ((0, 4, "product"),))]
    assert notes.lines()[0].startswith(
        "columns of ids, numbers, dates or lists beside the text, not read"
    )
    refused(read_ner, [{**rows[0], "of": "Tide 300"}], "'of' is 'Tide 300'")


def test_a_column_that_counts_rows_is_no_type() -> None:
    rows = [{"ID": n, "text": f"{n} Nova", "product": "Nova"} for n in (1, 2)]
    assert [row.entities for row in read_ner(rows)] == [((2, 6, "product"),)] * 2


def test_dates_and_numbers_of_excel(tmp_path: Path) -> None:
    day = datetime.datetime(2026, 5, 3)
    rows = [
        ["text", "order", "day", "sent"],
        ["1042 of 2026-05-03", 1042, day, day.replace(hour=9)],
    ]
    notes = Notes()
    (row,) = read_ner(write_xlsx(tmp_path / "a.xlsx", Sheet=rows), notes)
    assert row.entities == ((0, 4, "order"), (8, 18, "day"))
    assert "'sent'" in notes.lines()[0]


def test_a_title_above_the_names_of_columns(tmp_path: Path) -> None:
    table = [["text", "label"], ["hi", "greet"]]
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=[["Our requests"], [], *table])
    with pytest.raises(UserError, match=r"row 1: 'Our requests' is alone .* row 3 may hold the"):
        read_classification(file)
    file = write_xlsx(tmp_path / "b.xlsx", Cover=[["Please read me"]], Data=table)
    with pytest.raises(UserError, match=r"first sheet, 'Cover', has one column, .* is on 'Data'"):
        read_classification(file)
    file = write_xlsx(tmp_path / "c.xlsx", Sheet=[["text"], ["hi there"], ["no"]])
    assert read_texts(file) == ["hi there", "no"]


def test_hidden_rows_are_noted(tmp_path: Path) -> None:
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=[["text", "label"], *[["a", "x"], ["b", "y"]] * 2])
    book, notes = openpyxl.load_workbook(file), Notes()
    for row in (3, 4):
        book.active.row_dimensions[row].hidden = True
    book.save(file)
    assert len(read_classification(file, notes)) == 4
    what = "rows that are hidden in Excel, read as the others are"
    assert f"{what}: 2 ({file}, row 3, …)" in notes.lines()


def test_one_column_is_the_text(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("Nachricht\nkein Wasser\n")
    assert read_texts(file, notes) == ["kein Wasser"]
    assert notes.lines() == [f"column 'Nachricht' is read as text ({file})"]
    file.write_text("kein Wasser\nkein Licht\n")  # no name, but a text
    with pytest.raises(UserError, match="has no column 'text'"):
        read_texts(file)


def test_numbers_that_excel_fills_up_with_zeros(tmp_path: Path) -> None:
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=[["text", "label"], ["a", 123], ["b", 7]])
    book = openpyxl.load_workbook(file)
    book.active["B2"].number_format = book.active["B3"].number_format = "00000"
    book.save(file)
    assert [row.labels for row in read_classification(file)] == [("00123",), ("00007",)]


@pytest.mark.parametrize("column", ["spans", "entities", "Annotations"])
@pytest.mark.parametrize("as_objects", [False, True])
def test_a_column_of_spans_as_json(tmp_path: Path, column: str, as_objects: bool) -> None:
    rows: list[tuple[Any, ...]] = [("id", "Message", column)]
    for number, row in enumerate(WANT):
        spans: list[Any] = [list(span) for span in row.entities]
        if as_objects:
            spans = [dict(zip(("start", "end", "label"), span, strict=True)) for span in spans]
        rows.append((number, row.text, json.dumps(spans) if spans else ""))
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    for source in (
        write_csv(tmp_path / "a.csv", rows), write_xlsx(tmp_path / "a.xlsx", S=rows), frame,
    ):  # fmt: skip
        assert read_ner(source) == WANT
        assert read_ner(chosen(source, "Message", column)) == WANT
    rows[2] = (*rows[2][:2], "[[0, 3")
    file = write_csv(tmp_path / "a.csv", rows)
    refused(read_ner, file, f"{file}:3: {column!r} is '[[0, 3' (str), not a list of spans")


def test_the_csv_of_label_studio(tmp_path: Path) -> None:
    def region(start: int, end: int, kind: str) -> dict[str, Any]:
        return {"start": start, "end": end, "text": "x", "labels": [kind]}

    rows = [
        ("text", "id", "label", "annotator", "lead_time"),
        *(
            (row.text, 7, json.dumps([region(*span) for span in row.entities]), 1, 2.5)
            for row in WANT
        ),
    ]
    rows = [(text, *rest) for text, *rest in rows]
    for row in rows[1:]:
        assert "x" not in row[0]
    texts = [
        (text, at, spans.replace('"text": "x", ', ""), *rest) for text, at, spans, *rest in rows
    ]
    assert read_ner(write_csv(tmp_path / "a.csv", texts)) == WANT


TOKENS = [
    ("Sentence #", "Word", "POS", "Tag"),
    ("Sentence: 1", "Ada", "NNP", "B-per"),
    ("", "lives", "VB", "O"),
    ("Sentence: 2", "in", "IN", "O"),
    ("", "New", "NNP", "B-geo"),
    ("", "York", "NNP", "I-geo"),
]
SENTENCES = [
    AnnotatedText("Ada lives", ((0, 3, "per"),)),
    AnnotatedText("in New York", ((3, 11, "geo"),)),
]


def test_a_token_in_each_row(tmp_path: Path) -> None:
    every = [TOKENS[0], *((f"s{2 - (at < 3)}", *row[1:]) for at, row in enumerate(TOKENS[1:], 1))]
    blank = [row[1:] for row in [*TOKENS[:3], ("", "", "", ""), *TOKENS[3:]]]
    for rows in (TOKENS, every, blank):
        frame = pd.DataFrame(rows[1:], columns=rows[0]).replace("", None)
        for source in (
            write_csv(tmp_path / "a.csv", rows, ";"),
            write_csv(tmp_path / "a.tsv", rows, "\t"),
            write_xlsx(tmp_path / "a.xlsx", Sheet=rows),
            frame,
        ):
            if not (rows is blank and str(source).endswith(".tsv")):  # that is CoNLL
                assert read_ner(source) == SENTENCES
    (tmp_path / "a.csv").write_text(
        "token,tag\nAda,B-per\nlives,O\n\nin,O\nNew,B-geo\nYork,I-geo\n"
    )
    assert read_ner(tmp_path / "a.csv") == SENTENCES


def test_white_space_around_tags_is_left_out(tmp_path: Path) -> None:
    rows = [(*row[:3], f" {row[3]} ") for row in TOKENS[1:]]
    for source in (
        write_csv(tmp_path / "a.csv", [TOKENS[0], *rows]),
        write_xlsx(tmp_path / "a.xlsx", Sheet=[TOKENS[0], *rows]),
    ):
        assert read_ner(source) == SENTENCES


def test_bad_token_rows(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [row[1:] for row in TOKENS])
    refused(read_ner, file, "nothing says where a sentence ends: add a column 'sentence_id'")
    rows = [*TOKENS[:3], ("", "", "VB", "O"), *TOKENS[3:]]
    file = write_xlsx(tmp_path / "a.xlsx", Sheet=rows)
    refused(read_ner, file, f"{file}, row 4: 'Word' is empty")
    rows[3] = ("", "on", "IN", "Q-per")
    file = write_csv(tmp_path / "a.csv", rows)
    refused(read_ner, file, f"{file}:4: ", "'Q-per'")


def test_conll_in_a_tsv_file_is_still_conll(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("Title\tO\nAda\tB-per\n\nin\tO\n")
    assert [row.text for row in read_ner(file)] == ["Title Ada", "in"]
    file.write_text('Word\tTag\n"\tO\nAda\tB-per\n\nin\tO\n')
    assert [row.text for row in read_ner(file)] == ['" Ada', "in"]


def test_a_sentence_ends_with_its_document(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    head = "doc_id,sent_id,token,tag\n1,1,to,O\n1,1,Ada,B-PER\n"
    file.write_text(head + "2,1,Rome,B-LOC\n2,2,is,O\n")
    assert [row.text for row in read_ner(file)] == ["to Ada", "Rome", "is"]
    file.write_text(head + "2,1,Lee,I-PER\n")
    refused(read_ner, file, "tag 1 'I-PER' does not continue an entity")


INTERLEAVED = ["1,Ada,B-PER", "2,Bo,B-PER", "1,left,O", "2,is,O"]
GIVEN_ONCE = ["s1,Ada,B-PER", ",left,O", "s2,Bo,B-PER", "s1,left,O"]
ANEW = ["0,Ada,B-PER", ",left,O", "0,Bo,B-PER", ",left,O"]


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        *((source, rows) for source in ("sentence_id", "doc_id,sent_id")
          for rows in (INTERLEAVED, GIVEN_ONCE, ANEW)),
        ("file", INTERLEAVED), ("file", GIVEN_ONCE),
    ],
)  # fmt: skip
def test_an_id_of_a_sentence_that_comes_back(tmp_path: Path, source: str, rows: list[str]) -> None:
    """It is refused: two sentences would be read as one, or one as several."""
    file = tmp_path / "a.csv"
    more = "a," * source.count(",")
    lines = [f"{source},word,tag", *(more + row for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    name, value = source.rpartition(",")[2], rows[0].partition(",")[0]
    refused(read_ner, file, f": {name!r} {value!r}", f"comes back, which began at {file}:2: put")


def test_what_tells_documents_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = ["a,0,1,Ada,O", "a,0,1,left,O", "b,0,1,Bo,O", "b,1,1,is,O", "a,2,2,in,O"]
    want = ["Ada left", "Bo", "is", "in"]
    for name in ("file", "Filename", "doc", "Article #", "source_file", "conversation id"):
        file.write_text("\n".join([f"{name},sentence,page,word,tag", *rows]) + "\n")
        notes = Notes()
        assert [row.text for row in read_ner(file, notes)] == want
        assert f"column {name!r} tells documents apart ({file})" in notes.lines()
        what = "columns that may tell sentences apart, not read"
        assert f"{what}: 1 ({file}: 'page')" in notes.lines()
    # Without ids of sentences blank rows end them, also inside of a document.
    rows = ["a,Ada,O", "a,left,O", "", "a,Bo,O", "b,is,O", "", "a,in,O"]
    file.write_text("\n".join(["file,word,tag", *rows]) + "\n")
    assert [row.text for row in read_ner(file)] == ["Ada left", "Bo", "is", "in"]


def test_a_chosen_column_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,person\nAda left,Ada\n")
    located = replace(locate(file), columns=Columns(None, ("persan",)))
    with pytest.raises(UserError, match="has no column 'persan'; did you mean 'person'"):
        read_ner(located)


def test_equal_sentences_that_are_their_own_ids(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = ["sentence,word,tag", *["hi Ada,hi,O", "hi Ada,Ada,B-X"] * 2]
    file.write_text("\n".join(rows) + "\n")
    refused(read_ner, file, ":4: 'sentence' 'hi Ada' comes back", "give each an id of its own")
