import random

import pytest

from onetrunk.data import findings
from onetrunk.data.findings import Findings, Seen
from onetrunk.data.formats.table import Table
from onetrunk.data.notes import Notes


def test_seen_equals_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "RECENT", 2**16)
    rng = random.Random(0)
    seen, reference = Seen(), set[str]()
    for _ in range(200_000):  # more than is held before it is sorted
        text = str(rng.randrange(150_000))
        assert seen.add(text) == (text not in reference)
        reference.add(text)
    assert len(seen._sorted) > 60_000


def test_what_is_found() -> None:
    notes = Notes()
    findings = Findings(notes)
    rows = [
        (["a"], ["X"], {"X"}),
        (["a"], ["x "], {"x "}),
        (["a"], ["X"], {"X"}),
        (["b", " \u3000"], [], {"New York"}),
        (["b", " \u3000"], [], {"newyork", "x "}),
        (["ab"], [], set()),
        (["a", "b"], [], set()),
    ]
    table = Table("F", {}, range(1, 8), in_lines=True)
    for row, facts in enumerate(rows):
        findings.see(table, row, *facts)
    assert notes.lines() == [
        "labels that differ from another only by case or space: 2 "
        "(F:2: 'x ' and 'X', F:5: 'newyork' and 'New York')",
        "duplicate rows (same text and labels): 2 (F:3, F:5)",
        "texts that are empty or white space: 2 (F:4, F:5)",
    ]
