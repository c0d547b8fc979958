import csv
import json
import re
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.data.sources import (
    read_classification,
    read_ner,
    read_pairs,
    read_texts,
    stream_ner,
    stream_texts,
)
from onetrunk.errors import UserError

exact = settings(derandomize=True, deadline=None, max_examples=40)

# Emoji with modifiers, CJK, right-to-left, combining marks, zero-width and odd line separators.
SNIPPETS = "👩🏽‍💻 🇩🇪 日本語 שלום مرحبا é e\u0301 \u200b \u200d \ufeff ½ \x85 \u2028 , \" ' \\ # O"
# A NUL is refused in text files.
anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
texts = st.one_of(anything, st.lists(st.sampled_from(SNIPPETS.split(" "))).map(" ".join))
# CoNLL separates words with spaces, tabs and line ends: its words hold none of them.
# A byte order mark at the start of a line is that of a file.
words = texts.map(lambda text: re.sub(r"\s", "", text).lstrip("\ufeff")).filter(bool)
labels = texts.filter(lambda text: bool(text.strip()))
tags = st.sampled_from(["O", "B-PER", "B-日付", "B-a-b"])
Rows = list[dict[str, Any]]


def write_parquet(file: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def write_jsonl(file: Path, rows: Rows, ascii: bool = False, end: str = "\n") -> Path:
    lines = [json.dumps(row, ensure_ascii=ascii) + end for row in rows]
    file.write_bytes("".join(lines).encode())
    return file


def write_csv(file: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with file.open("w", newline="", encoding=encoding) as out:
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    return file


def write_conll(file: Path, rows: Rows, between: str, end: str = "\n", bom: bytes = b"") -> Path:
    lines = [f"-DOCSTART-{between}O", ""]
    for row in rows:
        pairs = zip(row["tokens"], row["ner_tags"], strict=True)
        lines += [f"{token}{between}{tag}" for token, tag in pairs] + [""]
    file.write_bytes(bom + end.join(lines).encode())
    return file


def fails(read: Callable[..., Any], file: Path, message: str, **options: Any) -> None:
    """Check the whole message: it starts with the file and is one line."""
    with pytest.raises(UserError) as caught:
        read(file, **options)
    assert str(caught.value).replace(str(file), "F") == message
    assert len(message.splitlines()) == 1


# The same rows in every format


@exact
@given(st.lists(st.lists(st.tuples(words, tags), min_size=1, max_size=5), min_size=1, max_size=4))
def test_ner_formats_agree(sentences: list[list[tuple[str, str]]]) -> None:
    rows: Rows = []
    for pairs in sentences:
        tokens, ner_tags = [list(side) for side in zip(*pairs, strict=True)]
        rows.append({"tokens": tokens, "ner_tags": ner_tags})
    want = [AnnotatedText.from_words(row["tokens"], row["ner_tags"]) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        assert read_ner(write_parquet(at / "a.parquet", rows)) == want
        assert read_ner(write_jsonl(at / "a.jsonl", rows, ascii=True)) == want
        assert read_ner(write_jsonl(at / "b.jsonl", rows, end="\r\n")) == want
        assert read_ner(write_conll(at / "a.conll", rows, " ", end="\r\n")) == want
        assert read_ner(write_conll(at / "a.tsv", rows, "\t", bom=b"\xef\xbb\xbf")) == want
        assert read_ner(write_conll(at / "a.txt", rows, "  _ NN ", end="\r")) == want


@exact
@given(st.lists(st.tuples(texts, labels), min_size=1, max_size=5))
def test_classification_formats_agree(pairs: list[tuple[str, str]]) -> None:
    rows: Rows = [{"text": text, "label": label} for text, label in pairs]
    want = [LabelledText(text, (label.strip(),)) for text, label in pairs]
    lists: Rows = [{"text": text, "labels": [label]} for text, label in pairs]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        assert read_classification(write_parquet(at / "a.parquet", rows)) == want
        assert read_classification(write_parquet(at / "b.parquet", lists)) == want
        assert read_classification(write_jsonl(at / "a.jsonl", rows)) == want
        assert read_classification(write_jsonl(at / "b.jsonl", lists)) == want
        assert read_classification(write_csv(at / "a.csv", rows, encoding="utf-8-sig")) == want
        assert read_classification(write_csv(at / "a.tsv", rows, "\t")) == want
        assert read_texts(at / "a.csv") == [text for text, _ in pairs]


@exact
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_pair_formats_agree(pairs: list[tuple[str, str]]) -> None:
    rows: Rows = [{"query": query, "positive": positive} for query, positive in pairs]
    want = [Pair(*pair) for pair in pairs]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        assert read_pairs(write_parquet(at / "a.parquet", rows)) == want
        assert read_pairs(write_jsonl(at / "a.jsonl", rows)) == want
        assert read_pairs(write_csv(at / "a.csv", rows)) == want


@exact
@given(
    st.lists(
        texts.map(lambda text: re.sub(r"[\r\n]", "", text).lstrip("\ufeff")), min_size=1, max_size=5
    )
)
def test_text_formats_agree(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        for end in ("\n", "\r\n"):
            data = "".join(line + end for line in lines).encode()
            (at / "a.txt").write_bytes(b"\xef\xbb\xbf" + data)
            assert read_texts(at / "a.txt") == lines
        rows: Rows = [{"text": line} for line in lines]
        assert read_texts(write_parquet(at / "a.parquet", rows)) == lines
        assert read_texts(write_jsonl(at / "a.jsonl", rows)) == lines


# What is accepted


def test_no_break_and_ideographic_spaces_stay_in_a_token(tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text("10\u00a0000 B-N\n\u3000 O", encoding="utf-8")
    assert read_ner(file) == [AnnotatedText.from_words(["10\u00a0000", "\u3000"], ["B-N", "O"])]


def test_tab_separated_tokens_may_hold_spaces(tmp_path: Path) -> None:
    file = tmp_path / "a.bio"
    file.write_text("New York\tB-LOC\n \t \n-DOCSTART-\nx\tO\n-DOCSTART-\ny\tO\n\n\n")
    assert [row.text for row in read_ner(file)] == ["New York", "x", "y"]


@pytest.mark.parametrize("write", [write_parquet, write_jsonl])
def test_labels_of_every_form(tmp_path: Path, write: Callable[..., Path]) -> None:
    suffix = "parquet" if write is write_parquet else "jsonl"
    file = tmp_path / f"a.{suffix}"
    write(file, [{"text": "", "label": 3}, {"text": "b", "label": -1}])
    assert read_classification(file) == [LabelledText("", ("3",)), LabelledText("b", ("-1",))]
    write(file, [{"text": "a", "label": ["x", "y"]}, {"text": "b", "label": []}])
    assert read_classification(file) == [LabelledText("a", ("x", "y")), LabelledText("b", ())]
    write(file, [{"text": "a", "labels": [1, 2]}])
    assert read_classification(file) == [LabelledText("a", ("1", "2"))]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_every_string_type_of_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["a", "b", "a"]).cast(kind)
    pq.write_table(pa.table({"text": column, "label": column}), tmp_path / "a.parquet")
    assert read_classification(tmp_path / "a.parquet")[1] == LabelledText("b", ("b",))


def test_other_columns_and_blank_jsonl_lines_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "a.JSONL"
    file.write_text('\n{"id": 7, "query": "a", "positive": "b"}\n\n')
    assert read_pairs(file) == [Pair("a", "b")]


def test_csv_fields_may_be_long_and_hold_line_ends(tmp_path: Path) -> None:
    text = 'a "b", c\r\nd\ne' + "x" * 200_000
    limit = csv.field_size_limit()
    assert read_texts(write_csv(tmp_path / "a.csv", [{"text": text}, {"text": ""}])) == [text, ""]
    assert csv.field_size_limit() == limit


def test_texts_of_tokens_and_blank_lines(tmp_path: Path) -> None:
    rows: Rows = [{"tokens": ["a", "b"]}, {"tokens": []}]
    assert read_texts(write_parquet(tmp_path / "a.parquet", rows)) == ["a b", ""]
    both: Rows = [{"tokens": ["a"], "text": "whole"}]
    assert read_texts(write_jsonl(tmp_path / "a.jsonl", both)) == ["whole"]
    (tmp_path / "a.txt").write_text("a\n\n b ")
    assert read_texts(str(tmp_path / "a.txt")) == ["a", "", " b "]


def test_many_pairs_load_fast(tmp_path: Path) -> None:
    rows: Rows = [{"query": f"question {i}", "positive": f"answer {i}"} for i in range(100_000)]
    for file in (
        write_parquet(tmp_path / "a.parquet", rows),
        write_jsonl(tmp_path / "a.jsonl", rows),
        write_csv(tmp_path / "a.csv", rows),
    ):
        start = time.process_time()
        assert len(read_pairs(file)) == 100_000
        assert time.process_time() - start < 5  # well under a second on an idle machine


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.txt"])
def test_streaming_holds_a_block_of_rows(tmp_path: Path, name: str) -> None:
    def peak(rows: int) -> int:
        read: Callable[..., Iterator[Any]] = stream_ner if name == "a.tsv" else stream_texts
        row = {"a.csv": "some text", "a.tsv": "some\tO\n", "a.txt": "some text"}
        lines = [row.get(name, '{"text": "some text"}')] * rows
        (tmp_path / name).write_text("\n".join(["text"] * (name == "a.csv") + lines))
        tracemalloc.start()
        try:
            assert sum(1 for _ in read(tmp_path / name)) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small = peak(2_000)
    assert peak(20_000) < 1.5 * small + 2**20  # the whole would be ten times as much


def test_errors_of_a_source_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        stream_ner(tmp_path / "a.conll")  # and not with the first row


# What is refused


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    fails(read_ner, tmp_path / "tain.jsonl", "no such file: F; did you mean 'train.jsonl'?")
    fails(read_pairs, tmp_path / "zzz", "no such file: F")
    fails(read_texts, tmp_path / "nowhere" / "a.txt", "no such file: F")
    fails(read_texts, tmp_path / "train.jsonl", "F is empty (0 bytes): name another file")


def test_unknown_suffix(tmp_path: Path) -> None:
    file = tmp_path / "a.jsom"
    file.write_text("{}")
    head = "F: suffix '.jsom' is not supported here; did you mean '.json'? valid: "
    fails(read_ner, file, f"{head}.json, .jsonl, .bio, .csv, .iob, … (16 in all)")
    classes = ".arrow, .csv, .json, .jsonl, .parquet, .spacy, .tsv, .txt, .xlsx"
    fails(read_classification, file, head + classes)
    fails(read_pairs, file, head + ".arrow, .csv, .json, .jsonl, .parquet, .tsv, .xlsx")
    file = tmp_path / "a.parquet.gz"
    file.write_bytes(b"x")
    head = "F: suffix '.parquet.gz' is not supported here; did you mean '.parquet'? valid: "
    fails(read_pairs, file, head + ".arrow, .csv, .json, .jsonl, .parquet, .tsv, .xlsx")


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.tsv", "a.txt"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    fails(
        read_ner if name == "a.tsv" else read_texts,
        tmp_path / name,
        "F is empty (0 bytes): name another file",
    )


def test_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), file)
    fails(read_texts, file, "F has no rows")
    for name, text in {"a.jsonl": "\n\n", "a.csv": "text\n", "b.csv": "\n"}.items():
        (tmp_path / name).write_text(text)
        fails(read_texts, tmp_path / name, "F has no rows")
    (tmp_path / "a.conll").write_text("-DOCSTART- O\n\n")
    fails(read_ner, tmp_path / "a.conll", "F has no rows")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf")
    fails(read_texts, tmp_path / "a.txt", "F has no rows")


def test_wrong_column(tmp_path: Path) -> None:
    rows: Rows = [{"tokens": ["a"], "tags": ["O"]}]
    tail = "no column 'ner_tags'; did you mean 'tags'? columns: tags, tokens"
    fails(read_ner, write_parquet(tmp_path / "a.parquet", rows), f"F has {tail}")
    fails(read_ner, write_jsonl(tmp_path / "a.jsonl", rows), f"F has {tail}")
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a"}, {"texts": "b", "i\nd": 1}])
    message = "F:2: no column 'text'; did you mean 'texts'? columns: i\\nd, texts"
    fails(read_texts, file, message)
    (tmp_path / "a.csv").write_text('"A first text,\nno header",x\nb,y\n')
    message = (
        "F has no column 'text'; columns: A first text,\\nno header, x; these look like no names, "
        "which the first row must hold"
    )
    fails(read_classification, tmp_path / "a.csv", message)
    message = "F has no column 'text'; there is nothing to choose from"
    fails(read_texts, write_jsonl(tmp_path / "a.jsonl", [{}]), message)


def test_repeated_and_ambiguous_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,text\na,b,c\n")
    fails(read_classification, tmp_path / "a.csv", "F has more than one column 'text'")
    (tmp_path / "a.jsonl").write_text('{"text": "a", "text": "b"}')
    fails(read_texts, tmp_path / "a.jsonl", "F:1: invalid JSON: the key 'text' occurs twice")
    rows: Rows = [{"text": "a", "label": "x", "labels": ["y"]}]
    file = write_parquet(tmp_path / "a.parquet", rows)
    fails(read_classification, file, "F has both 'label' and 'labels'; keep one of them")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "2 tokens but 1 ner_tags"),
        ({"tokens": [], "ner_tags": []}, "the row has no tokens"),
        ({"tokens": ["a", ""], "ner_tags": ["O", "O"]}, "token 2 is an empty string"),
        ({"tokens": None, "ner_tags": ["O"]}, "'tokens' is null, not a list of strings"),
        ({"tokens": ["a", None], "ner_tags": ["O", "O"]}, "'tokens' item 2 is null, not a string"),
        ({"tokens": ["a"], "ner_tags": [None]}, "'ner_tags' item 1 is null, not a string"),
        ({"tokens": ["a"], "ner_tags": ["X-P"]}, "tag 1 'X-P' is not O, B-type or I-type"),
        (
            {"tokens": ["a", "b"], "ner_tags": ["B-Q", "I-P"]},
            "tag 2 'I-P' does not continue an entity; write B-P to start one; the tags are IOB2 "
            "by HERE1 (tag 1 'B-P'); write all tags in one scheme",
        ),
    ],
)
def test_bad_ner_row(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    rows: Rows = [{"tokens": ["a"], "ner_tags": ["B-P"]}, bad]
    for file, at in (
        (write_parquet(tmp_path / "a.parquet", rows), "F, row "),
        (write_jsonl(tmp_path / "a.jsonl", rows), "F:"),
    ):
        fails(read_ner, file, f"{at}2: {message}".replace("HERE", at))


def test_ner_columns_of_the_wrong_type(tmp_path: Path) -> None:
    rows: Rows = [{"tokens": "a b", "ner_tags": [0, 1]}]
    message = "'tokens' is 'a b' (str), not a list of strings"
    fails(read_ner, write_parquet(tmp_path / "a.parquet", rows), f"F, row 1: {message}")
    rows[0]["tokens"] = ["a", "b"]
    message = "'ner_tags' item 1 is 0 (int), not a string"
    fails(read_ner, write_parquet(tmp_path / "a.parquet", rows), f"F, row 1: {message}")
    fails(read_ner, write_jsonl(tmp_path / "a.jsonl", rows), f"F:1: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\n\nb O\nc\n", "F:4: one column ('c'); write token, tag"),
        ("a O\nNew York B-LOC\n", "F:2: 3 columns but line 1 has 2 ('New York B-LOC')"),
        ("a\tO\n\tO\n", "F:2: token 2 is an empty string"),
        ("a\tO\n\nb\tO\nc\t\n", "F:4: tag 2 '' is not O, B-type or I-type"),
        ("a O\nb B-X\n\n\nc O\nd X", "F:6: tag 2 'X' is not O, B-type or I-type"),
    ],
)
def test_bad_conll(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.iob").write_text(text)
    fails(read_ner, tmp_path / "a.iob", message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "'label' is null, not a string or an integer"),
        (
            True,
            "'label' is True (bool), not a string or an integer; "
            "write a name for it, such as 'yes' or 'no'",
        ),
        (0.5, "'label' is 0.5 (float), not a string or an integer"),
        ("", "'label' is an empty string"),
        (["x", " "], "'label' item 2 is an empty string"),
        (["x", None], "'label' item 2 is null, not a string or an integer"),
        (["x", "x"], "'label' item 2 repeats 'x'"),
    ],
)
def test_bad_label(tmp_path: Path, value: object, message: str) -> None:
    rows: Rows = [{"text": "a", "label": ["y"]}, {"text": "b", "label": value}]
    fails(read_classification, write_jsonl(tmp_path / "a.jsonl", rows), f"F:2: {message}")
    rows[0]["label"] = value  # a Parquet column has one type
    file = write_parquet(tmp_path / "a.parquet", rows)
    fails(read_classification, file, f"F, row 1: {message} (row 2 is wrong, too)")


