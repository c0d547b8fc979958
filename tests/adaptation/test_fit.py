from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from onetrunk.adaptation import trunk_cache
from onetrunk.adaptation.adapt import adapt
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.linear import solve_linear
from onetrunk.adaptation.penalty import choose_penalty
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.adaptation.task import AppTask
from onetrunk.adaptation.trunk_cache import TrunkCache, top_states, unit_features
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.apps.top import Top
from onetrunk.apps.windows import Examples
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.padding import pad

FAMILIES = ["ner", "tc"]


def load(corpora: Path, name: str) -> tuple[Family[Any, Any], Data]:
    kind = family(name)
    train = kind.read(corpora / name / "app" / "train.parquet")
    return kind, Data(kind.label_set(train), train)


def held_out(corpora: Path, name: str, split: str) -> list[Any]:
    return family(name).read(corpora / name / "app" / f"{split}.parquet")


def same(a: App, b: App, tolerance: float) -> None:
    torch.testing.assert_close(a.head.weight, b.head.weight, atol=tolerance, rtol=0)
    assert a.adapter is not None
    assert b.adapter is not None
    for place, (matrix_a, matrix_b) in a.adapter.matrices.items():
        other = b.adapter.matrices[place]
        torch.testing.assert_close(matrix_a, other[0], atol=tolerance, rtol=0)
        torch.testing.assert_close(matrix_b, other[1], atol=tolerance, rtol=0)


