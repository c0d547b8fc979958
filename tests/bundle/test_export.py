from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load, save

from onetrunk.apps.app import App, save_app
from onetrunk.apps.engine import Engine
from onetrunk.apps.neighbours import Neighbours
from onetrunk.bundle.app import BundledApp, a_name, b_name
from onetrunk.bundle.change import add_apps, remove_apps
from onetrunk.bundle.contents import Precision, bundled_app, lora_of_adapter
from onetrunk.bundle.export import Check, export, export_bundle
from onetrunk.bundle.exported import Exported
from onetrunk.bundle.graph import top_graph, top_graph_of_one, trunk_graph
from onetrunk.bundle.int8 import EMBEDDINGS, OF_ACTIVATIONS, quantize, quantize_of_one
from onetrunk.bundle.layout import MANIFEST, Bundle
from onetrunk.bundle.merged import export_merged
from onetrunk.bundle.parity import difference, hostile_texts
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.rows import LabelledText
from onetrunk.errors import UserError
from onetrunk.families.classification import Classification
from onetrunk.families.ner import Ner
from onetrunk.model.architecture import TARGETS
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora_stack import LoraStack

TEXTS = [*hostile_texts(40, seed=1), "call mum in new york. " * 12, ""]


def rounded(results: list[dict[str, Any]]) -> list[Any]:
    """Answers without their numbers, which may differ in the last digit."""
    return [
        {
            name: [(e["start"], e["end"], e["type"]) for e in found["entities"]]
            if "entities" in found
            else found.get("labels", round(found.get("value", 0.0), 2))
            for name, found in result["apps"].items()
        }
        for result in results
    ]


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", "cls"),
        ("distilbert", "mean"),
        pytest.param("bert", "mean", marks=pytest.mark.slow),
        pytest.param("roberta", "mean", marks=pytest.mark.slow),
        pytest.param("electra", "mean", marks=pytest.mark.slow),
    ],
)
def test_a_bundle_answers_as_the_engine_does(
    kind: str,
    pooling: str,
    make_backbone: Callable[..., Backbone],
    make_app: Callable[..., App],
    tmp_path: Path,
) -> None:
    backbone = make_backbone(kind, pooling)
    names = ("calendar", "dish", "place", "intent", "spam", "mood", "flags", "stars", "nested")
    apps = {name: make_app(backbone, name) for name in names}
    written = export_bundle(backbone, apps, tmp_path / "bundle")
    assert written.difference < 1e-4
    runtime = Runtime(tmp_path / "bundle")
    engine = Engine(backbone, apps)
    assert difference(engine, runtime, TEXTS) < 1e-4
    assert rounded(runtime.predict(TEXTS)) == rounded(engine.predict(TEXTS))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("name", ["calendar", "dish", "place", "mood", "intent", "flags", "nested"])
def test_one_app_merged_into_a_plain_model(
    make_backbone: Any, make_app: Any, tmp_path: Path, name: str, pooling: str
) -> None:
    """With its own LoRA, its primary one or none; heads of words and texts, of several states."""
    backbone = make_backbone("bert", pooling)
    before = backbone.encoder.fingerprint()
    app = make_app(backbone, name)
    written = export_merged(backbone, name, app, tmp_path / "app")
    assert 0 < written.difference < 1e-4
    assert backbone.encoder.fingerprint() == before
    assert not any(p.requires_grad for p in backbone.encoder.model.parameters())
    assert sorted(file.name for file in (tmp_path / "app").iterdir()) == [
        "app.json", "model.onnx", "tokenizer.json"
    ]  # fmt: skip
    small = export_merged(backbone, name, app, tmp_path / "small", "int8")
    assert small.sizes["model.onnx"] < 0.6 * written.sizes["model.onnx"]
    with pytest.raises(UserError, match="already exists"):
        export_merged(backbone, name, app, tmp_path / "app")


