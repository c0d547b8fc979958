from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoModel, AutoTokenizer

from onetrunk.data.alignment import encode
from onetrunk.errors import UserError
from onetrunk.model.backbone import RECORD, Backbone
from onetrunk.model.lora_stack import LoraStack

TEXTS = ["call mum in new york", "", "play music, paris!"]


@pytest.fixture
def folder(tiny_backbone: Backbone, tmp_path: Path) -> Path:
    tiny_backbone.record = {"strategy": "tpl", "data": {"ner": {"sources": []}}}
    tiny_backbone.save(tmp_path / "backbone")
    return tmp_path / "backbone"


def edit_record(folder: Path, **changes: Any) -> None:
    """Change values of a record, as if it were of a time before seals."""
    changes = {"seal": ..., "files": ..., **changes}
    record = json.loads((folder / RECORD).read_text())
    record = {key: value for key, value in {**record, **changes}.items() if value is not ...}
    (folder / RECORD).write_text(json.dumps(record))


def hidden(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(input_ids=batch[0], attention_mask=batch[1]).last_hidden_state


def test_round_trip(tiny_backbone: Backbone, folder: Path, random_batch: Any) -> None:
    again = Backbone.load(folder)
    assert (again.k, again.pooling) == (tiny_backbone.k, tiny_backbone.pooling)
    assert again.fingerprint == tiny_backbone.fingerprint == again.encoder.fingerprint()
    assert list(again.primary_loras) == ["ner", "tc"]
    for family, adapter in tiny_backbone.primary_loras.items():
        loaded = again.primary_loras[family]
        assert (loaded.rank, loaded.alpha) == (adapter.rank, adapter.alpha)
        assert loaded.matrices.keys() == adapter.matrices.keys()
        for place, pair in adapter.matrices.items():
            assert all(map(torch.equal, loaded.matrices[place], pair))
    assert again.record["strategy"] == "tpl"
    assert again.encoder.source == str(folder)
    batch = random_batch(again.encoder, [6, 3])
    with torch.no_grad():
        assert torch.equal(again.encoder.states(*batch), tiny_backbone.encoder.states(*batch))


def test_saving_is_whole_or_not_at_all(
    tiny_backbone: Backbone, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny_backbone.encoder.source == str(folder)  # where apps will look for it
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="already exists"):
        tiny_backbone.save(folder)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("onetrunk.model.backbone.save_peft", fail)
        with pytest.raises(KeyboardInterrupt):
            tiny_backbone.save(folder, overwrite=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    tiny_backbone.save(str(folder), overwrite=True)
    assert Backbone.load(str(folder)).fingerprint == tiny_backbone.fingerprint


def test_cls_pooling_is_remembered(tiny_backbone: Backbone, tmp_path: Path) -> None:
    tiny_backbone.pooling = "cls"
    tiny_backbone.save(tmp_path / "b")
    assert Backbone.load(tmp_path / "b").pooling == "cls"


def test_the_folder_is_a_transformers_model(
    tiny_backbone: Backbone, folder: Path, random_batch: Any
) -> None:
    batch = random_batch(tiny_backbone.encoder, [9, 4, 1])
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        want = tiny_backbone.encoder.states(*batch)
    real = batch[1].bool()
    assert_close(hidden(model, batch)[real], want[real], atol=1e-6, rtol=0)
    ours = [list(text.ids) for text in encode(tiny_backbone.encoder.tokenizer, TEXTS, 64)]
    assert AutoTokenizer.from_pretrained(folder)(TEXTS)["input_ids"] == ours
    assert not list(folder.rglob("*.bin"))


@pytest.mark.parametrize("family", ["ner", "tc"])
def test_primaries_are_peft_adapters(
    tiny_backbone: Backbone, folder: Path, random_batch: Any, family: str
) -> None:
    batch = random_batch(tiny_backbone.encoder, [9, 4, 1])
    model = PeftModel.from_pretrained(
        AutoModel.from_pretrained(folder), folder / "primary" / family
    ).eval()
    got = hidden(model, batch)
    encoder = tiny_backbone.encoder
    stack = LoraStack(encoder, tiny_backbone.primary_loras)
    real = batch[1].bool()
    with torch.no_grad():
        bare = encoder.states(*batch)
        with stack.route(stack.slots([family])):
            want = encoder.states(*batch)
    assert_close(got[real], want[real], atol=1e-5, rtol=0)
    assert (bare - want)[real].abs().max() > 1e-2


def test_the_folder_does_not_depend_on_what_was_tokenised_last(
    tiny_backbone: Backbone, folder: Path, tmp_path: Path
) -> None:
    encode(tiny_backbone.encoder.tokenizer, TEXTS, 8)
    tiny_backbone.save(tmp_path / "later")
    first, later = (
        json.loads((place / "tokenizer.json").read_text()) for place in (folder, tmp_path / "later")
    )
    assert later["truncation"] is None
    assert later == first


@pytest.mark.parametrize(
    "key", ["encoder.layer.2.output.dense.weight", "embeddings.word_embeddings.weight"]
)
def test_tampered_weights_are_refused(folder: Path, key: str) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors[key][3, 3] += 1e-3
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model.safetensors is not the file that was written"):
        Backbone.load(folder)
    edit_record(folder)
    with pytest.raises(UserError, match=r"weights are not those .*\(fingerprint "):
        Backbone.load(folder)


@pytest.mark.parametrize(
    "file", ["tokenizer.json", "config.json", "primary/ner/adapter_config.json"]
)
def test_a_changed_file_is_refused(folder: Path, file: str) -> None:
    path = folder / file
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match=f"{file} is not the file that was written"):
        Backbone.load(folder)


def test_a_file_that_was_added_is_refused(folder: Path) -> None:
    """transformers would take it for a part of the tokenizer."""
    (folder / "NOTES.md").write_text("ours")
    Backbone.load(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"mum": 109}))
    with pytest.raises(
        UserError, match=r"added_tokens.json was added after the folder was written"
    ):
        Backbone.load(folder)


