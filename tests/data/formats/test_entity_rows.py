"""Tables with an entity in each row, and texts with a tag for each word in a cell."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.notes import Notes
from onetrunk.data.overview import overview
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import read_ner
from onetrunk.errors import UserError

TEXTS = [
    ("Ada met Bo", ((0, 3, "who"), (8, 10, "who"))),
    ("nobody", ()),
    ("in Köln, Ada", ((3, 7, "where"), (9, 12, "who"))),
]
WANT = [AnnotatedText(text, entities) for text, entities in TEXTS]


def entity_rows(names: tuple[str, str, str, str] = ("text", "start", "end", "label")) -> Any:
    rows = [
        (text, *entity) for text, entities in TEXTS for entity in entities or [(None, None, None)]
    ]
    return pd.DataFrame(rows, columns=list(names))


@pytest.mark.parametrize(
    "names",
    [
        ("text", "start", "end", "label"),
        ("Message", "Start_Offset", "End_Offset", "Type"),
        ("sentence", "begin", "end", "entity"),
    ],
)
def test_rows_that_repeat_a_text_are_joined(
    tmp_path: Path, names: tuple[str, str, str, str]
) -> None:
    table = entity_rows(names)
    file = tmp_path / "a.csv"
    table.to_csv(file, index=False)
    notes = Notes()
    assert read_ner(file, notes) == WANT
    assert (
        notes.lines()[-1] == f"each row has an entity: rows that repeat a text are joined ({file})"
    )
    assert read_ner(table) == WANT  # whose empty cells make floats of the offsets
    assert overview(file).family == "ner"


def test_what_stands_there_is_compared(tmp_path: Path) -> None:
    table = entity_rows()
    surfaces = ["Ada", "Bo", "", "Köln", "Ada"]
    assert read_ner(table.assign(entity=surfaces, id=[1, 1, 2, 3, 3])) == WANT
    one_short = table.assign(entity=surfaces, end=table["end"] - 1)
    with pytest.raises(UserError, match=r"row 1: .*'Ad'.*ends may be inclusive: add 1"):
        read_ner(one_short)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Ada,0,x,who", "a.csv:2: 'end' is 'x', not a whole number"),
        ("Ada,0.5,3,who", "a.csv:2: 'start' is '0.5', not a whole number"),
        ("Ada,,3,who", "a.csv:2: 'start' is '', not a whole number"),
        ("Ada,0,3,", "a.csv:2: 'label' is empty"),
        ("Ada,0,9,who", "a.csv:2: 'spans' item 1 is not inside the text, which has 3 characters"),
    ],
)
def test_rows_that_are_wrong(tmp_path: Path, row: str, message: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"text,start,end,label\n{row}\nBo,0,2,who\n")
    with pytest.raises(UserError) as error:
        read_ner(file)
    assert message in str(error.value)


def test_a_text_that_comes_back_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,start,end,label\nAda met Bo,0,3,who\nhi,,,\nAda met Bo,8,10,who\n")
    with pytest.raises(UserError, match=r"a\.csv:4: the text of .*a\.csv:2 comes back: 'Ada met"):
        read_ner(file)


def test_spans_come_before_offsets_beside_them() -> None:
    row = {"text": "Ada", "spans": [[0, 3, "who"]], "start": 0, "end": 2.5, "label": "x"}
    assert read_ner([row]) == [AnnotatedText("Ada", ((0, 3, "who"),))]


TAGGED = [
    ("Ada lives in New York", ["B-who", "O", "O", "B-where", "I-where"]),
    ("nobody", ["O"]),
    ("Bo", ["B-who"]),
]


@pytest.mark.parametrize("name", ["Tag", "tags", "ner_tags", "label", "labels", "entities"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_list_with_a_tag_for_each_word(tmp_path: Path, name: str, suffix: str) -> None:
    rows = [{"Sentence #": f"S{i}", "text": t, "POS": ["X"], name: tags}
            for i, (t, tags) in enumerate(TAGGED)]  # fmt: skip
    file = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        pd.DataFrame(rows).to_csv(file, index=False)  # lists as Python writes them
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = Notes()
    assert read_ner(file, notes) == [
        AnnotatedText.from_words(text.split(), tags) for text, tags in TAGGED
    ]
    assert f"column {name!r} is read as tags of the words of 'text'" in notes.found
    with pytest.raises(UserError, match=r"has 1 tags, but 'text' has 2 words between spaces"):
        read_ner([*rows, {**rows[2], "text": "Bo left"}])


def test_lists_of_other_strings_are_no_tags() -> None:
    for cell in (["Ada"], ["B-who", "Ada"]):
        with pytest.raises(UserError, match="holds lists of strings; write"):
            read_ner([{"text": "Ada met Bo", "people": str(cell)}] * 3)


words = st.text(st.characters(exclude_categories=("Z", "C", "M")), min_size=1, max_size=6)


@settings(max_examples=30)
@given(st.lists(st.lists(words, min_size=1, max_size=5), min_size=1, max_size=4, unique_by=tuple))
def test_both_shapes_say_what_spans_say(sentences: list[list[str]]) -> None:
    """The rows of one corpus in three shapes."""
    tags = [["B-x" if i % 2 else "O" for i in range(len(words))] for words in sentences]
    spans = [AnnotatedText.from_words(*pair) for pair in zip(sentences, tags, strict=True)]
    assert read_ner([{"text": s.text, "spans": [[*e] for e in s.entities]} for s in spans]) == spans
    if any(s.entities for s in spans):
        rows = [(s.text, *e) for s in spans for e in s.entities or [(None, None, None)]]
        table = pd.DataFrame(rows, columns=["text", "start", "end", "label"])
        assert read_ner(table) == spans
    pairs = zip(spans, tags, strict=True)
    assert read_ner([{"text": s.text, "tags": t} for s, t in pairs]) == spans


@pytest.mark.parametrize("names", ["text,entity,label", "Sentence,Mention,Entity Type"])
def test_the_words_of_entities_without_offsets(tmp_path: Path, names: str) -> None:
    file, notes = tmp_path / "a.csv", Notes()
    file.write_text(f"{names}\nAda met Bo,Ada,who\nAda met Bo,Bo,who\nnobody,,\nin Ada,Ada,who\n")
    assert [row.entities for row in read_ner(file, notes)] == [
        ((0, 3, "who"), (8, 10, "who")), (), ((3, 6, "who"),),
    ]  # fmt: skip
    assert f"each row has an entity: rows that repeat a text are joined ({file})" in notes.lines()
    file.write_text(f"{names}\nAda met Bo,Ada,who\nBo left,Eve,who\nin Ada,Ada,who\n")
    with pytest.raises(UserError, match=r"a\.csv:3: '\w+' is 'Eve', which does not occur"):
        read_ner(file)


def test_columns_of_words_are_types(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,entity,tag\nAda met Bo,Ada,Bo\nEve left,Eve,left\n")
    assert read_ner(tmp_path / "a.csv")[0].entities == ((0, 3, "entity"), (8, 10, "tag"))
