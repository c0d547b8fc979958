from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.overview import overview
from onetrunk.data.rows import LabelledText
from onetrunk.data.sources import read_classification, read_texts
from onetrunk.errors import UserError


def test_labels_before_the_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("__label__travel book  a room\n\n__label__a __label__b-c  über 3 __label__x\n")
    want = [
        LabelledText("book  a room", ("travel",)),
        LabelledText("über 3 __label__x", ("a", "b-c")),
    ]
    assert read_classification(file) == want
    assert overview(file).family == "multi-label"


def test_a_line_without_a_label(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("__label__travel book a room\nhello\n")
    with pytest.raises(UserError, match=r"a.txt:2: 'hello' does not begin with a label; write"):
        read_classification(file)
    file.write_text("__label__ book a room\n")
    with pytest.raises(UserError, match=r"a.txt:1: 'labels' item 1 is an empty string"):
        read_classification(file)


def test_labels_are_noted_where_they_are_read_as_text(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.txt", Notes()
    file.write_text("__label__travel book a room\n")
    assert read_texts(file, notes) == ["__label__travel book a room"]
    assert notes.lines() == [f"texts that begin with fastText's labels, read as text: 1 ({file}:1)"]
