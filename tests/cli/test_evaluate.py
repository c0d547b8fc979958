"""``onetrunk evaluate`` of app folders and bundles, and the folder that it writes."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "fixtures" / "format-0.1"
BUNDLE = FOLDER / "bundle"
INTENT = FOLDER / "apps" / "intent"
FILES = ["evaluation.json", "index.html", "rows.jsonl"]
Run = Callable[..., Any]

INTENTS = [("play music", "play"), ("call ann", "call"), ("call bob", "call")]
NAMES = [
    {"text": "ann met mum in new york", "spans": [[0, 3, "who"], [15, 23, "where"]]},
    {"text": "call dora", "spans": [[5, 9, "who"]]},
    {"text": "nothing", "spans": []},
]
ROWS: dict[str, list[dict[str, Any]]] = {
    "calendar": NAMES,
    "place": NAMES,
    "intent": [{"text": text, "label": label} for text, label in INTENTS],
    "flags": [{"text": text, "labels": [label, "mum"]} for text, label in INTENTS],
    "stars": [{"text": text, "label": len(label)} for text, label in INTENTS],
}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON Lines; spans in the form that annotation tools have."""
    for row in rows:
        spans = row.get("spans")
        if spans is not None:
            named = [{"start": s, "end": e, "label": kind} for s, e, kind in spans]
            row = row | {"spans": named}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return path