def test_a_changed_record_is_refused(folder: Path) -> None:
    path = folder / RECORD
    path.write_text(path.read_text().replace('"k": 2', '"k": 1'))
    with pytest.raises(UserError, match=f"{RECORD} is not the file that was written: it was chan"):
        Backbone.load(folder)


def test_a_record_that_lost_its_seal_is_refused(folder: Path) -> None:
    """Its fingerprint is that of the encoder, and says nothing of the primary LoRAs."""
    path = folder / RECORD
    record = json.loads(path.read_text())
    path.write_text(json.dumps(_without(record, "seal")))
    with pytest.raises(UserError, match="lists files and has no seal: it was changed"):
        Backbone.load(folder)
    path.write_text(json.dumps(_without(record, "files")))
    with pytest.raises(UserError, match="is not the file that was written"):
        Backbone.load(folder)


def _without(record: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in keys}


@pytest.mark.parametrize("key", ["k", "pooling", "primary", "fingerprint"])
@pytest.mark.parametrize("value", [..., None, {}])
def test_a_record_without_a_key_is_damaged(folder: Path, key: str, value: Any) -> None:
    edit_record(folder, **{key: value})
    what = f"it has no '{key}'" if value is ... else f"'{key}' is {value}, not a"
    with pytest.raises(UserError, match=f"{RECORD} is damaged: {what}"):
        Backbone.load(folder)


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_encoder_is_an_error(folder: Path, k: int) -> None:
    edit_record(folder, k=k)
    with pytest.raises(UserError, match=r"'k' is 0, not a number|k = 4, the encoder has 3 "):
        Backbone.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', b"\xff\xfe"])
def test_a_record_that_is_no_json_object_is_damaged(folder: Path, content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / RECORD).write_bytes(raw)
    with pytest.raises(UserError, match=f"{RECORD} is damaged"):
        Backbone.load(folder)


def test_an_unknown_pooling_names_the_nearest(folder: Path) -> None:
    edit_record(folder, pooling="means")
    with pytest.raises(UserError, match="pooling 'means' is unknown; did you mean 'mean'"):
        Backbone.load(folder)


def test_another_fingerprint_in_the_record_is_refused(folder: Path) -> None:
    edit_record(folder, fingerprint="0" * 64)
    with pytest.raises(UserError, match=r"recorded 000000000000\)"):
        Backbone.load(folder)


def test_a_missing_primary_is_an_error(folder: Path) -> None:
    shutil.rmtree(folder / "primary" / "tc")
    with pytest.raises(UserError, match="tc is not a PEFT adapter folder"):
        Backbone.load(folder)


def test_missing_weights_are_an_error(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot load encoder"):
        Backbone.load(folder)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_a_bare_encoder_is_a_backbone_without_primaries(
    tiny_encoder_folder: Callable[..., Path], kind: str
) -> None:
    backbone = Backbone.load(tiny_encoder_folder(kind))
    assert backbone.primary_loras == {}
    assert 1 <= backbone.k <= backbone.encoder.depth
    assert backbone.fingerprint == backbone.encoder.fingerprint()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Backbone.load(tmp_path / "none")
