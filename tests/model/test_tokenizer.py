"""Words are cut at symbols that a vocabulary lacks, in every program that reads the tokenizer."""

import copy
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import onetrunk
from onetrunk.bundle.parity import hostile_texts
from onetrunk.data.alignment import encode_windows
from onetrunk.data.units import units_of
from onetrunk.model.backbone import Backbone
from onetrunk.model.tokenizer import with_symbols_apart

PIECES = ["[UNK]", "[CLS]", "[SEP]", "oslo", "eva", "5", "##°", "##c", "€", "100", "##€", "!"]


@pytest.fixture
def apart(tiny_tokenizer: PreTrainedTokenizerFast) -> Any:
    return with_symbols_apart(copy.deepcopy(tiny_tokenizer))


def word_piece(pieces: list[str]) -> PreTrainedTokenizerFast:
    model = models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def is_symbol(character: str) -> bool:
    return unicodedata.category(character)[0] == "S" or character in "\ufe0f\u20e3"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("oslo🎉", "oslo [UNK]"),
        ("oslo🎉🎊!", "oslo [UNK] !"),
        ("🎉oslo", "[UNK] oslo"),
        ("oslo❤️eva", "oslo [UNK] eva"),  # with a variation selector
        ("oslo₿eva", "oslo [UNK] eva"),
        ("🎉 🎉", "[UNK] [UNK]"),
        ("5°c 100€", "5 ##° ##c 100 ##€"),  # the vocabulary knows these
        ("oslo eva!", "oslo eva !"),
    ],
)
def test_what_is_cut(text: str, tokens: str) -> None:
    tokenizer = with_symbols_apart(word_piece(PIECES))
    assert tokenizer.tokenize(text) == tokens.split()


def test_a_vocabulary_without_symbols() -> None:
    tokenizer = with_symbols_apart(word_piece(["[UNK]", "a"]))
    assert tokenizer.tokenize("a+a a€a a🎉a") == ["a", "[UNK]", "a"] * 3


def test_other_texts_keep_their_tokens(tiny_tokenizer: PreTrainedTokenizerFast, apart: Any) -> None:
    texts = hostile_texts(3000, seed=5)
    before = encode_windows(tiny_tokenizer, texts, 24)
    changed = [
        text
        for text, old, new in zip(texts, before, encode_windows(apart, texts, 24), strict=True)
        if old != new
    ]
    assert all(any(map(is_symbol, unicodedata.normalize("NFD", text))) for text in changed)
    assert 0 < len(changed) < len(texts)


def test_a_name_beside_an_emoji_is_a_unit(apart: Any) -> None:
    text = "call eva🎉 now"
    (windows,) = encode_windows(apart, [text], 24)
    spans = units_of(text, windows).spans
    assert [text[start:end] for start, end in spans] == ["call", "eva", "🎉", "now"]


def test_it_is_cut_once(apart: Any) -> None:
    before = apart.backend_tokenizer.to_str()
    assert with_symbols_apart(apart) is apart
    assert apart.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("kind", ["bytes", "unigram"])
def test_other_tokenizers_stay(kind: str) -> None:
    if kind == "bytes":
        model: Any = models.BPE({"a": 0, "[UNK]": 1}, [], unk_token="[UNK]")
    else:
        model = models.Unigram([("[UNK]", 0.0), ("a", -1.0)], 0, False)
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert with_symbols_apart(tokenizer) is tokenizer
    assert json.loads(backend.to_str())["pre_tokenizer"]["type"] == "Metaspace"


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_folder_says_it_to_transformers(
    kind: str, tiny_encoder_folder: Callable[..., Path], tmp_path: Path
) -> None:
    encoder = tiny_encoder_folder(kind)
    before = json.loads((encoder / "tokenizer.json").read_text())
    backbone = Backbone.load(str(encoder))
    backbone.save(tmp_path / "b")
    assert json.loads((encoder / "tokenizer.json").read_text()) == before
    saved = AutoTokenizer.from_pretrained(tmp_path / "b")
    settings = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    given = AutoTokenizer.from_pretrained(encoder)
    assert saved.special_tokens_map == given.special_tokens_map
    for what in ("model_max_length", "padding_side", "model_input_names"):
        assert getattr(saved, what) == getattr(given, what)
    again = onetrunk.Backbone.load(tmp_path / "b").encoder.tokenizer
    for text in ["call eva🎉 now", *hostile_texts(200, seed=2)]:
        if not any("\ud800" <= character <= "\udfff" for character in text):
            tokens = backbone.encoder.tokenizer.tokenize(text)
            assert tokens == saved.tokenize(text) == again.tokenize(text)


def test_a_backbone_keeps_the_tokenizer_it_was_saved_with(
    tiny_encoder_folder: Callable[..., Path], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """Its apps were trained on these tokens."""
    backbone = Backbone.load(str(tiny_encoder_folder("bert")))
    backbone.encoder.tokenizer = copy.deepcopy(tiny_tokenizer)  # as of version 0.1.0
    backbone.save(tmp_path / "b")
    tokenizer = Backbone.load(tmp_path / "b").encoder.tokenizer
    assert tokenizer.tokenize("eva🎉") == ["[UNK]"]
