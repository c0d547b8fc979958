"""Families of other packages, found through their entry points."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.cli.pretty import pretty
from onetrunk.data.notes import Notes
from onetrunk.data.sources import stream_columns
from onetrunk.errors import UserError
from onetrunk.families import GROUP, families_of, family
from onetrunk.families.classification import Classification
from onetrunk.families.ner import Ner
from onetrunk.model.backbone import Backbone

Install = Callable[..., None]

GOOD = """
from onetrunk.families.classification import Classification

class Mood(Classification):
    name = "mood"
"""


DEVICE = {
    "tc": GOOD,
    "ner": """
from onetrunk.families.ner import Ner

class Mood(Ner):
    name = "mood"
    starts_from = "ner"
""",
}


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


def test_a_plugin_that_needs_torch_says_so(
    install: Install, families: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    install("plugin_torch", "mood = plugin_torch:Mood", "import torch")
    with pytest.raises(UserError, match=r"'mood' of package plugin_torch .* needs torch: pip inst"):
        families["mood"]


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
        (
            GOOD + "    decoder = None\n",
            "names no decoder and lacks classes, decode, gather, render, units",
        ),
        (
            GOOD + "    decoder = 'lable'\n",
            "TypeError: Mood: unknown decoder 'lable'; valid: ",
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


@pytest.mark.parametrize("base", ["tc", "ner"])
def test_a_plugin_runs_on_a_device(
    install: Install, tiny_backbone: Backbone, corpora: Path, tmp_path: Path, base: str
) -> None:
    """Trained, exported and run; beside an app of the family whose decoder it shares."""
    install("plugin_device", "mood = plugin_device:Mood", DEVICE[base])
    mood, built_in = families_of()["mood"], family(base)
    train = mood.read(corpora / base / "app" / "train.parquet")
    data = Data(mood.label_set(train), train)
    settings = AdaptSettings(adapter="linear", l2=0.1)
    apps = {
        "mine": fit(tiny_backbone, mood, data, settings),
        "theirs": fit(tiny_backbone, built_in, data, settings),
    }
    texts = [*[mood.text(row) for row in train[:20]], "", "new york " * 40]
    export_bundle(tiny_backbone, apps, tmp_path / "bundle")
    runtime, engine = Runtime(tmp_path / "bundle"), Engine(tiny_backbone, apps)
    assert runtime.apps["mine"].family == "mood"
    assert runtime.apps["mine"].decoder == base
    for on_device, here in zip(runtime.predict(texts), engine.predict(texts), strict=True):
        if base == "ner":
            answers = [
                [(e["start"], e["end"], e["type"]) for e in found["entities"]]
                for result in (on_device, here)
                for found in result["apps"].values()
            ]
        else:
            answers = [
                list(found["probabilities"]) + found["labels"]
                for result in (on_device, here)
                for found in result["apps"].values()
            ]
            for label, p in here["apps"]["mine"]["probabilities"].items():
                assert on_device["apps"]["mine"]["probabilities"][label] == pytest.approx(
                    p, abs=2e-4
                )
        assert answers.count(answers[0]) == 4


def test_a_plugin_that_reads_states_in_its_own_way_is_refused(
    tiny_backbone: Backbone, tmp_path: Path
) -> None:
    examples = Path(__file__).parents[2] / "examples" / "inference_family"
    spec = spec_from_file_location("onetrunk_nli", examples / "onetrunk_nli.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    nli = module.Inference()
    train = [nli.parse("a => b"), nli.parse("the bank => paris")]
    train = [replace(row, label=label) for row, label in zip(train, "ab", strict=True)]
    settings = AdaptSettings(adapter="linear", l2=0.1)
    app = fit(tiny_backbone, nli, Data(["a", "b"], train), settings)
    with pytest.raises(UserError, match="'nli' has its own classes, units, gather, decode, render"):
        export_bundle(tiny_backbone, {"pairs": app}, tmp_path / "bundle")


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
