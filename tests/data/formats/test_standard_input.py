"""Texts from standard input, as ``onetrunk predict -`` reads them, and from tools' exports."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.sources import open_texts
from onetrunk.data.texts import Texts
from onetrunk.errors import UserError


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(content: bytes) -> Texts:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        (texts,) = open_texts("-", Notes())
        return texts

    return make


def read(texts: Texts) -> list[str]:
    return [str(text) for block in texts.blocks() for text in block.texts]


def test_a_line_is_a_text(typed: Any) -> None:
    texts = typed("\ufeffGrüße\r\n\nlast".encode())
    assert texts.count is None  # it can be read once
    assert texts.columns == ["text"]
    assert read(texts) == ["Grüße", "", "last"]


def test_a_line_that_is_not_utf8_does_not_end_it(typed: Any) -> None:
    texts = typed(b"one\ncaf\xe9\nthree\n")
    assert read(texts) == [
        "one",
        "standard input:2: byte 3 is not valid UTF-8; send UTF-8",
        "three",
    ]


def test_what_is_no_utf8_text_is_not_answered(typed: Any) -> None:
    told = read(typed("one\ntwo\n".encode("utf-16")))
    assert told[0] == "standard input:1: byte 0 is not valid UTF-8; send UTF-8"
    assert told[1].startswith("standard input:2: a NUL byte: the file looks like UTF-16")


def test_json_lines_keep_their_columns(typed: Any) -> None:
    texts = typed(b'{"id": 7, "text": "a"}\n{"id": 8}\n{"text": "b", "id": 9}\nno json\n')
    blocks = list(texts.blocks())
    assert [row.get("id") for block in blocks for row in block.rows] == [7, 8, 9, None]
    told = [str(text) for block in blocks for text in block.texts]
    assert (told[0], told[2]) == ("a", "b")
    assert told[1].startswith("standard input:2: no column 'text'")
    assert told[3].startswith("standard input:4: invalid JSON")


def test_a_list_is_a_text_and_not_json_lines(typed: Any) -> None:
    assert read(typed(b'["a"]\n[[[\n')) == ['["a"]', "[[["]


def test_nothing_is_an_error(typed: Any) -> None:
    with pytest.raises(UserError, match="standard input is empty"):
        typed(b"")


def test_of_a_tools_export_the_texts_are_kept(tmp_path: Path) -> None:
    file, notes = tmp_path / "tasks.json", Notes()
    file.write_text('[{"id": 1, "data": {"text": "a"}, "annotations": []}]')
    (texts,) = open_texts(file, notes)
    assert (read(texts), texts.columns, texts.count) == (["a"], ["text"], 1)
    assert notes.lines() == [
        f"files of annotation tools, of which only the texts are kept: 1 ({file})"
    ]


def test_blank_lines_before_json_lines(typed: Any) -> None:
    assert read(typed(b'\n \n{"text": "a"}\n\n{"text": "b"}\n')) == ["a", "b"]
    assert read(typed(b"\na\n")) == ["", "a"]


@pytest.mark.parametrize("content", [b"PK\3\4\n\xff\n", b"PAR1\n\xff\n"])
def test_a_workbook_is_no_text(typed: Any, content: bytes) -> None:
    with pytest.raises(UserError, match="standard input is a workbook or a Parquet file, no text"):
        read(typed(content))
