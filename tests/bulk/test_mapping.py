"""``dataset.map`` with a bundle gives the answers of its runtime."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest

import onetrunk
from onetrunk.bulk.columns import answer_cells, decoders_of
from onetrunk.bundle.change import remove_apps
from onetrunk.errors import UserError

BUNDLE = Path(__file__).parents[1] / "fixtures/format-0.1/bundle"
TEXTS = ["", "ann met mum in new york", "call dora", None, "play music, paris! 日本"] * 3


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> datasets.Dataset:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(os, "environ", os.environ)  # which `map` with num_proc replaces by a copy
    kinds = datasets.ClassLabel(names=["old", "new"])
    features = datasets.Features({"text": datasets.Value("string"), "kind": kinds})
    values = {"text": TEXTS, "kind": [place % 2 for place in range(len(TEXTS))]}
    return datasets.Dataset.from_dict(values, features)


@pytest.mark.parametrize("processes", [None, 2])
def test_it_answers_as_the_runtime_does(rows: datasets.Dataset, processes: int | None) -> None:
    """Even if no text of a first batch has an answer, and in processes that are forks."""
    runtime, answers = onetrunk.load(BUNDLE), onetrunk.Answers(BUNDLE, threads=1)
    assert repr(answers).startswith(f"Answers({BUNDLE}: calendar, ")
    answers({"text": ["call"]})  # this process has run it before it is forked
    mapped = rows.map(
        answers, batched=True, batch_size=1, num_proc=processes, features=answers.features(rows)
    )
    assert mapped.features["kind"] == rows.features["kind"]
    assert mapped["text"][:] == TEXTS
    decoders = decoders_of(runtime)  # type: ignore[arg-type]
    for row, result in zip(mapped, runtime.stream(TEXTS), strict=True):
        want = {**answer_cells(decoders, result), "error": result.get("error")}
        assert {name: row[name] for name in want} == want
    assert any(row["place"] or row["calendar"] for row in mapped)
    assert mapped[3]["error"].startswith("None (NoneType) is no text")


def test_some_apps_and_another_column(rows: datasets.Dataset) -> None:
    answers = onetrunk.Answers(BUNDLE, ["intent"], text_column="message")
    mapped = rows.rename_column("text", "message").map(answers, batched=True)
    assert mapped.column_names == ["message", "kind", "intent", "intent.probability", "error"]


def test_a_copy_opens_the_same_bundle(rows: datasets.Dataset, tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "b")
    answers = onetrunk.Answers(tmp_path / "b")
    content, batch = pickle.dumps(answers), {"text": TEXTS[1:3]}
    assert len(content) < 2000  # no weights: each process reads them from the folder
    assert pickle.loads(content)(batch) == answers(batch)
    first = rows.map(answers, batched=True)._fingerprint
    assert rows.map(onetrunk.Answers(tmp_path / "b"), batched=True)._fingerprint == first
    remove_apps(tmp_path / "b", ["stars"])
    assert rows.map(onetrunk.Answers(tmp_path / "b"), batched=True)._fingerprint != first
    with pytest.raises(UserError, match="has changed since it was opened"):
        pickle.loads(content)(batch)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"txt": ["a"]}, "no column 'text'; did you mean 'txt'"),
        ({"text": ["a"], "intent": ["b"]}, "the column 'intent' of the input has the name"),
        ({"text": "a"}, "batched=True"),
    ],
)
def test_what_is_refused(batch: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        onetrunk.Answers(BUNDLE)(batch)
