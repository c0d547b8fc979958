"""Cells that CSV is known to break, read back by others; columns of one name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.bulk import excel
from onetrunk.bulk.columns import Decoders, answer_names, answer_types, check_free
from onetrunk.bulk.excel import Excel
from onetrunk.bulk.writers import Csv
from onetrunk.data.notes import Notes
from onetrunk.data.sources import open_texts
from onetrunk.data.texts import TextBlock
from onetrunk.errors import UserError

ODD = ["\r", "\n", "\r\n", '"', "'", ",", ";", "\t", " ", "\0", "\u2028", "\x85", "\x0b", "a"]
CELLS = st.lists(st.sampled_from(ODD), max_size=5).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)


def write(kind: type[Csv] | type[Excel], out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows with the columns ``text`` and ``more``, without an app."""
    given = out.with_name("a.csv")
    given.write_text("text,more\na,b\n")
    texts = [row["text"] for row in rows]
    with closing(kind(out, open_texts(given, Notes()), {}, Notes())) as writer:
        writer.write(TextBlock([*texts], [*rows]), [{"text": text} for text in texts])


def written(rows: list[dict[str, str]]) -> str:
    """The CSV file of some rows."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "out.csv")
        write(Csv, out, rows)
        return out.read_bytes().decode()


def read_back(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What our own reader finds in the Excel file of some rows."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "out.xlsx")
        write(Excel, out, rows)
        (source,) = open_texts(out, Notes())
        return [dict(row) for block in source.blocks() for row in block.rows]


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"text": CELLS, "more": CELLS}), min_size=1, max_size=4))
def test_csv_reads_back_equal(rows: list[dict[str, str]]) -> None:
    pandas = pytest.importorskip("pandas")
    content = written(rows)
    wanted = [{**row, "error": ""} for row in rows]
    assert [*csv.DictReader(io.StringIO(content, newline=""))] == wanted
    table = pandas.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    assert table.to_dict("records") == wanted


def test_csv_reads_back_as_our_own_input(tmp_path: Path) -> None:
    texts = ["play\rcall ann", "a\r\nb", "a\nb", " a ", 'say "hi"', "a,b", ""]
    (tmp_path / "a.csv").write_bytes(written([{"text": t, "more": "x"} for t in texts]).encode())
    (source,) = open_texts(tmp_path / "a.csv", Notes())
    assert [text for block in source.blocks() for text in block.texts] == texts


# What a spreadsheet would take for something else, and what XML does not have.
STRINGS = [
    "=1+1", "+1", "007", "1e5", "#N/A", "TRUE", "2026-01-02", " a ", "_x0041_", "_x000D_", "a\r\nb",
    "a\rb", "\x01\x0b", "\uffff", "<&>", "https://a.b/c", "12345678901234567890", "😀", "-",
]  # fmt: skip


def test_excel_reads_back_as_our_own_input() -> None:
    rows = [{"text": text, "more": f"{text}!"} for text in STRINGS]
    found = read_back(rows)
    assert [(row["text"], row["more"]) for row in found] == [(text, f"{text}!") for text in STRINGS]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.fixed_dictionaries({"text": CELLS, "more": CELLS}), min_size=1, max_size=4))
def test_any_text_comes_back_from_excel(rows: list[dict[str, str]]) -> None:
    rows = [{"text": f"a{row['text']}", "more": f"{row['more']}a"} for row in rows]  # none is blank
    assert [(row["text"], row["more"]) for row in read_back(rows)] == [
        (row["text"], row["more"]) for row in rows
    ]


def test_numbers_are_numbers_in_excel_where_it_has_their_digits(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    numbers = [3, 0.25, True, 12345678901234567890, float("nan"), None, ["a", 1]]
    write(Excel, tmp_path / "out.xlsx", [{"text": "a", "more": number} for number in numbers])
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    assert [cell.value for cell in sheet["B"]] == [
        "more", 3, 0.25, True, "12345678901234567890", "nan", None, '["a", 1]'
    ]  # fmt: skip
    assert sheet.title == "answers"
    assert [cell.value for cell in sheet[1]] == ["text", "more", "error"]


def test_answers_are_words_in_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    decoders: Decoders = {"place": "ner", "flags": "multi-label", "mood": "tc", "stars": "rating"}
    answers = {
        "place": {"entities": [
            {"start": 0, "end": 4, "text": "Oslo", "type": "city", "score": 0.9},
            {"start": 5, "end": 8, "text": "=ab", "type": "day", "score": 0.8},
        ]},
        "flags": {"labels": ["x", "y"], "probabilities": {"x": 0.5, "y": 0.75}},
        "mood": {"labels": ["glad"], "probabilities": {"glad": 0.625}},
        "stars": {"value": 3.5},
    }  # fmt: skip
    nothing = {
        "place": {"entities": []},
        "flags": {"labels": [], "probabilities": {}},
        "mood": {"labels": [], "probabilities": {}, "abstained": True},
        "stars": None,
    }
    (tmp_path / "a.txt").write_text("a\n")
    sources = open_texts(tmp_path / "a.txt", Notes())
    with closing(Excel(tmp_path / "out.xlsx", sources, decoders, Notes())) as writer:
        results = [{"text": "a", "apps": answers}, {"text": "b", "apps": nothing}]
        writer.write(TextBlock(["a", "b"], [{}, {}]), results)
    header, first, second = openpyxl.load_workbook(tmp_path / "out.xlsx").active.values
    assert header == ("text", *answer_names(decoders))
    words = "Oslo (city); =ab (day)"
    assert first == ("a", words, "x; y", "0.5; 0.75", "glad", 0.625, 3.5, None)
    assert second == ("b", *[None] * 7)


def test_more_than_excel_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": "a", "more": "b"}] * 3
    with pytest.raises(UserError, match=r"row 1: 'more' has 32,768 characters.*write .csv"):
        write(Excel, tmp_path / "out.xlsx", [{"text": "a", "more": "b" * 32_768}])
    monkeypatch.setattr(excel, "MOST_ROWS", 2)
    with pytest.raises(UserError, match=r"holds 2 rows: write \.csv or"):
        write(Excel, tmp_path / "out.xlsx", rows)


def test_records_end_in_line_feeds() -> None:
    assert written([{"text": "a", "more": "b\r\n"}]) == 'text,more,error\na,"b\r\n",\n'


@pytest.mark.parametrize(
    ("decoders", "parts"),
    [
        ({"error": "tc"}, ["the app 'error'", "'error', which has another use"]),
        ({"text": "ner"}, ["the app 'text'", "'text', which has another use"]),
        (
            {"a": "tc", "a.probability": "rating"},
            ["the app 'a'", "'a.probability'", "as the app 'a.probability' does"],
        ),
        ({"a.probability": None, "a": "multi-label"}, ["the app 'a.probability'", "the app 'a'"]),
    ],
)
def test_apps_of_one_column_are_refused(decoders: Decoders, parts: list[str]) -> None:
    for names in (answer_names, answer_types):
        with pytest.raises(UserError) as refused:
            names(decoders)
        for part in [*parts, "rename the app"]:
            assert part in str(refused.value)


def test_apps_of_different_columns() -> None:
    decoders = {"a": "ner", "a.probability": "tc", "b": "multi-label", "c.probability": None}
    names = answer_names(decoders)
    assert len({*names}) == len(names) == 7
    assert list(answer_types(decoders)) == names


def test_a_column_of_the_input_names_the_app() -> None:
    decoders: Decoders = {"a": "tc"}
    with pytest.raises(UserError, match=r"'a.probability' of the input .* or the app 'a'"):
        check_free(["x", "a.probability"], answer_names(decoders), "here", decoders)
