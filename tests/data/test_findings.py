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