def shown(folder: Path) -> dict[str, Any]:
    """What the page of a folder shows."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    (content,) = re.findall(r'id="data">(.*?)</script>', page)
    found: dict[str, Any] = json.loads(content)
    return found


@pytest.fixture
def intents(tmp_path: Path) -> Path:
    return written(tmp_path / "intents.jsonl", ROWS["intent"])


@pytest.mark.parametrize("app", ROWS)
def test_an_app_and_its_bundle_write_the_same_report(run: Run, tmp_path: Path, app: str) -> None:
    data = written(tmp_path / "test.jsonl", ROWS[app])
    reports = []
    for name, command in (("app", (FOLDER / "apps" / app,)), ("phone", (BUNDLE, "--app", app))):
        result = run("evaluate", *command, "--data", data, "--out", tmp_path / name)
        assert result.code == 0, result.err
        assert sorted(file.name for file in (tmp_path / name).iterdir()) == FILES
        report = json.loads((tmp_path / name / "evaluation.json").read_text())
        assert (report["app"], report["data"]) == (app, str(data))
        printed = json.loads(result.out)
        assert printed["app"] == app
        assert printed["rows"] == 3
        for score, value in report["scores"].items():
            assert printed[score] == pytest.approx(value, abs=0.005)
        reports.append(report)
    ours, theirs = reports
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=0.01)
    assert ours["per_label"] == theirs["per_label"]
    assert ours["confusion"] == theirs["confusion"]
    assert bool(ours["results"]) == (app != "stars")
    for one, other in zip(ours["results"], theirs["results"], strict=True):
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-3)
        assert one == other


def test_the_columns_and_the_app_of_a_bundle(run: Run, intents: Path, tmp_path: Path) -> None:
    evaluate = ("evaluate", BUNDLE, "--app", "intent", "--data")
    renamed = tmp_path / "renamed.csv"
    renamed.write_text("".join(f"{a},{b}\n" for a, b in [("Said", "Kind"), *INTENTS]))
    columns = ("--text-column", "Said", "--label-column", "Kind")
    assert run(*evaluate, renamed, *columns).out == run(*evaluate, intents).out
    several = run("evaluate", BUNDLE, "--data", intents)
    assert several.code == 2
    assert "name one by --app" in several.err
    unknown = run("evaluate", BUNDLE, "--data", intents, "--app", "intend")
    assert "did you mean 'intent'?" in unknown.err


def test_the_folder_is_replaced_only_if_it_is_a_report(
    run: Run, intents: Path, tmp_path: Path
) -> None:
    evaluate = ("evaluate", INTENT, "--data", intents, "--out", tmp_path / "report")
    assert run(*evaluate).code == 0
    assert "already exists" in run(*evaluate).err
    assert run(*evaluate, "--overwrite").code == 0
    (tmp_path / "report" / "evaluation.json").unlink()
    refused = run(*evaluate, "--overwrite")
    assert refused.code == 2
    assert "onetrunk did not write it" in refused.err


@pytest.mark.parametrize("command", [(INTENT,), (BUNDLE, "--app", "intent")])
def test_a_label_that_training_never_had(run: Run, tmp_path: Path, command: Any) -> None:
    rows = [{"text": "call ann", "label": "call"}, {"text": "call bob", "label": "cal"}]
    evaluate = ("evaluate", *command, "--data", written(tmp_path / "a.jsonl", rows))
    refused = run(*evaluate, "--strict-labels")
    assert refused.code == 2
    assert "a.jsonl:2: label 'cal' never occurs in training; did you mean 'call'?" in refused.err
    counted = run(*evaluate)
    assert json.loads(counted.out)["accuracy"] <= 50
    assert "labels that training never had count as misses (cal): 1 (" in counted.err
    assert "a.jsonl:2)" in counted.err.replace("\n", "")


@pytest.mark.parametrize("command", [(INTENT,), (BUNDLE, "--app", "intent")])
def test_rows_have_the_numbers_of_the_file(run: Run, tmp_path: Path, command: Any) -> None:
    data, out = tmp_path / "a.csv", tmp_path / "report"
    data.write_text("text,label\ncall ann,call\n\ncall bob,play\n")
    assert run("evaluate", *command, "--data", data, "--out", out).code == 0
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [(row["row"], row["place"]) for row in rows] == [(1, f"{data}:2"), (2, f"{data}:4")]


def test_the_note_names_a_few_unseen_labels(run: Run, tmp_path: Path) -> None:
    rows = [{"text": f"call {i}", "label": f"new {i}"} for i in range(7)]
    data = written(tmp_path / "a.jsonl", rows)
    result = run("evaluate", INTENT, "--data", data, "--temperature")
    said = " ".join(result.err.split())
    assert "(new 0, new 1, new 2, new 3, new 4, 2 more): 7" in said
    assert "a.jsonl:3, …)" in said
    assert "do the labels stand in another column?" in said
    assert "the app's labels: call, play" in said
    # No probability is right about any row, so no temperature means anything.
    assert "no temperature: no row has a label that training had" in said
    assert json.loads(result.out)["temperature"] is None


def test_a_temperature_is_printed(run: Run, tmp_path: Path) -> None:
    rows = [
        {"text": f"{first} {last}", "label": label}
        for first, label in (("call", "call"), ("play", "play"), ("call", "play"))
        for last in ("ann", "bob", "music", "mum")
    ]
    data = written(tmp_path / "a.jsonl", rows)
    result = run("evaluate", INTENT, "--data", data, "--temperature")
    printed = json.loads(result.out)
    assert printed["temperature"] > 0
    assert 0 <= printed["ece_at_temperature"] <= 100
    assert "temperature" not in json.loads(run("evaluate", INTENT, "--data", data).out)
    rated = written(tmp_path / "stars.jsonl", ROWS["stars"])
    stars = run("evaluate", FOLDER / "apps" / "stars", "--data", rated, "--temperature")
    assert json.loads(stars.out)["temperature"] is None
    assert "no temperature: the answers have no probabilities" in " ".join(stars.err.split())


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("intent", r"calibration error [\d.]+ %; no temperature was fitted: no row has a label"),
        ("stars", "no temperature was fitted: the answers have no probabilities"),
    ],
)
def test_a_terminal_says_why_there_is_no_temperature(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str, said: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    unseen = [{"text": "call ann", "label": "new"}, {"text": "play it", "label": "newer"}]
    data = written(tmp_path / "a.jsonl", unseen if app == "intent" else ROWS[app])
    result = run("evaluate", FOLDER / "apps" / app, "--data", data, "--temperature")
    out = " ".join(re.sub(r"\x1b\[[\d;]*m", "", result.out).split())
    assert re.search(said, out)
    assert "None" not in out


def test_a_terminal_says_the_temperature(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"{verb} {name}", label) for name in ("ann", "bob", "mum")
            for verb, label in (("call", "call"), ("play", "play"), ("call", "play"))]  # fmt: skip
    data = written(tmp_path / "a.jsonl", [{"text": a, "label": b} for a, b in rows])
    command = ("evaluate", INTENT, "--data", data, "--temperature")
    printed = json.loads(run(*command).out)
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = " ".join(re.sub(r"\x1b\[[\d;]*m", "", run(*command).out).split())
    for value, unit in (("ece", "%"), ("temperature", ","), ("ece_at_temperature", "%")):
        digits = 2 if unit == "," else 1
        assert f"{printed[value]:.{digits}f}" in out


def test_errors_of_ratings_are_not_rounded_away(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(tmp_path / "stars.jsonl", ROWS["stars"])
    command = ("evaluate", FOLDER / "apps" / "stars", "--data", data)
    mae = json.loads(run(*command).out)["mae"]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert f"mae {mae:.2f}" in re.sub(r"\x1b\[[\d;]*m", "", run(*command).out)
    described = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run("evaluate", "--help").out).split())
    assert "the mean error of ratings (mae) is in the ratings' own unit" in described


def test_a_terminal_shows_a_table(run: Run, intents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    shown = re.sub(r"\x1b\[[\d;]*m", "", run("evaluate", INTENT, "--data", intents).out)
    for part in ("intent: accuracy ", "precision", "call", "play", "of 3 rows have a mistake"):
        assert part in shown
    one = run("evaluate", INTENT, "--data", intents, "--json")
    assert json.loads(one.out)["app"] == "intent"


def test_a_learning_curve(run: Run, tmp_path: Path) -> None:
    rows = [f"{verb} {thing} {n},{verb}" for n in range(4)
            for verb, thing in (("call", "ann"), ("play", "music"))] * 3  # fmt: skip
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("text,label\n" + "\n".join(rows) + "\n")
    test.write_text("text,label\ncall bob,call\nplay a song,play\n")
    app, out = BUNDLE.parent / "apps" / "intent", tmp_path / "report"
    result = run("evaluate", app, "--data", test, "--curve", train, "--out", out)
    assert result.code == 0, result.err
    assert [point["rows"] for point in json.loads(result.out)["curve"]] == [3, 6, 12, 24]
    assert "going from 12 to 24 rows was worth" in result.err
    drawn = (out / "curve.png").read_bytes()
    in_page = shown(out)["curve"]
    assert b64decode(in_page["png"]) == drawn
    assert in_page["finding"].startswith("going from 12 to 24 rows was worth")
    again = run("evaluate", app, "--data", test, "--curve", train, "--out", out, "--overwrite")
    assert again.code == 0, again.err
    assert (out / "curve.png").read_bytes() == drawn
    refused = run("evaluate", BUNDLE, "--app", "intent", "--data", test, "--curve", train)
    assert refused.code == 2
    assert "--curve trains apps, so name an app folder" in refused.err
