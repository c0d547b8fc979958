"""Engine, Runtime and Client are one interface: what is asserted here holds for all."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

import onetrunk
from onetrunk.errors import UserError
from onetrunk.interface import Model
from onetrunk.serving.api import create_app

FOLDER = Path(__file__).parent / "fixtures" / "format-0.1"
APPS = ["calendar", "place", "intent", "flags", "stars"]
TEXTS = ["ann met mum in new york", "call dora", "", "play music 😀, now!"]


@pytest.fixture(scope="module", params=["engine", "runtime", "client"])
def model(request: pytest.FixtureRequest, answering: Any) -> Iterator[Any]:
    if request.param == "engine":
        yield onetrunk.load(*(FOLDER / "apps" / app for app in APPS))
        return
    runtime = onetrunk.load(str(FOLDER / "bundle"))
    if request.param == "runtime":
        yield runtime
        return
    with answering(create_app(runtime)) as url, onetrunk.Client(url) as client:
        yield client


def test_it_has_what_the_protocol_says(model: Model) -> None:
    for name, member in inspect.getmembers(Model, inspect.isfunction):
        if not name.startswith("_"):
            want, have = inspect.signature(member), inspect.signature(getattr(type(model), name))
            assert list(want.parameters) == list(have.parameters)[: len(want.parameters)], name
    assert sorted(model.names) == sorted(APPS)


def test_one_text_gives_one_result_and_a_list_a_list(model: Model) -> None:
    single, several = model.predict(TEXTS[0]), model.predict(TEXTS)
    assert single == several[0]
    assert [result["text"] for result in several] == TEXTS
    assert set(single["apps"]) == set(APPS)
    assert model.predict([]) == []
    assert model.predict([TEXTS[0]]) == [single]
    for collection in (tuple(TEXTS), np.array(TEXTS), pd.Series(TEXTS, index=[7, 5, 3, 1])):
        assert model.predict(collection) == several  # type: ignore[call-overload]


def test_some_apps(model: Model) -> None:
    result = model.predict(TEXTS[0], apps=["intent", "calendar"])
    assert list(result["apps"]) == ["intent", "calendar"]
    assert model.predict(TEXTS[0], apps="intent")["apps"].keys() == {"intent"}
    with pytest.raises(UserError, match=r"'intend'.*did you mean 'intent'"):
        model.predict(TEXTS[0], apps=["intend"])


def test_a_stream_answers_as_predict_does(model: Model) -> None:
    assert list(model.stream(iter(TEXTS))) == model.predict(TEXTS)
    assert list(model.stream(TEXTS[0])) == [model.predict(TEXTS[0])]


@pytest.mark.parametrize("item", [None, float("nan"), 3, b"x", ["a", "b"], UserError("row 2: no")])
def test_a_stream_goes_on_after_what_is_no_text(model: Model, item: Any) -> None:
    """Invariant: one bad text does not lose the others, and every item has its result."""
    first, bad, last = model.stream([TEXTS[0], item, TEXTS[1]])
    assert [first, last] == model.predict(TEXTS[:2])
    assert set(bad) == {"text", "error"}
    assert bad["text"] is None
    if isinstance(item, UserError):
        assert bad["error"] == "row 2: no"
    else:
        assert f"({type(item).__name__}) is no text" in bad["error"]
    assert [set(result) for result in model.stream([item])] == [{"text", "error"}]


def test_a_stream_goes_on_after_a_text_too_long_for_a_device() -> None:
    model, long = onetrunk.load(FOLDER / "bundle"), "x" * 200_001
    results = list(model.stream([TEXTS[0], long, TEXTS[1]]))
    assert [results[0], results[2]] == model.predict(TEXTS[:2])
    assert results[1]["text"] == long
    assert results[1]["error"].startswith("200,001 characters; at most 200,000 are read")
    with pytest.raises(UserError, match=r"text 1 \(counted from 0\) has 200,001 characters"):
        model.predict([TEXTS[0], long])


def test_half_a_surrogate_pair_is_answered(model: Model) -> None:
    (result,) = model.stream(["call \ud83d ann"])
    assert result["text"] == "call \ud83d ann"
    assert set(result["apps"]) == set(APPS)


@pytest.mark.parametrize("ask", ["predict", "embed", "stream"])
@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (None, "pass a string or a list of strings, not None"),
        (float("nan"), "not nan"),
        (b"text", "not b'text'"),
        ({"a", "b"}, "(set)"),
        (pd.DataFrame({"message": ["a"]}), "pass one column of the table, not all of it: message"),
        (pa.table({"message": ["a"]}), "pass one column of the table"),
        ({"text": "a"}, "pass one column of the table, not all of it: text"),
    ],
    ids=["none", "nan", "bytes", "set", "frame", "arrow", "dict"],
)
def test_what_holds_no_texts_is_refused(model: Model, ask: str, texts: Any, why: str) -> None:
    with pytest.raises(UserError) as refused:
        list(getattr(model, ask)(texts))
    assert why in str(refused.value)


@pytest.mark.parametrize("ask", ["predict", "embed"])
@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["a", None], r"item 1 \(counted from 0\) is None"),
        (pd.Series(["a", float("nan")]), r"item 1 \(counted from 0\) is nan"),
        ([["a", "b"]], r"item 0 \(counted from 0\) is"),
    ],
    ids=["none-in-list", "nan-in-series", "nested"],
)
def test_a_list_of_texts_is_answered_whole_or_not(
    model: Model, ask: str, texts: Any, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        getattr(model, ask)(texts)


def test_embeddings_are_those_of_sentence_transformers(model: Model, tmp_path: Path) -> None:
    backbone = onetrunk.Backbone.load(FOLDER / "backbone")
    encoder = Transformer(str(FOLDER / "backbone"))
    encoder.auto_model.load_adapter(str(FOLDER / "backbone/primary/tc"))
    pooling = Pooling(backbone.encoder.width, pooling_mode="mean")
    reference = SentenceTransformer(modules=[encoder, pooling], device="cpu")
    want = reference.encode(TEXTS)
    have = model.embed(TEXTS)
    assert have.shape == (len(TEXTS), backbone.encoder.width)
    assert have.dtype == np.float32
    np.testing.assert_allclose(have, want, atol=2e-4)
    np.testing.assert_allclose(model.embed(TEXTS[0]), have[0], atol=1e-5)
    assert model.embed([]).shape == (0, backbone.encoder.width)


def test_a_long_text_has_the_mean_of_its_windows(model: Model) -> None:
    long = " ".join(["ann met mum in new york"] * 40)
    vector = model.embed(long)
    assert np.isfinite(vector).all()
    assert not np.allclose(vector, model.embed(" ".join(["ann met mum in new york"] * 5)))
