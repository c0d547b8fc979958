from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from onetrunk.apps.app import App, save_app
from onetrunk.apps.engine import Engine
from onetrunk.apps.load import load_apps
from onetrunk.apps.windows import Examples
from onetrunk.data.alignment import encode_windows, window_stride
from onetrunk.data.batching import TokenIds
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.words import words_of
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.padding import pad

TEXTS = [
    "Call mum in New York, now!",
    "",
    "play music",
    "日本語 and café 😀👍🏽 שלום",
    "the bank is in paris - a river bank is in the call",
    " ",
    "a",
]
# name -> family, adapter (None: a head alone), what a head alone reads
SHAPES: dict[str, tuple[str, dict[str, Any] | None, str]] = {
    "calendar": ("ner", {"k": 2, "rank": 4}, "ner"),
    "dish": ("ner", {"k": 1, "rank": 2, "alpha": 3.0}, "ner"),
    "deep": ("ner", {"k": 3, "rank": 3, "rslora": True}, "ner"),
    "place": ("ner", None, "ner"),
    "person": ("ner", None, "none"),
    "intent": ("tc", {"k": 2, "rank": 6, "targets": ("query", "value")}, "tc"),
    "topic": ("tc", {"k": 1, "rank": 1, "targets": ("ffn_down",)}, "tc"),
    "spam": ("tc", None, "tc"),
    "mood": ("tc", None, "tc"),
    "flags": ("multi-label", None, "none"),
}
READS = {"dish": 2, "deep": 4, "mood": 2}  # the others read the last state
NER_LABELS, TC_LABELS = ["loc", "per"], ["a", "b", "c"]


def make_app(
    backbone: Backbone, random_adapter: Callable[..., LoraAdapter], name: str, max_length: int = 32
) -> App:
    kind, shape, primary = SHAPES[name]
    seed = list(SHAPES).index(name)
    family, labels = FAMILIES[kind], NER_LABELS if kind == "ner" else TC_LABELS
    generator = torch.Generator().manual_seed(seed)
    head_layers = READS.get(name, 1)
    width = head_layers * backbone.encoder.width
    head = nn.Linear(width, family.classes(labels)).requires_grad_(False)
    for parameter in head.parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    adapter = None if shape is None else random_adapter(backbone.encoder, seed=seed, **shape)
    return App(
        family, labels, head, adapter, primary, max_length, backbone.fingerprint, head_layers
    )


@pytest.fixture
def apps(tiny_backbone: Backbone, random_adapter: Any) -> dict[str, App]:
    return {name: make_app(tiny_backbone, random_adapter, name) for name in SHAPES}


@pytest.fixture
def engine(tiny_backbone: Backbone, apps: dict[str, App]) -> Engine:
    return Engine(tiny_backbone, apps)


def one_batch(backbone: Backbone, texts: list[str]) -> tuple[list[TokenIds], dict[str, Any]]:
    """Token ids, and the units of both families."""
    units = {}
    for name, family in FAMILIES.items():
        examples = Examples.prepare(family, [family.parse(t) for t in texts], backbone.encoder, 32)
        units[name] = examples.tokens
    return [text.ids for text in examples.encoded], units


def merged_logits(backbone: Backbone, app: App, text: str) -> Tensor:
    """One app on one text by a copy of the encoder with the LoRA added to its weights."""
    adapter = (
        app.adapter
        if app.adapter is not None
        else backbone.primary_loras.get(app.family_of_primary)
    )
    encoder = copy.copy(backbone.encoder)
    encoder.model = copy.deepcopy(backbone.encoder.model)
    for (layer, target), (a, b) in adapter.matrices.items() if adapter is not None else ():
        encoder.linear(layer, target).weight += (a @ b).T * adapter.scaling
    examples = Examples.prepare(app.family, [app.family.parse(text)], encoder, app.max_length)
    ids, mask = pad([examples.encoded[0].ids], 0)
    with torch.no_grad():
        found = encoder.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        states = torch.cat(found.hidden_states[-app.head_layers :], -1)
        return app.head(app.family.gather(states, mask, examples.tokens, backbone.pooling))