def test_all_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = [f"text {n},{'' if n % 3 else 'x'}" for n in range(30)]
    file.write_text("text,label\n" + "\n".join(rows) + "\n")
    others = "lines 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, …"
    message = f"F:3: 'label' is an empty string ({others} are wrong, too)"
    fails(read_classification, file, message)
    file.write_text("text,who\nAda sang,Ada\nBo sang,Bob\nEva sang,Eve\nno one,\n")
    fails(
        read_ner, file,
        "F:3: 'who' is 'Bob', which does not occur in 'Bo sang'; --label-column chooses other "
        "columns (line 4 is wrong, too)",
    )  # fmt: skip


def test_bad_labels_and_texts(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "labels": 3}])
    fails(read_classification, file, "F:1: 'labels' is 3 (int), not a list of strings")
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": "x"}, {"text": None}])
    fails(read_texts, file, "F:2: 'text' is null, not a string")
    (tmp_path / "a.csv").write_text('text,label\n"a\nb",x\nc,\n')
    fails(read_classification, tmp_path / "a.csv", "F:4: 'label' is an empty string")


def test_bad_pairs(tmp_path: Path) -> None:
    rows: Rows = [{"query": "a", "positive": "b"}, {"query": "c", "positive": None}]
    file = write_parquet(tmp_path / "a.parquet", rows)
    fails(read_pairs, file, "F, row 2: 'positive' is null, not a string")
    file = write_parquet(tmp_path / "a.parquet", [{"query": ["long" * 30], "positive": "b"}])
    shown = "['" + "long" * 13 + "lon..."
    fails(read_pairs, file, f"F, row 1: 'query' is {shown} (list), not a string")


