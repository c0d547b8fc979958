"""Pushing to a hub and loading from it: a fake one on loopback."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard, constants

import onetrunk
from onetrunk import cli
from onetrunk.apps.embedding import embed
from onetrunk.errors import UserError
from onetrunk.hub import fetched, is_hub_name, push_to_hub
from onetrunk.model.backbone import Backbone

FOLDER = Path(__file__).parents[1] / "fixtures" / "format-0.1"
TEXTS = ["ann met mum in new york", "call dora"]


def test_push_and_load_a_bundle(hub: Any) -> None:
    address = push_to_hub(FOLDER / "bundle", "ann/phone")
    assert address == f"{hub.url}/ann/phone"
    loaded = onetrunk.load("ann/phone")
    assert loaded.predict(TEXTS) == onetrunk.load(FOLDER / "bundle").predict(TEXTS)
    on_hub = hub.repos["ann/phone"]
    assert on_hub.commits[on_hub.branches["main"]] == {
        file.relative_to(FOLDER / "bundle").as_posix(): file.read_bytes()
        for file in (FOLDER / "bundle").rglob("*")
        if file.is_file()
    }


def test_an_app_names_its_backbone_at_the_hub(hub: Any) -> None:
    with pytest.raises(UserError, match=r"trained on \.\./\.\./backbone, which others do not have"):
        push_to_hub(FOLDER / "apps/intent", "ann/intent")
    push_to_hub(FOLDER / "backbone", "ann/backbone")
    push_to_hub(FOLDER / "apps/intent", "ann/intent", backbone="ann/backbone")
    loaded = onetrunk.load("ann/intent")
    here = onetrunk.load(FOLDER / "apps/intent")
    assert [result["apps"]["intent"] for result in loaded.predict(TEXTS)] == [
        result["apps"]["intent"] for result in here.predict(TEXTS)
    ]
    assert sorted(Backbone.load("ann/backbone").primary_loras) == ["ner", "tc"]


def test_a_revision_is_pinned(hub: Any, tmp_path: Path, tiny_backbone: Backbone) -> None:
    tiny_backbone.save(tmp_path / "b")
    push_to_hub(tmp_path / "b", "ann/b")
    first = hub.repos["ann/b"].branches["main"]
    push_to_hub(FOLDER / "backbone", "ann/b")
    assert Backbone.load("ann/b").fingerprint == Backbone.load(FOLDER / "backbone").fingerprint
    pinned = Backbone.load(f"ann/b@{first}")
    assert pinned.fingerprint == tiny_backbone.fingerprint
    assert pinned.encoder.source == f"ann/b@{first}"
    push_to_hub(tmp_path / "b", "ann/b", branch="old")
    assert Backbone.load("ann/b@old").fingerprint == tiny_backbone.fingerprint
    with pytest.raises(UserError, match="ann/b has no revision 'odl'"):
        fetched("ann/b@odl")


def test_an_encoder_without_a_record_is_an_encoder(hub: Any, tiny_encoder_folder: Any) -> None:
    folder = tiny_encoder_folder()
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    hub.add("ann/encoder", files)
    loaded = Backbone.load("ann/encoder@main")
    assert loaded.primary_loras == {}
    assert loaded.fingerprint == Backbone.load(folder).fingerprint


def test_an_upload_that_broke_off_goes_on(hub: Any) -> None:
    hub.fail_after = 3
    with pytest.raises(UserError, match=r"ann/phone: the upload broke off .*: start it again"):
        push_to_hub(FOLDER / "bundle", "ann/phone")
    assert hub.repos["ann/phone"].at("main") == "0" * 40  # no commit: nothing is half there
    sent, hub.fail_after = list(hub.uploads), None
    push_to_hub(FOLDER / "bundle", "ann/phone")
    assert len(sent) >= 3
    assert len(hub.uploads) == len(set(hub.uploads))  # none was sent twice
    assert onetrunk.load("ann/phone").names


def test_a_download_that_broke_off_goes_on(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No byte of a file comes twice, but those of the last, incomplete block."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    push_to_hub(FOLDER / "bundle", "ann/phone")
    hub.cut = lambda path, start: 7000 if start < 14_000 else None
    assert onetrunk.load("ann/phone").predict(TEXTS)
    of_file: dict[str, list[tuple[int, int]]] = {}
    for path, start, sent in hub.downloads:
        of_file.setdefault(path, []).append((start, sent))
    assert max(map(len, of_file.values())) == 3
    for path, parts in of_file.items():
        ends = [0, *(start + sent for start, sent in parts)]
        assert ends == [*(start for start, _ in parts), (FOLDER / "bundle" / path).stat().st_size]


def test_a_download_that_was_stopped_goes_on_with_the_next_file(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    push_to_hub(FOLDER / "bundle", "ann/phone")
    hub.cut = lambda path, start: 0 if path == "top.onnx" else None
    with pytest.raises(UserError, match=r"^ann/phone: the connection to the hub broke off \("):
        onetrunk.load("ann/phone")
    whole = {path for path, _, sent in hub.downloads if sent}
    hub.downloads.clear()
    hub.cut = lambda path, start: None
    assert onetrunk.load("ann/phone").predict(TEXTS)
    assert whole
    assert not whole & {path for path, _, _ in hub.downloads}


def test_private_repositories(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    push_to_hub(FOLDER / "bundle", "ann/secret", private=True)
    assert hub.repos["ann/secret"].private
    assert onetrunk.load("ann/secret").names
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="has no ann/other, or hides it from you"):
        fetched("ann/other")
    with pytest.raises(UserError, match="has no ann/secret, or hides it from you"):
        fetched("ann/secret@other")
    with pytest.raises(UserError, match=r"ann/new: the hub refused this \(status 401\)"):
        push_to_hub(FOLDER / "bundle", "ann/new")
    push_to_hub(FOLDER / "bundle", "ann/new", token="hf_secret")


def test_without_a_network_the_cache_is_read(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    push_to_hub(FOLDER / "backbone", "ann/backbone")
    assert Backbone.load("ann/backbone").primary_loras
    hub.stop()
    assert sorted(Backbone.load("ann/backbone").primary_loras) == ["ner", "tc"]
    with pytest.raises(UserError, match="ann/other: the hub could not be reached"):
        fetched("ann/other")
    with pytest.raises(UserError, match=r"ann/backbone: the connection to the hub broke off"):
        push_to_hub(FOLDER / "backbone", "ann/backbone")


def test_sentence_transformers_opens_a_pushed_backbone(
    hub: Any, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    tiny_backbone.save(tmp_path / "b")
    push_to_hub(tmp_path / "b", "ann/b")
    want = embed(tiny_backbone, tiny_backbone.encoder, "fp32", TEXTS)
    model = sentence_transformers.SentenceTransformer("ann/b", device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(model.encode(TEXTS), want, atol=1e-5)


def test_cards_are_what_the_hub_reads(hub: Any, tmp_path: Path, tiny_backbone: Backbone) -> None:
    """Of everything that is pushed, and checked by the hub's client as it pushes."""
    rows = [(f"{word} number {i}", word) for i in range(8) for word in ("call", "play")]
    app = onetrunk.adapt(tiny_backbone, "tc", rows, test=rows, adapter="linear", l2=0.1)
    tiny_backbone.save(tmp_path / "backbone")
    app.save(tmp_path / "app")
    onetrunk.export({"intent": app}, tmp_path / "bundle", backbone=tiny_backbone)
    for kind, pipeline in (
        ("backbone", "feature-extraction"), ("app", "text-classification"), ("bundle", None),
    ):  # fmt: skip
        name = f"ann/{kind}"
        push_to_hub(tmp_path / kind, name, backbone="ann/backbone" if kind == "app" else None)
        card = ModelCard.load(name)
        card.validate()
        assert card.data.library_name == "onetrunk"
        assert card.data.pipeline_tag == pipeline
        assert ("sentence-transformers" in card.data.tags) == (kind == "backbone")
        assert ModelCard(hub.validated[-1]).data.to_dict() == card.data.to_dict()


