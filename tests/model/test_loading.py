"""Where an encoder is looked for, and what is refused. No test asks a hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoTokenizer

from onetrunk.corpora.teacher import load_teacher
from onetrunk.errors import UserError
from onetrunk.model import loading
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that a hub was asked; it cannot be reached."""
    questions: list[str] = []

    def unreachable(url: str) -> None:
        questions.append(url)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(loading, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(loading, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(loading, "is_offline_mode", lambda: False)
    return questions


@pytest.fixture
def copy(tiny_encoder_folder: Any, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_encoder_folder("bert"), tmp_path / "copy")


def model_folder(path: Path, name: str = "config.json") -> None:
    path.mkdir(parents=True)
    (path / name).write_text("{}")


# ----------------------------------------------------------------------------- a path or a hub name


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("runs/tpl", "runs/demo/tpl"),  # runs exists, so this is no name of a hub
        ("runs/jiont", "runs/joint"),
        ("./runs/tpl", "runs/demo/tpl"),
        ("runs/demo/tlp", "runs/demo/tpl"),
        ("runs/demo/tpl/", None),
        ("run/demo/tpl", None),
    ],
)
@pytest.mark.parametrize("load", [Backbone.load, load_encoder, load_teacher])
def test_a_path_that_does_not_exist_is_said_at_once(
    here: Path, asked: list[str], load: Callable[[str], Any], name: str, suggestion: str | None
) -> None:
    for path in ("runs/demo/tpl", "runs/joint"):
        model_folder(here / path)
    (here / "runs/tpl.checkpoints").mkdir()  # no model
    model_folder(here / "runs/.tpl.abc.partial")
    if name.startswith("runs/demo/tpl/"):
        name = "runs/demo/deep/tpl/"
    with pytest.raises(UserError) as error:
        load(name)
    said = str(error.value)
    assert said.startswith(f"no such folder: {name}")
    assert (f"; did you mean {suggestion}?" in said) == (suggestion is not None)
    assert asked == []


def test_a_sibling_is_suggested_for_a_single_word(here: Path, asked: list[str]) -> None:
    model_folder(here / "runs/tpl")
    with pytest.raises(UserError, match=r"no such folder: tpl, nor .*; did you mean runs/tpl\?$"):
        Backbone.load("tpl")
    assert len(asked) == 1  # it might have been a model of a hub


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "sentence-transformers/a.b-c_d"])
def test_a_hub_is_asked_once_and_the_error_says_both(
    here: Path, asked: list[str], name: str
) -> None:
    with pytest.raises(UserError) as error:
        Backbone.load(name)
    assert str(error.value) == (
        f"no such folder: {name}, nor such a model at the hub (Name or service not known)"
    )
    (url,) = asked
    assert url.endswith(f"/{name}/resolve/main/config.json")


@pytest.mark.parametrize(
    "name", ["a/b/c", "/no/such/folder", "../nothing", "~/nothing", ".", "a b"]
)
def test_what_cannot_be_a_name_of_a_hub_is_not_asked_for(
    here: Path, asked: list[str], name: str
) -> None:
    with pytest.raises(UserError, match=r"no such folder: |has no config\.json"):
        load_encoder(name)
    assert asked == []


@pytest.mark.parametrize("name", ["nothing--at-all", "nothing..at"])
def test_a_name_that_the_hub_forbids(here: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"no such folder: {name}, nor such a model at the hub"):
        load_encoder(name)


def test_offline_no_hub_is_asked(
    here: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "is_offline_mode", lambda: True)
    with pytest.raises(UserError, match=r"no such folder: nobody/nothing, .*HF_HUB_OFFLINE is set"):
        load_encoder("nobody/nothing")
    assert asked == []


def test_what_the_hubs_cache_holds_needs_no_network(
    here: Path, asked: list[str], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "try_to_load_from_cache", lambda *_: str(copy / "config.json"))
    assert loading._locate("nobody/something", "encoder") == "nobody/something"
    assert asked == []


def test_a_folder_without_a_model_is_named(here: Path, asked: list[str]) -> None:
    model_folder(here / "runs/tpl")
    model_folder(here / "apps/dish", "app.json")
    with pytest.raises(UserError, match=r"^runs is no encoder folder: it has no config\.json"):
        load_encoder("runs")
    with pytest.raises(UserError, match=r"^apps/dish is no encoder folder: it has no config\.json"):
        Backbone.load("apps/dish")
    (here / "file").touch()
    with pytest.raises(UserError, match=r"^no such folder: file$"):
        load_encoder("file")
    assert asked == []


# ------------------------------------------------------------------------------- adapters, tokens


def test_an_adapter_beside_the_weights_is_refused(copy: Path) -> None:
    """transformers would apply it in silence: the result has no linear maps where LoRA goes."""
    torch.manual_seed(0)
    model = get_peft_model(
        AutoModel.from_pretrained(copy),
        LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False),
    )
    model.save_pretrained(copy)
    assert (copy / "adapter_config.json").exists()
    for load in (load_encoder, load_teacher, Backbone.load):
        with pytest.raises(UserError, match=r"carries a PEFT adapter \(adapter_config\.json\)"):
            load(str(copy))
    (copy / "adapter_config.json").unlink()
    assert load_encoder(str(copy)).depth == 3


def test_an_adapter_that_only_transformers_sees_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hub's repository nothing is known before it is loaded."""
    torch.manual_seed(0)
    get_peft_model(
        AutoModel.from_pretrained(copy), LoraConfig(r=2, target_modules=["query"])
    ).save_pretrained(copy)
    monkeypatch.setattr(loading, "_locate", lambda name, role: name)
    with pytest.raises(UserError, match="carries a PEFT adapter"):
        load_encoder(str(copy))


@pytest.mark.parametrize("words", [["parcelzz"], ["[E1]", "parcelzz", "tracking7"]])
def test_a_tokenizer_with_more_entries_than_the_embedding_is_refused(
    copy: Path, words: list[str]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copy)
    rows = json.loads((copy / "config.json").read_text())["vocab_size"]
    assert len(tokenizer) == rows
    tokenizer.add_tokens(words)
    tokenizer.save_pretrained(copy)
    for load in (load_encoder, load_teacher, Backbone.load):
        with pytest.raises(UserError) as error:
            load(str(copy))
        assert f"the tokenizer has {rows + len(words)} entries" in str(error.value)
        assert f"the embedding only {rows}" in str(error.value)
    model = AutoModel.from_pretrained(copy)
    model.resize_token_embeddings(rows + 5)  # a larger embedding is no fault
    model.save_pretrained(copy)
    assert load_encoder(str(copy)).token_embedding.num_embeddings == rows + 5
