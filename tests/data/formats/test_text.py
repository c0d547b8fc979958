import gzip
import json
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import compress

from onetrunk.data.formats import text
from onetrunk.data.formats.text import lines, lines_or_faults
from onetrunk.data.sources import read_classification, read_ner, read_pairs, read_texts
from onetrunk.errors import UserError


def zstd(data: bytes) -> bytes:
    packed: bytes = compress(data, "zstd", asbytes=True)
    return packed


def fails(read: Callable[[Path], object], file: Path, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).replace(str(file), "F") == message


def test_line_ends_at_every_place_of_a_buffer(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for shift in (0, 1, 2, 3):
        texts = ["é" * length for length in range(1, 400)]
        ends = ["\r\n", "\r", "\n"] * 133
        data = "x" * shift + "".join(map("".join, zip(texts, ends, strict=True)))
        file.write_bytes(data.encode())
        texts[0] = "x" * shift + texts[0]
        assert list(lines(file)) == texts
        assert "".join(lines(file, keep_ends=True)) == data


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\r\na,x\r\nb\x1ac,y"),
        ("a.csv", "text,label\r\na,x\r\nb\x1ac,y\r\n"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b\\u001ac", "label": "y"}\n'),
        ("a.json", '[{"text": "a", "label": "x"}, {"text": "b\\u001ac", "label": "y"}]'),
    ],
)
def test_the_end_of_a_file_in_dos(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content + "\x1a", newline="")
    rows = read_classification(tmp_path / name)
    assert [(row.text, row.labels) for row in rows] == [("a", ("x",)), ("b\x1ac", ("y",))]
    (tmp_path / "a.txt").write_text("a\x1a\nb\n\x1a")
    assert read_texts(tmp_path / "a.txt") == ["a\x1a", "b"]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        *((name, b"\n") for name in ("a.txt", "a.jsonl", "a.csv", "a.json", "a.tsv.gz")),
        *((name, end) for name in ("a.txt", "a.tsv.gz") for end in (b"\r\n", b"\r")),
    ],
)
def test_broken_utf8_far_into_a_file(tmp_path: Path, name: str, end: bytes) -> None:
    rows = 300_000
    good = (b"{}" if "json" in name else b"text") + end
    bad = "é".encode()[:1]
    file = tmp_path / name
    for data, at, byte in ((b"\xff", 0, b"\xff"), (b"ok" + bad, 2, bad)):
        whole = good * rows + data
        file.write_bytes(gzip.compress(whole, 1) if name.endswith("gz") else whole)
        where = f"F:{rows + 1}: byte 0x{byte.hex()} at offset {len(good) * rows + at}"
        fails(
            lambda file: list(lines(file)),
            file,
            f"{where} is not valid UTF-8; save the file as UTF-8",
        )


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.csv", "a.tsv"])
def test_utf16_and_binary_files(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    read = read_ner if name == "a.tsv" else read_texts
    why = "a NUL byte: the file looks like UTF-16 or binary data, not UTF-8 text"
    for encoding in ("utf-16-le", "utf-16-be"):  # without a byte order mark
        file.write_text('{"text": "a"}\n', encoding=encoding)
        fails(read, file, f"F:1: {why}")
    row = '{"text": "a"}\n' if "json" in name else "text\n"
    file.write_bytes(f"{row * 2}\0\n".encode())
    fails(read_texts, file, f"F:3: {why}")


@pytest.mark.parametrize(
    ("name", "head"), [("a.txt", "ok\n"), ("a.jsonl", '{"text": "a"}\n'), ("a.csv", "text\n")]
)
def test_endless_line(
    tmp_path: Path, name: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LINE_LIMIT", 1000)
    file = tmp_path / name
    with file.open("w") as out:
        out.write(head)
        out.truncate(2**33)  # 8 GiB of nothing, which would not fit
    message = "F:2: the line is longer than 1,000 characters; write one row a line"
    fails(read_texts, file, message)


def test_json_value_and_quoted_field_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LINE_LIMIT", 1000)
    (tmp_path / "a.json").write_text('[\n{"text": "' + "x" * 2**23)
    fails(read_texts, tmp_path / "a.json", "F:2: invalid JSON: Unterminated string starting at")
    (tmp_path / "a.csv").write_text('text,label\na,b\n"' + "stray,quote\n" * 1000)
    message = r"a\.csv:3: invalid CSV: field larger than field limit \(1000\); a quote at the start"
    with pytest.raises(UserError, match=message):
        read_classification(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_damaged_compressed_files(tmp_path: Path, suffix: str) -> None:
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd}
    file = tmp_path / f"a.txt{suffix}"
    file.write_bytes(b"not compressed at all")
    with pytest.raises(UserError, match=r"^[^\n]*a\.txt\.\w+ cannot be unpacked: [^\n]+$"):
        read_texts(file)
    if suffix in pack:
        file.write_bytes(pack[suffix](os.urandom(2**16).hex().encode())[:-20])
        with pytest.raises(UserError, match=r"^[^\n]*a\.txt\.\w+ cannot be unpacked: [^\n]+$"):
            read_texts(file)


def test_two_packed_files_joined(tmp_path: Path) -> None:
    for suffix, pack in ((".gz", gzip.compress), (".zst", zstd)):
        (tmp_path / f"a.txt{suffix}").write_bytes(pack(b"a\n") + pack(b"b\n"))
        assert read_texts(tmp_path / f"a.txt{suffix}") == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"},\n {"text": }]', "F:2: invalid JSON: Expecting value"),
        ('[{"text": "a"}\n {"text": "b"}]', "F:2: invalid JSON: Expecting ',' delimiter"),
        ('[{"text": "a"},\n', "F:2: invalid JSON: Expecting value"),
        ('[{"text": "a"}\n', "F:2: invalid JSON: Expecting ',' delimiter"),
        ('[{"text": "a"},\n]', "F:2: invalid JSON: Expecting value"),
        ('[{"text": "a"}]\n\n[1]', "F:3: invalid JSON: the array is followed by more"),
        ('{"text": "a"}\n{"text": "b"', "F:2: invalid JSON: Expecting ',' delimiter"),
        ('[{"text": "a"},\n 3]', "F, row 2: the element is 3 (int), not a JSON object like {...}"),
        ('[{"text": "a", "text": "b"}]', "F: invalid JSON: the key 'text' occurs twice"),
        ('[{"text": "a"}, {"text": "\\ud83d"}]',
         "F, row 2: invalid JSON: \\ud83d is half of a pair of surrogates"),
        ('{"text": "a"}\n{"text": "b"}\n[1]',
         "F, row 3: the element is [1] (list), not a JSON object like {...}"),
        ('[{"text": "a"}, {"texts": "b"}]',
         "F, row 2: no column 'text'; did you mean 'texts'? columns: texts"),
        ("[]", "F has no rows"),
        (" \n", "F has no rows"),
    ],
)  # fmt: skip
def test_bad_json_arrays(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    fails(read_texts, tmp_path / "a.json", message)


def test_long_json_arrays(tmp_path: Path) -> None:
    rows = [{"query": "q" * (i % 7), "positive": "é" * i} for i in range(2500)]
    for indent in (None, 2):
        (tmp_path / "a.json").write_text(json.dumps(rows, indent=indent, ensure_ascii=False))
        assert [pair.positive for pair in read_pairs(tmp_path / "a.json")] == [
            row["positive"] for row in rows
        ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_that_is_not_utf8_is_kept_as_its_error(tmp_path: Path, end: bytes) -> None:
    file = tmp_path / "a.txt.gz"
    file.write_bytes(
        gzip.compress(end.join([b"\xef\xbb\xbfone", b"tw\xc3\xa9\xff", b"three", b""]))
    )
    (_, one), (_, bad), (number, three) = lines_or_faults(file)
    assert (one, number, three) == ("one", 3, "three")
    assert (
        str(bad)
        == f"{file}:2: byte 0xff at offset 4 of the line is not valid UTF-8; save it as UTF-8"
    )


@pytest.mark.parametrize(
    ("content", "lists"),
    [
        ({"train": [["a b", "x"]], "test": [["c", "y"]]}, "'train', 'test'"),
        ({"version": "1", "utterances": [{"text": "a", "intent": "x"}]}, "'utterances'"),
        ({"train": [{"text": "a", "label": "x"}], "name": "tickets"}, "'train'"),
    ],
)
def test_one_object_that_holds_the_rows(tmp_path: Path, content: Any, lists: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    why = f"{file} is one object whose rows are in lists: {lists}; write each list to a file of"
    for read in (read_texts, read_classification, read_ner):
        with pytest.raises(UserError, match=re.escape(why)):
            read(file)
    file.write_text(json.dumps({"text": "a", "spans": [[0, 1, "X"]], "meta": {"n": 1}}))
    assert read_ner(file)[0].entities == ((0, 1, "X"),)
