"""Files with a byte order mark that were joined: the mark of a later one stands inside."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import (
    open_texts,
    read_classification,
    read_ner,
    read_pairs,
    read_texts,
)
from onetrunk.errors import UserError
from onetrunk.label.files import read_columns

MARK = "\ufeff"


def joined(file: Path, *parts: str, encoding: str = "utf-8") -> Path:
    """A file of several, each of which begins with a mark."""
    file.write_bytes("".join(MARK + part for part in parts).encode(encoding))
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize(("suffix", "cut"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
def test_the_header_again_is_refused_with_its_mark(
    tmp_path: Path, suffix: str, cut: str, encoding: str
) -> None:
    table = f"text{cut}label\nhi{cut}good\nbye{cut}bad\n"
    file = joined(tmp_path / f"a{suffix}", table, table, encoding=encoding)
    with pytest.raises(UserError, match=r":4: the header again; the file was joined from several"):
        read_classification(file)
    quoted = table.replace("text", '"text"')
    with pytest.raises(UserError, match=r":4: the header again"):
        read_classification(joined(file, table, quoted, encoding=encoding))


def test_rows_of_tables_that_were_joined_without_their_headers(tmp_path: Path) -> None:
    file = joined(tmp_path / "a.csv", "label,text\ngood,hi\n", '"bad","b, c"\n', "good,d\n")
    assert read_classification(file) == [
        LabelledText("hi", ("good",)),
        LabelledText("b, c", ("bad",)),
        LabelledText("d", ("good",)),
    ]


def test_a_mark_inside_a_text_stays(tmp_path: Path) -> None:
    texts = [f"a\n{MARK}b", f"{MARK}c", f"d{MARK}"]
    rows = "".join(f'"{text}",x\n' for text in texts)
    file = joined(tmp_path / "a.csv", f"text,label\n{rows}")
    assert [row.text for row in read_classification(file)] == texts
    file = joined(tmp_path / "a.txt", f"a{MARK}b\n")
    assert read_texts(file) == [f"a{MARK}b"]


def test_lists_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = joined(tmp_path / "a.txt", "one\ntwo\n", "three\n", "\n", "four\n")
    assert read_texts(file) == ["one", "two", "three", "", "four"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    (typed,) = open_texts("-", Notes())
    found = [str(text) for block in typed.blocks() for text in block.texts]
    assert found == ["one", "two", "three", "", "four"]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_json(tmp_path: Path, suffix: str) -> None:
    line = '{"text": "a", "label": "x"}\n'
    file = joined(tmp_path / f"a{suffix}", line, line * 2, "\n", line)
    assert read_classification(file) == [LabelledText("a", ("x",))] * 4
    pair = '{"query": "a", "positive": "b"}\n'
    assert len(read_pairs(joined(file, pair, pair))) == 2


@pytest.mark.parametrize("cut", ["\t", " "])
def test_words_with_tags(tmp_path: Path, cut: str) -> None:
    sentence = f"Ada{cut}B-PER\nleft{cut}O\n\n"
    want = AnnotatedText.from_words(["Ada", "left"], ["B-PER", "O"])
    file = tmp_path / "a.conll"
    for start in ("", f"-DOCSTART-{cut}O\n\n", "# id = 1\n"):
        assert read_ner(joined(file, start + sentence, start + sentence)) == [want, want]


def test_brat_counts_the_mark_inside_a_text_and_none_before_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"Bob\n{MARK}Ada left\n", encoding="utf-8")
    file = joined(tmp_path / "a.ann", "T1\tPER 0 3\tBob\n", "T2\tPER 5 8\tAda\n")
    assert read_ner(file)[0].entities == ((0, 3, "PER"), (5, 8, "PER"))


def test_tables_of_patterns_and_names(tmp_path: Path) -> None:
    table = "label,name\ncall,to call\n"
    file = joined(tmp_path / "names.csv", table, "play,to play\n")
    assert [row[:2] for row in read_columns(file, "label", "name")] == [
        ("call", "to call"),
        ("play", "to play"),
    ]
    with pytest.raises(UserError, match=r":3: the header again"):
        read_columns(joined(file, table, table), "label", "name")
