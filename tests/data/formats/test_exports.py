"""Exports of annotation tools: nothing that was annotated is lost or turned round in silence."""

from __future__ import annotations

import csv
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.locate import locate
from onetrunk.data.notes import Notes
from onetrunk.data.overview import overview
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import (
    Columns,
    read_classification,
    read_ner,
    read_nested,
    read_texts,
)
from onetrunk.errors import UserError

WORDS = ("party", "Ada's", "Köln", "東京", "🎉", "👩🏽‍💻", "x2", "𝔘𝔫𝔦")
VERDICTS = ["accept", "reject", "ignore", "accept", "reject", "ignore"]


def written(file: Path, rows: list[Any]) -> Path:
    data = json.dumps(rows) if file.suffix == ".json" else "\n".join(map(json.dumps, rows))
    file.write_text(data)
    return file


def texts_of(notes: Notes) -> dict[str, int]:
    return {what: note.count for what, note in notes.found.items()}


def examples(seed: int) -> list[AnnotatedText]:
    rng = random.Random(seed)
    rows = []
    for _ in range(rng.randint(3, 12)):
        text, entities = "", []
        for word in rng.choices(WORDS, k=rng.randint(1, 9)):
            if rng.random() < 0.4:
                entities.append((len(text), len(text) + len(word), rng.choice(("A", "B"))))
            text += word + " "
        rows.append(AnnotatedText(text, tuple(entities)))
    return rows


def units(text: str, at: int) -> int:
    return len(text[:at].encode("utf-16-le")) // 2


def prodigy(row: AnnotatedText) -> dict[str, Any]:
    spans = [{"start": s, "end": e, "label": k, "token_start": 0} for s, e, k in row.entities]
    made: dict[str, Any] = {"text": row.text, "tokens": [{"text": row.text, "id": 0}]}
    return made | ({"spans": spans} if spans else {}) | {"answer": "accept"}


def doccano(row: AnnotatedText) -> dict[str, Any]:
    spans = [[units(row.text, s), units(row.text, e), k] for s, e, k in row.entities]
    return {"id": 1, "text": row.text, "label": spans}


