"""Verbs for bundles, where no more is installed than ``onetrunk[runtime]`` brings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onetrunk.bundle.evaluation import evaluate_bundle
from onetrunk.bundle.layout import MANIFEST, Bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.families import family as family_named

PLACE = Path(__file__).parents[1] / "fixtures" / "format-0.1"
BUNDLE, APPS = PLACE / "bundle", PLACE / "apps"
Run = Callable[..., Any]


def labels_of(name: str) -> list[str]:
    labels: list[str] = json.loads((APPS / name / "app.json").read_text())["labels"]
    return labels


def rows_for(name: str, folder: Path) -> list[Path]:
    """Labelled rows of an app in several formats."""
    first, second = labels_of(name)[:2]
    texts = ["ann met bob in new york", "call mum in paris, now", "play music", "the bank"]
    if name in ("calendar", "place"):
        spans = [[[0, 3, first], [15, 23, second]], [[12, 17, second]], [], [[4, 8, first]]]
        rows: list[dict[str, Any]] = [
            {"text": text, "spans": of} for text, of in zip(texts, spans, strict=True)
        ]
    elif name == "flags":
        labels: list[list[str]] = [[first], [first, second], [], [second]]
        rows = [{"text": text, "labels": of} for text, of in zip(texts, labels, strict=True)]
    else:
        rows = [
            {"text": text, "label": of}
            for text, of in zip(texts, [first, second, first, second], strict=True)
        ]
    lines = folder / f"{name}.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    array = folder / f"{name}.json"
    array.write_text(json.dumps(rows))
    if name == "place":
        conll = folder / f"{name}.conll"
        conll.write_text(f"ann B-{first}\nmet O\nin O\nnew B-{second}\nyork I-{second}\n\nplay O\n")
        return [lines, array, conll]
    if name == "intent":
        table = folder / f"{name}.csv"
        table.write_text("text,label\n" + "".join(f'"{r["text"]}",{r["label"]}\n' for r in rows))
        return [table, lines]
    return [lines, array]


@pytest.mark.parametrize("name", ["calendar", "place", "intent", "flags", "stars"])
def test_evaluate(run_on_device: Run, tmp_path: Path, name: str) -> None:
    """The scores of a process that has everything."""
    for number, file in enumerate(rows_for(name, tmp_path)):
        out = tmp_path / f"report-{number}"
        done = run_on_device("evaluate", BUNDLE, "--app", name, "--data", file, "--out", out)
        assert done.code == 0, done.err
        _, wanted = evaluate_bundle(BUNDLE, file, name)
        scores = {key: round(value, 2) for key, value in wanted.scores.items()}
        printed = json.loads(done.out)
        assert printed.pop("intervals", {}).keys() == wanted.intervals.keys()
        assert printed == {"app": name, "rows": wanted.rows, **scores}
        assert json.loads((out / "evaluation.json").read_text()) == json.loads(
            json.dumps(wanted.as_json())
        )
        assert (out / "index.html").exists()


@pytest.mark.parametrize("name", ["calendar", "place", "intent", "flags", "stars"])
def test_teach(run_on_device: Run, tmp_path: Path, name: str) -> None:
    """The app that a process with everything would make; its rows are kept, if asked for."""
    bundle, family = tmp_path / "phone", Bundle(BUNDLE).app(name).family
    shutil.copytree(BUNDLE, bundle)
    file, other, *_ = rows_for(name, tmp_path)
    command = ["bundle", "teach", bundle, "mine", "--family", family, "--max-length", 32]
    done = run_on_device(*command, "--data", file, "--keep-examples")
    assert done.code == 0, done.err
    here = Runtime(BUNDLE, [])
    score = here.teach("mine", family, file, max_length=32)
    assert str(score) in " ".join(done.err.split())
    saved = Bundle(bundle).app("mine")
    np.testing.assert_allclose(saved.weight, here.apps["mine"].weight, atol=1e-5)
    assert saved.labels == here.apps["mine"].labels
    kept = run_on_device("bundle", "examples", bundle, "mine")
    assert kept.code == 0
    rows = [json.loads(line) for line in kept.out.splitlines()]
    assert [row["text"] for row in rows] == [row.text for row in family_named(family).read(file)]
    if name == "intent":  # to forget them, or not to keep them, is the same in all families
        assert run_on_device("bundle", "examples", bundle, "mine", "--forget").code == 0
        assert run_on_device("bundle", "examples", bundle, "mine").code == 2
        assert run_on_device(*command, "--data", other, "--overwrite").code == 0
        assert run_on_device("bundle", "examples", bundle, "mine").code == 2


def test_show(run_on_device: Run) -> None:
    shown = json.loads(run_on_device("bundle", "show", BUNDLE, "--json").out)
    assert shown["bundle"] == str(BUNDLE)
    assert [app["app"] for app in shown["apps"]] == Bundle(BUNDLE).apps
    for app in shown["apps"]:
        assert app["labels"] == labels_of(app["app"])
        assert app["bytes"] == (BUNDLE / f"apps/{app['app']}.safetensors").stat().st_size
    table = run_on_device("bundle", "show", BUNDLE).out
    assert all(name in table for name in Bundle(BUNDLE).apps)


def test_teaching_mistakes(run_on_device: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "phone"
    shutil.copytree(BUNDLE, bundle)
    (file, _) = rows_for("intent", tmp_path)
    before = (bundle / MANIFEST).read_bytes()
    for more, part in (
        (["--family", "tcp", "--data", file], "unknown task family 'tcp'; did you mean 'tc'?"),
        (["--family", "tc", "--data", "none.csv"], "no such file: none.csv"),
        (["--family", "tc", "--data", file, "--text-column", "body"], "body"),
        (["--family", "rating", "--data", file], "is no number"),
    ):
        done = run_on_device("bundle", "teach", bundle, "mine", *more)
        assert done.code == 2
        assert part in " ".join(done.err.split())
        assert (bundle / MANIFEST).read_bytes() == before


def test_what_needs_more_is_said(run_on_device: Run, tmp_path: Path) -> None:
    (file, _) = rows_for("intent", tmp_path)
    for command, part in (
        (["evaluate", APPS / "intent", "--data", file], "this needs torch: pip install"),
        (["evaluate", BUNDLE, "--app", "intent", "--data", file, "--curve", file], "name an app"),
    ):
        done = run_on_device(*command)
        assert done.code == 2
        assert part in done.err


def test_costs_are_written_without_their_plot(run_on_device: Run, tmp_path: Path) -> None:
    """In the place of a folder that has one."""
    costs = tmp_path / "costs"
    costs.mkdir()
    for name in ("costs.json", "costs.png"):
        (costs / name).write_text("older")
    command = ["bundle", "report", BUNDLE, "--repeats", "3", "--out", "costs"]
    done = run_on_device(*command, "--overwrite")
    assert done.code == 0, done.err
    assert "a pass for each" in done.out
    said = " ".join(done.err.split())
    assert "the plot, costs.png, was left out; it needs matplotlib: pip install" in said
    assert "onetrunk[train]" in said
    assert [file.name for file in costs.iterdir()] == ["costs.json"]
    assert json.loads((costs / "costs.json").read_text())["latency"]


def test_apps_are_added_from_their_folders(run_on_device: Run, tmp_path: Path) -> None:
    """LoRA, head alone and neighbours: the files are those that export wrote then, but for what
    files say since."""
    bundle, names = tmp_path / "phone", ["calendar", "stars", "place", "intent", "flags"]
    shutil.copytree(BUNDLE, bundle)
    assert run_on_device("bundle", "remove", bundle, *names).code == 0
    done = run_on_device("bundle", "add", bundle, *(APPS / name for name in names))
    assert done.code == 0, done.err
    assert f"{bundle}: {', '.join(names)}" in " ".join(done.err.split())
    text = "ann met bob in new york"
    before, after = (
        run_on_device("predict", folder, "--text", text, "--json") for folder in (BUNDLE, bundle)
    )
    assert json.loads(after.out)["apps"] == {
        name: json.loads(before.out)["apps"][name] for name in names
    }
    files = json.loads((bundle / MANIFEST).read_text())["files"]
    assert sorted(files) == sorted(json.loads((BUNDLE / MANIFEST).read_text())["files"])


def test_an_app_that_does_not_fit_is_not_added(run_on_device: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "phone"
    shutil.copytree(BUNDLE, bundle)
    before = (bundle / MANIFEST).read_bytes()

    def changed(name: str, **values: Any) -> Path:
        folder = tmp_path / f"changed-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(APPS / name, folder)
        record = json.loads((folder / "app.json").read_text())
        (folder / "app.json").write_text(json.dumps({**record, **values}))
        return folder

    deaf = changed("place")
    (deaf / "head.safetensors").unlink()
    for folder, part in (
        (changed("intent", fingerprint="f" * 64), "trained on another backbone (ffffffffffff; the"),
        (changed("intent", family="tcp"), "unknown task family 'tcp'; did you mean 'tc'?"),
        (changed("intent", labels=["a"]), "expected weight (1, "),
        (changed("place", reads="2"), "'reads' is '2', not a number of layers"),
        (changed("intent", none_below=2), "none_below is 2, not a number from 0 to 1"),
        (deaf, "refusing to use a random head"),
        (tmp_path / "nowhere", "no such folder"),
    ):
        done = run_on_device("bundle", "add", bundle, APPS / "stars", folder)
        assert done.code == 2
        assert part in " ".join(done.err.split())
        assert (bundle / MANIFEST).read_bytes() == before
