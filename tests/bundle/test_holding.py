"""Apps of a runtime: in what forms they are added, how they are judged, what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import onetrunk
from onetrunk.apps.app import App
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

FOLDER = Path(__file__).parents[1] / "fixtures" / "format-0.1"
INTENT = FOLDER / "apps" / "intent"
FILE = FOLDER / "bundle" / "apps" / "intent.safetensors"
TEXT = "call dora"
ROWS = [("call dora", "call"), ("play music", "play"), ("call mum", "call"), ("play it", "play")]


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(FOLDER / "bundle", ["flags"])


def test_an_app_is_added_by_its_file_or_its_folder(runtime: Runtime) -> None:
    wanted = Runtime(FOLDER / "bundle").predict(TEXT)["apps"]["intent"]
    for app in (FILE, str(FILE), INTENT, str(INTENT)):
        runtime.add(app)
        assert runtime.names == ["flags", "intent"]
        answer = runtime.predict(TEXT)["apps"]["intent"]
        assert answer["labels"] == wanted["labels"]
        assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-3)
        runtime.add(app, "again")
        assert runtime.predict(TEXT)["apps"]["again"] == answer
        more = runtime.without("intent", "again").with_apps({"x": app, "y": runtime.app("intent")})
        assert more.names == ["flags", "x", "y"]
        assert more.predict(TEXT)["apps"]["x"] == answer
        runtime.remove("intent")
        runtime.remove("again")


def test_an_app_of_pytorch_is_added_by_name(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    export_bundle(tiny_backbone, {}, tmp_path / "bundle")
    runtime = Runtime(tmp_path / "bundle")
    with pytest.raises(UserError, match=r"App\(tc, .* has no name here: pass one, add\(app, name"):
        runtime.add(apps["spam"])
    with pytest.raises(UserError, match="app 'spam' was made without its backbone"):
        runtime.add(apps["spam"], "spam")
    apps["spam"].backbone = tiny_backbone
    runtime.add(apps["spam"], "spam")
    assert runtime.with_apps({"too": apps["spam"]}).names == ["spam", "too"]
    (answer,) = apps["spam"].predict([TEXT])
    assert runtime.predict(TEXT)["apps"]["spam"]["labels"] == answer["labels"]


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (None, "pass an app, its file (apps/NAME.safetensors of a bundle) or its folder, not None"),
        (3, "or its folder, not 3 (int)"),
        ([FILE], "or its folder, not [PosixPath("),
        (FILE.parent / "intend.safetensors", "intend.safetensors; did you mean "),
        (FOLDER / "bundle", "is a bundle, not an app: name a folder that `onetrunk adapt` wrote"),
        (FOLDER / "backbone", "is a backbone, not an app"),
        (INTENT / "head.safetensors", f"is a part of an app: name its folder, {INTENT}"),
        (FOLDER / "bundle" / "top.onnx", "top.onnx is no app: pass an app, its file"),
        (
            FOLDER / "bundle" / "primary" / "tc.safetensors",
            "this is no apps/NAME.safetensors",
        ),
    ],
)
def test_what_is_no_app(runtime: Runtime, app: Any, why: str) -> None:
    for add in (runtime.add, lambda app: runtime.with_apps({"x": app})):
        with pytest.raises(UserError) as error:
            add(app)
        assert why in str(error.value)
        assert runtime.names == ["flags"]


@pytest.mark.parametrize("apps", [[FILE], str(FILE), None, 3, []])
def test_apps_without_names(runtime: Runtime, apps: Any) -> None:
    with pytest.raises(UserError, match=r"pass apps by name, \{name: app, its file or its folder"):
        runtime.with_apps(apps)


def test_a_runtime_scores_its_apps_as_pytorch_does(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("Message,Kind\n" + "".join(f"{text},{label}\n" for text, label in ROWS))
    runtime, engine = Runtime(FOLDER / "bundle"), onetrunk.load(INTENT)
    assert isinstance(engine, onetrunk.Engine)
    columns: dict[str, Any] = {"text_column": "Message", "label_column": "Kind"}
    here = runtime.evaluate("intent", data, **columns)
    there = engine.app("intent").evaluate(data, **columns)
    assert (here.app, here.data, here.rows) == ("intent", str(data), 4)
    assert here.scores == there.scores
    assert runtime.evaluate("intent", ROWS).accuracy == there.accuracy
    with pytest.raises(UserError, match="unknown app 'intend'; did you mean 'intent'"):
        runtime.evaluate("intend", ROWS)
    with pytest.raises(UserError, match="label 'sing'"):
        runtime.evaluate("intent", [*ROWS, ("sing", "sing")], strict_labels=True)


def test_what_a_notebook_shows(runtime: Runtime) -> None:
    assert repr(runtime) == f"Runtime of flags (multi-label, 5 labels) in {FOLDER / 'bundle'}"
    runtime.add(FILE)
    assert repr(runtime.app("intent")) == "BundledApp(intent: tc, linear, 2 labels: call, play)"
    assert "array" not in repr(runtime.apps)
    assert repr(runtime.bundle).startswith(f"Bundle({FOLDER / 'bundle'}: fp32; ")
    few = Runtime(FOLDER / "bundle", ["flags", "intent"], max_loaded=1)
    assert repr(few).startswith("Runtime of flags (multi-label, 5 labels), intent in ")
    many = runtime.with_apps({f"app{number}": FILE for number in range(20)})
    assert ", … (22 in all) in " in repr(many)
    assert len(repr(many)) < 500
