"""Rows in memory and the same rows in a file are read as the same examples."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.formats.table import BLOCK
from onetrunk.data.locate import Located, locate
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.data.sources import (
    read_classification,
    read_ner,
    read_nested,
    read_pairs,
    read_texts,
    stream_columns,
)
from onetrunk.errors import UserError

Rows = list[dict[str, Any]]

TEXTS: Rows = [{"text": "a b", "label": "x"}, {"text": "日本 👩🏽‍💻", "label": "y"}]
LISTS: Rows = [{"text": "a", "labels": ["x", "y"]}, {"text": "", "labels": []}]
NUMBERS: Rows = [{"text": "a", "label": 3}, {"text": "b", "label": -1}]
TAGS: Rows = [
    {"tokens": ["New", "York", "x"], "ner_tags": ["B-LOC", "I-LOC", "O"]},
    {"tokens": ["日本"], "ner_tags": ["O"]},
]
IOB1: Rows = [{"tokens": ["New", "York"], "ner_tags": ["I-LOC", "I-LOC"]}]
SPANS: Rows = [
    {"text": "don't go", "spans": [{"start": 0, "end": 5, "label": "A"}]},
    {"text": "Bank of England", "spans": [
        {"start": 0, "end": 15, "label": "ORG"}, {"start": 8, "end": 15, "label": "LOC"},
    ]},
]  # fmt: skip
PAIRS: Rows = [
    {"query": "q", "positive": "p", "negatives": ["m", "n"]},
    {"query": "r", "positive": "s", "negatives": None},
]

Build = Callable[[Rows], Any]
TABLES: dict[str, Build] = {
    "pandas": pd.DataFrame,
    "table": pa.Table.from_pylist,
    "batch": pa.RecordBatch.from_pylist,
    "datasets": datasets.Dataset.from_list,
    "streamed": lambda rows: datasets.Dataset.from_list(rows).to_iterable_dataset(),
    "formatted": lambda rows: datasets.Dataset.from_list(rows).with_format("numpy"),
    "arrays": lambda rows: pd.DataFrame(pa.Table.from_pylist(rows).to_pandas()),
    "list": list,
    "tuple": tuple,
}
READ: list[tuple[Callable[..., list[Any]], Rows]] = [
    (read_classification, TEXTS),
    (read_classification, LISTS),
    (read_classification, NUMBERS),
    (read_ner, TAGS),
    (read_ner, IOB1),
    (read_ner, SPANS),
    (read_nested, TAGS),
    (read_nested, SPANS),
    (read_pairs, PAIRS),
    (read_texts, TEXTS),
    (read_texts, TAGS),
    (lambda *args: list(stream_columns(args[0], ("query", "positive"), args[1])), PAIRS),
]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(("read", "rows"), READ)
def test_rows_equal_those_of_a_file(
    tmp_path: Path, kind: str, read: Callable[..., list[Any]], rows: Rows
) -> None:
    """So do the notes, but for the name of the source."""
    rows = [*rows, rows[0]]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    notes, want_notes = Notes(), Notes()
    want = read(file, want_notes)
    given = TABLES[kind](copy.deepcopy(rows))
    name = "the list given" if isinstance(given, list | tuple) else "the table given"
    assert read(given, notes) == want
    assert want_notes.found
    assert [line.replace(name, str(file)) for line in notes.lines()] == want_notes.lines()


words = st.text("ab日é'. ", max_size=4).filter(str.strip)
labels = st.sampled_from(["x", "y", "z w"])


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.tuples(words, st.lists(labels, unique=True)), min_size=1, max_size=6))
def test_rows_of_onetrunk_are_read_as_they_are(pairs: list[tuple[str, list[str]]]) -> None:
    texts = [LabelledText(text, tuple(names)) for text, names in pairs]
    assert read_classification(texts) == texts
    assert read_classification(pairs) == texts
    assert read_texts(texts) == read_texts([text for text, _ in pairs]) == [t for t, _ in pairs]
    tagged = [
        AnnotatedText.from_words(text.split(), [f"B-{(names or 'O')[0]}"] * len(text.split()))
        for text, names in pairs
    ]
    assert read_ner(tagged) == tagged
    assert read_nested(tagged) == tagged
    negatives = [Pair(text, text, tuple(names)) for text, names in pairs]
    assert read_pairs(negatives) == negatives
    assert read_pairs([(text, text) for text, _ in pairs]) == [Pair(t, t) for t, _ in pairs]


def test_entities_that_overlap_are_read_as_a_file_has_them() -> None:
    row, notes = AnnotatedText("don't", ((0, 2, "X"), (0, 5, "Y"))), Notes()
    assert read_nested([row]) == [row]
    assert read_ner([row], notes) == [AnnotatedText("don't", ((0, 5, "Y"),))]
    assert notes.lines() == ["spans that overlap a longer one, left out: 1 (the list given, row 1)"]


def test_text_with_spans_of_every_form() -> None:
    want = read_ner([{"text": "a bc", "spans": [[2, 4, "X"]]}])
    assert [row.entities for row in want] == [((2, 4, "X"),)]
    assert read_ner([("a bc", [(2, 4, "X")])]) == want
    assert read_ner([("a bc", {"entities": [(2, 4, "X")]})]) == want
    assert read_ner([{"text": "a bc", "entities": ({"start": 2, "end": 4, "label": "X"},)}]) == want
    task = {"data": {"text": "a bc"}, "annotations": [{"result": [
        {"value": {"start": 2, "end": 4, "labels": ["X"]}}]}]}  # fmt: skip
    assert read_ner([task]) == want


def test_class_numbers_become_names() -> None:
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"])
    )
    made = datasets.Dataset.from_list([{"text": "a", "label": 1}], features=features)
    want = [LabelledText("a", ("yes",))]
    assert read_classification(made) == read_classification(made.data.table) == want
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Categorical(["yes", None])})
    assert read_classification(frame[:1]) == want


def test_rows_that_were_selected_or_shuffled() -> None:
    made = datasets.Dataset.from_list([{"text": str(i)} for i in range(9)])
    assert read_texts(made.select([7, 2])) == ["7", "2"]
    frame = pd.DataFrame({"text": [str(i) for i in range(9)]})
    assert read_texts(frame[frame.text > "6"]) == ["7", "8"]


def test_long_tables() -> None:
    texts = [f"t{i}" for i in range(2 * BLOCK + 7)]
    for build in TABLES.values():
        assert read_texts(build([{"text": text} for text in texts])) == texts


class Name(str):
    def __str__(self) -> str:
        return "something else"


def test_values_of_numpy_and_of_subclasses() -> None:
    rows = [(np.str_("a"), np.int64(3)), (Name("x"), Name("x"))]
    assert read_classification(rows) == [LabelledText("a", ("3",)), LabelledText("x", ("x",))]
    assert {type(row.text) for row in read_classification(rows)} == {str}
    tags = [(np.array(["a", "b"]), np.array(["B-X", "O"]))]
    assert read_ner(tags) == [AnnotatedText.from_words(["a", "b"], ["B-X", "O"])]


@pytest.mark.parametrize("kind", ["pandas", "datasets", "table", "list"])
def test_nothing_given_is_changed(kind: str) -> None:
    rows = copy.deepcopy(IOB1)
    given = TABLES[kind](rows)
    frame = isinstance(given, pd.DataFrame)
    before = given.copy(deep=True) if frame else copy.deepcopy(given)
    read_ner(given)
    locate(given).sha256()
    assert given.equals(before) if frame else list(given) == list(before)
    assert rows == IOB1


# What is refused


def fails(read: Callable[..., Any], source: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(source)
    assert str(caught.value) == message


def test_a_gap_in_a_data_frame_is_no_class() -> None:
    message = "the table given, row 2: 'label' is null, not a string or an integer"
    for gap in (None, float("nan"), pd.NA, pd.NaT):
        fails(read_classification, pd.DataFrame({"text": ["a", "b"], "label": ["x", gap]}), message)
    for values in (
        [1, float("nan")],
        pd.array([1, None], dtype="Int64"),
        pd.Categorical(["x", None]),
    ):
        fails(read_classification, pd.DataFrame({"text": ["a", "b"], "label": values}), message)
    frame = pd.DataFrame({"text": ["a", None], "label": ["x", "y"]})
    fails(read_texts, frame, "the table given, row 2: 'text' is null, not a string")
    message = "the list given, row 2: 'label' is null, not a string or an integer"
    fails(read_classification, [("a", 1), ("b", float("nan"))], message)
    frame = pd.DataFrame({"query": ["q"], "positive": ["p"], "negative": [float("nan")]})
    assert read_pairs(frame) == [Pair("q", "p")]
    message = "the table given, row 1: 'label' is 0.5 (float), not a string or an integer"
    frame = pd.DataFrame({"text": "a", "label": [0.5, None]})
    fails(read_classification, frame, f"{message} (row 2 is wrong, too)")


@pytest.mark.parametrize("kind", ["pandas", "datasets", "table", "batch"])
def test_columns(kind: str) -> None:
    build = TABLES[kind]
    message = "the table given has no column 'label'; did you mean 'labl'? columns: labl, text"
    message += "; choose one by --label-column (label_column= in Python)"
    fails(read_classification, build([{"text": "a", "labl": "x"}]), message)
    rows: Rows = [{"text": "a", "label": "x", "labels": ["y"]}]
    message = "the table given has both 'label' and 'labels'; keep one of them"
    fails(read_classification, build(rows), message)
    rows = [{"tokens": ["a"], "ner_tags": ["B-X"]}, {"tokens": ["a", "b"], "ner_tags": ["O"]}]
    fails(read_ner, build(rows), "the table given, row 2: 2 tokens but 1 ner_tags")


def test_columns_of_a_data_frame_by_number_and_twice() -> None:
    fails(read_texts, pd.DataFrame([["a", "b"]]),
          "the table given has no column 'text'; columns: 0, 1; choose one by --text-column "
          "(text_column= in Python)")  # fmt: skip
    frame = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    fails(read_texts, frame, "the table given has more than one column 'text'")
    fails(read_texts, frame[:0].iloc[:, :1], "the table given has no rows")


@pytest.mark.parametrize(
    ("read", "rows", "message"),
    [
        (read_texts, [], "the list given has no rows"),
        (read_texts, [{"text": "a"}, {"texts": "b"}],
         "the list given, row 2: no column 'text'; did you mean 'texts'? columns: texts"),
        (read_texts, ["a", 3], "the list given, row 2: the row is 3 (int), not a string, a mapping "
         "of columns or a tuple (text, label)"),
        (read_classification, [("a", "x"), ("b",)], "the list given, row 2: the row is ('b',) "
         "(tuple), not a string, a mapping of columns or a tuple (text, label)"),
        (read_classification, [("a", "x"), ("b", "")],
         "the list given, row 2: 'label' is an empty string"),
        (read_texts, [["New", "York"]], "the list given, row 1: the row is ['New', 'York'] (list), "
         "not a string, a mapping of columns or a tuple (text, label)"),
        (read_pairs, [()], "the list given, row 1: the row is () (tuple), not a string, a mapping "
         "of columns or a tuple (query, positive)"),
        (read_classification, [LabelledText("a", ("x", "x"))],
         "the list given, row 1: 'labels' item 2 repeats 'x'"),
        (read_classification, ["a"], "the list given has no column 'label'; columns: text"),
        (read_ner, [(["a", "b"], ["O"])], "the list given, row 1: 2 tokens but 1 ner_tags"),
        (read_ner, [(["a"], ["B-X"]), (["a"], ["X"])],
         "the list given, row 2: tag 1 'X' is not O, B-type or I-type"),
        (read_ner, [AnnotatedText("a b", ((2, 4, "X"),))], "the list given, row 1: 'spans' item 1 "
         "is not inside the text, which has 3 characters: [2, 4, 'X']"),
        (read_nested, [AnnotatedText("a", ((0, 1, " "),))],
         "the list given, row 1: 'spans' item 1 has an empty label: [0, 1, ' ']"),
        (read_pairs, [("q", "p"), ("q", None)],
         "the list given, row 2: 'positive' is null, not a string"),
    ],
)  # fmt: skip
def test_faults_of_lists(read: Callable[..., Any], rows: list[Any], message: str) -> None:
    fails(read, rows, message)


def test_a_list_of_paths_is_no_list_of_texts(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_text("text,label\na,x\n")
    for read, listed in ((read_classification, [*map(str, paths)]), (read_texts, paths)):
        with pytest.raises(UserError, match="the list given holds names of files"):
            read(listed)
    read_texts([str(paths[0]), "no file"])


def test_what_is_no_source() -> None:
    tail = (
        " is not a source; pass a path, hub:NAME, a list of rows, or a table: a pandas DataFrame, "
        "a pyarrow Table or a datasets.Dataset"
    )
    fails(read_texts, 3, "3 (int)" + tail)
    fails(read_texts, {"text": ["a"]}, "{'text': ['a']} (dict)" + tail)
    made = datasets.Dataset.from_list(TEXTS)
    with pytest.raises(UserError, match=r"\(DatasetDict\) is not a source") as caught:
        read_texts(datasets.DatasetDict(train=made))
    assert len(str(caught.value).splitlines()) == 1


# Their place and hash


def test_located() -> None:
    located = locate(TEXTS, "test")
    assert (located.name, located.split, str(located)) == ("memory", "test", "the list given")
    assert locate(located) is located
    assert read_texts(located) == [row["text"] for row in TEXTS]
    assert str(locate(pd.DataFrame(TEXTS))) == "the table given"
    assert isinstance(hash(located), int)
    assert located != Located("memory", (), split="test")


@pytest.mark.parametrize("rows", [TEXTS, LISTS, NUMBERS, TAGS, SPANS, PAIRS])
def test_hash_is_of_the_rows(rows: Rows) -> None:
    want = locate(rows).sha256()
    assert {locate(build(rows)).sha256() for build in TABLES.values()} == {want}
    other = copy.deepcopy(rows)
    other[-1][next(iter(other[0]))] = "other"
    assert len({want, locate(other).sha256(), locate(rows[::-1]).sha256()}) == 3
    examples = [LabelledText("a", ("x",)), LabelledText("b", ("x",))]
    assert locate(examples).sha256() != locate(examples[:1]).sha256()


def test_libraries_are_imported_only_where_they_are_needed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "label": "x"}))
    code = f"""
