"""A short run of every target of ``benchmarks/fuzz.py``, whose long run is in
``results/fuzz.json``; and the files that it found, each as small as it may be."""

from __future__ import annotations

import bz2
import gzip
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from onetrunk.bundle.layout import Bundle, entry, write_manifest
from onetrunk.bundle.runtime import Runtime
from onetrunk.config import load_recipe
from onetrunk.data.formats import docbin, jsonfiles, text, workbook
from onetrunk.data.notes import Notes
from onetrunk.data.sources import read_classification, read_ner, read_texts
from onetrunk.errors import UserError
from onetrunk.model.loading import load_encoder

SLOW = {"read.xlsx": 10, "read.spacy": 20, "http": 40, "yaml.recipe": 15, "yaml.suite": 15}
SUFFIXES = ["jsonl", "json", "conll", "parquet", "arrow", "spacy", "ann", "csv", "tsv", "xlsx"]
SUFFIXES += ["jsonl.gz", "csv.bz2", "jsonl.xz", "jsonl.zst"]
NAMES = [*(f"read.{suffix}" for suffix in SUFFIXES), "alignment", "load.app-file"]
NAMES += [f"decode.{name}" for name in ("ner", "nested-ner", "tc", "multi-label", "rating")]
NAMES += ["yaml.recipe", "yaml.suite", "http", "web.loader", "web.tokenizer"]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, script: Callable[[str], Any]) -> Any:
    return script("fuzz").Targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found(targets: Any, script: Callable[[str], Any], name: str) -> None:
    if name.startswith("web."):
        if not shutil.which("node"):
            pytest.skip("node is not installed")
        assert not script("fuzz").run_web(name, 300, 1)["faults"]
        return
    _, make = targets.known[name]
    result = script("fuzz").run(name, make(), SLOW.get(name, 60), 1)
    assert result["cases"] >= 10
    assert not result["faults"]


def test_every_target_is_run(targets: Any) -> None:
    """Those of folders are run by the tests of seals."""
    folders = {f"load.{kind}" for kind in ("app", "backbone", "bundle", "encoder")}
    assert {*targets.known} - folders <= {*NAMES}


def test_a_fault_is_found_and_named(script: Callable[[str], Any]) -> None:
    """That nothing is found would else prove nothing."""

    def case(rng: random.Random) -> None:
        assert rng.random() < 0.9, "here"

    result = script("fuzz").run("x", case, 100, 0)
    assert 3 < len(result["faults"]) < 21
    assert all(told.startswith("AssertionError: here") for told in result["faults"].values())


# ------------------------------------------------------------------------------ what was found


@pytest.mark.parametrize("place", [-1, 65536])
def test_arrow_with_places_outside_of_its_data(tmp_path: Path, place: int) -> None:
    """Arrow ended the process, or would have read what is in memory there."""
    table = pa.table({"text": ["ab", "cd"], "label": ["x", "y"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    content = bytearray(sink.getvalue())
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, 2, 4))
    at = content.index(offsets)
    content[at + 4 : at + 8] = place.to_bytes(4, "little", signed=True)
    (tmp_path / "a.arrow").write_bytes(content)
    for read in (read_texts, read_classification):
        with pytest.raises(UserError, match=r"a.arrow cannot be read as Arrow: [^\n]*$"):
            read(tmp_path / "a.arrow")


def test_text_that_is_neither_utf8_nor_whole(tmp_path: Path) -> None:
    """The place of the byte was looked for in what cannot be unpacked."""
    packed = gzip.compress(b'{"text": "a"}\n' * 3000 + b"\xff\n" + random.Random(0).randbytes(9000))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[:-2000])
    with pytest.raises(UserError, match=r"a.jsonl.gz cannot be unpacked|a.jsonl.gz:3001: byte"):
        read_texts(tmp_path / "a.jsonl.gz")


