from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import locate, read_ner, read_nested, read_texts
from onetrunk.errors import UserError


def write(folder: Path, **documents: tuple[str, str]) -> Path:
    for name, (text, annotations) in documents.items():
        (folder / f"{name}.txt").write_text(text)
        (folder / f"{name}.ann").write_text(annotations)
    return folder


def test_a_folder_of_documents(tmp_path: Path) -> None:
    one = (
        "T1\tPerson 0 3\tAda\nT2\tCity 13 15;20 23\tNew York\nR1\tIn Arg1:T1 Arg2:T2\n#1\tx T1\ty\n"
    )
    write(tmp_path, a=("Ada met Bo\nin New York\n", one), b=("nothing here", ""))
    (tmp_path / "annotation.conf").write_text("[entities]\n")
    want = [
        AnnotatedText("Ada met Bo\nin New York\n", ((0, 3, "Person"),)),
        AnnotatedText("nothing here"),
    ]
    notes = Notes()
    assert read_ner(tmp_path, notes) == want
    assert [line.partition(" (")[0] for line in notes.lines()] == [
        "entities of several pieces, left out: 1",
        "relations, events, attributes and comments of brat, not read: 2",
    ]
    assert read_ner(tmp_path / "a.ann") == read_ner(tmp_path / "a.txt") == want[:1]
    assert read_nested(tmp_path) == want
    assert read_texts(tmp_path) == [row.text for row in want]
    before = locate(tmp_path).sha256()
    (tmp_path / "b.txt").write_text("nothing there")
    assert locate(tmp_path).sha256() != before
    inside = tmp_path / "data" / "train"
    inside.mkdir(parents=True)
    write(inside, a=("Ada met Bo\nin New York\n", one))
    assert read_ner(tmp_path / "data") == want[:1]


def test_damaged_documents(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(UserError) as caught:
            read_ner(tmp_path)
        assert str(caught.value).replace(str(tmp_path), "F") == message

    write(tmp_path, a=("Ada", "T1 Person 0 3\n"))
    refused("F/a.ann:1: 'T1 Person 0 3' is no line of brat: T1, tab, 'TYPE START END'")
    write(tmp_path, a=("Ada", "T1\tPerson 0 4\tAdam\n"))
    refused(
        "F/a.ann, row 1: 'spans' item 1 is not inside the text, which has 3 characters: "
        "{'start': 0, 'end': 4, 'label': 'Person', 'text': 'Adam'}"
    )
    write(tmp_path, a=("Bo met Ada", "T1\tPerson 0 2\tBo\nT2\tPerson 3 6\tAda\n"))
    refused(
        "F/a.ann, row 1: 'spans' item 2 is not what stands there, 'met': "
        "{'start': 3, 'end': 6, 'label': 'Person', 'text': 'Ada'}"
    )
    (tmp_path / "a.txt").unlink()
    refused("F/a.ann has no text beside it: a.txt is missing")


@pytest.mark.parametrize("text", ["Bo is here today", "Bo left\n", "Bo\tleft\n\nAda\tO\n"])
def test_a_text_without_its_annotations(tmp_path: Path, text: str) -> None:
    write(tmp_path, a=("Ada met Bo", "T1\tPerson 0 3\tAda\n"), b=(text, ""))
    assert len(read_ner(tmp_path)) == 2
    (tmp_path / "b.ann").unlink()
    for source in (tmp_path, tmp_path / "b.txt"):
        with pytest.raises(UserError) as caught:
            read_ner(source)
        assert str(caught.value).replace(str(tmp_path), "F") == (
            "F/b.txt has no annotations beside it: b.ann is missing; an empty file of this name "
            "says that it has no entities"
        )
    (tmp_path / "c.txt").write_text("Ada B-Person\nleft O\n")  # CoNLL may lie beside it
    assert [row.text for row in read_ner(tmp_path / "c.txt")] == ["Ada left"]


def test_line_ends_that_another_program_wrote(tmp_path: Path) -> None:
    """Git on Windows changes line ends; the offsets were counted before, or after."""
    text, notes = "so\r\nNew\r\nYork\r\nAda", Notes()
    for annotations, read, start in (
        ("T1\tCity 3 11\tNew York\nT2\tPerson 12 15\tAda\n", text.replace("\r\n", "\n"), 3),
        ("T1\tCity 4 13\tNew York\nT2\tPerson 15 18\tAda\n", text, 4),
    ):
        write(tmp_path, a=("", annotations))
        (tmp_path / "a.txt").write_bytes(text.encode())
        (row,) = read_ner(tmp_path, notes)
        assert row.text == read
        assert [row.text[a:b] for a, b, _ in row.entities] == [read[start:-4].rstrip(), "Ada"]
    what = r"texts whose regions count a line end as one character: \r\n is read as \n"
    assert notes.lines() == [f"{what}: 1 ({tmp_path / 'a.ann'})"]


def test_offsets_that_count_from_one_are_refused(tmp_path: Path) -> None:
    write(tmp_path, a=("Ada met Bo now", "T1\tPerson 1 4\tAda\nT2\tPerson 9 11\tBo\n"))
    with pytest.raises(UserError, match=r"not what stands there, 'da '.*may count from 1"):
        read_ner(tmp_path)