@pytest.mark.parametrize("k", [None, 1, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_training_on_cached_activations_equals_the_full_forward(
    corpora: Path, tiny_backbone: Backbone, name: str, k: int | None
) -> None:
    """Invariant 3: same loss curve and same weights."""
    kind, data = load(corpora, name)
    apps = [
        fit(tiny_backbone, kind, data, AdaptSettings(epochs=3, batch_size=8, cache=cache, k=k))
        for cache in (True, False)
    ]
    assert apps[0].record["losses"] == pytest.approx(apps[1].record["losses"], abs=2e-5)
    same(*apps, tolerance=1e-4)


@pytest.mark.parametrize("kept", ["in memory", "in a file", "not at all"])
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_trunk_and_top_equal_the_whole_encoder(
    corpora: Path,
    tiny_backbone: Backbone,
    k: int,
    kept: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under an adapter that reaches below the top, too."""
    if kept == "in a file":
        monkeypatch.setattr(trunk_cache, "MEMORY_BYTES", 0)
    kind, data = load(corpora, "ner")
    encoder = tiny_backbone.encoder
    examples = Examples.prepare(kind, data.train, encoder, 64)
    windows = [3, 0, 17, 5]
    texts = [examples.encoded[window].ids for window in windows]
    ids, mask = pad(texts, encoder.tokenizer.pad_token_id)
    stack = LoraStack(encoder, tiny_backbone.primary_loras)
    top = Top(encoder, stack, k)
    trunks = [TrunkCache(examples, top, name, kept != "not at all") for name in ("ner", "none")]
    with torch.no_grad():
        for trunk in trunks:
            states, seen = top_states(trunk, windows)
            with stack.route(stack.slots([trunk.name])):
                want = encoder.states(ids, mask)
            assert torch.equal(mask, seen)
            torch.testing.assert_close(states, want * mask[..., None], atol=1e-5, rtol=0)


def test_bf16_leaves_the_encoder_alone_and_its_states_close(
    corpora: Path, tiny_backbone: Backbone
) -> None:
    kind, data = load(corpora, "ner")
    encoder = tiny_backbone.encoder
    before = encoder.fingerprint()
    examples = Examples.prepare(kind, data.train, encoder, 64)
    found = []
    for own, precision in ((encoder, "fp32"), (encoder.in_bf16(), "bf16")):
        stack = LoraStack(own, tiny_backbone.primary_loras)
        top = Top(own, stack, 2, precision)
        trunk = TrunkCache(examples, top, "ner", cache=True)
        with torch.no_grad():
            states, _ = top_states(trunk, [3, 0, 17, 5])
        found.append(states)
    assert {states.dtype for states in found} == {torch.float32}
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, atol=0.1, rtol=0)  # states are standardised: 0.1 of a sd
    assert encoder.fingerprint() == before
    assert encoder.linear(0, "query").weight.dtype == torch.float32
    assert encoder.in_bf16().token_embedding is encoder.token_embedding


@pytest.mark.parametrize("adapter", ["linear", "lora"])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_app_adapted_in_bf16_is_about_that_of_fp32(
    corpora: Path, tiny_backbone: Backbone, name: str, adapter: Any
) -> None:
    kind, data = load(corpora, name)
    # Slowly, so that rounding does not send the two different ways.
    settings = AdaptSettings(adapter=adapter, epochs=3, batch_size=8, lora_lr=3e-4)
    exact = fit(tiny_backbone, kind, data, settings)
    app = fit(tiny_backbone, kind, data, replace(settings, precision="bf16"))
    assert [each.record["precision"] for each in (exact, app)] == ["fp32", "bf16"]
    assert app.fingerprint == tiny_backbone.fingerprint
    assert app.head.weight.dtype == torch.float32
    if adapter == "lora":
        assert app.adapter is not None
        assert {m.dtype for pair in app.adapter.matrices.values() for m in pair} == {torch.float32}
        assert app.record["losses"] == pytest.approx(exact.record["losses"], rel=0.1, abs=5e-3)
    rows = held_out(corpora, name, "test")
    engine = Engine(tiny_backbone, {"exact": exact, "app": app})
    scores = engine.score_all(["exact", "app"], rows, "test")
    assert scores["app"][kind.metric] == pytest.approx(scores["exact"][kind.metric], abs=5)


def test_an_unknown_precision(corpora: Path, tiny_backbone: Backbone) -> None:
    kind, data = load(corpora, "tc")
    with pytest.raises(UserError, match=r"precision 'bf61' is unknown; .*bf16"):
        fit(tiny_backbone, kind, data, AdaptSettings(precision="bf61"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FAMILIES)
def test_filling_a_batch_up_changes_nothing(
    corpora: Path, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The tokens that make the number of tokens a round one belong to no text."""
    kind, data = load(corpora, name)
    data.train = data.train[:30]
    apps = []
    for step in (1, 32):
        monkeypatch.setattr(trunk_cache, "STEP_TOKENS", step)
        apps.append(fit(tiny_backbone, kind, data, AdaptSettings(epochs=2, batch_size=7)))
    same(*apps, tolerance=2e-4)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_an_app_learns_and_the_backbone_stays(
    corpora: Path, tiny_backbone: Backbone, name: str, adapter: Any
) -> None:
    kind, data = load(corpora, name)
    before = tiny_backbone.encoder.fingerprint()
    app = fit(tiny_backbone, kind, data, AdaptSettings(adapter=adapter, batch_size=8))
    assert tiny_backbone.encoder.fingerprint() == before == app.fingerprint
    engine = Engine(tiny_backbone, {"app": app})
    scores = engine.score("app", held_out(corpora, name, "test"), "test")
    assert scores[kind.metric] > 80
    assert app.kind == adapter
    assert app.family_of_primary == (name if adapter == "linear" else "none")


def test_fitting_is_deterministic_under_a_seed(corpora: Path, tiny_backbone: Backbone) -> None:
    kind, data = load(corpora, "tc")
    one, two, other = (
        fit(tiny_backbone, kind, data, AdaptSettings(epochs=2, seed=seed)) for seed in (1, 1, 2)
    )
    same(one, two, tolerance=0)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_lora_app_starts_from_the_primary(corpora: Path, tiny_backbone: Backbone) -> None:
    kind, data = load(corpora, "ner")
    still = AdaptSettings(epochs=1, lora_lr=0.0, head_lr=0.0)
    app = fit(tiny_backbone, kind, data, still)
    assert app.adapter is not None
    for place, (a, b) in tiny_backbone.primary_loras["ner"].matrices.items():
        assert torch.equal(app.adapter.matrices[place][0], a)
        assert torch.equal(app.adapter.matrices[place][1], b)
    # Deeper than the primary: its layers are kept, the new ones change nothing yet.
    deeper = fit(tiny_backbone, kind, data, AdaptSettings(epochs=1, lora_lr=0.0, k=3)).adapter
    assert deeper is not None
    assert deeper.layers == [0, 1, 2]
    assert all(b.abs().sum() == 0 for (layer, _), (_, b) in deeper.matrices.items() if layer == 0)


@pytest.mark.parametrize("name", FAMILIES)
def test_where_the_head_starts(corpora: Path, tiny_backbone: Backbone, name: str) -> None:
    """For entities where the head of a linear app ends, for one label a text at zeros."""
    kind, data = load(corpora, name)
    still = AdaptSettings(epochs=1, lora_lr=0.0, head_lr=0.0)
    start = fit(tiny_backbone, kind, data, still).head.weight
    solved = fit(tiny_backbone, kind, data, AdaptSettings(adapter="linear")).head.weight
    if name == "ner":
        torch.testing.assert_close(start, solved, atol=0.1, rtol=0.1)
    else:
        assert not start.any()


def test_with_several_labels_the_head_starts_solved(corpora: Path, tiny_backbone: Backbone) -> None:
    _, data = load(corpora, "tc")
    still = AdaptSettings(epochs=1, lora_lr=0.0, head_lr=0.0)
    assert fit(tiny_backbone, family("multi-label"), data, still).head.weight.all()


def test_a_shallower_app_keeps_the_rest_of_the_primary(
    corpora: Path, tiny_backbone: Backbone
) -> None:
    kind, data = load(corpora, "ner")
    app = fit(tiny_backbone, kind, data, AdaptSettings(epochs=2, k=1))
    assert app.adapter is not None
    primary = tiny_backbone.primary_loras["ner"]
    assert app.adapter.layers == primary.layers == [1, 2]
    for place, (a, b) in primary.matrices.items():
        mine = app.adapter.matrices[place]
        same = [torch.equal(mine[0], a), torch.equal(mine[1], b)]
        assert same == ([True, True] if place[0] == 1 else [False, False]), place
    top = sum(a.numel() + b.numel() for (at, _), (a, b) in primary.matrices.items() if at == 2)
    head = sum(p.numel() for p in app.head.parameters())
    assert app.record["trainable_parameters"] == top + head


def test_a_bare_encoder_starts_at_zero(corpora: Path, tiny_encoder: Any) -> None:
    kind, data = load(corpora, "ner")
    bare = Backbone(tiny_encoder, k=1)
    app = fit(bare, kind, data, AdaptSettings(epochs=1, lora_lr=0.0, rank=5))
    assert app.adapter is not None
    assert (app.adapter.rank, app.adapter.layers) == (5, [2])
    assert all(b.abs().sum() == 0 for _, b in app.adapter.matrices.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_few_rows_are_scored_by_cross_validation(
    corpora: Path, tiny_backbone: Backbone, name: str
) -> None:
    kind, data = load(corpora, name)
    settings = AdaptSettings(adapter="linear")
    record = fit(tiny_backbone, kind, data, settings, judged=True).record
    assert 0 <= record["cross_validation"] <= 100
    data.validation = held_out(corpora, name, "validation")
    assert "cross_validation" not in fit(tiny_backbone, kind, data, settings, judged=True).record


def test_adapt_alone_asks_for_the_score(tiny_backbone: Backbone) -> None:
    rows = [{"text": f"call {n}", "label": "xy"[n % 2]} for n in range(12)]
    app = adapt(tiny_backbone, "tc", train=rows, adapter="linear")
    assert 0 <= app.record["cross_validation"] <= 100
    data = Data(app.labels, family("tc").read(rows))
    plain = fit(tiny_backbone, family("tc"), data, AdaptSettings(adapter="linear"))
    assert "cross_validation" not in plain.record
    # The head is the same optimum, found in another order of steps.
    torch.testing.assert_close(plain.head.weight, app.head.weight, atol=1e-3, rtol=1e-3)


def test_what_was_learnt_by_heart_is_not_scored(tiny_backbone: Backbone) -> None:
    """Labels at random: a head of many features knows its rows, and guesses others."""
    draw = np.random.default_rng(0)
    rows = [LabelledText(f"call {n}", ("xy"[draw.integers(2)],)) for n in range(60)]
    kind, settings = family("tc"), AdaptSettings(adapter="linear", l2=1e-6, epochs=1)
    app = fit(tiny_backbone, kind, Data(["x", "y"], rows), settings, judged=True)
    on_its_rows = Engine(tiny_backbone, {"app": app}).score("app", rows, "train")["accuracy"]
    assert on_its_rows > 90
    assert app.record["cross_validation"] < 75
    many = AdaptSettings(adapter="lora", epochs=1)
    with_lora = fit(tiny_backbone, kind, Data(["x", "y"], rows), many, judged=True)
    assert "cross_validation" not in with_lora.record


def test_validation_rows_that_say_the_opposite_are_no_error(tiny_backbone: Backbone) -> None:
    rows = [LabelledText(f"{'call' if n % 2 else 'play'} {n}", (str(n % 2),)) for n in range(20)]
    contrary = [LabelledText(row.text, ("10"[int(row.labels[0])],)) for row in rows]
    kind, settings = family("rating"), AdaptSettings(epochs=2, batch_size=8)
    app = fit(tiny_backbone, kind, Data(kind.label_set(rows), rows, contrary), settings)
    assert app.record["validation"] < -1  # Spearman's rho in percent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_lr", None), ("alpha", None), ("patience", 0), ("neighbours", "no"),
        ("cache", 1), ("k", 0), ("head_lr", -1.0), ("l2", float("nan")),
    ],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{name} {value!r}: must be "):
        AdaptSettings(**{name: value})


def test_the_best_epoch_on_validation_is_kept(corpora: Path, tiny_backbone: Backbone) -> None:
    kind, data = load(corpora, "tc")
    data.validation = held_out(corpora, "tc", "validation")
    wild = AdaptSettings(epochs=12, patience=2, lora_lr=0.3, head_lr=0.3, batch_size=8)
    app = fit(tiny_backbone, kind, data, wild)
    assert len(app.record["losses"]) <= app.record["epochs"] + 2
    engine = Engine(tiny_backbone, {"app": app})
    score = engine.score("app", data.validation, "validation")[kind.metric]
    assert score == pytest.approx(app.record["validation"], abs=0.01)


def test_a_head_reads_what_helps(tiny_backbone: Backbone, corpora: Path) -> None:
    """What a text is, is told by its words: where the last state has lost them, more are read."""
    kind, data = load(corpora, "tc")
    ner, words = load(corpora, "ner")
    deep = tiny_backbone.k + 1
    assert fit(tiny_backbone, ner, words, AdaptSettings("linear")).head_layers == deep
    assert fit(tiny_backbone, ner, words, AdaptSettings("linear", k=1)).head_layers == 2
    assert fit(tiny_backbone, kind, data, AdaptSettings("linear", head_layers=2)).head_layers == 2
    settings, losses = AdaptSettings("linear", l2=0.1), {}
    for head_layers in (1, deep):
        slot = AppTask(tiny_backbone, kind, data, replace(settings, head_layers=head_layers), "tc")
        stack = LoraStack(tiny_backbone.encoder, {"tc": tiny_backbone.primary_loras["tc"]})
        slot.read(Top(tiny_backbone.encoder, stack, tiny_backbone.k), cache=False)
        features = torch.cat(unit_features(slot.trunk, kind, tiny_backbone.pooling)).numpy()
        assert features.shape[1] == head_layers * tiny_backbone.encoder.width
        groups, classes = slot.train.example_of, len(data.labels)
        _, losses[head_layers] = choose_penalty(
            features, torch.cat(slot.targets).numpy(), groups, classes, penalties=[0.1]
        )
    chosen = fit(tiny_backbone, kind, data, settings).head_layers
    assert chosen == min(losses, key=lambda head_layers: losses[head_layers])
    with pytest.raises(UserError, match="1 to 3 states, not 5"):
        fit(tiny_backbone, kind, data, AdaptSettings("linear", head_layers=5))


def test_linear_features_are_those_of_the_primary(corpora: Path, tiny_backbone: Backbone) -> None:
    kind, data = load(corpora, "ner")
    encoder = tiny_backbone.encoder
    examples = Examples.prepare(kind, data.train, encoder, 64)
    stack = LoraStack(encoder, tiny_backbone.primary_loras)
    trunk = TrunkCache(examples, Top(encoder, stack, 3), "ner", cache=False)
    inputs = torch.cat(unit_features(trunk, kind, "mean"))
    targets = np.concatenate(
        [kind.targets(r, u, data.labels) for r, u in zip(data.train, examples.units)]  # noqa: B905
    )
    want = solve_linear(inputs.numpy(), targets, kind.classes(data.labels), 1e-2)
    got = fit(tiny_backbone, kind, data, AdaptSettings(adapter="linear", head_layers=1)).head
    torch.testing.assert_close(got.weight, torch.from_numpy(want.weight), atol=1e-5, rtol=0)


def test_nothing_to_learn(tiny_backbone: Backbone) -> None:
    ner, tc = family("ner"), family("tc")
    with pytest.raises(UserError, match="there are no training rows"):
        fit(tiny_backbone, tc, Data(["a", "b"], []))
    with pytest.raises(UserError, match="all rows have the label 'a': there is nothing to learn"):
        fit(tiny_backbone, tc, Data(["a"], [LabelledText("x", ("a",))]))
    unseen = [AnnotatedText("\u200b", ((0, 1, "X"),))]
    with pytest.raises(UserError, match="the tokenizer leaves nothing"):
        fit(tiny_backbone, ner, Data(["X"], unseen))


def test_multi_label(tiny_backbone: Backbone) -> None:
    rows = [
        LabelledText(f"{a} {b}", tuple(w for w in (a, b) if w != "mum"))
        for a in ("call", "play", "mum")
        for b in ("paris", "york", "mum")
    ] * 3
    kind = family("multi-label")
    settings = AdaptSettings(adapter="linear", l2=1e-3)
    for validation in ([], rows):
        app = fit(tiny_backbone, kind, Data(kind.label_set(rows), rows, validation), settings)
        assert app.family_of_primary == "tc"
        engine = Engine(tiny_backbone, {"app": app})
        assert engine.score("app", rows, "train")["accuracy"] == 100


@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_rating(tiny_backbone: Backbone, adapter: Any) -> None:
    """As many stars as there are cheerful words; with ridge as the reference for a linear app."""
    words = ("call", "play", "mum", "paris", "york")
    rows = [
        LabelledText(" ".join(words[(i + j) % 5] for j in range(1, 1 + i % 5)), (str(i % 5),))
        for i in range(2, 42)
    ]
    rows = [row for row in rows if row.text]
    kind = family("rating")
    labels = kind.label_set(rows)
    assert labels == ["1", "4"]
    app = fit(tiny_backbone, kind, Data(labels, rows), AdaptSettings(adapter=adapter, l2=0.02))
    engine = Engine(tiny_backbone, {"app": app})
    assert engine.score("app", rows, "train")["spearman"] > 80
    (result,) = engine.predict([rows[0].text])
    assert 1 <= result["apps"]["app"]["value"] <= 4
    if adapter == "linear":
        examples = Examples.prepare(kind, rows, tiny_backbone.encoder, 64)
        stack = LoraStack(tiny_backbone.encoder, tiny_backbone.primary_loras)
        trunk = TrunkCache(examples, Top(tiny_backbone.encoder, stack, 3), "tc", cache=False)
        x = StandardScaler().fit_transform(torch.cat(unit_features(trunk, kind, "mean")).numpy())
        y = np.array([(float(row.labels[0]) - 1) / 3 for row in rows])
        ridge = Ridge(alpha=0.01 * len(rows)).fit(x, y)  # l2 / 2 a mean: l2 · N / 2 a sum
        want = 1 + 3 * np.clip(ridge.predict(x), 0, 1)
        engine = Engine(tiny_backbone, {"app": app})
        got = engine.predict_examples("app", rows)
        assert got == pytest.approx(want.tolist(), abs=2e-3)


def test_windows_that_are_shorter_than_asked_for_are_noted(
    tiny_backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [("call bob", "call"), ("play it", "play"), ("call ann", "call"), ("play on", "play")]
    longest = tiny_backbone.encoder.max_length
    note = f"max_length 5,000: the encoder reads {longest} tokens at most"
    app = adapt(tiny_backbone, "tc", rows, adapter="linear", max_length=5000)
    assert app.max_length == longest
    assert caplog.text.count(note) == 1
    for length in (longest, 128):  # 128 is what nobody asked for
        adapt(tiny_backbone, "tc", rows, adapter="linear", max_length=length)
    assert caplog.text.count("max_length") == 1