def assert_same(got: dict[str, Any], want: dict[str, Any]) -> None:
    """Two rendered predictions, up to the rounding of their scores."""
    assert got.keys() == want.keys()
    if "labels" in got:
        assert got["labels"] == want["labels"]
        assert got["probabilities"] == pytest.approx(want["probabilities"], abs=1.01e-4)
        return
    scores = [[entity.pop("score") for entity in one["entities"]] for one in (got, want)]
    assert got == want
    assert scores[0] == pytest.approx(scores[1], abs=1.01e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_ten_apps_in_one_pass_give_the_logits_of_ten_passes(
    tiny_backbone: Backbone, engine: Engine, pooling: Any
) -> None:
    tiny_backbone.pooling = pooling
    ids, units = one_batch(tiny_backbone, TEXTS)
    together = engine.logits(list(SHAPES), ids, units)
    assert list(together) == list(SHAPES)
    for name in SHAPES:
        alone = engine.logits([name], ids, units)[name]
        assert_close(together[name], alone, atol=1e-5, rtol=0)
    for name in SHAPES:
        app = engine.apps[name]
        want = torch.cat([merged_logits(tiny_backbone, app, text) for text in TEXTS])
        assert want.abs().max() > 0.1
        assert_close(together[name], want, atol=1e-5, rtol=0)
    # The apps differ, so a mix-up would show.
    texts = [together[name] for name in SHAPES if SHAPES[name][0] != "ner"]
    words = [together[name] for name in SHAPES if SHAPES[name][0] == "ner"]
    for group in (texts, words):
        pairs = [(a, b) for i, a in enumerate(group) for b in group[:i]]
        assert all((a - b).abs().max() > 1e-2 for a, b in pairs)


def test_ten_apps_in_one_pass_predict_what_each_predicts_alone(
    tiny_backbone: Backbone, apps: dict[str, App], engine: Engine
) -> None:
    together = engine.predict(TEXTS)
    assert [result["text"] for result in together] == TEXTS
    for name, app in apps.items():
        single = Engine(tiny_backbone, {name: app})
        for text, result in zip(TEXTS, together, strict=True):
            (alone,) = single.predict([text])
            assert list(alone["apps"]) == [name]
            assert_same(result["apps"][name], alone["apps"][name])
    assert any(result["apps"]["calendar"]["entities"] for result in together)


def test_order_and_number_of_texts_and_apps_change_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{text} {word}" for text in TEXTS for word in ("new york", "mum", "a", "x y z", "in")]
    want = engine.predict(texts)
    monkeypatch.setattr("onetrunk.apps.engine.CHUNK_TOKENS", 64)  # in several batches
    names = list(reversed(SHAPES))
    backwards = engine.predict(texts[::-1], names)[::-1]
    for one, other in zip(want, backwards, strict=True):
        assert one["text"] == other["text"]
        assert list(other["apps"]) == names
        for name in names:
            assert_same(one["apps"][name], other["apps"][name])


@pytest.mark.parametrize("names", [["person"], ["flags", "person"], ["place", "spam"], ["topic"]])
def test_a_few_of_the_apps(engine: Engine, names: list[str]) -> None:
    want, got = engine.predict(TEXTS), engine.predict(TEXTS, names)
    for one, other in zip(want, got, strict=True):
        assert list(other["apps"]) == names
        for name in names:
            assert_same(one["apps"][name], other["apps"][name])


def test_apps_that_read_the_same_states_share_one_group(
    tiny_backbone: Backbone, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, units = one_batch(tiny_backbone, TEXTS)
    seen = []
    run = type(tiny_backbone.encoder).run_packed

    def spy(
        self: Any, hidden: Tensor, lengths: Any, start: int, stop: int, *head_layers: int
    ) -> Tensor:
        if hidden.ndim == 3:  # the top
            seen.append((len(hidden), stop - start))
        return run(self, hidden, lengths, start, stop, *head_layers)

    monkeypatch.setattr(type(tiny_backbone.encoder), "run_packed", spy)
    engine.logits(["spam", "mood"], ids, units)
    engine.logits(["spam", "mood", "place", "person", "flags"], ids, units)
    engine.logits(["topic"], ids, units)
    engine.logits(["person", "flags"], ids, units)
    engine.logits(list(SHAPES), ids, units)
    assert seen == [(1, 2), (3, 2), (1, 1), (1, 0), (8, 3)]


@pytest.mark.parametrize("tokens", [1, 100, 150])
def test_as_many_adapters_as_fit_go_through_the_top_at_once(
    tiny_backbone: Backbone, engine: Engine, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, units = one_batch(tiny_backbone, TEXTS)
    assert 50 < sum(map(len, ids)) <= 75
    want = engine.logits(list(SHAPES), ids, units)
    monkeypatch.setattr("onetrunk.apps.engine.CHUNK_TOKENS", tokens)
    found = engine.logits(list(SHAPES), ids, units)
    assert list(found) == list(want)
    for name, logits in want.items():
        assert_close(found[name], logits, atol=1e-5, rtol=0)


def test_apps_may_read_to_different_lengths(
    tiny_backbone: Backbone, apps: dict[str, App], random_adapter: Any
) -> None:
    text = "call mum in new york now and play music in paris"
    mixed = {**apps, "dish": replace(apps["dish"], max_length=8)}
    engine = Engine(tiny_backbone, mixed)
    (both,) = engine.predict([text])
    (long,) = engine.predict([text], ["calendar"])
    (short,) = engine.predict([text], ["dish"])
    assert_same(both["apps"]["calendar"], long["apps"]["calendar"])
    assert_same(both["apps"]["dish"], short["apps"]["dish"])


@pytest.mark.parametrize("max_length", [16, 66, 512])
def test_a_text_of_ten_thousand_words_is_read_in_windows(
    tiny_backbone: Backbone, random_adapter: Any, max_length: int
) -> None:
    names = ["calendar", "place", "intent", "flags"]
    apps = {n: make_app(tiny_backbone, random_adapter, n, max_length) for n in names}
    text = " ".join(["call", "mum", "in", "new", "york"] * 2000)
    engine = Engine(tiny_backbone, apps)
    long, short = engine.predict([text, "call mum"])
    (alone,) = engine.predict(["call mum"])
    ((units, probabilities),) = engine.unit_probabilities("calendar", [AnnotatedText(text)])
    assert_same(short["apps"]["intent"], alone["apps"]["intent"])
    assert units == words_of(text)
    assert len(units) == len(probabilities) == 10_000  # every word was read
    ends = [0]
    for entity in long["apps"]["calendar"]["entities"]:
        assert entity["start"] >= ends[-1]  # none twice
        ends.append(entity["end"])
    # The text has period 5, so far from its ends equal windows give equal scores.
    window = min(max_length, 66)
    step = 5 * (
        window - 2 - window_stride(window)
    )  # windows begin every so many tokens: one a word
    middle = probabilities[2 * step : 3 * step]
    assert_close(middle, probabilities[3 * step : 4 * step], atol=1e-4, rtol=0)
    assert float((middle.amax(0) - middle.amin(0)).max()) > 1e-3


def test_windows_are_the_texts_that_they_show(
    tiny_backbone: Backbone, apps: dict[str, App]
) -> None:
    """Logits of a long text are those of its windows, given one by one."""
    cut = {name: replace(app, max_length=12) for name, app in apps.items()}
    words = ("call mum in new york the river bank is to play music in paris " * 3).split()
    engine = Engine(tiny_backbone, cut)
    row = AnnotatedText(" ".join(words))
    ((units, _),) = engine.unit_probabilities("calendar", [row])
    (label,) = engine.predict_examples("intent", [LabelledText(row.text)])
    (windows,) = encode_windows(tiny_backbone.encoder.tokenizer, [row.text], 12)
    parts = [row.text[window.offsets[1][0] : window.offsets[-2][1]] for window in windows]
    assert len(parts) > 3  # each of these words is one token, so a part is its window
    probabilities = [
        engine.predict_examples("intent", [LabelledText(part)])[0].probabilities for part in parts
    ]
    logs = torch.tensor([list(each.values()) for each in probabilities]).log()
    mean = dict(zip(TC_LABELS, logs.mean(0).softmax(-1).tolist(), strict=True))
    assert label.probabilities == pytest.approx(mean, abs=1e-5)
    assert units == words_of(row.text)


STRANGE = {
    "emoji": "call 😀 mum 👩‍👩‍👧 👍🏽 now 🇫🇷!",
    "cjk": "日本語abc北京に行く。東京 new",
    "right to left": "שלום new מרחבא مرحبا يور",
    "zero width": "new\u200byork mu\u200dm \u200b \u200d a\u200cb\ufeff",
    "only zero width": "\u200b\u200d\ufeff",
    "combining": "cafe\u0301 e\u0301\u0302 \u0301\u0301",
    "controls": "a\x00b\tc\nd\r\n\x7fe",
    "blank": " \n\t ",
    "empty": "",
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())
def test_any_text_is_well_defined(engine: Engine, text: str) -> None:
    (result,) = engine.predict([text])
    assert result["text"] == text
    words = words_of(text)
    starts, ends = {start for start, _ in words}, {end for _, end in words}
    for name, (kind, _, _) in SHAPES.items():
        found = result["apps"][name]
        if kind == "ner":
            end = 0
            for entity in found["entities"]:
                assert entity["text"] == text[entity["start"] : entity["end"]] != ""
                assert entity["start"] >= end
                assert entity["start"] in starts
                assert entity["end"] in ends
                assert entity["type"] in NER_LABELS
                assert 0 < entity["score"] <= 1
                end = entity["end"]
        else:
            assert set(found["probabilities"]) == set(TC_LABELS)
            assert all(0 <= p <= 1 for p in found["probabilities"].values())
            if name != "flags":
                is_empty = not text.strip(" \n\t\u200b\u200d\ufeff")
                assert len(found["labels"]) == (0 if is_empty else 1)
                assert found.get("abstained", False) is is_empty
                assert sum(found["probabilities"].values()) == pytest.approx(1, abs=2e-4)


def test_no_texts_and_no_apps(engine: Engine) -> None:
    assert engine.predict([]) == []
    assert engine.predict(["a"], []) == [{"text": "a", "apps": {}}]


def test_multi_label_chooses_every_label_of_at_least_one_half(engine: Engine) -> None:
    chosen = set()
    for result in engine.predict(TEXTS, ["flags"]):
        found = result["apps"]["flags"]
        want = {label for label, p in found["probabilities"].items() if p >= 0.5}
        if not result["text"].strip():
            want = set()
        assert set(found["labels"]) == want
        chosen.add(len(want))
    assert chosen != {1}


def test_threads_may_share_an_engine(engine: Engine) -> None:
    want = {name: engine.predict(TEXTS, [name]) for name in SHAPES}
    got: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda n=name: got.update({n: engine.predict(TEXTS, [n])}))
        for name in SHAPES
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == want


def test_unknown_apps_name_the_nearest(engine: Engine) -> None:
    for call in (
        lambda: engine.app("calender"),
        lambda: engine.predict(["a"], ["dish", "calender"]),
        lambda: engine.predict_examples("calender", []),
        lambda: engine.score("calender", [], "test.csv"),
    ):
        with pytest.raises(UserError, match="unknown app 'calender'; did you mean 'calendar'"):
            call()


def test_an_app_refuses_another_backbone(tiny_backbone: Backbone, apps: dict[str, App]) -> None:
    other = replace(apps["dish"], fingerprint="f" * 64, record={"backbone": "backbones/old"})
    with pytest.raises(UserError, match=r"app dish was trained on backbones/old \(ffffffffffff\)"):
        Engine(tiny_backbone, {**apps, "dish": other})
    with torch.no_grad():
        tiny_backbone.encoder.linear(0, "query").weight[0, 0] += 1e-3
    moved = Backbone(tiny_backbone.encoder, 2, tiny_backbone.primary_loras)
    with pytest.raises(UserError, match="app calendar was trained on another backbone"):
        Engine(moved, apps)


def test_an_app_without_its_primary_is_refused(
    tiny_backbone: Backbone, apps: dict[str, App]
) -> None:
    tiny_backbone.primary_loras.pop("tc")
    with pytest.raises(UserError, match="app spam needs the primary LoRA 'tc'"):
        Engine(tiny_backbone, {"spam": apps["spam"]})


def test_bf16_is_close_in_every_app_and_leaves_the_backbone_in_fp32(
    engine: Engine, tiny_backbone: Backbone, apps: dict[str, App]
) -> None:
    ids, units = one_batch(tiny_backbone, TEXTS)
    exact = engine.logits(list(apps), ids, units)
    rounded = Engine(tiny_backbone, apps, "bf16")
    found = rounded.logits(list(apps), ids, units)
    assert (engine.precision, rounded.precision) == ("fp32", "bf16")
    for name, want in exact.items():
        assert found[name].dtype == torch.float32
        assert 0 < (found[name] - want).abs().max() < 0.05 * want.std()
    assert tiny_backbone.encoder.fingerprint() == tiny_backbone.fingerprint
    chosen = Engine(tiny_backbone, apps, "auto")  # tests say that bf16 is not faster
    assert chosen.precision == "fp32"


def test_an_engine_leaves_the_encoder_as_it_is(
    tiny_backbone: Backbone, apps: dict[str, App]
) -> None:
    ids, mask = pad([[2, 9, 8, 3]], 1)
    before = tiny_backbone.encoder.states(ids, mask)
    Engine(tiny_backbone, apps).predict(TEXTS)
    assert torch.equal(tiny_backbone.encoder.states(ids, mask), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_apps_are_added_replaced_and_removed(
    tiny_backbone: Backbone, apps: dict[str, App], precision: Any
) -> None:
    engine = Engine(tiny_backbone, {n: apps[n] for n in ("calendar", "spam")}, precision)
    want, before = engine.predict(TEXTS), engine.predict(TEXTS)
    more = engine.with_apps({"topic": apps["topic"], "spam": apps["mood"]})
    assert list(more.apps) == ["calendar", "spam", "topic"]
    alone = Engine(tiny_backbone, {"mood": apps["mood"], "topic": apps["topic"]}, precision)
    for old, found, new in zip(want, more.predict(TEXTS), alone.predict(TEXTS), strict=True):
        assert_same(found["apps"]["calendar"], old["apps"]["calendar"])
        assert_same(found["apps"]["spam"], new["apps"]["mood"])
        assert_same(found["apps"]["topic"], new["apps"]["topic"])
    assert engine.predict(TEXTS) == before
    less = more.without("calendar", "topic")
    assert list(less.apps) == ["spam"]
    with pytest.raises(UserError, match="unknown app 'topic'; "):
        less.predict(TEXTS, ["topic"])
    with pytest.raises(UserError, match="unknown app 'topci'; did you mean"):
        more.without("topci")
    with pytest.raises(UserError, match="was trained on another backbone"):
        more.with_apps({"dish": replace(apps["dish"], fingerprint="f" * 64)})
    assert list(more.apps) == ["calendar", "spam", "topic"]


def test_requests_keep_their_apps_while_others_replace_them(
    tiny_backbone: Backbone, apps: dict[str, App]
) -> None:
    """Each answer is wholly of one of two versions of two apps."""
    both = [
        {"one": apps[a], "two": apps[b]} for a, b in (("calendar", "intent"), ("dish", "topic"))
    ]
    wanted = [Engine(tiny_backbone, version).predict(TEXTS) for version in both]
    served, errors, seen, done = [Engine(tiny_backbone, both[0])], [], set(), threading.Event()

    def ask() -> None:
        while not done.is_set():
            found = served[0].predict(TEXTS)
            for number, want in enumerate(wanted):
                if all(
                    one["apps"][name].get("labels") == other["apps"][name].get("labels")
                    and one["apps"][name].get("entities") == other["apps"][name].get("entities")
                    for one, other in zip(found, want, strict=True)
                    for name in ("one", "two")
                ):
                    seen.add(number)
                    break
            else:
                errors.append(found)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(1, 60):
        served[0] = served[0].with_apps(both[round_ % 2])
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert seen == {0, 1}


def test_a_stream_answers_in_order_and_reads_no_further_than_it_must(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onetrunk.apps.engine.STREAM_TEXTS", 3)
    taken = []

    def endless() -> Iterator[str]:
        for number in count():
            taken.append(number)
            yield f"call mum in new york {number}"

    answers = engine.stream(endless(), ["spam", "calendar"])
    found = [next(answers) for _ in range(7)]
    assert [answer["text"] for answer in found] == [f"call mum in new york {n}" for n in range(7)]
    assert len(taken) == 9
    for answer, want in zip(
        found, engine.predict([a["text"] for a in found], ["spam", "calendar"]), strict=True
    ):
        for name in ("spam", "calendar"):
            assert_same(answer["apps"][name], want["apps"][name])
    assert list(engine.stream([])) == []


def test_saved_apps_load_and_predict_the_same(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    folders = []
    for name, app in apps.items():
        (tmp_path / name).mkdir()
        save_app(app, tiny_backbone, tmp_path / name)
        folders.append(tmp_path / name)
    engine = Engine(tiny_backbone, apps)
    want = engine.predict(TEXTS)
    engine = Engine(tiny_backbone, load_apps(folders, tiny_backbone))
    assert list(engine.apps) == list(apps)
    assert engine.predict(TEXTS) == want


def test_two_folders_of_one_name_are_refused(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    for parent in ("x", "y"):
        (tmp_path / parent / "dish").mkdir(parents=True)
        save_app(apps["dish"], tiny_backbone, tmp_path / parent / "dish")
    with pytest.raises(UserError, match="two apps are called 'dish'"):
        load_apps([tmp_path / "x" / "dish", tmp_path / "y" / "dish"], tiny_backbone)


def test_score_counts_what_predict_finds_and_refuses_unseen_labels(engine: Engine) -> None:
    texts = [text for text in TEXTS if text.strip()]
    predicted = [
        result["apps"]["intent"]["labels"][0] for result in engine.predict(texts, ["intent"])
    ]
    right = [LabelledText(t, (label,)) for t, label in zip(texts, predicted, strict=True)]
    wrong = "a" if predicted[0] != "a" else "b"
    one_off = [LabelledText(texts[0], (wrong,)), *right[1:]]
    assert engine.score("intent", right, "test")["accuracy"] == pytest.approx(100)
    share = 100 * (len(texts) - 1) / len(texts)
    assert engine.score("intent", one_off, "test")["accuracy"] == pytest.approx(share)
    with pytest.raises(UserError, match=r"test\.csv, row 2: label 'd' never occurs in training"):
        engine.score("intent", [right[0], LabelledText("x", ("d",))], "test.csv")


def test_apps_are_scored_together_as_alone(
    tiny_backbone: Backbone, apps: dict[str, App], random_adapter: Any
) -> None:
    """Apps of one family, some of which read shorter windows."""
    short = make_app(tiny_backbone, random_adapter, "topic", max_length=5)
    engine = Engine(tiny_backbone, {**apps, "short": short})
    names = ["mood", "short", "topic", "spam"]
    rows = [LabelledText(text, ("ab"[i % 2],)) for i, text in enumerate(TEXTS * 3)]
    together = engine.score_all(names, rows, "test")
    assert together == {name: engine.score(name, rows, "test") for name in names}
    assert len({tuple(scores.values()) for scores in together.values()}) > 1
    with pytest.raises(UserError, match="these apps are of several families: ner, tc"):
        engine.predict_all(["mood", "dish"], rows)


def test_ner_score_is_on_the_full_sentence(tiny_backbone: Backbone, random_adapter: Any) -> None:
    app = make_app(tiny_backbone, random_adapter, "calendar", max_length=8)
    text = "call mum in new york now and play music in \ufffd"  # the tokenizer deletes the last
    engine = Engine(tiny_backbone, {"calendar": app})
    (predicted,) = engine.predict_examples("calendar", [AnnotatedText(text)])
    assert predicted.entities
    inside = AnnotatedText(text, tuple(predicted.entities))
    beyond = AnnotatedText(text, (*predicted.entities, (len(text) - 1, len(text), "loc")))
    assert engine.score("calendar", [inside], "test")["f1"] == pytest.approx(100)
    assert 0 < engine.score("calendar", [beyond], "test")["f1"] < 100