def test_numbers_of_many_digits(tmp_path: Path) -> None:
    """Python refuses to read them."""
    many = "9" * 5000
    (tmp_path / "a.txt").write_text("Ann")
    (tmp_path / "a.ann").write_text(f"T1\tPER 0 {many}\tAnn\n")
    with pytest.raises(UserError, match=r"a.ann:1: .* is no line of brat") as error:
        read_ner(tmp_path / "a.ann")
    assert len(str(error.value)) < 300
    (tmp_path / "b.conll").write_text(f"{many}\tAnn\tB-PER\n{many}\tmet\tO\n")
    with pytest.raises(UserError, match=r"b.conll:1: the first column holds numbers alone"):
        read_ner(tmp_path / "b.conll")
    lines = [f"w{many}\t{word}\tO\n" for word in ("they", "Met", "Ann", "there")]
    (tmp_path / "b.conll").write_text("".join(lines))
    assert [row.text for row in read_ner(tmp_path / "b.conll")] == ["they Met Ann there"]
    region = {"start": many, "end": many, "startOffset": 0, "endOffset": 3, "labels": ["PER"]}
    task = {"data": {"text": "Ann"}, "annotations": [{"result": [{"value": region}]}]}
    (tmp_path / "c.json").write_text(json.dumps([task]))
    notes = Notes()
    assert read_ner(tmp_path / "c.json", notes)[0].entities == ()
    assert notes.lines()  # that a region has no place


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: " + "[" * 2000, "nested too deep"),
        ("a: &a [*a]", "nested too deep"),
        ("a: 2024-99-99", "unknown key 'a'"),  # no date, but a text
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_yaml_that_is_no_recipe(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(UserError, match=said):
        load_recipe(tmp_path / "r.yaml")


def test_aliases_are_counted(tmp_path: Path) -> None:
    """Nine lines that stand for 9⁹ values; a few repetitions are no fault."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    (tmp_path / "r.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match="stands for more than 100,000 values, by its aliases"):
        load_recipe(tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_text(
        "encoder: e\nfamilies:\n  ner: &both {batch_size: 8, sources: [{path: a}]}\n  tc: *both\n"
    )
    recipe = load_recipe(tmp_path / "r.yaml")
    assert {family["batch_size"] for family in recipe.families.values()} == {8}


def test_a_tokenizer_that_panics(tmp_path: Path, targets: Any) -> None:
    """Its template names a token that it does not define. Rust's panic is no Exception."""

    def spoil(path: Path) -> bytes:
        content = json.loads(path.read_text())
        content["post_processor"]["special_tokens"] = {}
        path.write_text(json.dumps(content))
        return path.read_bytes()

    shutil.copytree(targets.folders.place / "encoder", tmp_path / "encoder")
    spoil(tmp_path / "encoder" / "tokenizer.json")
    with pytest.raises(UserError, match=r"tokenizer.json .*no entry found for key"):
        load_encoder(str(tmp_path / "encoder"))
    bundle = tmp_path / "bundle"
    shutil.copytree(targets.folders.place / "bundle", bundle)
    files = Bundle(bundle).manifest["files"] | {
        "tokenizer.json": entry(spoil(bundle / "tokenizer.json"))
    }
    write_manifest(bundle, Bundle(bundle).manifest | {"files": files})
    with pytest.raises(UserError, match=r"tokenizer.json cannot be used: no entry found for key"):
        Runtime(bundle)


@pytest.mark.parametrize("key", ["format", "depth", "max_length", "k_of_backbone"])
def test_a_record_with_numbers_of_many_digits(tmp_path: Path, targets: Any, key: str) -> None:
    shutil.copytree(targets.folders.place / "bundle", tmp_path / "bundle")
    file = tmp_path / "bundle" / "bundle.json"
    record = json.loads(file.read_text()) | {key: 10**400}
    file.write_text(json.dumps({name: record[name] for name in record if name != "seal"}))
    with pytest.raises(UserError, match="is damaged") as error:
        Runtime(tmp_path / "bundle")
    assert len(str(error.value)) < 600


# ------------------------------------------------------------------- what grows when unpacked


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits as they would be for files of a few kilobytes."""
    monkeypatch.setattr(text, "UNPACKED", 100_000)
    for module in (jsonfiles, docbin, workbook):
        monkeypatch.setattr(module, "LARGEST", 100_000)


@pytest.mark.usefixtures("small")
def test_what_is_unpacked_has_an_end(tmp_path: Path) -> None:
    blank = b"\n" * 10_000_000
    for name, content in {
        "a.jsonl.gz": gzip.compress(blank),
        "a.csv.bz2": bz2.compress(b"text,label\n" + blank),
        "a.txt.zst": pa.compress(blank, "zstd", asbytes=True),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} cannot be unpacked: more than 100,000 bytes"):
            read_texts(tmp_path / name)


@pytest.mark.usefixtures("small")
def test_a_text_that_repeats_itself_is_read(tmp_path: Path) -> None:
    """It is a hundred times as large as its file: not more than texts may be."""
    rows = "".join(json.dumps({"text": f"row {n}", "label": "x"}) + "\n" for n in range(20_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    assert len(rows) > 500_000
    assert len(read_texts(tmp_path / "a.jsonl.gz")) == 20_000


@pytest.mark.usefixtures("small")
def test_what_is_held_in_memory_has_a_size(tmp_path: Path, script: Callable[[str], Any]) -> None:
    made = script("fuzz_targets")
    word = "x" * 50_000
    (tmp_path / "a.json").write_text(json.dumps([{"text": word, "label": "a"}] * 3))
    (tmp_path / "a.spacy").write_bytes(made.docbin([([one + word], ["O"]) for one in "abc"]))
    rows = [{"text": f"{number}{word[:30_000]}", "label": "a"} for number in range(9)]
    (tmp_path / "a.xlsx").write_bytes(made.workbook(rows))
    said = {"a.json": "write JSON Lines instead", "a.spacy": "unpacked", "a.xlsx": "unpacked"}
    for name, part in said.items():
        with pytest.raises(UserError, match=f"{name} .*more than 100,000 .*{part}"):
            (read_ner if name == "a.spacy" else read_classification)(tmp_path / name)
