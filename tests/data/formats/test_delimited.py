import csv
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onetrunk.data.locate import locate
from onetrunk.data.notes import Notes
from onetrunk.data.rows import LabelledText
from onetrunk.data.sources import (
    USUAL,
    Columns,
    read_classification,
    read_ner,
    read_pairs,
)
from onetrunk.errors import UserError


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_quotes_that_hold_other_rows(tmp_path: Path, suffix: str) -> None:
    file, cut = tmp_path / f"a{suffix}", "," if suffix == ".csv" else "\t"
    rows = [
        ("fine", "good"),
        ('"So it was', "good"),
        ("No", "bad"),
        ('Then."', "none"),
        ("b", "bad"),
    ]
    for order in (1, -1):
        lines = [cut.join(row[::order]) for row in [("text", "label"), *rows]]
        file.write_text("\n".join(lines))
        with pytest.raises(UserError, match=r":3: a field in quotes runs on to line 5 over other"):
            read_classification(file)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_texts_of_several_lines(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(5)
    texts = [
        "".join(rng.choices(["a", "Dear Ada", "\n", '"', ",", " ", "\r\n"], k=rng.randint(1, 12)))
        for _ in range(500)
    ]
    file = tmp_path / f"a{suffix}"
    with file.open("w", newline="") as out:
        writer = csv.writer(out, delimiter="," if suffix == ".csv" else "\t")
        writer.writerow(["text", "label"])
        writer.writerows((text, rng.choice(["good", "bad"])) for text in texts)
    assert [row.text for row in read_classification(file)] == texts


def test_a_text_that_begins_with_a_quote(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text('text\tlabel\n"wow" she said\tx\n')
    with pytest.raises(UserError, match=r':2: .*in quotes and double those inside: """Wow""'):
        read_classification(file)
    file.write_text('text\tlabel\n"""wow"" she said"\tx\nsize 24"\ty\n')
    assert [row.text for row in read_classification(file)] == ['"wow" she said', 'size 24"']


def test_files_that_were_joined_with_their_headers(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\nhi,good\ntext,label\nbye,bad\n")
    with pytest.raises(UserError, match=r":3: the header again; the file was joined from several"):
        read_classification(file)


def test_a_quote_that_swallows_rows_with_numbers_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = [f"item {number},{number}.25" for number in range(4)]
    file.write_text("\n".join(["text,label", *rows, '"one,3.1', "two,2.7", 'three",1.6', "x,5.5"]))
    with pytest.raises(UserError, match=r"a\.csv:6: a field in quotes runs on to line 8 over"):
        read_classification(file, numbers=True)


@pytest.mark.parametrize("name", ["split", "Set", "subset", "partition", "fold"])
def test_a_column_of_splits_is_noted(tmp_path: Path, name: str) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text(f"text,label,{name}\na,x,train\nb,y,test\n")
    assert len(read_classification(file, notes)) == 2
    assert notes.lines() == [
        f"sources with a column {name!r}, of which all rows are read: 1 ({file})"
    ]


@pytest.mark.parametrize("name", ["set", "Subset", "partition", "fold", "data_split", "Data Set"])
def test_a_column_of_splits_by_another_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.csv"
    what = f"sources with a column {name!r}, of which all rows are read"

    def noted(*splits: str, read: Any = read_classification, columns: Columns = USUAL) -> bool:
        rows = [f"Nova is here {n},Nova,{split}" for n, split in enumerate(splits)]
        file.write_text("\n".join([f"text,label,{name}", *rows]))
        notes = Notes()
        assert len(read(replace(locate(file), columns=columns), notes)) == len(splits)
        return what in notes.found

    assert noted("train", "Test", "dev", "")
    assert noted("train", "test", read=read_ner)  # neither of which stands in the text
    assert not noted("a", "b", "train")
    assert not noted("0", "1")
    assert not noted("train", "test", columns=Columns("text", (name,)))


def test_a_first_line_that_says_the_delimiter(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    for said, cut in (("sep=;", ";"), ('"sep=,"', ","), ("sep=|", "|")):
        file.write_text(f"{said}\r\ntext{cut}label\r\nhi{cut}x\r\nbye{cut}\r\n")
        with pytest.raises(UserError, match=r"a\.csv:4: 'label' is an empty string"):
            read_classification(file, notes)
        file.write_text(f"{said}\r\ntext{cut}label\r\nhi{cut}x\r\n")
        assert read_classification(file, notes) == [LabelledText("hi", ("x",))]


def test_a_space_before_quotes(tmp_path: Path) -> None:
    """They would be part of the field, and a delimiter between them would end it."""
    file = tmp_path / "a.csv"
    for row, shown in (('a, "x"', ' "x"'), (' "a, b",x', ' "a'), ('"a",  "x" ', '  "x" ')):
        file.write_text(f"text,label\nok,y\n{row}\n")
        with pytest.raises(UserError) as caught:
            read_classification(file)
        why = f"the field {shown!r} has a space before its quotes; remove the space"
        assert str(caught.value) == f"{file}:3: {why}"
    file.write_text('text,label\n" ""x""",a\n "Yes" or "no",b\n')
    assert [row.text for row in read_classification(file)] == [' "x"', ' "Yes" or "no"']


@pytest.mark.parametrize("name", ["label", "Is_Duplicate", "gold_label", "is similar", "relation"])
@pytest.mark.parametrize("no", ["0", "False", "contradiction", "-1", "not_duplicate", "unrelated"])
def test_pairs_that_are_none(tmp_path: Path, name: str, no: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"sentence1,sentence2,{name}\na,b,1\nc,d,{no}\n")
    with pytest.raises(UserError) as caught:
        read_pairs(file)
    why = "which may say that the texts are no pair: keep the rows that are pairs"
    assert str(caught.value) == f"{file}:3: {name!r} is {no!r}, {why}"
    # What is called positive is; a label is then a class of both.
    file.write_text(f"query,positive,{name}\na,b,1\nc,d,{no}\n")
    assert len(read_pairs(file)) == 2
    file.write_text(f"sentence1,sentence2,{name}\na,b,1\nc,d,2\n")
    assert len(read_pairs(file)) == 2


def test_white_space_around_the_name_of_a_column(tmp_path: Path) -> None:
    """Who chooses a column writes it as a program shows it."""
    file = tmp_path / "a.csv"
    file.write_text("id, body, kind\n1, a b, x\n2, c d, y\n")
    for columns in (Columns("body", ("kind",)), Columns(" body", (" kind",))):
        rows = read_classification(replace(locate(file), columns=columns))
        assert [row.labels for row in rows] == [("x",), ("y",)]
    file.write_text("body,kind, kind\na,x,1\n")
    (row,) = read_classification(replace(locate(file), columns=Columns("body", ("kind",))))
    assert row.labels == ("x",)
    with pytest.raises(UserError, match=r"no column 'kin'; did you mean 'kind'"):
        read_classification(replace(locate(file), columns=Columns("body", ("kin",))))


def test_scores_of_pairs_are_named(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("sentence1,sentence2,Similarity_Score\na,b,0.2\n")
    assert len(read_pairs(file, notes)) == 1
    what = "columns of scores beside pairs, not read: every row is taken for a pair"
    assert f"{what}: 1 ({file}: 'Similarity_Score')" in notes.lines()


def test_an_empty_negative_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("query,positive,negative\na,b,\nc,d,e\n")
    assert [pair.negatives for pair in read_pairs(file)] == [(), ("e",)]


def test_tags_are_no_names_of_columns(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Ada,B-PER\nsang,O\n")
    with pytest.raises(UserError, match="these look like no names, which the first row must hold"):
        read_ner(file)


def test_names_beside_numbers_of_labels(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("text,label,label_text\na,1,good\nb,0,bad\n")
    assert [row.labels for row in read_classification(file, notes)] == [("1",), ("0",)]
    what = "columns that may hold the names of the labels, not read (--label-column): 1"
    assert notes.lines() == [f"{what} ({file}: 'label_text')"]