def test_what_is_refused(hub: Any, tmp_path: Path) -> None:
    for folder, repo, message in (
        (tmp_path, "ann/x", "no folder of onetrunk"),
        (FOLDER / "bundle", "x", "write owner/name"),
        (FOLDER / "bundle", "ann/x@main", "write owner/name"),
    ):
        with pytest.raises(UserError, match=message):
            push_to_hub(folder, repo)
    with pytest.raises(UserError, match="only an app names a backbone"):
        push_to_hub(FOLDER / "bundle", "ann/x", backbone="ann/b")
    with pytest.raises(UserError, match="no name at the hub"):
        push_to_hub(FOLDER / "apps/intent", "ann/x", backbone="../b")
    assert not hub.repos


def test_what_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert [*map(is_hub_name, ("ann/b", "ann/b@v1", "ann/b@feature/x"))] == [True] * 3
    assert [*map(is_hub_name, ("b", "runs/b", "/ann/b", "../b", "ann/b/c", "a b/c", "ann/b@"))] == [
        False
    ] * 7


def test_by_the_command_line(
    hub: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["onetrunk", *map(str, arguments)])
        with pytest.raises(SystemExit):
            cli.main()
        captured = capsys.readouterr()
        return captured.out, captured.err

    assert f"wrote {hub.url}/ann/phone" in run("push", FOLDER / "bundle", "ann/phone")[1]
    answer, _ = run("predict", "ann/phone", "--text", TEXTS[0])
    assert json.loads(answer) == onetrunk.load(FOLDER / "bundle").predict(TEXTS[0])
    assert "error: 'phone' is no name" in run("push", FOLDER / "bundle", "phone")[1]
