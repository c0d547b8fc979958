"""The whole path on every kind of encoder, each with the kind of tokenizer that it comes with; the
forms in which its folder may come; and encoders that are taken for another kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch.testing import assert_close
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

import onetrunk
from onetrunk.apps.engine import Engine
from onetrunk.bundle.parity import difference, hostile_texts
from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.model.architecture import ARCHITECTURES
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder

LINES = ["call mum in New York", "Ann met Bob in Paris", "play some music by the river, Cid"] * 9
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.2,  # with the usual 0.02 so small a model hardly mixes its tokens
}
DISTILBERT = {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "initializer_range": 0.2}


def wordpiece(lowercase: bool = True, token_types: bool = True) -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    backend.train_from_iterator(LINES, trainer)
    around = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1" if token_types else "[CLS] $A [SEP] $B [SEP]"
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", pair, around)
    return backend


def byte_level() -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return backend


def unigram(special: tuple[str, ...] = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")) -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=[*special], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(LINES, trainer)
    around = [(token, backend.token_to_id(token)) for token in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> </s> $B </s>", around
    )
    return backend


CAMEMBERT = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>")
KINDS: dict[str, tuple[Any, dict[str, Any], Callable[[], Tokenizer]]] = {
    "bert": (BertConfig, SHAPE, wordpiece),
    "bert-cased": (BertConfig, SHAPE, lambda: wordpiece(lowercase=False)),
    "bert-one-type": (BertConfig, {**SHAPE, "type_vocab_size": 1}, lambda: wordpiece(True, False)),
    "bert-unigram": (BertConfig, {**SHAPE, "pad_token_id": 1}, unigram),  # as multilingual MiniLM
    "distilbert": (DistilBertConfig, DISTILBERT, lambda: wordpiece(True, False)),
    "electra": (ElectraConfig, {**SHAPE, "embedding_size": 16}, wordpiece),
    "roberta": (RobertaConfig, {**SHAPE, "type_vocab_size": 1}, byte_level),
    "xlm-roberta": (XLMRobertaConfig, {**SHAPE, "type_vocab_size": 1}, unigram),
    "camembert": (CamembertConfig, {**SHAPE, "type_vocab_size": 1}, lambda: unigram(CAMEMBERT)),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a random encoder of a kind. Copy it to change it."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            config_class, shape, tokenizer_of = KINDS[kind]
            backend = tokenizer_of()
            names = [backend.id_to_token(number) for number in range(5)]
            roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
            if "<pad>" in backend.get_vocab():
                names = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
            special = dict(zip(roles, names, strict=True))
            tokenizer = PreTrainedTokenizerFast(
                tokenizer_object=backend, model_max_length=64, **special
            )
            config = config_class(
                vocab_size=len(tokenizer),
                max_position_embeddings=66,
                **{"pad_token_id": tokenizer.pad_token_id, **shape},
            )
            folder = made[kind] = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                AutoModel.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return made[kind]

    return make


@pytest.fixture
def copy(folders: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: shutil.copytree(folders(kind), tmp_path / "copy")


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] if kind.startswith("bert-") else [])
        for kind in KINDS
    ],
)
def test_the_whole_path(
    folders: Callable[[str], Path], corpora: Path, tmp_path: Path, kind: str
) -> None:
    """Pre-finetune for three steps, adapt a head alone and a LoRA, export; the device answers as
    PyTorch does, on difficult texts too. On BERT, both for two families."""
    encoder = folders(kind)
    source = {"ner": "pre_ner/a", "tc": "pre_pairs/c"}
    recipe = {
        "encoder": str(encoder),
        "steps": 3,
        "k": 2,
        "precision": "fp32",
        "families": {
            name: {"batch_size": 4, "sources": [{"path": str(corpora / path)}]}
            for name, path in source.items()
        },
    }
    before = load_encoder(str(encoder)).fingerprint()
    backbone = onetrunk.prefinetune(Recipe.model_validate(recipe), tmp_path / "backbone")
    assert backbone.fingerprint != before
    apps = {}
    pairs = [("ner", "linear"), ("tc", "lora")]
    pairs += [("tc", "linear"), ("ner", "lora")] * (kind == "bert")
    for family, adapter in pairs:
        name = f"{family}-{adapter}"
        app = onetrunk.adapt(
            backbone, family, str(corpora / family / "app"), adapter=adapter, epochs=2
        )
        app.save(tmp_path / name)
        apps[name] = tmp_path / name
    engine = onetrunk.load(*apps.values())
    assert isinstance(engine, Engine)
    onetrunk.export([*apps.values()], tmp_path / "bundle")
    runtime = onetrunk.load(tmp_path / "bundle")
    texts = [*LINES[:3], *hostile_texts(20, seed=3), ""]
    assert difference(engine, runtime, texts) < 1e-4
    for one, other in zip(engine.predict(texts), runtime.predict(texts), strict=True):
        for name, answer in one["apps"].items():
            if "entities" in answer:
                spans = [(e["start"], e["end"], e["text"]) for e in answer["entities"]]
                found = other["apps"][name]["entities"]
                assert spans == [(e["start"], e["end"], e["text"]) for e in found]
                assert all(one["text"][start:end] == text for start, end, text in spans)
            else:
                assert answer["labels"] == other["apps"][name]["labels"]


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_transformers(folders: Callable[[str], Path], kind: str) -> None:
    """For texts as the tokenizer gives them, with its token types if it has some."""
    folder = folders(kind)
    encoder = load_encoder(str(folder))
    model, tokenizer = (
        AutoModel.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    texts = ["Ann met Bob in New York", "music", "日本 naïve 😀 call"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        want = model(**inputs).last_hidden_state
        lengths = inputs["attention_mask"].sum(1).tolist()
        ids = [row[:n].tolist() for row, n in zip(inputs["input_ids"], lengths, strict=True)]
        states, _ = encoder.packed(ids)
    for row, length in enumerate(lengths):
        assert_close(states[row, :length], want[row, :length], atol=1e-5, rtol=0)


def test_upper_case_is_seen_by_cased_tokenizers_alone(folders: Callable[[str], Path]) -> None:
    for kind, differ in {"bert": False, "bert-cased": True, "roberta": True}.items():
        tokenizer = load_encoder(str(folders(kind))).tokenizer
        assert (tokenizer("Ann").input_ids != tokenizer("ann").input_ids) == differ, kind


# ------------------------------------------------------------------- forms of one folder


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_sharded_weights(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    whole = load_encoder(str(folder)).fingerprint()
    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert load_encoder(str(folder)).fingerprint() == whole
    backbone = Backbone.load(folder)
    backbone.save(folder.parent / "backbone")
    assert Backbone.load(folder.parent / "backbone").fingerprint == whole
    shards[1].unlink()
    with pytest.raises(UserError, match=r"^[^\n]*model-00002-of-[^\n]*$"):
        load_encoder(str(folder))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_it_is(copy: Callable[[str], Path], dtype: torch.dtype) -> None:
    """Every weight is the float32 of what the file holds."""
    folder = copy("bert")
    AutoModel.from_pretrained(folder).to(dtype).save_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    encoder = load_encoder(str(folder))
    for name, weight in encoder.model.state_dict().items():
        if name in stored:
            assert weight.dtype == torch.float32
            assert torch.equal(weight, stored[name].float()), name


def test_no_pooler(copy: Callable[[str], Path]) -> None:
    folder = copy("bert")
    whole = load_encoder(str(folder)).fingerprint()
    path = folder / "model.safetensors"
    kept = {name: t for name, t in load_file(path).items() if not name.startswith("pooler.")}
    save_file(kept, path, {"format": "pt"})
    encoder = load_encoder(str(folder))
    assert encoder.model.pooler is None
    assert encoder.fingerprint() == whole


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_vocabulary_in_place_of_a_fast_tokenizer(
    copy: Callable[[str], Path], lowercase: bool
) -> None:
    """``vocab.txt`` alone, as older BERTs have it: ``do_lower_case`` says what is done to case."""
    folder = copy("bert" if lowercase else "bert-cased")
    whole = load_encoder(str(folder)).tokenizer
    pieces = sorted(whole.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece, _ in pieces))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    says = {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase}
    (folder / "tokenizer_config.json").write_text(json.dumps(says))
    encoder = load_encoder(str(folder))
    assert isinstance(AutoTokenizer.from_pretrained(folder), BertTokenizer)
    assert encoder.tokenizer.is_fast
    for text in (*LINES[:3], "Zürich ann's 日本"):
        assert encoder.tokenizer(text).input_ids == whole(text).input_ids


# ------------------------------------------------------------------- taken for another kind


def test_bert_that_says_it_is_roberta(copy: Callable[[str], Path]) -> None:
    """Its weights have the same names: it would load, and read every text at wrong positions."""
    folder = copy("bert")
    edit_json(folder / "config.json", model_type="roberta", architectures=["RobertaModel"])
    with pytest.raises(UserError, match=r"model_type 'roberta'.*weights are those of a BERT"):
        load_encoder(str(folder))


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
def test_roberta_that_says_it_is_bert(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    edit_json(folder / "config.json", model_type="bert", architectures=["BertModel"])
    with pytest.raises(UserError, match=r"model_type 'bert'.*weights are those of a RoBERTa"):
        load_encoder(str(folder))


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
def test_relatives_of_roberta_compute_alike(copy: Callable[[str], Path], kind: str) -> None:
    """So it does no harm which of their names a folder has."""
    folder = copy(kind)
    ids = [[0, 7, 8, 9, 2], [0, 5, 2]]
    want, _ = load_encoder(str(folder)).packed(ids)
    for name in ("roberta", "xlm-roberta", "camembert"):
        edit_json(folder / "config.json", model_type=name)
        assert torch.equal(load_encoder(str(folder)).packed(ids)[0], want)


def test_what_is_not_supported_says_why(tmp_path: Path, folders: Callable[[str], Path]) -> None:
    config = ModernBertConfig(
        vocab_size=120, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=48, pad_token_id=0,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folders("bert")).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"'modernbert'.*rotary positions and local attention"):
        load_encoder(str(tmp_path))
    with pytest.raises(UserError, match=r"'modernbert'.*rotary positions and local attention"):
        onetrunk.adapt(str(tmp_path), "tc", train=[("a b", "x"), ("c d", "y")])


def test_every_supported_kind_is_tested() -> None:
    assert {config.model_type for config, _, _ in KINDS.values()} == {*ARCHITECTURES}
