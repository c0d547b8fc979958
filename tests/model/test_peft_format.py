from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from onetrunk.errors import UserError
from onetrunk.model.architecture import TARGETS
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.peft_files import CONFIG, WEIGHTS
from onetrunk.model.peft_format import load_peft, save_peft

KEY = "base_model.model.encoder.layer.1.attention.self.query.lora_A.weight"


@pytest.fixture
def folder(tiny_encoder: Encoder, random_adapter: Any, tmp_path: Path) -> Path:
    save_peft(random_adapter(tiny_encoder, k=2, rank=4), tiny_encoder, tmp_path / "adapter")
    return tmp_path / "adapter"


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


def test_round_trip_is_exact(tiny_encoder: Encoder, random_adapter: Any, tmp_path: Path) -> None:
    want = random_adapter(tiny_encoder, k=2, rank=3, alpha=5.0, rslora=True)
    save_peft(want, tiny_encoder, tmp_path)
    got = load_peft(tmp_path, tiny_encoder)
    assert (got.rank, got.alpha, got.rslora) == (3, 5.0, True)
    assert got.matrices.keys() == want.matrices.keys()
    for place, pair in want.matrices.items():
        assert all(map(torch.equal, got.matrices[place], pair))
    assert json.loads((tmp_path / CONFIG).read_text())["peft_type"] == "LORA"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only LORA"),
        ({"peft_type": None}, "peft_type is None; only LORA"),
        ({"use_dora": True}, "use_dora = True is not supported"),
        ({"lora_bias": True}, "lora_bias = True is not supported"),
        ({"rank_pattern": {"query": 8}}, "rank_pattern = {'query': 8} is not supported"),
        ({"alpha_pattern": {"query": 8}}, "alpha_pattern = .* is not supported"),
        ({"modules_to_save": ["classifier"]}, "modules_to_save = .* is not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out = True is not supported"),
        ({"layer_replication": [[0, 2]]}, "layer_replication = .* is not supported"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices = .* is not supported"),
        ({"bias": "all"}, "bias = 'all' is not supported"),
        ({"bias": "lora_only"}, "bias = 'lora_only' is not supported"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa' changes the encoder"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = 'pissa_niter_4' changes"),
        ({"init_lora_weights": "OLoRA"}, "init_lora_weights = 'OLoRA' changes the encoder"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights = 'loftq' changes the encoder"),
        ({"r": None}, "'r' is missing or not a number"),
        ({"r": "four"}, "'r' is missing or not a number"),
        ({"lora_alpha": None}, "'lora_alpha' is missing or not a number"),
        ({"r": 8}, r"is \(4, 32\), expected \(8, 32\)"),
    ],
)
def test_what_is_not_plain_lora_is_refused(
    folder: Path, tiny_encoder: Encoder, change: dict[str, Any], message: str
) -> None:
    load_peft(folder, tiny_encoder)
    edit_config(folder, **change)
    with pytest.raises(UserError, match=message):
        load_peft(folder, tiny_encoder)


@pytest.mark.parametrize(
    "change",
    [
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
        {"rank_pattern": {}},
        {"modules_to_save": None},
        {"a_key_of_the_future": None},
    ],
)
def test_what_changes_nothing_is_accepted(
    folder: Path, tiny_encoder: Encoder, change: dict[str, Any]
) -> None:
    edit_config(folder, **change)
    assert load_peft(folder, tiny_encoder).rank == 4


@pytest.mark.parametrize(
    ("name", "shape"),
    [(KEY, (4, 31)), (KEY, (32, 4)), (KEY.replace("lora_A", "lora_B"), (4, 32))],
)
def test_a_tensor_of_another_shape_is_refused(
    folder: Path, tiny_encoder: Encoder, name: str, shape: tuple[int, int]
) -> None:
    edit_weights(folder, lambda tensors: tensors.update({name: torch.zeros(shape)}))
    with pytest.raises(UserError, match=r"expected .* made for another encoder"):
        load_peft(folder, tiny_encoder)


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.encoder.layer.3.attention.self.query.lora_A.weight",  # no such layer
        "base_model.model.encoder.layer.1.attention.self.qkv.lora_A.weight",
        "base_model.model.pooler.dense.lora_A.weight",
        "base_model.model.embeddings.word_embeddings.lora_embedding_A",
        "base_model.model.encoder.layer.1.attention.self.query.lora_magnitude_vector.weight",
        "encoder.layer.1.attention.self.query.lora_A.weight",
        "base_model.model.classifier.weight",
    ],
)
def test_a_tensor_without_a_place_is_refused(folder: Path, tiny_encoder: Encoder, key: str) -> None:
    edit_weights(folder, lambda tensors: tensors.update({key: torch.zeros(4, 32)}))
    with pytest.raises(UserError, match=f"{key} has no place on encoder"):
        load_peft(folder, tiny_encoder)


