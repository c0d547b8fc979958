"""Families of other packages, found through their entry points."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.cli.pretty import pretty
from onetrunk.data.notes import Notes
from onetrunk.data.sources import stream_columns
from onetrunk.errors import UserError
from onetrunk.families import GROUP, families_of
from onetrunk.families.classification import Classification
from onetrunk.families.ner import Ner

Install = Callable[..., None]

GOOD = """
from onetrunk.families.classification import Classification

class Mood(Classification):
    name = "mood"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(package, point, code)``: what pip leaves of a package with one module."""

    def make(package: str, point: str, code: str = GOOD) -> None:
        site = tmp_path / package
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{point}\n")
        (site / f"{package}.py").write_text(code)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, package, raising=False)

    return make


@pytest.fixture
def families() -> Any:
    return families_of(Ner(), Classification())


def test_a_plugin_is_a_family_like_any_other(install: Install, families: Any) -> None:
    assert "mood" not in families
    install("plugin_mood", "mood = plugin_mood:Mood")
    assert list(families) == ["ner", "tc", "mood"]
    assert len(families) == 3
    assert type(families["mood"]).__module__ == "plugin_mood"
    assert families["mood"] is families["mood"]


def test_a_plugin_is_imported_when_it_is_asked_for(install: Install, families: Any) -> None:
    install("plugin_lazy", "mood = plugin_lazy:Mood")
    assert "mood" in list(families)
    assert isinstance(families["ner"], Ner)
    assert "joint" not in families
    assert "plugin_lazy" not in sys.modules
    assert families["mood"].name == "mood"
    assert "plugin_lazy" in sys.modules


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "AttributeError: module 'plugin_bad' has no attribute 'Mood'"),
        (
            "from onetrunk.families.base import Family\nclass Mood(Family):\n    name = 'mood'",
            "TypeError: Can't instantiate abstract class Mood",
        ),
        ("Mood = dict", "is no Family: dict"),
        (GOOD.replace('"mood"', '"moot"'), "calls itself 'moot': the entry point must too"),
    ],
)
def test_a_plugin_that_does_not_work_is_named(
    install: Install, families: Any, code: str, why: str
) -> None:
    install("plugin_bad", "mood = plugin_bad:Mood", code)
    with pytest.raises(UserError) as error:
        families["mood"]
    message = str(error.value)
    assert message.startswith("task family 'mood' of package plugin_bad (plugin_bad:Mood) ")
    assert why in message
    assert isinstance(families["tc"], Classification)  # the others go on


def test_a_name_that_two_sides_provide(install: Install, families: Any) -> None:
    install("plugin_one", "ner = plugin_one:Mood")
    install("plugin_two", "mood = plugin_two:Mood")
    install("plugin_three", "mood = plugin_three:Mood")
    with pytest.raises(UserError, match=r"'ner' is provided by onetrunk and by package plugin_one"):
        families["ner"]
    with pytest.raises(UserError, match=r"'mood' is provided by .* and by .*: uninstall one"):
        families["mood"]
    assert isinstance(families["tc"], Classification)
    assert list(families) == ["ner", "tc", "mood"]


def test_a_family_of_a_script(install: Install, families: Any) -> None:
    class Mood(Classification):
        name = "mood"

    mine = Mood()
    families.add(mine.name, mine)
    assert families["mood"] is mine
    with pytest.raises(UserError, match="there is a task family 'mood' already"):
        families.add("mood", Mood())
    install("plugin_later", "other = plugin_later:Mood", GOOD.replace("mood", "other"))
    with pytest.raises(UserError, match="there is a task family 'other' already"):
        families.add("other", families["other"])


def test_a_prediction_of_another_form_is_shown() -> None:
    answer = {"answer": "Ännchen", "start": 3}
    shown = pretty({"text": "who?", "apps": {"reader": answer}}).plain
    assert shown == f"who?\n  reader  {json.dumps(answer, ensure_ascii=False)}\n"


def test_rows_of_another_kind(tmp_path: Path) -> None:
    """A plug-in reads columns of its own, with the care that onetrunk takes."""
    columns = {"question": ["a?", "b?", "a?"], "answer": ["1", "2", "1"], "id": [7, 8, 9]}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    (tmp_path / "train.csv").write_text("id,answer,question\n7,1,a?\n8,2,b?\n9,1,a?\n")
    for file in ("train.parquet", "train.csv"):
        notes = Notes()
        rows = list(stream_columns(tmp_path / file, ("question", "answer"), notes))
        assert rows == [("a?", "1"), ("b?", "2"), ("a?", "1")]
        assert [line.split(":")[0] for line in notes.lines()] == [
            "duplicate rows (same text and labels)"
        ]
    with pytest.raises(UserError, match=r"train.parquet, row 1: 'id' is 7 \(int\), not a string"):
        list(stream_columns(tmp_path / "train.parquet", ("question", "id")))
    with pytest.raises(UserError, match="no column 'questoin'; did you mean 'question'"):
        list(stream_columns(tmp_path / "train.parquet", ("questoin",)))
