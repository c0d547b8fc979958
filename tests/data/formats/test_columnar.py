import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.data.formats.table import BLOCK
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.data.sources import (
    read_classification,
    read_ner,
    read_pairs,
    read_texts,
    stream_texts,
)
from onetrunk.errors import UserError

CLASSES = {"names": ["O", "B-X", "I-X"], "_type": "ClassLabel"}


def with_features(rows: list[dict[str, Any]], **features: object) -> pa.Table:
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.Table.from_pylist(rows).replace_schema_metadata(metadata)


def fails(read: Any, file: Path, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).replace(str(file), "F") == message


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": CLASSES, "_type": "List"},
        {"feature": CLASSES, "length": -1, "_type": "Sequence"},
        [CLASSES],
    ],
)
def test_class_numbers_become_names(tmp_path: Path, feature: object) -> None:
    file = tmp_path / "a.parquet"
    rows = [{"tokens": ["a", "b", "c"], "ner_tags": [0, 1, 2]}]
    pq.write_table(with_features(rows, ner_tags=feature), file)
    assert read_ner(file) == [AnnotatedText.from_words(["a", "b", "c"], ["O", "B-X", "I-X"])]
    rows.append({"tokens": ["a"], "ner_tags": [-1]})
    pq.write_table(with_features(rows, ner_tags=feature), file)
    message = "F, row 2: 'ner_tags' holds class -1, but there are 3 classes, from 0"
    fails(read_ner, file, message)


def test_class_numbers_of_labels_and_spans(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    rows = [{"text": "ab", "label": 1, "spans": [{"start": 0, "end": 1, "label": 0}]}]
    names = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    value = {"dtype": "int64", "_type": "Value"}
    spans = {"feature": {"start": value, "end": value, "label": names}, "_type": "List"}
    pq.write_table(with_features(rows, label=names, spans=spans), file)
    assert read_classification(file) == [LabelledText("ab", ("pos",))]
    assert read_ner(file)[0].entities[0][2] == "neg"


def test_places_behind_the_first_block(tmp_path: Path) -> None:
    texts: list[str | None] = ["a"] * (2 * BLOCK + 7)
    texts[-1] = None
    table = pa.table({"text": texts})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as out:
        out.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        message = f"F, row {2 * BLOCK + 7}: 'text' is null, not a string"
        fails(read_texts, tmp_path / name, message)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_streaming_holds_a_part_of_the_file(tmp_path: Path, name: str) -> None:
    """A part of a row group of Parquet, one batch of Arrow."""
    table = pa.table({"text": [f"{i:01000d}" for i in range(30_000)]})  # 30 MB, one row group
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name, use_dictionary=False, compression="none")
    else:
        with pa.ipc.new_stream(tmp_path / name, table.schema) as out:
            out.write_table(table, max_chunksize=2000)
    del table
    before = pa.total_allocated_bytes()
    most = 0
    for row, _ in enumerate(stream_texts(tmp_path / name)):
        if row % 100 == 0:
            most = max(most, pa.total_allocated_bytes() - before)
    assert row == 29_999
    assert most < 2**23


def test_corrupt_arrow(tmp_path: Path) -> None:
    table = pa.table({"text": ["a" * 100 + str(i) for i in range(50)]})
    file = tmp_path / "a.arrow"
    with pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=10)
    whole = file.read_bytes()
    assert len(read_texts(file)) == 50
    file.write_bytes(whole[:-8])
    fails(read_texts, file, "F has no end mark: it was not written to its end")
    for data in (b"no", b"no arrow at all, whatever it is", whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(
            UserError, match=r"^[^\n]*a\.arrow (cannot be read as Arrow|has no end)"
        ):
            read_texts(file)
    with pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"^[^\n]*a\.arrow cannot be read as Arrow: [^\n]+$"):
        read_texts(file)


def test_an_empty_shard_is_no_error_but_an_empty_source_is(tmp_path: Path) -> None:
    empty = pa.table({"text": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "train-1.parquet")
    pq.write_table(empty, tmp_path / "train-2.parquet")
    fails(read_texts, tmp_path, "F has no rows")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "train-2.parquet")
    assert read_texts(tmp_path) == ["a"]


def test_negatives(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "positive": "p", "negatives": ["m", "n"]},
        {"query": "q", "positive": "p", "negatives": None},
    ]
    want = [Pair("q", "p", ("m", "n")), Pair("q", "p")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_pairs(tmp_path / "a.parquet") == want
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, reversed(rows))))
    assert read_pairs(file) == want[::-1]
    (tmp_path / "a.csv").write_text("query,positive,negative\nq,p,n\n")
    assert read_pairs(tmp_path / "a.csv") == [Pair("q", "p", ("n",))]
    file.write_text('{"query": "q", "positive": "p"}\n{"query": "q", "positive": "p", '
                    '"negative": "a", "negatives": ["b"]}')  # fmt: skip
    fails(read_pairs, file, "F:2 has both 'negative' and 'negatives'; keep one of them")
    file.write_text('{"query": "q", "positive": "p", "negatives": ["a", 1]}')
    fails(read_pairs, file, "F:1: 'negatives' item 2 is 1 (int), not a string")


@pytest.mark.parametrize("suffix", [".arrow", ".parquet"])
def test_a_column_whose_name_is_not_utf_8(tmp_path: Path, suffix: str) -> None:
    table, file = pa.table({"text": ["a", "b"], "label": ["x", "y"]}), tmp_path / f"a{suffix}"
    if suffix == ".arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, file, store_schema=False)
    file.write_bytes(file.read_bytes().replace(b"label", b"\xefabel"))
    with pytest.raises(UserError, match=f"{file.name} cannot be read as"):
        read_classification(file)


def test_class_numbers_in_an_object_of_lists(tmp_path: Path) -> None:
    """``datasets`` keeps a list of objects as one object of lists."""
    file = tmp_path / "a.parquet"
    names = {"names": ["P", "L"], "_type": "ClassLabel"}
    value = {"dtype": "int64", "_type": "Value"}
    feature = {"feature": {"start": value, "end": value, "label": names}, "_type": "Sequence"}
    rows = [
        {"text": "Ada in Oslo", "spans": {"start": [0, 7], "end": [3, 11], "label": [0, 1]}},
        {"text": "nobody", "spans": {"start": [], "end": [], "label": []}},
    ]
    pq.write_table(with_features(rows, spans=feature), file)
    assert [row.entities for row in read_ner(file)] == [((0, 3, "P"), (7, 11, "L")), ()]
