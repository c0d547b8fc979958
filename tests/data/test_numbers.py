from __future__ import annotations

import json
from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.numbers import are_numbers, is_whole, number_of
from onetrunk.data.sources import read_classification, read_ner
from onetrunk.errors import UserError

ODD = [
    "1_0",
    "١٠",
    "１０",
    "1e400",
    "0x10",
    "1 0",
    "1,5",
    "--1",
    "1e",
    ".",
    "",
    "nan",
    "½",
    "1\n",
]


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_number(text: str) -> None:
    assert number_of(text) is None
    assert not are_numbers(["1", text])
    assert not is_whole(text)


def test_numbers() -> None:
    written = ["0", "-2.5", "+.5", "1.", "1e-05", "2E3", "007", repr(1 / 3), " 4 ", "\t4"]
    assert [number_of(text) for text in written] == [float(text) for text in written]
    assert are_numbers(written)
    assert not are_numbers([])
    assert is_whole("007")
    assert not is_whole("9" * 19)


def test_labels_that_are_spelt_otherwise_but_are_not_the_same_number(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.jsonl", Notes()
    labels = ["10", "1_0", "10.0", "1e400", "1e500"]
    file.write_text("".join(json.dumps({"text": t, "label": t}) + "\n" for t in labels))
    read_classification(file, notes)
    (noted,) = [line for line in notes.lines() if "how a number is written" in line]
    assert noted.endswith(f": 1 ({file}:3: '10.0' and '10')")


@pytest.mark.parametrize("end", ["1_0", "0xA", "0o12", "0b1010", "10j"])
def test_offsets_in_cells_are_decimal(tmp_path: Path, end: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"text,spans\nAda 1_0 Bob left,\"[(0, {end}, 'P')]\"\nBob,\"[(0, 3, 'P')]\"\n")
    with pytest.raises(UserError, match=rf"a\.csv:2: .*{end}"):
        read_ner(file)
    file.write_text("text,spans\nAda 1_0 Bob left,\"[(0, 11, '1_0 P')]\"\n")
    assert read_ner(file)[0].entities == ((0, 11, "1_0 P"),)


def test_offsets_of_brat_are_decimal(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ada left\n")
    (tmp_path / "a.ann").write_text("T1\tP 0 ٣\tAda\n")
    with pytest.raises(UserError, match=r"a\.ann:1: .* is no line of brat"):
        read_ner(tmp_path / "a.ann")
