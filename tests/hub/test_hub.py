"""Pushing to a hub and loading from it: a fake one on loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

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


def test_sentence_transformers_opens_a_pushed_backbone(
    hub: Any, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    tiny_backbone.save(tmp_path / "b")
    push_to_hub(tmp_path / "b", "ann/b")
    want = embed(tiny_backbone, tiny_backbone.encoder, "fp32", TEXTS)
    model = sentence_transformers.SentenceTransformer("ann/b", device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(model.encode(TEXTS), want, atol=1e-5)


def test_a_card_is_what_the_hub_reads(hub: Any, tmp_path: Path, tiny_backbone: Backbone) -> None:
    tiny_backbone.save(tmp_path / "b")
    push_to_hub(tmp_path / "b", "ann/b")
    card = ModelCard.load("ann/b")
    assert card.data.library_name == "onetrunk"
    card.validate()
    assert hub.validated  # by the hub's client as it pushed, too
    for content in hub.validated:
        assert ModelCard(content).data.to_dict() == card.data.to_dict()


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