import sys
import onetrunk.data.alignment, onetrunk.data.batching, onetrunk.data.rows
import onetrunk.data.iob, onetrunk.data.notes
light = {{"pyarrow", "pandas", "datasets", "xxhash", "rich", "torch", "transformers"}}
assert not light & sys.modules.keys(), light & sys.modules.keys()
from onetrunk.data.sources import read_classification, read_texts
read_texts({str(tmp_path / "a.txt")!r})
read_classification({str(tmp_path / "a.jsonl")!r})
read_classification([("a", "x")])
assert not light & sys.modules.keys(), light & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_set_of_labels() -> None:
    rows = [("a", {"y", "x"}), ("b", frozenset({"x"})), ("c", set())]
    want = [LabelledText("a", ("x", "y")), LabelledText("b", ("x",)), LabelledText("c")]
    assert read_classification(rows, several=True) == want


def test_marks_between_documents_are_no_texts() -> None:
    rows = [(["-DOCSTART-"], ["O"]), (["Ada"], ["B-X"]), (["-DOCSTART-"], ["O"])]
    for read in (read_ner, read_nested):
        notes = Notes()
        assert read(rows, notes) == [AnnotatedText.from_words(["Ada"], ["B-X"])]
        what = "rows with the word -DOCSTART- alone, left out"
        assert notes.lines() == [f"{what}: 2 (the list given, row 1, the list given, row 3)"]
