from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from onetrunk.apps.app import App
from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.contents import bundled_app
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.layout import MANIFEST, write_manifest
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.alignment import encode_windows
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora_stack import LoraStack

TEXTS = ["Call mum in New York, now!", "", "日本語 and café 😀👍🏽 שלום", "the bank " * 40]
HEAVY = (
    "torch", "transformers", "onnx", "scipy", "sklearn", "pyarrow", "datasets", "pydantic", "yaml",
    "matplotlib", "rensa", "xxhash", "rich", "typer",
)  # fmt: skip
FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"


def test_neither_torch_nor_transformers_is_needed(bundle: Path) -> None:
    code = f"""
import json, sys
for name in {HEAVY!r}:
    sys.modules[name] = None
from onetrunk.bundle.runtime import Runtime
print(json.dumps(Runtime({str(bundle)!r}).predict({TEXTS!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == Runtime(bundle).predict(TEXTS)


def test_apps_alone_or_together_and_texts_alone_or_together(bundle: Path) -> None:
    runtime = Runtime(bundle)
    together = runtime.predict(TEXTS)
    for i, text in enumerate(TEXTS):
        for name in runtime.apps:
            (alone,) = runtime.predict([text], [name])
            assert _close(alone["apps"][name], together[i]["apps"][name])
    assert [list(result["apps"]) for result in runtime.predict(TEXTS, [])] == [[]] * len(TEXTS)
    assert runtime.predict([]) == []
    with pytest.raises(UserError, match="unknown app 'calender'; did you mean 'calendar'"):
        runtime.predict(TEXTS, ["calender"])


def test_one_text_gives_one_answer(bundle: Path) -> None:
    runtime = Runtime(str(bundle))
    for text in TEXTS:
        assert runtime.predict(text) == runtime.predict([text])[0]
        assert list(runtime.stream(text)) == runtime.predict((text,))
    assert list(runtime.predict(TEXTS[0], ["spam"])["apps"]) == ["spam"]
    assert runtime.predict(TEXTS[0], "spam") == runtime.predict(TEXTS[0], ["spam"])
    assert Runtime(bundle, "spam").names == ["spam"]
    for wrong, message in (
        (None, "texts: pass a string or a list of strings, not None"),
        (["a", float("nan")], r"texts: item 1 \(counted from 0\) is nan"),
        ({"text": ["a"]}, "texts: pass one column of the table, not all of it: text"),
    ):
        for method in (runtime.predict, runtime.embed):
            with pytest.raises(UserError, match=message):
                method(wrong)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", ["tc", "none"])
def test_embeddings_are_pooled_states_under_the_primary_lora(
    make_backbone: Any, tmp_path: Path, pooling: Any, family: str
) -> None:
    """Against the encoder of transformers, with the LoRA merged into its weights."""
    backbone = make_backbone("bert", pooling)
    if family == "none":
        del backbone.primary_loras["tc"]
    export_bundle(backbone, {}, tmp_path / "bundle")
    encoder, stack = backbone.encoder, LoraStack(backbone.encoder, backbone.primary_loras)
    expected = []
    merged = stack.merged("tc") if family == "tc" else nullcontext()
    with torch.no_grad(), merged:
        for windows in encode_windows(encoder.tokenizer, TEXTS, encoder.max_length):
            states = [encoder.model(torch.tensor([w.ids])).last_hidden_state[0] for w in windows]
            pooled = [state.mean(0) if pooling == "mean" else state[0] for state in states]
            expected.append(torch.stack(pooled).mean(0).numpy())
    runtime = Runtime(tmp_path / "bundle")
    found = runtime.embed(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-5)
    np.testing.assert_allclose(runtime.embed(TEXTS[3]), expected[3], atol=1e-5)
    assert runtime.embed([]).shape == (0, encoder.width)


def test_a_bundle_of_version_0_1(tmp_path: Path) -> None:
    """Its apps say no decoder, only their family."""
    wanted = json.loads((FORMAT_0_1 / "predictions.json").read_text())["runtime"][:-1]  # not ""
    found = Runtime(FORMAT_0_1 / "bundle").predict([result["text"] for result in wanted])
    assert _close(found, wanted)


def test_a_text_of_a_megabyte_is_refused_and_a_long_one_read(bundle: Path) -> None:
    runtime = Runtime(bundle)
    with pytest.raises(
        UserError, match=r"text 1 \(counted from 0\) has 1,048,576 characters; at most 200,000"
    ):
        runtime.predict(["a", "x" * 2**20])
    (found,) = runtime.predict(["New York " * 2000], ["intent", "calendar"])
    assert found["apps"]["intent"]["labels"]


def _close(a: Any, b: Any) -> bool:
    """Equal but for the last digit of numbers."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) < 2e-3
    if isinstance(a, dict) and isinstance(b, dict):
        return set(a) == set(b) and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def test_only_the_apps_asked_for_are_loaded(bundle: Path) -> None:
    (bundle / "apps/spam.safetensors").unlink()
    assert list(Runtime(bundle, ["intent", "dish"]).apps) == ["intent", "dish"]
    with pytest.raises(UserError, match="not complete"):
        Runtime(bundle)


