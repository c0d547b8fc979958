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
from onetrunk.errors import UserError

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


@pytest.mark.parametrize("kind", ["app", "backbone", "bundle"])
@pytest.mark.parametrize("writer", ["0.9.0", None, "x; rm"])
def test_a_newer_format_names_the_version_that_reads_it(
    tmp_path: Path, kind: str, writer: str | None
) -> None:
    """Although its other keys, and so its seal, may be other ones."""
    places = {"app": "apps/intent/app.json", "backbone": "backbone/onetrunk.json"}
    record = json.loads((FOLDER / places.get(kind, "bundle/bundle.json")).read_text())
    readable = "1 to 2" if kind == "bundle" else "1"
    newer = {"format": 3, "onetrunk": writer, "seal": "?", "new": record}
    name = Path(places.get(kind, "bundle/bundle.json")).name
    (tmp_path / name).write_text(json.dumps(newer))
    least = ">=0.9.0" if writer == "0.9.0" else ""
    said = (
        f"{tmp_path / name} is of format 3; onetrunk {onetrunk.__version__} reads format "
        f"{readable}: upgrade it (pip install --upgrade 'onetrunk{least}')"
    )
    with pytest.raises(UserError) as error:
        onetrunk.Backbone.load(tmp_path) if kind == "backbone" else onetrunk.load(tmp_path)
    assert str(error.value) == said


@pytest.mark.parametrize("found", [None, 0, -1, True, 1.0, "1", [1]])
def test_what_is_no_format(tmp_path: Path, found: Any) -> None:
    record = json.loads((FOLDER / "bundle/bundle.json").read_text())
    (tmp_path / "bundle.json").write_text(json.dumps(record | {"format": found}))
    with pytest.raises(UserError, match=r"bundle.json is damaged: its format is .*, not 1 to 2$"):
        onetrunk.load(tmp_path)


def test_each_fixture_is_small() -> None:
    for folder in [FOLDER / "backbone", FOLDER / "bundle", *(FOLDER / "apps" / a for a in APPS)]:
        assert sum(file.stat().st_size for file in folder.rglob("*")) < 300_000
