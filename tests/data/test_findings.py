import random

import pytest

from onetrunk.data import findings
from onetrunk.data.findings import Findings, Row, Seen
from onetrunk.data.formats.table import Table
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair


def test_seen_equals_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "RECENT", 2**16)
    rng = random.Random(0)
    seen, reference = Seen(), set[str]()
    for _ in range(200_000):  # more than is held before it is sorted
        text = str(rng.randrange(150_000))
        assert seen.add(text) == (text not in reference)
        reference.add(text)
    assert len(seen._sorted) > 60_000


def test_what_is_noted() -> None:
    notes = Notes()
    findings = Findings(notes)
    rows: list[Row] = [
        LabelledText("a", ("X",)),
        LabelledText("a", ("x ",)),
        LabelledText("a", ("X",)),
        Pair("b", " \u3000"),
        Pair("b", " \u3000"),
        Pair("b", "c", ("",)),
        "ab",
        ("a", "b"),
        AnnotatedText.from_words(["a", "b"], ["B-New York", "O"]),
        AnnotatedText.from_words(["a", "b"], ["B-newyork", "O"]),
        AnnotatedText("a b", ((0, 3, "x "),)),
        AnnotatedText("a b", ((0, 1, "x "),)),
        AnnotatedText("a b", ((0, 3, "x "),)),
    ]
    table = Table("F", {}, range(1, 14), in_lines=True)
    for index, row in enumerate(rows):
        findings.check(row, table, index)
    assert notes.lines() == [
        "rows whose text occurs before with other labels: 4 (F:2, F:10, F:11, …)",
        "labels that differ from another only by case or space: 2 "
        "(F:2: 'x ' and 'X', F:10: 'newyork' and 'New York')",
        "duplicate rows (same text and labels): 3 (F:3, F:5, F:13)",
        "texts that are empty or white space: 3 (F:4, F:5, F:6)",
    ]


def test_control_characters_in_labels() -> None:
    notes = Notes()
    findings = Findings(notes)
    table = Table("F", {}, range(1, 5), in_lines=True)
    for index, label in enumerate(["call", "call\x08", "to go", "to\tgo"]):
        findings.check(LabelledText(str(index), (label,)), table, index)
    differ = "labels that differ from another only by"
    assert notes.lines() == [
        f"{differ} invisible characters or Unicode form: 1 (F:2: 'call\\x08' and 'call')",
        f"{differ} case or space: 1 (F:4: 'to\\tgo' and 'to go')",
    ]


def test_labels_that_look_alike() -> None:
    notes = Notes()
    findings = Findings(notes)
    labels = ["Zoë", "Zoe\u0308", "zoë", "news", "ne\u200bws", "sport"]
    table = Table("F", {}, range(1, 7), in_lines=True)
    for index, label in enumerate(labels):
        findings.check(LabelledText(str(index), (label,)), table, index)
    assert notes.lines() == [
        "labels that differ from another only by invisible characters or Unicode form: 2 "
        r"(F:2: 'Zoe\u0308' and 'Zo\xeb', F:5: 'ne\u200bws' and 'news')",
        "labels that differ from another only by case or space: 1 (F:3: 'zoë' and 'Zoë')",
    ]


def test_labels_that_may_be_missing_values() -> None:
    notes = Notes()
    findings = Findings(notes)
    table = Table("F", {}, range(1, 7), in_lines=True)
    for index, label in enumerate(["nan", "none", "nan", "NA", "x", "#REF!"]):
        text = {4: "#VALUE!"}.get(index, str(index))
        findings.check(LabelledText(text, (label,)), table, index)
    what = "labels that other programs write for a missing value, read as labels"
    assert notes.lines() == [
        f"{what}: 3 (F:1: 'nan', F:4: 'NA', F:6: '#REF!')",
        f"{what.replace('labels', 'texts')}: 1 (F:5: '#VALUE!')",
    ]


def test_texts_with_other_labels() -> None:
    notes = Notes()
    findings = Findings(notes)
    rows: list[Row] = [
        LabelledText("a", ("x", "y")),
        LabelledText("a", ("y", "x")),
        LabelledText("a", ("x",)),
        AnnotatedText("b c", ((0, 1, "P"),)),
        AnnotatedText("b c", ((2, 3, "P"),)),
    ]
    table = Table("F", {}, range(1, 6), in_lines=True)
    for index, row in enumerate(rows):
        findings.check(row, table, index)
    assert notes.lines() == [
        "duplicate rows (same text and labels): 1 (F:2)",
        "rows whose text occurs before with other labels: 2 (F:3, F:5)",
    ]


def test_numbers_that_are_written_in_two_ways() -> None:
    notes = Notes()
    findings = Findings(notes)
    table = Table("F", {}, range(1, 6), in_lines=True)
    for index, label in enumerate(["1", "1.0", "2", "infinity", "v1"]):
        findings.check(LabelledText(str(index), (label,)), table, index)
    what = "labels that differ from another only by how a number is written"
    assert notes.lines() == [f"{what}: 1 (F:2: '1.0' and '1')"]


def test_what_holds_for_a_whole_source_is_not_counted() -> None:
    notes, other = Notes(), Notes()
    for _ in range(2):  # read twice
        notes.say("column 'Body' is read as text", "a.csv")
    other.say("column 'Body' is read as text", "b.csv")
    other.add("duplicate rows", "b.csv:3")
    notes.update(other)
    want = ["column 'Body' is read as text (a.csv, b.csv)", "duplicate rows: 1 (b.csv:3)"]
    assert notes.lines() == Notes.from_json(notes.as_json()).lines() == want
