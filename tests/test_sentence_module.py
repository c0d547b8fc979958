"""Backbones in sentence-transformers: the vectors are those of ``embed``, or the door is shut."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onetrunk
from onetrunk import cli
from onetrunk.apps.embedding import embed
from onetrunk.bundle.sentence_folder import export_sentence_transformers
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder

pytest.importorskip("sentence_transformers")
from sentence_transformers import SentenceTransformer

TEXTS = ["call mum in new york", "", "play music, paris! 日本", "?", "met mum"]
LONG = " ".join(["call mum in new york now"] * 40)


def opened(folder: object) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)


def vectors(backbone: Backbone, texts: list[str]) -> np.ndarray:
    return embed(backbone, backbone.encoder, "fp32", texts)


@pytest.fixture(params=["bert", "distilbert", "roberta", "electra"])
def any_backbone(
    request: pytest.FixtureRequest, tiny_encoder_folder: Any, random_adapter: Any
) -> Backbone:
    encoder = load_encoder(str(tiny_encoder_folder(request.param)))
    encoder.freeze()
    return Backbone(encoder, 2, {"tc": random_adapter(encoder, seed=3)})


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_backbone_embeds_as_embed_does(
    any_backbone: Backbone, tmp_path: Path, pooling: Any
) -> None:
    any_backbone.pooling = pooling
    any_backbone.save(tmp_path / "b")
    want = vectors(any_backbone, [*TEXTS, LONG])
    found = opened(tmp_path / "b").encode([*TEXTS, LONG], batch_size=2)
    np.testing.assert_allclose(found, want, atol=1e-5)
    bare = vectors(Backbone(any_backbone.encoder, 2, pooling=pooling), TEXTS)
    assert np.abs(bare - want[: len(TEXTS)]).max() > 1e-2  # the LoRA does something


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_export_needs_no_onetrunk(any_backbone: Backbone, tmp_path: Path, pooling: Any) -> None:
    any_backbone.pooling = pooling
    before = any_backbone.encoder.fingerprint()
    export_sentence_transformers(any_backbone, tmp_path / "sentences")
    assert any_backbone.encoder.fingerprint() == before
    model = SentenceTransformer(str(tmp_path / "sentences"), device="cpu")
    assert {type(module).__module__.split(".")[0] for module in model} == {"sentence_transformers"}
    np.testing.assert_allclose(model.encode(TEXTS), vectors(any_backbone, TEXTS), atol=1e-5)
    assert model.max_seq_length == any_backbone.encoder.max_length
    found = model.encode(LONG)  # cut at one window, as its card says
    assert np.abs(found - vectors(any_backbone, [LONG])[0]).max() > 1e-3
    metadata = (tmp_path / "sentences/README.md").read_text()
    assert 'library_name: "sentence-transformers"' in metadata
    assert f"first {any_backbone.encoder.max_length} tokens" in metadata


def test_without_trust_the_door_is_shut(tiny_backbone: Backbone, tmp_path: Path) -> None:
    """What opened it by its own classes would leave the LoRA out."""
    tiny_backbone.save(tmp_path / "b")
    with pytest.raises(ValueError, match=r"(?s)onetrunk\.sentence_module.*trust_remote_code=True"):
        SentenceTransformer(str(tmp_path / "b"), device="cpu")


def test_without_a_primary_lora(tiny_backbone: Backbone, tmp_path: Path) -> None:
    bare = Backbone(tiny_backbone.encoder, 2)
    bare.save(tmp_path / "b")
    want = vectors(bare, TEXTS)
    np.testing.assert_allclose(opened(tmp_path / "b").encode(TEXTS), want, atol=1e-5)
    export_sentence_transformers(bare, tmp_path / "e")
    np.testing.assert_allclose(opened(tmp_path / "e").encode(TEXTS), want, atol=1e-5)


def test_prefixes_are_prompts(tiny_backbone: Backbone, tmp_path: Path) -> None:
    """``encode`` adds nothing; queries and documents get what stage 1 put before them."""
    tiny_backbone.record = {"data": {"tc": {"query_prefix": "ask: ", "passage_prefix": "is: "}}}
    tiny_backbone.save(tmp_path / "b")
    export_sentence_transformers(tiny_backbone, tmp_path / "e")
    for folder in (tmp_path / "b", tmp_path / "e"):
        model = opened(folder)
        for encode, prefix in (
            (model.encode, ""), (model.encode_query, "ask: "), (model.encode_document, "is: "),
        ):  # fmt: skip
            want = vectors(tiny_backbone, [prefix + text for text in TEXTS])
            np.testing.assert_allclose(encode(TEXTS), want, atol=1e-5)


def test_moved_and_saved_again(tiny_backbone: Backbone, tmp_path: Path) -> None:
    tiny_backbone.save(tmp_path / "b")
    want = vectors(tiny_backbone, [*TEXTS, LONG])
    shutil.move(tmp_path / "b", tmp_path / "other place")
    model = opened(tmp_path / "other place")
    model.prompts["query"] = "ask: "
    model.save(str(tmp_path / "again"))
    assert opened(tmp_path / "again").prompts["query"] == "ask: "
    assert Backbone.load(tmp_path / "again").fingerprint == tiny_backbone.fingerprint
    for name in ("other place", "again"):
        np.testing.assert_allclose(opened(tmp_path / name).encode([*TEXTS, LONG]), want, atol=1e-5)


def test_what_sentence_transformers_offers(tiny_backbone: Backbone, tmp_path: Path) -> None:
    tiny_backbone.save(tmp_path / "b")
    model, want = opened(tmp_path / "b"), vectors(tiny_backbone, TEXTS)
    assert model.get_embedding_dimension() == want.shape[1]
    np.testing.assert_allclose(model.encode(TEXTS[0]), want[0], atol=1e-5)
    unit = want / np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS, normalize_embeddings=True), unit, atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS, truncate_dim=8), want[:, :8], atol=1e-5)
    likeness = model.similarity(model.encode(TEXTS[:1]), model.encode(TEXTS)).numpy()
    np.testing.assert_allclose(likeness, unit[:1] @ unit.T, atol=1e-5)
    assert model.encode([]).size == 0
    with pytest.raises(UserError, match="reads texts whole"):
        model.max_seq_length = 16
    with pytest.raises(UserError, match=r"item 1 \(counted from 0\) is None"):
        model.encode(["a", None])  # type: ignore[list-item]


def test_what_is_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    tiny_backbone.save(tmp_path / "b")
    path, trust = str(tmp_path / "b"), {"trust_remote_code": True, "device": "cpu"}
    with pytest.raises(UserError, match="backend 'torch', not 'onnx'"):
        SentenceTransformer(path, backend="onnx", **trust)
    with pytest.raises(UserError, match="takes no model_kwargs"):
        SentenceTransformer(path, model_kwargs={"dtype": "float16"}, **trust)
    shutil.rmtree(tmp_path / "b/primary/tc")
    with pytest.raises(UserError, match="tc is not a PEFT adapter folder"):
        SentenceTransformer(path, **trust)


def test_by_the_command_line(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["onetrunk", "export", *map(str, arguments)])
        with pytest.raises(SystemExit):
            cli.main()
        return str(capsys.readouterr().err)

    tiny_backbone.save(tmp_path / "b")
    out, form = tmp_path / "e", "--sentence-transformers"
    assert "name the apps to export" in run(tmp_path / "b", "--out", out)
    assert "leave apps" in run(tmp_path / "b", tmp_path / "b", form, "--out", out)
    assert "leave --int8" in run(tmp_path / "b", form, "--int8", "--out", out)
    assert "give one of them" in run(tmp_path / "b", form, "--merged", "--out", out)
    assert not out.exists()
    assert "wrote" in run(tmp_path / "b", form, "--out", out)
    assert "already exists" in run(tmp_path / "b", form, "--out", out)
    assert "wrote" in run(tmp_path / "b", form, "--out", out, "--overwrite")
    refused = run(tmp_path / "b", form, "--out", tmp_path / "b", "--overwrite")
    assert "is a backbone, which is not replaced" in refused
    want = onetrunk.Backbone.load(tmp_path / "b")
    np.testing.assert_allclose(opened(out).encode(TEXTS), vectors(want, TEXTS), atol=1e-5)