@pytest.mark.parametrize(
    "path",
    ["trunk.onnx", "top.onnx", "tokenizer.json", "primary/tc.safetensors", "apps/dish.safetensors"],
)
def test_a_changed_byte_and_a_missing_part(bundle: Path, path: str) -> None:
    content = bytearray((bundle / path).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / path).write_bytes(content)
    with pytest.raises(UserError, match="is not the file that was exported"):
        Runtime(bundle)
    (bundle / path).unlink()
    with pytest.raises(UserError, match="not complete"):
        Runtime(bundle)


def change(bundle: Path, **values: Any) -> None:
    """As one would who knows how a manifest is sealed."""
    write_manifest(bundle, {**json.loads((bundle / MANIFEST).read_text()), **values})


def rewrite(bundle: Path, path: str, content: bytes) -> None:
    """As one would who can also write the manifest."""
    (bundle / path).write_bytes(content)
    files = json.loads((bundle / MANIFEST).read_text())["files"]
    files[path] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change(bundle, files=files)


def test_what_is_no_bundle_of_ours(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a bundle"):
        Runtime(tmp_path)
    change(bundle, k="2")
    with pytest.raises(UserError, match="'k' is '2', not a number of layers"):
        Runtime(bundle)
    for path in ("apps/../../x.safetensors", "/x", "apps\\..\\x", "", "a\0"):
        change(bundle, k=2, files={path: {"sha256": "", "bytes": 0}})
        with pytest.raises(UserError, match="not files inside of the bundle by name"):
            Runtime(bundle)


def test_an_app_of_another_backbone(bundle: Path, tiny_backbone: Backbone) -> None:
    change(bundle, backbone="0" * 64)
    with pytest.raises(UserError, match="trained on another backbone"):
        Runtime(bundle)


def test_weights_outside_the_folder_are_not_read(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    model = onnx.load(bundle / "trunk.onnx")
    weight = next(w for w in model.graph.initializer if w.name == "word_embeddings")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "4096")):
        weight.external_data.add(key=key, value=value)
    rewrite(bundle, "trunk.onnx", model.SerializeToString())
    with pytest.raises(UserError, match=r"trunk\.onnx cannot be used"):
        Runtime(bundle)


def test_damaged_apps(bundle: Path) -> None:
    for content in (b"", b"\xff" * 64, (bundle / "primary/ner.safetensors").read_bytes()):
        rewrite(bundle, "apps/dish.safetensors", content)
        with pytest.raises(
            UserError, match=r"dish\.safetensors: this is no apps/NAME\.safetensors"
        ):
            Runtime(bundle)


def test_apps_are_added_replaced_and_removed_in_memory(
    bundle: Path, tiny_backbone: Backbone, apps: dict[str, App], make_app: Any
) -> None:
    runtime = Runtime(bundle, ["spam"])
    alone = runtime.predict(TEXTS)
    runtime.add(bundled_app("dates", apps["calendar"], tiny_backbone))
    assert list(runtime.predict(TEXTS)[0]["apps"]) == ["spam", "dates"]
    runtime.add(bundled_app("spam", make_app(tiny_backbone, "spam", seed=9), tiny_backbone))
    assert runtime.predict(TEXTS, ["spam"]) != alone
    runtime.remove("dates")
    assert list(runtime.apps) == ["spam"]
    with pytest.raises(UserError, match="unknown app 'dates'"):
        runtime.remove("dates")
    deep = bundled_app("deep", apps["calendar"], tiny_backbone)
    broken = BundledApp(**{**deep.__dict__, "head_layers": 9})
    with pytest.raises(UserError, match="reads 9 states"):
        runtime.add(broken)
    assert list(runtime.apps) == ["spam"]


def test_a_stream_answers_as_predict_does(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onetrunk.bundle.runtime.STREAM_TEXTS", 2)
    runtime = Runtime(bundle)
    coming = iter([*TEXTS, *TEXTS])
    answers = runtime.stream(coming, ["spam"])
    want = runtime.predict(TEXTS, ["spam"])
    assert next(answers) == want[0]
    assert next(coming) == TEXTS[2]  # it had read two
    assert list(answers)[1 - len(TEXTS) :] == want[1:]


def test_a_request_sees_one_version_of_an_app(
    bundle: Path, tiny_backbone: Backbone, make_app: Any
) -> None:
    runtime = Runtime(bundle, ["spam"], threads=1)
    versions = [
        bundled_app("spam", make_app(tiny_backbone, "spam", seed=seed), tiny_backbone)
        for seed in (1, 2)
    ]
    texts = ["call mum"] * 70  # several batches
    answers = []
    for version in versions:
        runtime.add(version)
        answers.append(runtime.predict(texts))
    stop, failures = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            found = runtime.predict(texts)
            if found not in answers:
                failures.append(found)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        runtime.add(versions[turn % 2])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_bundle_can_be_moved(bundle: Path, tmp_path: Path) -> None:
    wanted = Runtime(bundle).predict(TEXTS)
    shutil.move(bundle, tmp_path / "elsewhere")
    assert Runtime(tmp_path / "elsewhere").predict(TEXTS) == wanted