def studio(row: AnnotatedText) -> dict[str, Any]:
    result = []
    for number, (start, end, kind) in enumerate(row.entities):
        text, first, last = row.text[start:end], units(row.text, start), units(row.text, end)
        result.append({
            "id": str(number), "value": [
                {"start": first, "end": last, "text": text, "labels": [kind]},
                {"start": "/text()[1]", "end": "/text()[1]", "text": text,
                 "globalOffsets": {"start": first, "end": last}, "hypertextlabels": [kind]},
                {"start": "0", "end": "0", "startOffset": first, "endOffset": last, "text": text,
                 "paragraphlabels": [kind]},
            ][number % 3],
        })  # fmt: skip
    return {"data": {"text": row.text}, "annotations": [{"result": result}]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_exports_of_random_texts_hold_the_same_entities(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder, rows = tmp_path_factory.mktemp("exports"), examples(seed)
    rows.append(AnnotatedText("🎉 Ada", ((2, 5, "A"),)))  # shows what the offsets count
    for name, export in (("p.jsonl", prodigy), ("d.jsonl", doccano), ("s.json", studio)):
        assert read_ner(written(folder / name, [export(row) for row in rows])) == rows


# Prodigy


def test_rows_that_were_not_accepted(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "label": "PER"}
    rows = [
        {"text": "Ada", "answer": "accept"},
        {"text": "Ada", "spans": [span], "answer": "reject"},
        {"text": "Ada", "spans": [], "answer": "ignore"},
        {"text": "Ada left", "spans": [span]},
    ]
    notes, file = Notes(), written(tmp_path / "a.jsonl", rows)
    want = [AnnotatedText("Ada"), AnnotatedText("Ada left", ((0, 3, "PER"),))]
    assert read_ner(file, notes) == want
    assert notes.lines() == [
        f"rows with the answer 'reject', left out: 1 ({file}:2)",
        f"rows with the answer 'ignore', left out: 1 ({file}:3)",
    ]
    assert len(read_texts(file)) == 4
    rows = [{"text": "a", "label": "X", "answer": "reject"}] * 2
    with pytest.raises(UserError, match="has no rows; rows with the answer 'reject', left out: 2"):
        read_classification(written(file, rows))


def test_choices_and_other_answers(tmp_path: Path) -> None:
    options = [{"id": "X", "text": "x"}, {"id": "Y", "text": "y"}]
    rows: list[dict[str, Any]] = [
        {"text": "a", "options": options, "accept": ["X", "Y"], "answer": "accept"},
        {"text": "b", "options": options, "accept": ["X"], "answer": "reject"},
    ]
    file = written(tmp_path / "a.jsonl", rows)
    assert read_classification(file) == [LabelledText("a", ("X", "Y"))]
    rows = [
        {"text": "a", "options": options, "accept": ["X"], "answer": "accept"},
        {"text": "b", "options": options, "answer": "accept"},
        {"answer": "ignore"},
    ]
    want = [LabelledText("a", ("X",)), LabelledText("b", ())]
    assert read_classification(written(tmp_path / "a.jsonl", rows)) == want
    rows = [{"text": "the capital?", "label": "geo", "answer": "Paris"}]
    notes = Notes()
    assert read_classification(written(file, rows), notes)[0].text == "the capital?"
    assert list(texts_of(notes)) == [
        "rows whose answer is not accept, reject or ignore, read as accepted"
    ]


def test_an_answer_that_comes_late_or_in_capitals(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"{number}", "label": "x"} for number in range(1001)]
    rows += [{"text": "no", "label": "x", "answer": "Reject"}]
    notes, file = Notes(), written(tmp_path / "a.jsonl", rows)
    assert [row.text for row in read_classification(file, notes)][-1] == "1000"
    assert texts_of(notes) == {"rows with the answer 'reject', left out": 1}


# Label Studio


def region(kind: str = "labels", **more: Any) -> dict[str, Any]:
    return {"type": kind, "value": {"start": 0, "end": 3, "text": "Ada"} | more}


def task(*result: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"data": {"text": "Ada and Bo"}, "annotations": [{"result": list(result)}]} | more


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (task(region()), "regions without a label, left out"),
        (task(region(labels=[])), "regions without a label, left out"),
        (task(region(labels=["X"], start=0.5)), "regions that have no place in a text, left out"),
        (task(region(labels=["X"], channel=0)), "regions that have no place in a text, left out"),
        (task(region(choices=["X"])), "choices for a region, not for the text, left out"),
        (task({"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["X"]}}),
         "annotations of the type 'rectanglelabels', which are not read"),
        (task({"type": "textarea", "value": {"text": ["X"]}}),
         "annotations of the type 'textarea', which are not read"),
        (task({"type": "relation", "from_id": "1", "to_id": "2"}),
         "annotations of the type 'relation', which are not read"),
        (task(predictions=[{"result": []}]), "predictions, which are not read"),
    ],
)  # fmt: skip
def test_what_is_no_span_is_counted(tmp_path: Path, given: dict[str, Any], what: str) -> None:
    notes = Notes()
    assert read_ner(written(tmp_path / "a.json", [given]), notes) == [AnnotatedText("Ada and Bo")]
    assert texts_of(notes) == {what: 1}


def test_rows_that_are_left_out_are_counted_once(tmp_path: Path) -> None:
    verdicts = ["accept", "reject", "accept", "ignore"]
    rows = [
        {"id": n, "text": f"Ada {n}", "label": [[0, 3, "P"]], "answer": verdict}
        for n, verdict in enumerate(verdicts)
    ]
    notes = Notes()
    assert len(overview(written(tmp_path / "a.json", rows), "ner").examples) == 2
    read_ner(written(tmp_path / "b.json", rows), notes)
    counts = texts_of(notes)
    assert counts["rows with the answer 'reject', left out"] == 1
    assert counts["rows with the answer 'ignore', left out"] == 1


@pytest.mark.parametrize(
    ("column", "values"), [("answer", ["accept", "reject"]), ("status", ["submitted", "discarded"])]
)
def test_a_column_that_is_chosen_says_nothing_else(
    tmp_path: Path, column: str, values: list[str]
) -> None:
    rows = [{"text": f"t {n}", column: values[n % 2], "label": "x"} for n in range(6)]
    file, notes = written(tmp_path / "a.json", rows), Notes()
    chosen = replace(locate(file), columns=Columns("text", (column,)))
    assert [row.labels for row in read_classification(chosen, notes)] == [
        (row[column],) for row in rows
    ]
    assert not notes.lines()
    assert len(read_classification(file)) == 3


def test_columns_that_are_chosen_are_not_those_of_a_tool(tmp_path: Path) -> None:
    rows = [{"input": f"t {n}", "output": "xy"[n % 2]} for n in range(4)]
    file = written(tmp_path / "a.json", rows)
    chosen = replace(locate(file), columns=Columns("input", ("output",)))
    assert [row.labels for row in read_classification(chosen)] == [("x",), ("y",)] * 2


def test_annotators(tmp_path: Path) -> None:
    first, second = region(labels=["A"]), region(labels=["B"])
    same = [{"result": [first | {"id": "1"}]}, {"result": [first | {"id": "2"}]}]
    truth = [{"result": [first]}, {"result": [second], "ground_truth": True}]
    skipped = [{"result": [], "was_cancelled": True}, {"result": [first]}]
    rows = [task(annotations=annotations) for annotations in (same, truth, skipped)]
    notes = Notes()
    found = [row.entities[0][2] for row in read_ner(written(tmp_path / "a.json", rows), notes)]
    assert found == ["A", "B", "A"]
    assert texts_of(notes) == {
        "annotations beside a ground truth, left out": 1,
        "annotations that skip a task, left out": 1,
        "rows whose text occurs before with other labels": 1,
        "duplicate rows (same text and labels)": 1,
    }


def test_dialogues_and_taxonomies(tmp_path: Path) -> None:
    lines = [{"author": "a", "text": "Hi"}, {"author": "b", "text": "Ada here"}]
    value = {"start": "1", "end": "1", "startOffset": 0, "endOffset": 3, "paragraphlabels": ["P"]}
    row = task({"value": value}, data={"dialogue": lines, "audio": "s3://bucket/a.wav"})
    file = written(tmp_path / "a.json", [row])
    assert read_ner(file) == [AnnotatedText("Hi\nAda here", ((3, 6, "P"),))]
    row = task({"type": "taxonomy", "value": {"taxonomy": [["Food", "Tea"], ["Trip"]]}})
    want = [LabelledText("Ada and Bo", ("Food/Tea", "Trip"))]
    assert read_classification(written(file, [row])) == want


@pytest.mark.parametrize(
    "address",
    ["/data/upload/3/a-note.txt", "https://example.org/a?b=c", "s3://bucket/a", "pictures/cat.PNG",
     "data:image/png;base64,AAAA", "/data/local-files/?d=my notes/a b.txt"],
)  # fmt: skip
def test_an_address_is_no_text(tmp_path: Path, address: str) -> None:
    choice = {"type": "choices", "value": {"choices": ["X"]}}
    for key in ("text", "image"):
        file = written(tmp_path / "a.json", [task(choice, data={key: address})])
        for read in (read_classification, read_texts):
            with pytest.raises(UserError, match=f"row 1: '{key}' is an address, not text"):
                read(file)
    notes, row = Notes(), {"text": address, "label": "X"}
    read_classification(written(tmp_path / "a.jsonl", [row]), notes)
    assert texts_of(notes) == {"texts that are only an address, which is not opened": 1}
    row["text"] = f"see {address} for more"
    notes = Notes()
    read_classification(written(tmp_path / "a.jsonl", [row]), notes)
    assert not notes.found


def test_regions_of_html(tmp_path: Path) -> None:
    value = {"start": "/p[1]", "end": "/p[1]", "globalOffsets": {"start": 0, "end": 3},
             "text": "Ada", "hypertextlabels": ["P"]}  # fmt: skip
    file = written(tmp_path / "a.json", [task({"value": value}, data={"text": "<p>Ada</p>"})])
    with pytest.raises(UserError, match="row 1: the text is HTML, and its regions count without"):
        read_ner(file)


def test_a_region_of_several_lines(tmp_path: Path) -> None:
    value = {"start": 0, "end": 7, "text": "New\\nYor", "labels": ["L"]}
    file = written(tmp_path / "a.json", [task({"value": value}, data={"text": "New\nYor k"})])
    assert read_ner(file) == [AnnotatedText("New\nYor k", ((0, 7, "L"),))]


def test_regions_that_count_a_windows_line_end_as_one(tmp_path: Path) -> None:
    value = {"start": 6, "end": 11, "text": "Ada L", "labels": ["P"]}
    data = {"text": "Hello\r\nAda L"}
    notes, file = Notes(), written(tmp_path / "a.json", [task({"value": value}, data=data)])
    assert read_ner(file, notes) == [AnnotatedText("Hello\nAda L", ((6, 11, "P"),))]
    assert sum(texts_of(notes).values()) == 1
    value = value | {"start": 7, "end": 12}
    file = written(tmp_path / "a.json", [task({"value": value}, data=data)])
    assert read_ner(file) == [AnnotatedText("Hello\r\nAda L", ((7, 12, "P"),))]


def test_short_export(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "text": "Ada", "labels": ["P"]}
    rows = [
        {"text": "nobody", "annotator": 1},
        {"text": "Ada", "annotator": 1, "label": [span]},
        {"text": "later", "annotator": None},
    ]
    notes, file = Notes(), tmp_path / "a.json"
    want = [AnnotatedText("nobody"), AnnotatedText("Ada", ((0, 3, "P"),))]
    assert read_ner(written(file, rows), notes) == want
    assert notes.lines() == [f"tasks without an annotation, left out: 1 ({file}, row 3)"]
    rows = [
        {"text": "a", "annotator": 1, "label": "X"},
        {"text": "b", "annotator": 1, "label": {"choices": ["X", "Y"]}},
    ]
    want_labels = [LabelledText("a", ("X",)), LabelledText("b", ("X", "Y"))]
    assert read_classification(written(file, rows)) == want_labels


def test_short_export_of_other_controls(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "text": "Ada", "labels": ["P"]}
    rows = [
        {"text": "Ada", "id": 1, "name": [span], "tone": "good", "annotator": 1, "lead_time": 2},
        {"text": "nobody", "id": 2, "annotator": 1, "lead_time": 2},
    ]
    file = written(tmp_path / "a.json", rows)
    assert [row.entities for row in read_ner(file)] == [((0, 3, "P"),), ()]
    assert read_classification(file) == [LabelledText("Ada", ("good",))]
    table = tmp_path / "a.csv"
    table.write_text("text,id,tone,annotator,lead_time\na,1,good,1,2\nb,2,,1,2\n")
    assert read_classification(table) == [LabelledText("a", ("good",))]
    with pytest.raises(UserError, match="has no column 'label'; columns: annotator, id, lead"):
        read_ner(written(tmp_path / "a.json", rows[1:]))


# Doccano


def test_offsets_are_understood_by_all_spans_of_a_file(tmp_path: Path) -> None:
    rows = [
        {"text": "🎉 at Ada", "label": [[6, 9, "P"]]},
        {"text": "🎉 東京", "label": [[3, 5, "L"]]},  # as characters, this would not fit
        {"text": "東🎉京", "label": [[3, 4, "L"]]},
        {"text": "Ada", "label": [[0, 3, "P"]]},
    ]
    notes, file = Notes(), written(tmp_path / "a.jsonl", rows)
    found = [row.text[start:end] for row in read_ner(file, notes) for start, end, _ in row.entities]
    assert found == ["Ada", "東京", "京", "Ada"]
    assert texts_of(notes) == {
        "texts with span offsets in UTF-16 units, converted to characters": 3
    }
    rows = [{"text": "🎉 at Ada", "label": [[5, 8, "P"]]}] * 2
    notes = Notes()
    assert read_ner(written(file, rows), notes)[0].entities == ((5, 8, "P"),)
    assert list(texts_of(notes)) == ["duplicate rows (same text and labels)"]
    notes = Notes()  # without a space or letters that make a word, both may be right
    read_ner(written(file, [{"text": "🎉東京へ", "label": [[2, 3, "L"]]}]), notes)
    assert list(texts_of(notes)) == [
        "texts with span offsets that may be characters or UTF-16 units, read as characters"
    ]


@pytest.mark.parametrize(
    ("start", "end", "hint"),
    [(0, -1, "ends may be inclusive: add 1"), (1, 0, "starts may count from 1: subtract 1"),
     (1, 1, "offsets may count from 1: subtract 1")],
)  # fmt: skip
def test_shifted_offsets(tmp_path: Path, start: int, end: int, hint: str) -> None:
    rows = [
        {"text": f"at {name} now", "spans": [[3 + start, 3 + len(name) + end, "P"]]}
        for name in ("Ada", "Boris", "Cleo")
    ]
    notes = Notes()
    read_ner(written(tmp_path / "a.jsonl", rows), notes)
    assert notes.found[f"spans that begin or end inside a word ({hint})"].count == 3


def test_offsets_in_bytes(tmp_path: Path) -> None:
    rows = []
    for name in ("Zoë", "Renée", "Jürgen"):
        text = f"für {name} – jetzt"
        start = text.encode().index(name.encode())
        spans = [[start, start + len(name.encode()), "P"]]
        rows.append({"text": text, "spans": spans})
    notes = Notes()
    read_ner(written(tmp_path / "a.jsonl", rows), notes)
    assert "offsets may count bytes of UTF-8" in notes.lines()[-1]


def test_intents_and_joined_labels(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", [{"text": "a", "cats": ["flight"], "entities": []}])
    assert read_classification(file) == [LabelledText("a", ("flight",))]
    rows = [("a", "x#y"), ("b", "y"), ("c", "x"), ("d", "C#"), ("e", "F#7"), ("f", "['x', 'y']")]
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f'{text},"{label}"\n' for text, label in rows))
    notes = Notes()
    found = [row.labels for row in read_classification(file, notes, several=True)]
    assert found == [("x", "y"), ("y",), ("x",), ("C#",), ("F#7",), ("x", "y")]
    assert notes.lines() == [
        f"cells that join several labels, split: 1 ({file}:2)",
        f"lists of labels written as text, read as lists: 1 ({file}:7)",
    ]
    assert read_classification(file)[0].labels == ("x#y",)
    file.write_text('text,label\na,"x\ny"\nb,x\nc,y\nd,"x\r\ny\r\n"\n', newline="")
    found = [row.labels for row in read_classification(file, several=True)]
    assert found == [("x", "y"), ("x",), ("y",), ("x", "y")]  # of a spreadsheet


