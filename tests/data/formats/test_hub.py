"""``datasets`` on folders: what it does with the hub itself cannot be tested without one."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from onetrunk.data.locate import locate
from onetrunk.data.rows import LabelledText, Pair
from onetrunk.data.sources import read_classification, read_ner, read_pairs, read_texts
from onetrunk.errors import UserError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def folder(path: Path, **splits: list[dict[str, Any]]) -> str:
    path.mkdir(exist_ok=True)
    for split, rows in splits.items():
        (path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return f"hub:{path}"


def test_splits_and_columns(tmp_path: Path) -> None:
    spec = folder(
        tmp_path / "set",
        train=[{"text": f"t{i}", "label": "x", "more": i} for i in range(2500)],
        test=[{"text": "e", "label": "y", "more": 0}],
    )
    rows = read_classification(spec)
    assert [row.text for row in rows] == [f"t{i}" for i in range(2500)]
    assert read_classification(spec, split="test") == [LabelledText("e", ("y",))]
    assert read_texts(locate(spec, "test")) == ["e"]


def test_optional_columns(tmp_path: Path) -> None:
    rows = [{"query": "q", "positive": "p", "negatives": ["n"]}]
    assert read_pairs(folder(tmp_path / "a", train=rows)) == [Pair("q", "p", ("n",))]
    rows = [{"query": "q", "positive": "p"}]
    assert read_pairs(folder(tmp_path / "b", train=rows)) == [Pair("q", "p")]


def test_what_is_wrong_has_a_place(tmp_path: Path) -> None:
    spec = folder(tmp_path / "set", train=[{"text": "a"}, {"text": None}])

    def fails(read: Any, spec: str, message: str, **options: Any) -> None:
        with pytest.raises(UserError) as caught:
            read(spec, **options)
        assert str(caught.value).replace(spec, "HUB") == message

    fails(read_texts, spec, "HUB (train), row 2: 'text' is null, not a string")
    fails(read_pairs, spec, "HUB has no column 'query'; columns: text")
    bad = "HUB cannot be opened: Bad split: tset. Available splits: ['train']"
    fails(read_texts, spec, bad, split="tset")
    bad = "HUB cannot be opened: BuilderConfig 'v2' not found. Available: ['default']"
    fails(read_texts, f"{spec}:v2", bad)
    with pytest.raises(UserError, match=r"^hub:org/nothing cannot be opened: [^\n]+$"):
        read_ner("hub:org/nothing")
    broken = tmp_path / "set" / "train.jsonl"
    broken.write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(UserError, match=r"^hub:[^\n]+ cannot be opened: [^\n]+$"):
        read_texts(spec)


def test_hash_follows_the_content(tmp_path: Path) -> None:
    spec = folder(tmp_path / "set", train=[{"text": "a"}], test=[{"text": "a"}])
    before = locate(spec).sha256()
    assert locate(spec).sha256() == before != locate(spec, "test").sha256()
    folder(tmp_path / "set", train=[{"text": "ab"}])
    assert locate(spec).sha256() != before
