import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

import onetrunk
from onetrunk.data.advice import ADVICE, advice
from onetrunk.data.overview import first_look, overview
from onetrunk.errors import UserError


def counted(seen: Any) -> dict[str, int]:
    return {what: note.count for what, note in seen.notes.found.items()}


def test_labels_and_lengths() -> None:
    rows = [{"text": f"row {number}", "label": "ab"[number > 20]} for number in range(1, 31)]
    seen = overview(rows)
    assert (seen.family, seen.rows, seen.without) == ("tc", 30, 0)
    assert seen.labels == {"a": 20, "b": 10}
    assert list(seen.labels) == ["a", "b"]  # the most frequent first
    assert seen.words == (2, 2, 2, 2)
    assert not seen.notes.found
    assert json.loads(json.dumps(seen.as_json()))["words"]["median"] == 2


def test_a_notebook_shows_what_was_read_in_short() -> None:
    rows = [{"text": f"row {number}", "label": "ab"[number > 20]} for number in range(1, 31)]
    assert repr(overview(rows)) == "the train rows: tc, 30 rows\n  a 20, b 10"
    assert repr(overview(rows).notes) == "no notes"
    odd = overview([*rows, rows[0]], "multi-label")
    assert repr(odd).splitlines()[2].startswith("  note: duplicate rows")
    assert repr(odd.notes).startswith("duplicate rows")
    many = overview([{"text": f"row {number}", "label": f"l{number % 40}"} for number in range(80)])
    assert "l11 2, … (40 in all)" in repr(many)