def test_cells_that_may_join_labels(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    cells = ["x|y", "x|z", "y", "x; y;", "x ; y", "x", "w|v", "x|"]
    file.write_text("text,labels\n" + "".join(f"{cell},{cell}\n" for cell in cells))
    found = [list(row.labels) for row in read_classification(file, notes, several=True)]
    joined = [["x", "y"], ["x|z"], ["y"], ["x", "y"], ["x", "y"], ["x"], ["w|v"], ["x|"]]
    assert found == joined
    assert notes.lines() == [
        f"cells that join several labels, split: 3 ({file}:2, {file}:5, {file}:6)",
        f"cells that may join several labels, kept whole: 1 ({file}:3)",
    ]


def test_lists_in_cells_are_not_split(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    cells = ['["a", "b"]', '["a", "c"]', '["d", "b"]']
    file.write_text("text\tlabels\n" + "".join(f"{cell[2]}x{cell[7]}\t{cell}\n" for cell in cells))
    found = [row.labels for row in read_classification(file, several=True)]
    assert found == [("a", "b"), ("a", "c"), ("d", "b")]


def test_relations_are_counted(tmp_path: Path) -> None:
    row = {"text": "Ada", "entities": [[0, 3, "P"]], "relations": [{"from_id": 1, "to_id": 2}]}
    notes = Notes()
    read_ner(written(tmp_path / "a.jsonl", [row]), notes)
    assert texts_of(notes) == {"rows with relations, which are not read": 1}


# What has no answer of its own


def test_spans_reviews_and_rows_that_were_rejected(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 3, "label": "P", "answer": "accept"},
             {"start": 4, "end": 8, "label": "V", "answer": "reject"}]  # fmt: skip
    notes, file = Notes(), written(tmp_path / "a.jsonl", [{"text": "Ada left", "spans": spans}])
    assert read_ner(file, notes)[0].entities == ((0, 3, "P"),)
    assert texts_of(notes) == {"spans with the answer 'reject', left out": 1}

    rows = [{"text": "a", "label": "x", "status": "submitted"},
            {"text": "b", "label": "y", "status": "discarded"},
            {"text": "c", "label": "y", "status": "Discarded"}]  # fmt: skip
    notes = Notes()
    assert read_classification(written(file, rows), notes) == [LabelledText("a", ("x",))]
    assert texts_of(notes) == {"rows with the status 'discarded', left out": 2}

    result = [{"value": {"start": 0, "end": 3, "text": "Ada", "labels": ["P"]}}]
    tasks = [
        {"data": {"text": "Ada"}, "annotations": [{"result": result, **review}]}
        for review in ({}, {"reviews": [{"accepted": False}]}, {"review_result": "rejected"})
    ]
    notes = Notes()
    assert len(read_ner(written(tmp_path / "a.json", tasks), notes)) == 1
    assert texts_of(notes)["annotations that a review rejected, left out"] == 2


@pytest.mark.parametrize("shape", ["span", "label", "product"])
def test_what_is_left_out_is_counted_once(tmp_path: Path, shape: str) -> None:
    """Also if rows are read several times, to find out what their columns hold."""
    cell = {"span": [[0, 3, "P"]], "label": "x", "product": "Ada"}[shape]
    name = "label" if shape == "span" else shape
    rows = [
        {"id": n, "text": f"Ada sends item {n}", name: cell, "answer": VERDICTS[n % 4]}
        for n in range(2400)
    ]
    file = written(tmp_path / "a.jsonl", rows)
    columns = Columns(None, ("product",)) if shape == "product" else Columns()
    for read in [read_classification] if shape == "label" else [read_ner, read_nested]:
        notes = Notes()
        assert len(read(replace(locate(file), columns=columns), notes)) == 1200
        left_out = {what: n for what, n in texts_of(notes).items() if "left out" in what}
        assert left_out == {
            "rows with the answer 'reject', left out": 600,
            "rows with the answer 'ignore', left out": 600,
        }
    notes = Notes()
    if shape == "label":
        assert len(read_classification(file, notes, several=True)) == 1200
        assert texts_of(notes)["rows with the answer 'reject', left out"] == 600


@pytest.mark.parametrize("label", ["answer", "status", "annotations", "predictions", "paragraphs"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_column_that_was_named_is_no_verdict_of_a_tool(
    tmp_path: Path, label: str, suffix: str
) -> None:
    verdicts = ["discarded", "kept"] * 3 if label == "status" else VERDICTS
    rows = [
        {"text": f"the answer number {n}", "data": "x", label: verdict, "spans": None}
        for n, verdict in enumerate(verdicts)
    ]
    file = tmp_path / f"a{suffix}"
    pd.DataFrame(rows).to_csv(file, index=False) if suffix == ".csv" else written(file, rows)
    for text in ("text", "data"):
        notes = Notes()
        source = replace(locate(file), columns=Columns(text, (label,)))
        assert [row.labels[0] for row in read_classification(source, notes)] == verdicts
        assert not any("left out" in what for what in notes.found)


def test_a_column_that_is_found_to_be_the_label_is_no_verdict(tmp_path: Path) -> None:
    rows = [{"text": f"the answer number {n}", "answer": v} for n, v in enumerate(VERDICTS)]
    read = read_classification(written(tmp_path / "a.jsonl", rows))
    assert [row.labels[0] for row in read] == VERDICTS
    # Beside a label it is one.
    rows = [row | {"label": "x"} for row in rows]
    assert len(read_classification(written(tmp_path / "a.jsonl", rows))) == 2
    # So it is where the text alone is named.
    source = replace(locate(tmp_path / "a.jsonl"), columns=Columns("text"))
    assert len(read_classification(source)) == 2


def test_the_short_export_of_spans_in_csv(tmp_path: Path) -> None:
    span = json.dumps([{"start": 0, "end": 3, "text": "Ada", "labels": ["P"]}])
    file = tmp_path / "a.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "text", "label", "annotator"], [1, "Ada", span, 1]])
    assert read_ner(file) == [AnnotatedText("Ada", ((0, 3, "P"),))]


def test_other_tables_name_an_annotator_too(tmp_path: Path) -> None:
    text, want = "Anna sends it to Oslo", ((0, 4, "PER"),)
    for rest in (
        {"spans": [{"start": 0, "end": 4, "label": "PER"}]},
        {"label": [[0, 4, "PER"]]},
        {"entities": [[0, 4, "PER"]], "note": "x"},
    ):
        row = {"id": 7, "text": text, **rest, "annotator": "bob"}
        file = written(tmp_path / "a.jsonl", [row, row | {"text": f"{text} now"}])
        assert [row.entities for row in read_ner(file)] == [want, want]
    table = tmp_path / "a.csv"
    table.write_text("id,text,product,annotator\n1,Nova is broken,Nova,bob\n2,no name,,eve\n")
    assert [row.entities for row in read_ner(table)] == [((0, 4, "product"),), ()]
    table.write_text("id,text,sentiment,confidence,annotator\n1,a,pos,0.5,w1\n2,b,neg,0.6,\n")
    for several in (False, True):
        rows = read_classification(table, several=several)
        assert [row.labels for row in rows] == [("pos",), ("neg",)]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['x' 'y z']", ("x", "y z")),  # as pandas writes an array
        ("""['x' "it's"]""", ("x", "it's")),
        ("('x', 'y')", ("x", "y")),
        ("{'y', 'x'}", ("x", "y")),
        ('["x", "y"]', ("x", "y")),
        ('{"choices": ["x", "y"]}', ("x", "y")),
        ("[other]", ("[other]",)),
        ("{a}", ("{a}",)),
        ("('a')", ("('a')",)),
    ],
)
def test_lists_of_labels_in_cells(tmp_path: Path, cell: str, labels: tuple[str, ...]) -> None:
    file = tmp_path / "a.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["text", "label"], ["a", cell]])
    assert read_classification(file, several=True) == [LabelledText("a", labels)]


def test_a_cell_that_looks_like_a_list_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\na,"[x, y]"\n')
    with pytest.raises(UserError, match=r"a\.csv:2: 'label' looks like a list, but is none"):
        read_classification(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text('text,labels\na,"x,y"\nb,x\nc,y\nd,x\ne,y\n')
    rows = read_classification(tmp_path / "a.csv", several=True)
    assert [row.labels for row in rows[:2]] == [("x", "y"), ("x",)]


def test_an_address_beside_the_text_is_said(tmp_path: Path) -> None:
    result = [{"type": "choices", "value": {"choices": ["x"]}}]
    data = {"doc": "s3://bucket/a.txt", "lang": "en"}
    notes, task = Notes(), {"data": data, "annotations": [{"result": result}]}
    file = written(tmp_path / "a.json", [task])
    assert read_classification(file, notes) == [LabelledText("en", ("x",))]
    what = "tasks with an address in 'doc', of which 'lang' is read as the text"
    assert texts_of(notes) == {what: 1}
    data["text"] = "hello"
    notes = Notes()
    assert read_classification(written(file, [task]), notes)[0].text == "hello"
    assert not texts_of(notes)


def test_ratings_of_label_studio(tmp_path: Path) -> None:
    def task(*values: dict[str, Any]) -> dict[str, Any]:
        result = [{"type": next(iter(value)), "value": value} for value in values]
        return {"data": {"text": "nice"}, "annotations": [{"result": result}]}

    file = written(tmp_path / "a.json", [task({"rating": 4}), task({"number": 1.5})])
    labels = [row.labels for row in read_classification(file, numbers=True)]
    assert labels == [("4",), ("1.5",)]
    file = written(tmp_path / "a.json", [task({"rating": 4}, {"choices": ["shop"]})])
    notes = Notes()
    assert read_classification(file, notes)[0].labels == ("shop",)
    assert notes.lines() == [
        f"annotations of the type 'rating', which are not read: 1 ({file}, row 1)"
    ]
    assert read_classification(file, numbers=True)[0].labels == ("4",)


def test_tokens_of_argilla(tmp_path: Path) -> None:
    span = {"label": "LOC", "start": 0, "end": 4}
    row = {"text": "Oslo is", "tokens": ["Oslo", "is"], "status": "Validated"}
    row |= {"prediction": [span | {"score": 0.5}], "annotation": [span]}
    file, notes = written(tmp_path / "a.jsonl", [row]), Notes()
    assert read_ner(file, notes)[0].entities == ((0, 4, "LOC"),)
    assert notes.lines() == [f"column 'annotation' is read as spans ({file})"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"data": "Oslo here", "label": [[0, 4, "LOC"]]},
         "has no column 'text'; columns: data, label; choose one by --text-column"),
        ({"paragraphs": [{"sentences": [{"tokens": [{"orth": "a", "ner": "-"}]}]}]},
         ":1: tag 1 '-' is not O, B-type or I-type; spaCy writes it for a word that nobody"),
    ],
)  # fmt: skip
def test_what_is_missing_for_entities(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        read_nested(written(tmp_path / "a.jsonl", [row]))


@pytest.mark.parametrize("values", [[0.0, 1.0], [True, False], [1.0], [True, True]])
def test_rows_of_an_indicator_matrix(tmp_path: Path, values: list[Any]) -> None:
    file = written(tmp_path / "a.jsonl", [{"text": "a", "labels": values}])
    with pytest.raises(UserError, match="looks like a row of an indicator matrix"):
        read_classification(file, several=True)


# The short export of Label Studio, and rows that say less than they seem to


def test_a_comment_in_the_short_export_is_no_label(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "id": 1, "tone": "good", "why": "check this", "annotator": 1, "lead_time": 2},
        {"text": "b", "id": 2, "tone": "bad", "annotator": 1, "lead_time": 2},
    ]
    file, table = written(tmp_path / "a.json", rows), tmp_path / "a.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    for source in (file, table):
        with pytest.raises(
            UserError, match="labels may be in 'tone', 'why'; choose one by --label"
        ):
            read_classification(source)
        located = replace(locate(source), columns=Columns(None, ("tone",)))
        assert [row.labels for row in read_classification(located)] == [("good",), ("bad",)]
    notes = Notes()
    for row in rows:
        row["label"] = row.pop("tone")
    assert read_classification(written(file, rows), notes)[0].labels == ("good",)
    assert read_classification(file, several=True)[0].labels == ("good",)  # which reads twice
    assert notes.lines() == [
        f"columns beside 'label' that may hold labels, not read: 1 ({file}: 'why')"
    ]


