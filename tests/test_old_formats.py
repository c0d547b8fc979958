"""Folders that 0.1.0 wrote before the house was rebuilt still load, and answer as they did then.

``tests/fixtures/format-0.1`` was written by that version from a tiny random encoder: a backbone,
an app of every family (one with labelled neighbours), a bundle, and what both engines answered.
An empty text, which then got labels, gets none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onetrunk

FOLDER = Path(__file__).parent / "fixtures" / "format-0.1"
APPS = ("calendar", "place", "intent", "flags", "stars")
ANSWERS = json.loads((FOLDER / "predictions.json").read_text(encoding="utf-8"))
for _result in (*ANSWERS["engine"], *ANSWERS["runtime"]):
    for _answer in _result["apps"].values():
        if not _result["text"] and "labels" in _answer:
            _answer |= {"labels": [], "abstained": True}


def close(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, numbers to 2e-4 (they are rounded to four places)."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float | int):
        return abs(one - other) < 2e-4
    return bool(one == other)


@pytest.mark.parametrize("name", ["engine", "runtime"])
def test_what_was_written_before_answers_as_before(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [FOLDER / "bundle"] if name == "runtime" else [FOLDER / "apps" / a for a in APPS]
    model = onetrunk.load(*folders)
    assert isinstance(model, onetrunk.Runtime if name == "runtime" else onetrunk.Engine)
    assert sorted(model.names) == sorted(APPS)
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2  # the apps that read each word
    for warning, app in zip(warned, ("calendar", "place"), strict=True):
        assert app in warning
        assert "was trained by onetrunk 0.1.0 on the tokens of its file" in warning
    results = model.predict([answer["text"] for answer in ANSWERS[name]])
    assert close(results, ANSWERS[name])


def test_old_apps_go_into_new_bundles(tmp_path: Path) -> None:
    onetrunk.export([FOLDER / "apps" / app for app in APPS], tmp_path / "phone")
    results = onetrunk.load(tmp_path / "phone").predict([a["text"] for a in ANSWERS["runtime"]])
    by_app = [{name: result["apps"][name] for name in APPS} for result in results]
    assert close(by_app, [{name: a["apps"][name] for name in APPS} for a in ANSWERS["runtime"]])


def test_each_fixture_is_small() -> None:
    for folder in [FOLDER / "backbone", FOLDER / "bundle", *(FOLDER / "apps" / a for a in APPS)]:
        assert sum(file.stat().st_size for file in folder.rglob("*")) < 300_000
