from pathlib import Path

import pyarrow.parquet as pq
import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair
from onetrunk.data.sources import read_pairs
from onetrunk.data.words import runs_of
from onetrunk.errors import UserError
from onetrunk.label.files import open_table
from onetrunk.label.pairs import (
    PASSAGE_WORDS,
    adjacent,
    label_synonyms,
    passages,
    question_answer,
    read_names,
    title_body,
    write_pairs,
)


def table(path: Path, content: str):
    path.write_text(content, encoding="utf-8")
    return open_table(path)


def test_titles_and_bodies(tmp_path):
    rows = table(
        tmp_path / "d.jsonl",
        '{"title": " A ", "text": "b"}\n{"title": "", "text": "b"}\n'
        '{"title": "c", "text": null}\n{"title": "d", "text": "d"}\n{"title": "e", "text": "f"}\n',
    )
    notes = Notes()
    assert list(title_body(rows, notes)) == [(0, Pair("A", "b")), (4, Pair("e", "f"))]
    assert [line.split(" (")[0] for line in notes.lines()] == [
        "rows without a title or text, left out: 2",
        "rows whose text is the title, left out: 1",
    ]
    assert "d.jsonl:2" in notes.lines()[0]


def test_questions_and_answers(tmp_path):
    rows = table(tmp_path / "q.csv", "question,answer,text\nwhy?,because,x\n")
    assert list(question_answer(rows, Notes())) == [(0, Pair("why?", "because"))]
    with pytest.raises(UserError, match="no column 'title'"):
        list(title_body(rows, Notes()))
    wrong = table(tmp_path / "o.jsonl", '{"question": "why?", "answer": 3}\n')
    with pytest.raises(UserError, match=r"o.jsonl:1: 'answer' is 3 \(int\), not a string"):
        list(question_answer(wrong, Notes()))


def test_a_folder_of_shards_is_read_as_one_table(tmp_path):
    for shard in range(2):
        path = tmp_path / f"train-0000{shard}-of-00002.jsonl"
        path.write_text(f'{{"title": "t{shard}", "body": "b"}}\n')
    pairs = list(title_body(open_table(tmp_path), Notes()))
    assert pairs == [(0, Pair("t0", "b")), (1, Pair("t1", "b"))]
    (tmp_path / "x.conll").write_text("a O\n")
    with pytest.raises(UserError, match=r"'\.conll' has no named columns"):
        open_table(tmp_path / "x.conll")


def sentences(words: int, count: int) -> str:
    return " ".join(f"S{i} " + "word " * (words - 2) + "end." for i in range(count))


def test_passages_are_cut_between_sentences_and_hold_all_words():
    text = sentences(30, 9) + "\n\n" + sentences(30, 2) + "\n\nLast one."
    parts = passages(text)
    assert sum(len(runs_of(part)) for part in parts) == len(runs_of(text))
    assert all(part.startswith(("S", "Last")) and part.endswith(".") for part in parts)
    assert all(len(runs_of(part)) >= PASSAGE_WORDS // 2 for part in parts)
    assert all(part and part.strip() == part for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert passages("") == passages(" \n\n ") == []
    assert passages("  short ") == ["short"]


def test_neighbouring_passages_are_in_one_pair_each():
    text = "\n\n".join(sentences(60, 1) for _ in range(5))
    notes = Notes()
    pairs = list(adjacent(["short", text], notes))
    assert len(pairs) == 2
    assert {row for row, _ in pairs} == {1}
    whole = "\n\n".join(side for _, pair in pairs for side in (pair.query, pair.positive))
    assert text.startswith(whole)
    assert [line.split(":")[0] for line in notes.lines()] == [
        "texts shorter than two passages",
        "last passages without a neighbour",
    ]


def test_names_of_labels_take_turns(tmp_path):
    (tmp_path / "n.csv").write_text("label,name\n0,alarm\n0,wake-up call\n1,weather\n2,none\n")
    names = read_names(tmp_path / "n.csv")
    rows = table(
        tmp_path / "d.jsonl",
        "".join(f'{{"text": "t{i}", "label": {i % 2}}}\n' for i in range(6)),
    )
    notes = Notes()
    pairs = [pair.positive for _, pair in label_synonyms(rows, names, notes)]
    assert pairs == ["alarm", "weather", "wake-up call", "weather", "alarm", "weather"]
    assert notes.lines() == ["labels with names but no text: 1 (2)"]
    del names["1"]
    with pytest.raises(UserError, match=r"d.jsonl:2: label '1' has no name"):
        list(label_synonyms(rows, names, Notes()))


def test_pairs_are_written_for_training_with_a_report(tmp_path):
    pairs = [(i // 2, Pair(f"q {i}", "p | x")) for i in range(2500)]
    notes = Notes()
    notes.add("rows left out", "x:1")
    report = write_pairs(iter(pairs), tmp_path / "out", {"pairs_from": "test"}, notes)
    assert read_pairs(tmp_path / "out" / "train.parquet") == [pair for _, pair in pairs]
    rows = pq.read_table(tmp_path / "out" / "train.parquet")["source_row"].to_pylist()
    assert rows == [row for row, _ in pairs]
    assert (report["pairs"], report["words_per_query"]) == (2500, 2.0)
    assert "2,500 pairs (test)" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(UserError, match="already exists"):
        write_pairs(iter(pairs), tmp_path / "out", {"pairs_from": "test"}, notes)


def test_no_pairs_is_an_error_that_says_why(tmp_path):
    notes = Notes()
    with pytest.raises(UserError, match="no pairs were found: texts shorter than two passages: 1"):
        write_pairs(adjacent(["short"], notes), tmp_path / "out", {"pairs_from": "x"}, notes)
    assert not (tmp_path / "out").exists()
