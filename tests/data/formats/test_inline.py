"""Entities that are marked inside of texts."""

import random
from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import read_classification, read_ner, read_nested, read_texts
from onetrunk.errors import UserError


def table(file: Path, *texts: str) -> Path:
    file.write_text(
        "text\n" + "".join(f'"{text.replace(chr(34), chr(34) * 2)}"\n' for text in texts)
    )
    return file


def test_brackets(tmp_path: Path) -> None:
    texts = [
        "call [Ada](person) in [New York](city)",
        "no one, see [here](https://a.b/c) and [1] (two)",
        'to [NYC]{"entity": "city", "value": "New York"} [x]{1}',
    ]
    want = [
        AnnotatedText("call Ada in New York", ((5, 8, "person"), (12, 20, "city"))),
        AnnotatedText("no one, see [here](https://a.b/c) and [1] (two)"),
        AnnotatedText("to NYC [x]{1}", ((3, 6, "city"),)),
    ]
    notes = Notes()
    file = table(tmp_path / "a.csv", *texts)
    assert read_ner(file, notes) == want
    assert notes.lines() == [f"entities are read from the marks inside of 'text' ({file})"]
    lines = tmp_path / "a.txt"
    lines.write_text("\n".join(texts) + "\n")
    assert read_ner(lines) == want
    assert read_ner([{"text": text} for text in texts]) == want


def test_elements_may_stand_in_each_other(tmp_path: Path) -> None:
    file = table(
        tmp_path / "a.csv",
        "the <org>University of <city>Oslo</city></org> <b>won</b>, 3 < 4",
        "in <city>Rome</city> or <unknown>",
    )
    org, city = (4, 22, "org"), (18, 22, "city")
    text = "the University of Oslo <b>won</b>, 3 < 4"
    rome = AnnotatedText("in Rome or <unknown>", ((3, 7, "city"),))
    assert read_nested(file) == [AnnotatedText(text, (org, city)), rome]
    notes = Notes()
    assert read_ner(file, notes) == [AnnotatedText(text, (org,)), rome]
    assert any("overlap a longer one" in line for line in notes.lines())


def test_any_entities_survive_marks(tmp_path: Path) -> None:
    """Marks round entities of random texts, in either form, give the same entities back."""
    rng = random.Random(5)
    words = ["Ada", "東京", "🎉", "é", "(x)", "a]b", "<", "3", "&", "so,"]
    want, marked = [], []
    for _ in range(60):
        plain, with_marks = "", ""
        spans = []
        for word in rng.choices(words, k=rng.randint(1, 6)):
            plain, with_marks = f"{plain} ".lstrip(), f"{with_marks} ".lstrip()
            kind = rng.choice(["who", "where", "großes-Ding", ""])
            if kind and "]" not in word and word != "<":
                spans.append((len(plain), len(plain) + len(word), kind))
                in_brackets = rng.random() < 0.5
                with_marks += f"[{word}]({kind})" if in_brackets else f"<{kind}>{word}</{kind}>"
            else:
                with_marks += word
            plain += word
        want.append(AnnotatedText(plain, tuple(spans)))
        marked.append(with_marks)
    assert read_ner(table(tmp_path / "a.csv", *marked)) == want


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a <city>Oslo", ":3: <city> does not end in 'a <city>Oslo'"),
        ("Oslo</city>", ":3: </city> ends no element of 'Oslo</city>'"),
    ],
)
def test_elements_without_their_other_half(tmp_path: Path, text: str, why: str) -> None:
    file = table(tmp_path / "a.csv", "<city>Rome</city>", text)
    with pytest.raises(UserError) as caught:
        read_ner(file)
    assert str(caught.value) == f"{file}{why}"


def test_columns_beside_marks(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("text,label\nbook [Oslo](city),travel\nhello,greet\n")
    assert read_ner(file, notes)[0] == AnnotatedText("book Oslo", ((5, 9, "city"),))
    assert f"columns beside texts with marks, not read: 1 ({file}: 'label')" in notes.lines()
    file.write_text("text,city\nsee [docs](readme) in Oslo,Oslo\nto Rome,Rome\n")
    with pytest.raises(UserError, match="marked inside of 'text', and column 'city' holds words"):
        read_ner(file)


def test_marks_are_noted_where_they_are_read_as_text(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text("text,label\nbook [Oslo](city),travel\nhello,greet\n")
    assert read_classification(file, notes)[0].text == "book [Oslo](city)"
    what = "texts with entities marked inside, [words](type), whose marks are read as text: 1"
    assert notes.lines() == [f"{what} ({file}:2)"]
    notes = Notes()
    read_texts(file, notes)
    assert notes.lines() == [f"{what} ({file}:2)"]


def test_texts_without_entities(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("call Ada\nno one came\n")
    with pytest.raises(UserError, match=r"a.txt holds texts without entities; write a token and"):
        read_ner(file)