def test_regions_of_all_controls_in_the_short_export(tmp_path: Path) -> None:
    ada, sang = (
        {"start": a, "end": b, "text": text, "labels": [kind]}
        for a, b, text, kind in ((0, 3, "Ada", "P"), (4, 8, "sang", "V"))
    )
    row = {"text": "Ada sang", "id": 1, "who": [ada], "label": [sang], "tone": "good"}
    file = written(tmp_path / "a.json", [row | {"annotator": 1, "lead_time": 1}])
    assert read_ner(file)[0].entities == ((0, 3, "P"), (4, 8, "V"))
    notes = Notes()
    assert read_classification(file, notes)[0].labels == ("good",)
    assert notes.lines() == [f"column 'tone' is read as label ({file})"]


def test_the_short_export_with_columns_in_alphabetical_order(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "annotation_id,annotator,created_at,id,lead_time,sentiment,text,updated_at\n"
        "1,1,2024,7,3.2,good,Ada sang,2024\n2,1,2024,8,3.3,bad,no,2024\n"
    )
    assert [row.labels for row in read_classification(file)] == [("good",), ("bad",)]


def test_one_judged_span_is_no_annotated_text(tmp_path: Path) -> None:
    row = {"text": "Ada sang", "spans": [{"start": 0, "end": 3, "label": "P"}], "answer": "accept"}
    file, notes = written(tmp_path / "a.jsonl", [row | {"_is_binary": True}, row]), Notes()
    assert len(read_ner(file, notes)) == 1
    what = "rows of which one span was judged (_is_binary), left out: their other entities are not"
    assert notes.lines() == [f"{what} known: 1 ({file}:1)"]


def test_a_misspelt_key_of_one_row_is_no_row_without_labels(tmp_path: Path) -> None:
    rows = [{"text": "a", "labels": ["x"]}, {"text": "b", "lables": ["x"]}]
    with pytest.raises(UserError, match=r":2: no column 'labels'; did you mean 'lables'"):
        read_classification(written(tmp_path / "a.jsonl", rows), several=True)


@pytest.mark.parametrize(
    "text", ["s3://b/my file.txt", "C:\\my data\\x.docx", "uploads/note.docx", "$undefined$"]
)
def test_a_task_without_its_text(tmp_path: Path, text: str) -> None:
    task = {"data": {"text": text}, "annotations": [{"result": []}]}
    with pytest.raises(UserError, match=r"is an address, not text|'data' has no text"):
        read_ner(written(tmp_path / "a.json", [task]))
