"""``onetrunk.load`` and changing the apps of an engine: what may be passed, and what is said."""

from pathlib import Path
from typing import Any

import pytest

import onetrunk
from onetrunk.errors import UserError

FOLDER = Path(__file__).parent / "fixtures" / "format-0.1"
INTENT, FLAGS, STARS = (FOLDER / "apps" / name for name in ("intent", "flags", "stars"))
TEXT = "call dora"


def test_folders_one_by_one_or_in_a_list() -> None:
    apart = onetrunk.load(INTENT, FLAGS)
    for folders in ([INTENT, FLAGS], (str(INTENT), str(FLAGS))):
        together = onetrunk.load(folders)
        assert together.names == ["intent", "flags"]
        assert together.predict(TEXT) == apart.predict(TEXT)
    assert onetrunk.load([FOLDER / "bundle"]).names == onetrunk.load(FOLDER / "bundle").names


@pytest.mark.parametrize(
    ("folders", "why"),
    [
        ([None], "load: None is no folder; pass paths of folders"),
        ([[3]], "load: 3 is no folder"),
        ([[]], "no apps: pass app folders, or the folder of a bundle$"),
        ([], "no apps: pass app folders, or the folder of a bundle$"),
        (
            [INTENT / "app.json"],
            "app.json is a file, not an app: name a folder that `onetrunk adapt`",
        ),
        ([FOLDER / "apps" / "inten"], "inten; did you mean .*intent\\?$"),
        ([FOLDER / "apps" / "weather"], "no such folder: .*weather$"),
    ],
)
def test_what_is_no_folder(folders: list[Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        onetrunk.load(*folders)


def test_apps_are_added_by_folder_and_removed_by_list() -> None:
    engine = onetrunk.load(INTENT)
    assert isinstance(engine, onetrunk.Engine)
    more = engine.with_apps({"flags": FLAGS, "rating": str(STARS), "again": engine.apps["intent"]})
    assert more.names == ["intent", "flags", "rating", "again"]
    wanted = onetrunk.load(INTENT, FLAGS, STARS).predict(TEXT)["apps"]
    assert more.predict(TEXT)["apps"] == {
        **{name: wanted[name] for name in ("intent", "flags")},
        **{"rating": wanted["stars"], "again": wanted["intent"]},
    }
    assert more.without(["flags", "again"]).names == ["intent", "rating"]
    assert more.without("flags", "again").names == ["intent", "rating"]
    assert engine.names == ["intent"]


@pytest.mark.parametrize(
    ("apps", "why"),
    [
        ([FLAGS], "pass apps by name, {name: app or its folder}, not "),
        (FLAGS, "pass apps by name"),
        ({"flags": None}, "app 'flags': pass an App or the folder of one, not None"),
        ({"flags": FOLDER}, "is not an app folder: it has no app.json"),
    ],
)
def test_what_is_no_app(apps: Any, why: str) -> None:
    engine: Any = onetrunk.load(INTENT)
    with pytest.raises(UserError) as error:
        engine.with_apps(apps)
    assert why in str(error.value)


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device in ("cuda", "cuda:1"):
        with pytest.raises(
            UserError, match=f"device '{device}' is not available here; valid: cpu$"
        ):
            onetrunk.load(INTENT, device=device)
    with pytest.raises(UserError, match="unknown device 'cdua'; did you mean 'cuda'"):
        onetrunk.load(INTENT, device="cdua")


def test_an_unknown_app_to_remove() -> None:
    engine: Any = onetrunk.load(INTENT)
    with pytest.raises(UserError, match="unknown app 'intend'; did you mean 'intent'"):
        engine.without(["intend"])
    with pytest.raises(UserError, match="names of apps: pass a string or a list of strings, not 3"):
        engine.without(3)


def test_what_they_look_like() -> None:
    engine, runtime = onetrunk.load(INTENT), onetrunk.load(FOLDER / "bundle")
    assert isinstance(engine, onetrunk.Engine)
    source = engine.backbone.encoder.source
    assert (
        repr(engine.apps["intent"])
        == "App(tc, linear, 2 labels: call, play; 24 rows; accuracy 100.0 on 6 validation rows; "
        f"backbone {source})"
    )
    app, rest = engine.apps["intent"], f"; backbone {source})"
    app.record = {"train_rows": 1234, "cross_validation": 87.51}
    assert repr(app).endswith(f"; 1,234 rows; accuracy 87.5 by cross-validation{rest}")
    app.record["test"] = {"rows": 40, "accuracy": 81.0}
    assert repr(app).endswith(f"; 1,234 rows; accuracy 81.0 on 40 test rows{rest}")
    app.record = {}
    assert repr(app).endswith(f"call, play{rest}")
    assert repr(engine.backbone) == f"Backbone({source!r}, k=2, primary LoRAs: ner, tc)"
    assert repr(runtime).startswith("Runtime of ")
    assert repr(runtime).endswith(f"in {FOLDER / 'bundle'}")
    assert (
        repr(onetrunk.TextEstimator("runs/tpl", k=2)) == "TextEstimator(backbone='runs/tpl', k=2)"
    )
    assert "Backbone(" in repr(onetrunk.TextEstimator.load(INTENT))