@pytest.mark.parametrize(("gone", "left"), [("lora_B", "lora_A"), ("lora_A", "lora_B")])
def test_half_a_pair_is_refused(folder: Path, tiny_encoder: Encoder, gone: str, left: str) -> None:
    edit_weights(folder, lambda tensors: tensors.pop(KEY.replace("lora_A", gone)))
    with pytest.raises(UserError, match=rf"\(1, 'query'\) has only {left}"):
        load_peft(folder, tiny_encoder)


def test_no_matrices_at_all_is_refused(folder: Path, tiny_encoder: Encoder) -> None:
    edit_weights(folder, lambda tensors: tensors.clear())
    with pytest.raises(UserError, match="holds no LoRA matrices"):
        load_peft(folder, tiny_encoder)


def test_an_adapter_for_another_architecture_is_refused(
    folder: Path, tiny_encoder_folder: Callable[..., Path]
) -> None:
    other = load_encoder(str(tiny_encoder_folder("distilbert")))
    with pytest.raises(UserError, match="has no place on encoder"):
        load_peft(folder, other)


def test_missing_and_damaged_files_are_errors(folder: Path, tiny_encoder: Encoder) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    for content in (whole[:-8], b"", b"garbage"):
        (folder / WEIGHTS).write_bytes(content)
        with pytest.raises(UserError, match=f"{WEIGHTS} is damaged"):
            load_peft(folder, tiny_encoder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=f"has no {WEIGHTS}"):
        load_peft(folder, tiny_encoder)
    for content in ("{", "[1]", ""):
        (folder / CONFIG).write_text(content)
        with pytest.raises(UserError, match=f"{CONFIG} is damaged"):
            load_peft(folder, tiny_encoder)
    (folder / CONFIG).unlink()
    with pytest.raises(UserError, match=f"is not a PEFT adapter folder: it has no {CONFIG}"):
        load_peft(folder, tiny_encoder)


def test_a_pickled_adapter_is_not_read(folder: Path, tiny_encoder: Encoder) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=f"has no {WEIGHTS}"):
        load_peft(folder, tiny_encoder)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_an_adapter_trained_on_a_task_model_loads(
    tiny_encoder_folder: Callable[..., Path], random_batch: Any, tmp_path: Path, kind: str
) -> None:
    folder = tiny_encoder_folder(kind)
    encoder = load_encoder(str(folder))
    names = encoder.architecture.targets
    task = AutoModelForTokenClassification.from_pretrained(folder)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=[names["query"], names["ffn_up"]])
    model = get_peft_model(task, config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(tmp_path)
    # One name deeper than on the bare encoder: base_model.model.bert.encoder…
    prefix = f"base_model.model.{task.base_model_prefix}.{encoder.architecture.layers}."
    assert all(key.startswith(prefix) for key in load_file(tmp_path / WEIGHTS))
    adapter = load_peft(tmp_path, encoder)
    assert adapter.layers == [0, 1, 2]
    assert adapter.targets == ["query", "ffn_up"]
    ids, mask = random_batch(encoder, [7, 7])
    stack = LoraStack(encoder, {"x": adapter})
    with torch.no_grad(), stack.route(stack.slots(["x"])):
        got = encoder.states(ids, mask)
    with torch.no_grad():
        inner = getattr(model.base_model.model, task.base_model_prefix)
        want = inner(input_ids=ids, attention_mask=mask).last_hidden_state
    assert_close(got, want, atol=1e-5, rtol=0)


def test_an_adapter_with_a_trained_classifier_is_refused(
    tiny_encoder_folder: Callable[..., Path], tiny_encoder: Encoder, tmp_path: Path
) -> None:
    task = AutoModelForSequenceClassification.from_pretrained(tiny_encoder_folder("bert"))
    config = LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
    get_peft_model(task, config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="modules_to_save"):
        load_peft(tmp_path, tiny_encoder)


def test_half_precision_matrices_load_as_fp32(folder: Path, tiny_encoder: Encoder) -> None:
    edit_weights(folder, lambda t: t.update({key: value.bfloat16() for key, value in t.items()}))
    adapter = load_peft(folder, tiny_encoder)
    assert {m.dtype for pair in adapter.matrices.values() for m in pair} == {torch.float32}
    assert adapter.targets == list(TARGETS)
