"""A bundle with fewer word pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from onetrunk.apps.app import App, save_app
from onetrunk.apps.engine import Engine
from onetrunk.bundle.export import Check, export, export_bundle
from onetrunk.bundle.parity import hostile_texts
from onetrunk.bundle.runtime import Runtime
from onetrunk.bundle.vocabulary import with_vocabulary_of
from onetrunk.cli import app as cli
from onetrunk.data.rows import LabelledText
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

TEXTS = ["call mum in new york", "the bank is open", "a café in zurich, now!"]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_the_texts_are_read_as_before(
    kind: str, make_backbone: Callable[..., Backbone], make_app: Callable[..., App], tmp_path: Path
) -> None:
    """Same tokens, same logits; and every character of any other text still has a piece."""
    backbone = make_backbone(kind)
    small = with_vocabulary_of(backbone, TEXTS)
    assert small.fingerprint == backbone.fingerprint
    full, few = (one.encoder.tokenizer for one in (backbone, small))
    assert len(few) < len(full) == backbone.encoder.token_embedding.num_embeddings
    assert small.encoder.token_embedding.num_embeddings == len(few)
    for text in TEXTS:
        assert full.tokenize(text) == few.tokenize(text)
        for special in ("[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"):
            assert special in few.get_vocab()
    for text in hostile_texts(30):
        if "\ud800" in text:
            continue
        assert full.tokenize(text).count("[UNK]") == few.tokenize(text).count("[UNK]")
    apps = {name: make_app(backbone, name) for name in ("calendar", "mood")}
    export_bundle(backbone, apps, tmp_path / "b", "fp32", smaller=small)
    engine = Engine(backbone, apps)
    wanted = engine.predict(TEXTS)
    for want, found in zip(wanted, Runtime(tmp_path / "b").predict(TEXTS), strict=True):
        assert found["apps"]["mood"]["labels"] == want["apps"]["mood"]["labels"]
        spans = [
            [(e["start"], e["end"], e["type"]) for e in one["apps"]["calendar"]["entities"]]
            for one in (want, found)
        ]
        assert spans[0] == spans[1]
    size = len((tmp_path / "b/trunk.onnx").read_bytes())
    export_bundle(backbone, apps, tmp_path / "full", "fp32")
    assert size < len((tmp_path / "full/trunk.onnx").read_bytes())


def test_the_most_frequent_pieces(tiny_backbone: Backbone) -> None:
    texts = ["bank bank bank call", "bank call mum"]
    few = with_vocabulary_of(tiny_backbone, texts, pieces=4)  # [CLS], [SEP], bank, call
    vocabulary = few.encoder.tokenizer.get_vocab()
    assert "bank" in vocabulary
    assert "mum" not in vocabulary


@pytest.mark.parametrize("vocabulary", [3, [3], {"a.txt": 1}])
def test_a_vocabulary_is_a_file_or_several(tmp_path: Path, vocabulary: Any) -> None:
    with pytest.raises(UserError, match=r"^vocabulary: a file of texts or a list of them"):
        export([], tmp_path / "bundle", vocabulary=vocabulary)


def test_checks_are_against_the_whole_vocabulary(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    """What spelling words anew costs is seen, and refused beyond the limit."""
    words = ["call", "met", "mum", "new", "york", "paris", "river", "bank", "play", "music"]
    texts = [f"{one} {other}" for one in words for other in words]
    engine = Engine(tiny_backbone, apps)
    found = engine.predict(texts, ["spam"])
    rows = [
        LabelledText(text, tuple(one["apps"]["spam"]["labels"]))
        for text, one in zip(texts, found, strict=True)
    ]
    small = with_vocabulary_of(tiny_backbone, ["."])
    check = {"spam": Check(rows, "rows")}
    with pytest.raises(UserError, match=r"falls from 100.00 to .* nothing was written"):
        export_bundle(tiny_backbone, apps, tmp_path / "b", "fp32", check, smaller=small)
    assert not (tmp_path / "b").exists()


def test_what_is_refused(tiny_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="no texts"):
        with_vocabulary_of(tiny_backbone, [])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE({"a": 0}, [])))
    other = replace(tiny_backbone, encoder=replace(tiny_backbone.encoder, tokenizer=tokenizer))
    with pytest.raises(UserError, match=r"is BPE: only a WordPiece vocabulary"):
        with_vocabulary_of(other, TEXTS)


def test_the_command(tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path) -> None:
    tiny_backbone.write(tmp_path / "backbone")
    (tmp_path / "spam").mkdir()
    save_app(apps["spam"], tiny_backbone, tmp_path / "spam")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    command = [
        "export", str(tmp_path / "backbone"), str(tmp_path / "spam"), "--out", str(tmp_path / "b"),
        "--vocabulary", str(tmp_path / "texts.txt"),
    ]  # fmt: skip
    ran = CliRunner().invoke(cli, command)
    assert ran.exit_code == 0, ran.output
    assert "of 120 word pieces" in ran.output
    manifest = json.loads((tmp_path / "b/bundle.json").read_text())
    assert manifest["pieces"] < 120
    assert Runtime(tmp_path / "b").predict(TEXTS)
    ran = CliRunner().invoke(cli, [*command[:4], str(tmp_path / "c"), "--pieces", "9"])
    assert ran.exit_code == 2
    assert "--pieces counts those of --vocabulary" in ran.output