def test_broken_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n\xc3\xa9\xff\n")
    advice = "is not valid UTF-8; save the file as UTF-8"
    message = f"F:4: byte 0xff at offset 12 {advice}"
    fails(read_texts, tmp_path / "a.txt", message)
    fails(read_ner, tmp_path / "a.txt", message)
    for name in ("a.jsonl", "a.csv"):
        (tmp_path / name).write_bytes(b"text\n\xc3\xa9\xff")
        fails(read_texts, tmp_path / name, f"F:2: byte 0xff at offset 7 {advice}")
    buffers = pa.array([b"ok", b"a\xff"]).buffers()
    column = pa.StringArray.from_buffers(2, buffers[1], buffers[2])
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    fails(read_texts, tmp_path / "a.parquet", "F, row 2: 'text' is not valid UTF-8 at byte 1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ', "invalid JSON: Expecting value: line 1 column 10 (char 9)"),
        ('["a"]', "the line is ['a'] (list), not a JSON object like {...}"),
        (
            "{'text': 1}",
            "invalid JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
        ),
        (
            '{"text": "\\ud83d"}',
            "invalid JSON: \\ud83d is half of a pair of surrogates",
        ),
    ],
)
def test_invalid_json(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud83d\\ude00"}\n\n' + line + "\n")
    fails(read_texts, tmp_path / "a.jsonl", f"F:3: {message}")


def test_deep_json_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ' + "[" * 200_000)
    with pytest.raises(UserError, match=r"a\.jsonl:1: invalid JSON"):
        read_texts(tmp_path / "a.jsonl")


def test_bad_csv(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    hint = "put quotes around a field that holds a delimiter or a line end"
    quotes = (
        "a quote at the start of a field must be closed at its end; if it belongs to the text, "
        'put the field in quotes and double those inside: """Wow"" she said"'
    )
    file.write_bytes(b'text,label\r\n"a\r\nb",x\r\n\r\nc, d,y\r\n')
    fails(read_classification, file, f"F:5: 3 fields but the header has 2; {hint}")
    file.write_text("text,label\na\n")
    fails(read_classification, file, f"F:2: 1 field but the header has 2; {hint}")
    file.write_text('text,label\na,b\n"c,d\ne,f\n')
    fails(read_classification, file, f"F:3: invalid CSV: unexpected end of data; {quotes}")
    file.write_text('text,label\n"a"b,c\n')
    fails(read_classification, file, f"F:2: invalid CSV: ',' expected after '\"'; {quotes}")


def test_corrupt_parquet(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", [{"text": "a" * 50 + str(i)} for i in range(99)])
    whole = file.read_bytes()
    for data in (b"PAR1\0", whole[:-40], whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(
            UserError, match=r"^[^\n]*a\.parquet cannot be read as Parquet: [^\n]+$"
        ):
            read_texts(file)
    file.write_bytes(whole[:8] + b"\xff" * 200 + whole[208:])
    with pytest.raises(UserError, match=r"^[^\n]*a\.parquet cannot be read as Parquet: [^\n]+$"):
        read_texts(file)
