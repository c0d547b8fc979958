"""``onetrunk export``, and ``predict`` on what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.bundle.page import ORT
from onetrunk.model.backbone import Backbone

Run = Callable[..., Any]
FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"
TEXT = "Call mum in New York, now!"


@pytest.fixture
def folders(tiny_backbone: Backbone, corpora: Path, run: Run) -> tuple[Path, Path, Path]:
    """A backbone and an app of each family on it."""
    tiny_backbone.write(corpora / "backbone")
    for family in ("ner", "tc"):
        data = corpora / family / "app"
        assert run(
            *("adapt", corpora / "backbone", "--family", family, "--adapter", "linear"),
            *("--train", data / "train.parquet", "--out", corpora / "apps" / family),
        ).code == 0  # fmt: skip
    return corpora / "backbone", corpora / "apps/ner", corpora / "apps/tc"


def test_exported_and_predicted(run: Run, folders: tuple[Path, ...], corpora: Path) -> None:
    backbone, *apps = folders
    bundle, check = corpora / "bundle", f"tc={corpora / 'tc/app/test.parquet'}"
    done = run("export", backbone, *apps, "--out", bundle, "--check", check)
    assert done.code == 0, done.err
    said = done.out + done.err
    assert "apps/ner.safetensors" in said
    assert "tc: accuracy" in said
    ours = run("predict", *apps, "--text", TEXT, "--format", "jsonl")
    theirs = run("predict", bundle, "--text", TEXT, "--format", "jsonl")
    assert theirs.code == 0, theirs.err
    found, wanted = json.loads(theirs.out)["apps"], json.loads(ours.out)["apps"]
    assert found["tc"]["labels"] == wanted["tc"]["labels"]
    assert [e["text"] for e in found["ner"]["entities"]] == [
        e["text"] for e in wanted["ner"]["entities"]
    ]
    again = run("export", backbone, *apps, "--out", bundle)
    assert again.code == 2
    assert "already exists" in again.err
    beside = run("predict", bundle, apps[0], "--text", TEXT)
    assert beside.code == 2
    assert "is a bundle: it runs alone" in beside.err


@pytest.mark.parametrize("check", ["tc", "intent=rows.csv"])
def test_a_check_of_no_app(run: Run, folders: tuple[Path, ...], corpora: Path, check: str) -> None:
    backbone, *apps = folders
    done = run("export", backbone, *apps, "--out", corpora / "bundle", "--check", check)
    assert done.code == 2
    assert "write APP=FILE; the apps: ner, tc" in done.err
    assert not (corpora / "bundle").exists()


def test_apps_come_and_go(run: Run, folders: tuple[Path, ...], corpora: Path) -> None:
    backbone, ner, tc = folders
    bundle = corpora / "bundle"
    assert run("export", backbone, ner, "--out", bundle).code == 0
    graph = (bundle / "top.onnx").stat().st_ino
    done = run("bundle", "add", bundle, tc)
    assert done.code == 0, done.err
    found = json.loads(run("predict", bundle, "--text", TEXT).out)["apps"]
    assert sorted(found) == ["ner", "tc"]
    assert run("bundle", "remove", bundle, "ner").code == 0
    assert list(json.loads(run("predict", bundle, "--text", TEXT).out)["apps"]) == ["tc"]
    assert (bundle / "top.onnx").stat().st_ino == graph
    again = run("bundle", "remove", bundle, "tcc")
    assert again.code == 2
    assert "has no app 'tcc'; did you mean 'tc'?" in again.err


def test_one_app_alone(run: Run, folders: tuple[Path, ...], corpora: Path) -> None:
    backbone, ner, tc = folders
    done = run("export", backbone, ner, "--merged", "--out", corpora / "model")
    assert done.code == 0, done.err
    assert json.loads((corpora / "model/app.json").read_text())["logits"] == "of tokens"
    both = run("export", backbone, ner, tc, "--merged", "--out", corpora / "models")
    assert both.code == 2
    assert "--merged is for one app" in both.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--int8", "--int4"), "--int8 and --int4 are different weights: give one"),
        (("--int8", "--int8-text"), "--int8 and --int8-text are different weights: give one"),
        (("--int8-text", "--merged"), "takes several texts, --int8-text one: give --int8"),
        (("--pieces", "9"), "--pieces counts those of --vocabulary"),
        (("--vocabulary", "TEXTS", "--merged"), "--merged is for one app"),
        (("--check", "place=TEXTS", "--merged"), "--merged is for one app"),
    ],
)
def test_options_that_do_not_go_together(
    run: Run, corpora: Path, options: tuple[str, ...], message: str
) -> None:
    backbone, ner = FORMAT_0_1 / "backbone", FORMAT_0_1 / "apps" / "place"
    texts = str(corpora / "tc/app/train.parquet")
    given = [texts if option == "TEXTS" else option for option in options]
    done = run("export", backbone, ner, *given, "--out", corpora / "bundle")
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert not (corpora / "bundle").exists()


def test_a_bundle_as_small_as_it_gets(
    run: Run, folders: tuple[Path, Path, Path], corpora: Path
) -> None:
    """Four bits and fewer word pieces."""
    backbone, *apps = folders
    texts = corpora / "tc/app/train.parquet"
    done = run(
        *("export", backbone, *apps, "--int4", "--vocabulary", texts),
        *("--out", corpora / "bundle"),
    )
    assert done.code == 0, done.err
    assert "word pieces" in done.out + done.err
    manifest = json.loads((corpora / "bundle/bundle.json").read_text())
    assert manifest["precision"] == "int4"
    assert list(json.loads(run("predict", corpora / "bundle", "--text", TEXT).out)["apps"])


def test_a_page(
    run: Run, folders: tuple[Path, ...], corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its bundle in it; that of a bundle that is there already is the same."""
    backbone, *apps = folders
    ort, page = corpora / "ort", corpora / "page"
    monkeypatch.setenv("ONETRUNK_ORT", str(ort))
    for given, why in (
        (("--page",), "does not hold onnxruntime-web's files"),
        (("--page", "--merged"), "--merged and --page write different things"),
        (("--ort", ort), "give --page, too"),
    ):
        refused = run("export", backbone, apps[0], "--out", page, *given)
        assert refused.code == 2
        assert why in refused.err
    assert not page.exists()
    ort.mkdir()
    for name in ORT:
        (ort / name).write_text(name)
    done = run("export", backbone, *apps, "--out", page, "--page")
    assert done.code == 0, done.err
    assert f"python3 -m http.server -d {page} 8000" in done.err
    assert run("predict", page / "bundle", "--text", TEXT).code == 0
    again = run("bundle", "page", page / "bundle", "--out", corpora / "other", "--ort", ort)
    assert again.code == 0, again.err
    assert (corpora / "other/cache.js").read_bytes() == (page / "cache.js").read_bytes()
    assert run("export", backbone, *apps, "--out", page, "--page", "--overwrite").code == 0