def test_a_row_of_each_app_in_one_batch(tiny_backbone: Backbone, random_adapter: Any) -> None:
    """H = G: the second graph with a text of its own for every slot."""
    encoder, rows = tiny_backbone.encoder, 4
    adapters = {str(n): random_adapter(encoder, k=2, rank=n + 1, seed=n) for n in range(rows - 1)}
    session = onnxruntime.InferenceSession(
        top_graph(encoder, 2, TARGETS).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    hidden = torch.randn(rows, 9, encoder.width)
    mask = torch.arange(9) < torch.tensor([9, 3, 7, 1])[:, None]
    stack = LoraStack(encoder, adapters)
    slots = torch.tensor([2, 0, 3, 1])
    wanted = torch.zeros_like(hidden)
    for row, length in enumerate(mask.sum(1).tolist()):
        with torch.inference_mode(), stack.route(slots[row : row + 1]):
            wanted[row, :length] = encoder.run_packed(
                hidden[row, :length], [length], encoder.depth - 2, encoder.depth
            )
    scaling = stack.scaling[:, None, None]
    feeds = {"hidden": hidden[:, None], "attention_mask": mask.long()[:, None], "slots": slots}
    for key, a in stack.a.items():
        layer, target = key.removeprefix("layer_").split("_", 1)
        feeds[a_name(int(layer), target)] = a.detach()
        feeds[b_name(int(layer), target)] = stack.b[key].detach() * scaling
    (found,) = session.run(["state_2"], {name: value.numpy() for name, value in feeds.items()})
    real = mask[..., None].numpy()
    np.testing.assert_allclose(found[:, 0] * real, wanted.numpy() * real, atol=2e-5)


def test_int8_is_small_and_close(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    full = export_bundle(tiny_backbone, apps, tmp_path / "fp32")
    small = export_bundle(tiny_backbone, apps, tmp_path / "int8", "int8")
    assert small.difference < 0.3  # of a standard deviation, with random weights
    app = "apps/calendar.safetensors"
    assert small.sizes[app] < 0.7 * full.sizes[app]
    kept = {w.name: w.data_type for w in onnx.load(tmp_path / "int8/trunk.onnx").graph.initializer}
    assert kept[EMBEDDINGS] == onnx.TensorProto.INT8
    floats = [n for n, kind in kept.items() if kind == onnx.TensorProto.FLOAT and "weight" in n]
    assert not [name for name in floats if "norm" not in name and "scale" not in name]


def test_int8_answers_do_not_depend_on_what_is_beside_them(
    tiny_backbone: Backbone, apps: dict[str, App], make_app: Any, tmp_path: Path
) -> None:
    """Neither on other texts nor on other apps."""
    export_bundle(tiny_backbone, apps, tmp_path / "bundle", "int8")
    runtime = Runtime(tmp_path / "bundle")
    texts = ["call mum in new york", "the bank is in paris " * 3, "a", "play music now"]
    windows = [runtime.tokenizer.encode(text).ids for text in texts]
    units = [list(range(len(ids))) for ids in windows]
    together = runtime.logits(list(apps), windows, units)
    for name in apps:
        for i, ids in enumerate(windows):
            (alone,) = runtime.logits([name], [ids], [units[i]])[name]
            # A number on the edge between two steps may fall on either side.
            gap = np.abs(alone - together[name][i])
            assert gap.max() < 0.05
            assert gap.mean() < 5e-4


def test_answers_do_not_depend_on_what_is_beside_them_with_a_scale_for_each_text_either(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    written = export_bundle(tiny_backbone, apps, tmp_path / "bundle", "int8-text")
    assert written.difference < 0.5  # of a standard deviation, with random weights
    runtime = Runtime(tmp_path / "bundle")
    texts = ["call mum in new york", "the bank is in paris " * 3, "a", "play music now"]
    windows = [runtime.tokenizer.encode(text).ids for text in texts]
    units = [list(range(len(ids))) for ids in windows]
    together = runtime.logits(list(apps), windows, units)
    for name in apps:
        for i, ids in enumerate(windows):
            (alone,) = runtime.logits([name], [ids], [units[i]])[name]
            np.testing.assert_allclose(alone, together[name][i], atol=1e-5)
    another = {"another": bundled_app("another", apps["intent"], tiny_backbone)}
    add_apps(tmp_path / "bundle", tiny_backbone, {"another": apps["intent"]})
    for changed in (runtime.with_apps(another), Runtime(tmp_path / "bundle")):
        answers = changed.predict("the bank is in paris")["apps"]
        assert answers["another"]["labels"] == answers["intent"]["labels"]
        assert answers["another"]["probabilities"] == pytest.approx(
            answers["intent"]["probabilities"], abs=2e-3
        )
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    assert (manifest["format"], manifest["precision"]) == (2, "int8-text")


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
def test_graphs_of_one_text_are_the_encoder(
    make_backbone: Any, random_adapter: Any, kind: str
) -> None:
    """Before they are quantised: against the encoder with the LoRA of two layers merged."""
    encoder = make_backbone(kind).encoder
    adapter = random_adapter(encoder, k=2, rank=3, seed=5)
    ids = np.array([encoder.tokenizer("call mum in new york")["input_ids"]])
    trunk, top = (
        onnxruntime.InferenceSession(graph.SerializeToString())
        for graph in (
            trunk_graph(encoder, 2, of_one=True),
            top_graph_of_one(encoder, 2, TARGETS),
        )
    )
    names = [node.name for node in trunk.get_outputs()]
    entering = dict(zip(names, trunk.run(names, {"input_ids": ids}), strict=True))
    lora = lora_of_adapter(adapter)
    feeds = {name: matrix[None] for name, matrix in lora.items()}
    states = top.run(["state_1", "state_2"], {**entering, **feeds})
    with torch.no_grad(), LoraStack(encoder, {"app": adapter}).merged("app"):
        wanted = encoder.model(torch.tensor(ids), output_hidden_states=True).hidden_states[-3:]
    for want, state in zip(wanted, (entering["hidden"], *states), strict=True):
        np.testing.assert_allclose(state, want.numpy(), atol=2e-5)


def values_of_map(
    backbone: Backbone, quantized: Any, target: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What the first layer's map reads ``(T, d_in)``, its weights as the graph holds them and its
    bias, and what it gives ``(T, d_out)``, of a quantised trunk of one text."""
    encoder = backbone.encoder
    small = quantized(trunk_graph(encoder, encoder.depth - 1, of_one=quantized is quantize_of_one))
    name = f"layer_0.{target}.weight"
    (product,) = (node for node in small.graph.node if name in node.input)
    x = product.input[0].removesuffix(".int8")
    out = next(
        node.output[0]
        for node in small.graph.node
        if f"layer_0.{target}.bias" in node.input  # the product itself, or what adds the bias
    )
    for value in (x, out):
        small.graph.output.append(onnx.helper.make_tensor_value_info(value, 1, None))
    session = onnxruntime.InferenceSession(small.SerializeToString())
    ids = np.array([encoder.tokenizer("play music now")["input_ids"]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    inputs = {node.name for node in session.get_inputs()}
    read, given = session.run([x, out], {key: feeds[key] for key in inputs})
    linear = encoder.linear(0, target)
    weight, bias = (p.detach().numpy() for p in (linear.weight, linear.bias))
    scales = np.abs(weight).max(1) / 63
    return read[0], np.rint(weight / scales[:, None]) * scales[:, None], bias, given[0]


def test_int8_of_one_text_is_one_scale_for_its_numbers(tiny_backbone: Backbone) -> None:
    """In attention, by hand: as DynamicQuantizeLinear rounds."""
    read, weight, bias, given = values_of_map(tiny_backbone, quantize_of_one, "query")
    low, high = min(0.0, read.min()), max(0.0, read.max())
    step = (high - low) / 255
    zero = np.rint(-low / step)
    whole = np.clip(np.rint(read / step) + zero, 0, 255) - zero
    np.testing.assert_allclose(given, whole * step @ weight.T + bias, atol=1e-4)


@pytest.mark.parametrize("quantized", [quantize, quantize_of_one])
@pytest.mark.parametrize("target", ["ffn_up", "ffn_down"])
def test_feed_forward_maps_have_a_scale_for_each_token(
    tiny_backbone: Backbone, quantized: Any, target: str
) -> None:
    read, weight, bias, given = values_of_map(tiny_backbone, quantized, target)
    if target == "ffn_up":
        step = np.abs(read).max(1, keepdims=True) / 127
        whole = np.rint(read / step)
    else:
        step = np.maximum(read.max(1, keepdims=True) / 223, 0.1701 / 32)
        whole = np.clip(np.rint(read / step), -32, 223)
    np.testing.assert_allclose(given, whole * step @ weight.T + bias, atol=1e-4)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_smallest_scale_of_activations_reaches_the_least_of_them(approximate: str) -> None:
    least = torch.nn.functional.gelu(torch.linspace(-3, 3, 10_001), approximate=approximate).min()
    assert float(least) / OF_ACTIVATIONS.least + OF_ACTIVATIONS.zero > -0.5


def test_a_plain_model_takes_several_texts(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    one = {"spam": apps["spam"]}
    with pytest.raises(UserError, match="takes several texts, int8-text one: choose int8"):
        export(one, tmp_path / "b", "int8-text", backbone=tiny_backbone, merged=True)
    with pytest.raises(UserError, match=r"precision 'int8text' is unknown; .*'int8-text'"):
        export(one, tmp_path / "b", "int8text", backbone=tiny_backbone)  # type: ignore[arg-type]
    assert not [*tmp_path.iterdir()]


def test_embeddings_lose_half_a_step_of_their_row(tiny_backbone: Backbone) -> None:
    encoder = tiny_backbone.encoder
    model = quantize(trunk_graph(encoder, encoder.depth))
    arrays = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    back = arrays[EMBEDDINGS].astype(np.float32) * arrays[f"{EMBEDDINGS}.scale"]
    table = encoder.token_embedding.weight.detach().numpy()
    step = np.abs(table).max(1, keepdims=True) / 127
    assert (np.abs(back - table) <= step * 0.5001).all()


def test_a_checked_app_may_not_lose_more(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    engine = Engine(tiny_backbone, apps)
    texts = hostile_texts(60, seed=3)
    found = engine.predict_examples("intent", [LabelledText(text) for text in texts])
    rows = [
        LabelledText(text, labelled.labels)
        for text, labelled in zip(texts, found, strict=True)
        if not labelled.abstained  # of an empty text
    ]
    checks = {"intent": Check(rows, "rows")}
    written = export_bundle(tiny_backbone, apps, tmp_path / "fp32", checks=checks)
    assert written.scores == {"intent": (100.0, 100.0)}
    recorded = json.loads((tmp_path / "fp32" / MANIFEST).read_text())["measured"]["scores"]
    assert recorded == {"intent": {"metric": "accuracy", "pytorch": 100.0, "bundle": 100.0}}
    with pytest.raises(UserError, match=r"accuracy falls from 100\.00 to .* nothing was written"):
        export_bundle(tiny_backbone, apps, tmp_path / "int8", "int8", checks, max_drop=-1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["fp32"]
    with pytest.raises(UserError, match="no app 'intend' to check; did you mean 'intent'"):
        export_bundle(tiny_backbone, apps, tmp_path / "x", checks={"intend": checks["intent"]})


def test_apps_come_and_go_and_the_backbone_stays(
    tiny_backbone: Backbone, apps: dict[str, App], make_app: Any, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    first = {name: apps[name] for name in ("calendar", "spam")}
    export_bundle(tiny_backbone, first, bundle)
    graphs = {path: (bundle / path).stat().st_ino for path in ("trunk.onnx", "top.onnx")}
    other = make_app(tiny_backbone, "calendar", seed=5)
    add_apps(bundle, tiny_backbone, {"calendar": other, "mood": apps["mood"]})
    remove_apps(bundle, ["spam"])
    assert {path: (bundle / path).stat().st_ino for path in graphs} == graphs
    assert not (bundle / "apps/spam.safetensors").exists()
    runtime, now = Runtime(bundle), {"calendar": other, "mood": apps["mood"]}
    engine = Engine(tiny_backbone, now)
    assert list(runtime.apps) == list(now)
    assert difference(engine, runtime, TEXTS) < 1e-4
    with pytest.raises(UserError, match="no app 'calender'; did you mean 'calendar'"):
        remove_apps(bundle, ["mood", "calender"])
    assert Bundle(bundle).apps == ["calendar", "mood"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_neighbours_vote_as_they_do_in_the_engine(
    tiny_backbone: Backbone, apps: dict[str, App], precision: Any, tmp_path: Path
) -> None:
    """One label, several with ballots of any number, a value; over one state and over more; more
    neighbours wanted than there are."""
    random = torch.Generator().manual_seed(0)
    voting = {}
    for name, soft_targets, count in (
        ("spam", torch.eye(3)[[0, 1, 2, 2, 0, 1, 1]], 3),
        ("flags", torch.tensor([[1.0, 1], [0, 0], [0, 1], [1, 0]]), 2),
        ("stars", torch.tensor([[0.1], [0.9], [0.5]]), 9),
    ):
        app = apps[name]
        states = torch.randn(len(soft_targets), app.head.in_features, generator=random)
        own = Neighbours.of(states, soft_targets, count, 0.2, 0.4)
        own.shift += np.arange(soft_targets.shape[1], dtype=np.float32) * np.float32(0.3)
        voting[name] = replace(app, neighbours=own)
    export_bundle(tiny_backbone, voting, tmp_path / "bundle", precision)
    runtime = Runtime(tmp_path / "bundle")
    engine = Engine(tiny_backbone, voting)
    gap = difference(engine, runtime, TEXTS)
    assert gap < (1e-4 if precision == "fp32" else 1.0)
    without = Engine(tiny_backbone, {name: apps[name] for name in voting})
    assert difference(without, runtime, TEXTS) > 3 * gap


def test_what_a_bundle_cannot_hold_is_refused(
    tiny_backbone: Backbone, apps: dict[str, App], random_adapter: Any, tmp_path: Path
) -> None:
    def refused(name: str, app: App, message: str) -> None:
        with pytest.raises(UserError, match=message):
            export_bundle(tiny_backbone, {name: app}, tmp_path / "bundle")
        assert not list(tmp_path.iterdir())

    refused("../spam", apps["spam"], "cannot be called '../spam'")
    refused("none", apps["spam"], "cannot be called 'none'")
    refused("spam", replace(apps["spam"], fingerprint="f" * 64), "not on")
    votes = Neighbours.of(torch.randn(3, tiny_backbone.encoder.width), torch.eye(3), 1, 0.1, 0.5)
    with pytest.raises(UserError, match="neighbours, which one plain model cannot"):
        export_merged(
            tiny_backbone, "spam", replace(apps["spam"], neighbours=votes), tmp_path / "model"
        )

    class Weighted(Classification):
        name = "weighted"

        def gather(self, *args: Any) -> Any:
            return 2 * super().gather(*args)

    class Prefixed(Classification):
        name = "prefixed"

        def parse(self, text: str) -> LabelledText:
            return LabelledText(f"query: {text}")

    class Lettered(Ner):
        name = "lettered"

        def units(self, *args: Any) -> Any:
            return super().units(*args)

    class Undecoded(Classification):
        name = "undecoded"
        decoder = None

    for kind, method in (
        (Weighted, "gather"), (Prefixed, "text"), (Lettered, "units"), (Undecoded, "decoder"),
    ):  # fmt: skip
        app = replace(apps["spam"], family=kind())
        message = f"family '{kind.name}' has its own {method}, which a device does not have"
        refused("spam", app, message)

    # Those that come later must fit the graphs that are there.
    export_bundle(tiny_backbone, {"spam": apps["spam"]}, tmp_path / "bundle")
    deep = replace(apps["calendar"], adapter=random_adapter(tiny_backbone.encoder, k=3))
    with pytest.raises(UserError, match=r"of layer 0; this bundle's graph takes .* layers 1 to 2"):
        add_apps(tmp_path / "bundle", tiny_backbone, {"deep": deep})
    assert Bundle(tmp_path / "bundle").apps == ["spam"]


def test_the_top_is_as_deep_as_the_deepest_app(
    tiny_backbone: Backbone, apps: dict[str, App], random_adapter: Any, tmp_path: Path
) -> None:
    deep = replace(apps["calendar"], adapter=random_adapter(tiny_backbone.encoder, k=3))
    export_bundle(tiny_backbone, {"deep": deep, "spam": apps["spam"]}, tmp_path / "bundle")
    assert Bundle(tmp_path / "bundle").k == 3


def test_an_encoder_alone_has_no_lora(
    tiny_backbone: Backbone, make_app: Any, tmp_path: Path
) -> None:
    bare = Backbone(tiny_backbone.encoder, 2)
    apps = {name: make_app(bare, name) for name in ("flags", "stars")}
    assert export_bundle(bare, apps, tmp_path / "bundle").difference < 1e-4


@pytest.fixture
def folders(tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path) -> list[Path]:
    """App folders beside their backbone, which they name."""
    tiny_backbone.write(tmp_path / "backbone")
    written = [tmp_path / "apps" / name for name in ("spam", "calendar")]
    for folder in written:
        folder.mkdir(parents=True)
        app = replace(apps[folder.name], record={"backbone": "../../backbone"})
        save_app(app, tiny_backbone, folder)
    return written


def test_folders_are_exported_on_the_backbone_that_they_name(
    tiny_backbone: Backbone, apps: dict[str, App], folders: list[Path], tmp_path: Path
) -> None:
    steps: list[tuple[str, int, int | None]] = []
    written = export(
        [str(folder) for folder in folders],
        str(tmp_path / "bundle"),
        progress=lambda what, done, total: steps.append((what, done, total)),
    )
    assert steps[0] == ("graphs", 0, 2)
    assert steps[-1] == ("", 2, 2)
    named = {folder.name: apps[folder.name] for folder in folders}
    engine = Engine(tiny_backbone, named)
    runtime = Runtime(str(tmp_path / "bundle"))
    assert runtime.names == list(named)
    assert difference(engine, runtime, TEXTS) < 1e-4
    assert "apps/spam.safetensors" in str(written)
    assert str(tmp_path / "bundle") in str(written)
    export(folders[0], tmp_path / "one", "int8", backbone=str(tmp_path / "backbone"))
    assert Runtime(tmp_path / "one").names == ["spam"]
    alone = export(folders[:1], tmp_path / "model", merged=True)
    assert list(alone.sizes) == ["model.onnx"]


def test_apps_in_memory_are_exported_and_checked(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    engine = Engine(tiny_backbone, apps)
    rows = [
        LabelledText(text, labelled.labels)
        for text, labelled in zip(
            ["the bank", "call mum", "new york"],
            engine.predict_examples("spam", [LabelledText(t) for t in ("a", "b", "c")]),
            strict=True,
        )
    ]
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps({"text": row.text, "label": row.labels[0]}) for row in rows)
    )
    (tmp_path / "texts.txt").write_text("the bank\ncall mum\nnew york\n")
    scores = []
    for number, check in enumerate((rows, tmp_path / "rows.jsonl", str(tmp_path / "rows.jsonl"))):
        written = export(
            {"spam": apps["spam"]},
            tmp_path / str(number),
            check={"spam": check},
            max_drop=100,
            vocabulary=tmp_path / "texts.txt",
            backbone=tiny_backbone,
        )
        scores.append(written.scores)
    assert scores[0] == scores[1] == scores[2]
    assert "spam: accuracy" in str(written)
    assert "of 120 word pieces" in str(written)


@pytest.mark.parametrize(
    ("precision", "gap", "said"),
    [
        ("fp32", 3.2e-6, "answers are those of PyTorch: "),
        ("int8", 0.78, "0.8 standard deviations of a logit (8 bits usually give 0.2 to 0.9); ch"),
        ("int8-text", 0.31, "0.3 standard deviations of a logit (8 bits usually give 0.2 to 0.9)"),
        (
            "int4",
            1.04,
            "1.0 standard deviations of a logit (4 bits usually give 0.3 to 1.1); check",
        ),
    ],
)
def test_an_export_says_how_far_from_pytorch_it_is(
    precision: Precision, gap: float, said: str
) -> None:
    """In words, with what is usual, and how to see what it costs; a notebook shows the same."""
    written = Exported(Path("phone"), {"model.onnx": 10**6}, gap, precision)
    assert said in str(written)
    assert repr(written) == str(written)
    assert "e-0" not in str(written)
    assert ("check={" in str(written)) == (precision != "fp32")
    written.pieces = 100, 200
    assert "PyTorch with the same word pieces" in str(written)
    shows = "shows what a bundle loses in points"
    assert f'; check={{"APP": FILE}} {shows}' in str(written)  # as one asks for it in Python
    assert f"; --check APP=FILE {shows}" in written.said("--check APP=FILE")
    written.scores, written.metrics = {"spam": (90.0, 89.5)}, {"spam": "accuracy"}
    assert "spam: accuracy 90.00 in PyTorch, 89.50 here" in str(written)
    assert "check" not in str(written)


def test_an_export_without_apps_is_compared_with_nothing() -> None:
    assert str(Exported(Path("phone"), {"a": 10**6}, 0.0, "int8")).endswith("1.000 MB  phone")


def test_what_is_wrong_with_apps_is_said_before_the_work(
    tiny_backbone: Backbone, apps: dict[str, App], folders: list[Path], tmp_path: Path
) -> None:
    out, spam = tmp_path / "bundle", {"spam": apps["spam"]}
    with pytest.raises(UserError, match="no apps: pass app folders"):
        export([], out)
    with pytest.raises(UserError, match="where their backbone is: pass backbone"):
        export(spam, out)
    with pytest.raises(UserError, match=r"no app 'spma' to check; did you mean 'spam'\?"):
        export(folders, out, check={"spma": []})
    with pytest.raises(UserError, match="pass vocabulary, too"):
        export(folders, out, pieces=9)
    with pytest.raises(UserError, match="merged is for one app"):
        export(folders, out, merged=True)
    with pytest.raises(UserError, match="apps: 3 is no folder: pass app folders, or a dictionary"):
        export([3], out)  # type: ignore[list-item]
    with pytest.raises(UserError, match="apps: an App in a list has no name: pass a dictionary of"):
        export([apps["spam"]], out, backbone=tiny_backbone)  # type: ignore[list-item]
    shutil.rmtree(tmp_path / "backbone")
    with pytest.raises(UserError, match="backbone, which is gone: name its new place"):
        export(folders, out)
    assert not out.exists()


def test_files_without_a_decoder_are_read_by_their_family(
    tiny_backbone: Backbone, apps: dict[str, App]
) -> None:
    bundled = bundled_app("nested", apps["nested"], tiny_backbone)
    content = bundled.to_bytes(np.float32)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    record = json.loads(header["__metadata__"]["onetrunk"])

    def read(record: dict[str, Any]) -> BundledApp:
        changed = save(load(content), {"onetrunk": json.dumps(record)})
        return BundledApp.from_bytes("nested", changed, "here")

    assert record.pop("decoder") == "nested-ner"
    assert read(record).decoder == "nested-ner"
    assert read({**record, "family": "mine", "decoder": "nested-ner"}).family == "mine"
    for wrong in ({**record, "family": "mine"}, {**record, "decoder": "mine"}):
        with pytest.raises(UserError, match=r"here is damaged: .*unknown decoder 'mine'"):
            read(wrong)
