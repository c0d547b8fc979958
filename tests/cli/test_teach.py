"""``onetrunk bundle teach``: what it replaces, and what it says. How apps are taught is in
tests/bundle/test_teaching.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.runtime import Runtime

FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"
Teach = Callable[..., Any]
MOODS = [("play music", "good"), ("call mum", "bad"), ("play it now", "good"), ("call bob", "bad")]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that is free to change."""
    shutil.copytree(FORMAT_0_1 / "bundle", tmp_path / "phone")
    return tmp_path / "phone"


@pytest.fixture
def teach(run: Callable[..., Any], bundle: Path, tmp_path: Path) -> Teach:
    """``teach(name, rows, option, …)``: the command, with rows of text and label or of spans."""

    def call(name: str, rows: Sequence[Any], *options: object, family: str = "tc") -> Any:
        file = tmp_path / "rows.jsonl"
        key = "spans" if "ner" in family else "label"
        lines = [json.dumps({"text": text, key: answer}) for text, answer in rows]
        file.write_text("\n".join(lines) + "\n")
        said = run("bundle", "teach", bundle, name, "--family", family, "--data", file, *options)
        return said._replace(err=" ".join(said.err.split()))

    return call


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_app_that_is_there_is_not_replaced_unasked(teach: Teach, bundle: Path) -> None:
    """Neither one that was exported, nor one that was taught, nor its rows."""
    assert teach("my mood", MOODS, "--keep-examples").code == 0
    before = files_of(bundle)
    for name, start, rows in (
        ("intent", "--start intent", "replace it by --overwrite"),
        ("my mood", "--start 'my mood'", "replace it and the rows that it keeps by --overwrite"),
    ):
        for others in ((), ("--start", "flags"), ("--keep-examples",)):
            refused = teach(name, MOODS[:3], *others)
            assert refused.code == 2
            assert f"already has an app {name}" in refused.err
            assert start in refused.err
            assert rows in refused.err
            assert files_of(bundle) == before
    assert teach("my mood", MOODS[:3], "--overwrite").code == 0
    kept = f"app {'my mood'!r} keeps no examples"
    with pytest.raises(Exception, match=kept):
        Runtime(bundle).examples("my mood")
    assert Bundle(bundle).app("my mood").labels == ["bad", "good"]


def test_to_go_on_from_an_app_replaces_it(teach: Teach, bundle: Path) -> None:
    """That its rows go is said, for nobody asked for it."""
    assert teach("mood", MOODS, "--keep-examples").code == 0
    old = Bundle(bundle).app("mood").weight
    said = teach("mood", [("play bob", "bad")], "--start", "mood")
    assert said.code == 0
    assert "note: the rows that mood kept before are deleted" in said.err
    assert (Bundle(bundle).app("mood").weight != old).any()
    again = teach("mood", [("play ann", "good")], "--start", "mood")
    assert "are deleted" not in again.err


def test_a_label_that_an_app_gains_is_said(teach: Teach, bundle: Path) -> None:
    """It may be a misspelt one. Labels that the app has, and those of a new app, are no news."""
    old = Bundle(bundle).app("place").labels
    typo = f"{old[0]}n"
    rows = [("ann met bob", [[0, 3, typo], [8, 11, "zzzzzz"]]), ("mum", [[0, 3, old[1]]])]
    said = teach("better", rows, "--start", "place", family="nested-ner")
    assert said.code == 0
    assert f"note: new label: {typo}; did you mean {old[0]}? " in said.err
    assert "note: new label: zzzzzz " in said.err
    assert said.err.count("new label") == 2
    assert Bundle(bundle).app("better").labels == sorted([*old, typo, "zzzzzz"])
    named = teach("named", rows[1:], "--start", "place", "--label", "qqqqqq", family="nested-ner")
    assert "note: new label: qqqqqq " in named.err
    assert "new label" not in teach("other", rows, family="nested-ner").err