@pytest.mark.parametrize(
    ("rows", "family"),
    [
        ([{"text": "Ada left", "spans": [[0, 3, "P"]]}], "ner"),
        ([{"tokens": ["Ada"], "ner_tags": ["B-P"]}], "ner"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}], "tc"),
        ([{"text": "a", "label": 1}, {"text": "b", "label": 2}], "tc"),
        ([{"text": "a", "label": 1.5}, {"text": "b", "label": 2}], "rating"),
        ([{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": []}], "multi-label"),
    ],
)
def test_the_family_is_found_out(rows: list[dict[str, Any]], family: str) -> None:
    assert overview(rows).family == family
    assert overview(rows, family).rows == len(rows)


def test_what_looks_odd() -> None:
    texts = [
        "caf\ufffd",
        "caf\u00c3\u00a9",
        "a\x07b",
        "so\u00adft",
        "\u202eabc",
        "a <b>c</b> &amp;",
    ]
    rows = [{"text": text, "label": "x"} for text in [*texts, "fine", "it's < 3 & é"]]
    seen = overview(rows, "tc")
    kinds = [what for what in counted(seen) if what.startswith("texts")]
    assert len(kinds) == len(texts)
    assert all(counted(seen)[what] == 1 for what in kinds)
    assert seen.notes.found[kinds[0]].places == [r"the list given, row 1: '\ufffd'"]


def test_entities_that_are_marked_here_and_not_there() -> None:
    def row(text: str, *entities: tuple[str, str]) -> dict[str, Any]:
        spans = [
            [text.index(words), text.index(words) + len(words), kind] for words, kind in entities
        ]
        return {"text": text, "spans": spans}

    rows = [
        row("Ada Lima left", ("Ada Lima", "P")),
        row("see Ada Lima", ("Ada Lima", "P")),
        row("then Ada  Lima said"),
        row("Rome is far", ("Rome", "L")),
        row("Rome and Rome", ("Rome", "L")),
        row("AS Rome won", ("Rome", "O")),
        row("an apple", ("apple", "X")),  # once marked, once not: that may be meant
        row("one apple"),
    ]
    seen = overview(rows)
    assert counted(seen)["texts of entities that also occur unmarked"] == 2
    places = seen.notes.found["texts of entities that also occur unmarked"].places
    assert sorted(places) == [
        "the list given, row 3: 'Ada  Lima', marked 2 times",
        "the list given, row 5: 'Rome', marked 3 times",
    ]  # fmt: skip
    what = "texts that are entities of several types"
    assert seen.notes.found[what].places == ["'Rome': L 2 and O 1 times"]


def test_what_cannot_be_read_is_said_for_both_families(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "kind": "x"}\n')
    with pytest.raises(UserError, match=r"\(tc\): .* 'label'.*\(ner\): .* does not occur"):
        overview(file)
    with pytest.raises(UserError, match=r"unknown family 'nre'; did you mean 'ner'\?"):
        overview(file, "nre")
    with pytest.raises(UserError, match="no such file"):
        overview(tmp_path / "b.jsonl")


def test_every_advice_is_for_a_note_that_exists() -> None:
    folder = Path(__file__).parents[2] / "src" / "onetrunk"
    code = "".join(file.read_text() for file in folder.rglob("*.py") if file.name != "advice.py")
    code = re.sub(r'"\s*f?"', "", code)  # strings that are written in two parts
    for start in ADVICE:
        assert start in code, start
    assert advice("spans that overlap a longer one, left out")
    assert advice("nothing known") is None


def test_labels_that_may_be_meant_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = ["a,bug", "b,urgent", "c,bug; urgent", "d,mail", "e,mail; bug", "f,other; thing"]
    file.write_text("text,label\n" + "\n".join(rows) + "\n")
    seen = overview(file, "tc")
    what = "labels that look like several in a cell"
    assert seen.notes.found[what].places == ["'bug; urgent'", "'mail; bug'"]
    assert advice(what) == "use the family multi-label, which splits them"
    assert what not in counted(overview(file, "multi-label"))
    stars = [{"text": str(number), "label": number} for number in (1, 2, 5)]
    assert counted(overview(stars))["labels that are numbers, read as classes"] == 3


def test_numbers_of_words_are_those_of_numpy() -> None:
    for count in (1, 2, 3, 19, 20, 21, 100):
        rows = [{"text": "word " * (n + 1), "label": "ab"[n % 2]} for n in range(count)]
        _, middle, long, _ = overview(rows, "tc").words
        lengths = np.arange(1, count + 1)
        assert middle == np.median(lengths)
        assert long == np.quantile(lengths, 0.95, method="inverted_cdf")


def test_several_labels_are_guessed_and_then_read_as_such(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    labels = ["broken; late", "broken", "late", []] * 2
    rows = [{"text": f"t {n}", "label": label} for n, label in enumerate(labels)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = overview(file)
    assert (seen.family, seen.labels) == ("multi-label", {"broken": 4, "late": 4})
    assert seen.labels == overview(file, "multi-label").labels
    file = tmp_path / "a.csv"
    cells = ["broken; late", "broken", "late", ""] * 2
    file.write_text("".join(["text,Tags\n", *(f"t {n},{cell}\n" for n, cell in enumerate(cells))]))
    seen = overview(file)
    assert (seen.family, seen.labels, seen.without) == (
        "multi-label", {"broken": 4, "late": 4}, 2,
    )  # fmt: skip
    file.write_text("text,label\na,x\nb,\n")  # no row has several: an empty cell is a gap
    with pytest.raises(UserError, match="'label' is an empty string"):
        overview(file)


def test_a_column_whose_labels_hardly_repeat_is_noted() -> None:
    rows = [{"text": f"t {n}", "label": f"ticket {n}"} for n in range(12)]
    seen = overview(rows)
    what = "columns of labels that hardly repeat, perhaps another column's"
    assert counted(seen)[what] == 1
    assert "12 labels in 12 rows" in seen.notes.found[what].places[0]
    assert what not in counted(
        overview([row | {"label": "xy"[n % 2]} for n, row in enumerate(rows)])
    )


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,x\n\nb,y\n")  # a header, and a blank line
    seen = overview(file)
    assert [seen.place(0), seen.place(1)] == [f"{file}:2", f"{file}:4"]
    assert [seen.place_inside(0), seen.place_inside(1)] == ["2", "4"]
    assert overview([{"text": "a", "label": "x"}]).place(0) == "the list given, row 1"


def test_labels_that_say_nothing_was_labelled() -> None:
    what = "labels -1 beside whole numbers, which often says that nobody labelled a row"
    rows = [{"text": f"row {number}", "label": number % 3 - 1} for number in range(30)]
    assert counted(overview(rows, "tc"))[what] == 10
    rows = [{"text": f"row {number}", "label": f"{number % 3}"} for number in range(30)]
    assert what not in counted(overview(rows, "tc"))
    names = [{"text": f"row {number}", "label": ["-1", "a"][number % 2]} for number in range(30)]
    assert what not in counted(overview(names, "tc"))


@pytest.mark.parametrize("name", ["text_pair", "sentence2", "Hypothesis"])
def test_a_second_text_is_noted(tmp_path: Path, name: str) -> None:
    rows = [{"text": f"row {n}", name: "other", "label": "ab"[n % 2]} for n in range(20)]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    notes = overview(file, "tc").notes.lines()
    what = "columns with a second text beside the one that is read, not read"
    assert notes == [f"{what}: 1 ({file}: {name!r})"]


def test_rows_of_another_family(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("text,label\nit came late,delivery\nI paid twice,bill\nso slow,delivery\n")
    with pytest.raises(UserError, match=r"; these look like rows of tc: --family tc$"):
        first_look(table, "ner", "train")
    with pytest.raises(UserError, match=r"; these look like rows of tc$"):
        first_look(table, "nested-ner", "test")
    table.write_text("text,product\nthe Nova came late,Nova\nmy Orbit broke,Orbit\n")
    with pytest.raises(UserError, match=r"; these look like rows of ner: --family ner$"):
        first_look(table, "tc", "train")
    for content in ("text,label\na,x\nb,\n", "text,label\na,x\nb,y\n", "text,note\na,x\nb,x\n"):
        table.write_text(content)
        with pytest.raises(UserError) as caught:
            first_look(table, "ner" if "y" in content else "tc", "train")
        assert "look like" not in str(caught.value)


def test_what_explains_a_refusal_is_said_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The labels stand on another sheet than the one that is read, or in a row that comes late."""
    workbook = openpyxl.Workbook()
    workbook.active.append(["Message", "by"])
    workbook.active.append(["my parcel is late", "Ann"])
    workbook.create_sheet("labels").append(["label"])
    workbook.save(tmp_path / "rows.xlsx")
    with pytest.raises(UserError, match="has no column 'label'"):
        first_look(tmp_path / "rows.xlsx", "tc", "train")
    assert "of 2 sheets 'Sheet' is read" in caplog.text
    caplog.clear()
    rows = [{"Message": f"text {number}", "label": "ab"[number % 2]} for number in range(300)]
    with pytest.raises(UserError, match="row 301: 'label' is"):
        onetrunk.adapt(tmp_path, "tc", [*rows, {"Message": "late", "label": ""}])
    assert "column 'Message' is read as text" in caplog.text


def test_labels_beside_empty_lists_of_spans() -> None:
    rows = [{"text": "play", "label": "music", "spans": []}, {"text": "no", "label": "stop"}]
    rows[1]["spans"] = []
    assert overview(rows).family == "tc"
    assert overview([{"text": "play", "spans": []}]).family == "ner"
    assert overview([{"text": "play", "label": []}]).family == "ner"


def test_entities_in_brackets_are_found_out() -> None:
    assert overview([{"text": "call [Ada](person)"}]).labels == {"person": 1}


def test_rare_labels_that_may_be_misspelt() -> None:
    rows = [{"text": f"row {n}", "label": ["Repair", "Noise"][n % 2]} for n in range(20)]
    rows += [{"text": "bell", "label": "Repiar"}, {"text": "x", "label": "Other"}]
    note = overview(rows).notes.found["labels that may be misspelt"]
    assert (note.count, note.places) == (1, ["'Repiar': 1, 'Repair': 10"])
