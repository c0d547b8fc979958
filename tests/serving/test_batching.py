"""Answers do not depend on what they were batched with, and what waits is bounded."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onetrunk
from onetrunk.bundle.runtime import Runtime
from onetrunk.serving.batching import Batcher
from onetrunk.serving.refusal import Refusal
from onetrunk.serving.settings import Limits

FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"


class Fake:
    """A model that notes its calls, and answers when it may."""

    names = ("a", "b", "c")

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.passes: Counter[str] = Counter()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def predict(self, texts: list[str], apps: list[str]) -> list[dict[str, Any]]:
        self.calls.append(tuple(texts))
        assert self.may_answer.wait(10)
        if "bad" in texts:
            raise ValueError("bad")
        self.passes.update(texts)
        return [{"text": text, "apps": {app: f"{app} of {text}" for app in apps}} for text in texts]

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(text)] for text in texts], np.float32)


def running(work: Any, limits: Limits | None = None) -> Any:
    """What ``await work(batcher)`` gives, beside a batcher that runs."""

    async def main() -> Any:
        batcher = Batcher(limits or Limits(), lambda texts, seconds: None)
        task = asyncio.create_task(batcher.run())
        try:
            return await work(batcher)
        finally:
            task.cancel()
            batcher.close()

    return asyncio.run(main())


async def settled() -> None:
    """Until all that can go on has done so."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def behind(fake: Fake, asks: list[Coroutine[Any, Any, Any]], batcher: Batcher) -> list[Any]:
    """Answers to requests that all arrive while the model is busy with another one."""
    fake.may_answer.clear()
    first = asyncio.create_task(batcher.predict(fake, ["first"], ["a"]))
    await settled()
    tasks = [asyncio.create_task(ask) for ask in asks]
    await settled()
    fake.may_answer.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_requests_that_wait_run_together_and_a_text_runs_once_for_all_its_apps() -> None:
    fake = Fake()

    async def work(batcher: Batcher) -> list[Any]:
        asks = [
            batcher.predict(fake, ["x", "y"], ["b"]),
            batcher.predict(fake, ["x"], ["c", "a"]),
            batcher.predict(fake, ["z"], ["b"]),
            batcher.embed(fake, ["four"]),
        ]
        return await behind(fake, asks, batcher)

    one, other, third, embedded = running(work)
    assert one == [{"text": t, "apps": {"b": f"b of {t}"}} for t in "xy"]
    assert other == [{"text": "x", "apps": {"c": "c of x", "a": "a of x"}}]
    assert list(other[0]["apps"]) == ["c", "a"]
    assert third == [{"text": "z", "apps": {"b": "b of z"}}]
    assert embedded[0].tolist() == [4]
    assert fake.passes == Counter(first=1, x=1, y=1, z=1)
    assert sorted(fake.calls) == [("first",), ("x",), ("y", "z")]  # texts of the same apps together


def test_a_large_request_lets_others_in_between() -> None:
    fake = Fake()

    async def work(batcher: Batcher) -> list[Any]:
        large = [f"large {number}" for number in range(10)]
        asks = [batcher.predict(fake, large, ["a"]), batcher.predict(fake, ["small"], ["a"])]
        return await behind(fake, asks, batcher)

    large, small = running(work, Limits(max_batch=4))
    assert [answer["text"] for answer in large] == [f"large {number}" for number in range(10)]
    assert small[0]["text"] == "small"
    assert [len(call) for call in fake.calls] == [1, 4, 4, 3]
    assert "small" in fake.calls[2]


def test_a_batch_has_no_more_characters_than_one_long_text() -> None:
    fake = Fake()

    async def work(batcher: Batcher) -> list[Any]:
        asks = [batcher.predict(fake, [letter * 15_000], ["a"]) for letter in "uvwx"]
        return await behind(fake, asks, batcher)

    running(work)
    assert [len(call) for call in fake.calls] == [1, 2, 2]


def test_a_text_that_fails_does_not_fail_those_beside_it() -> None:
    fake = Fake()

    async def work(batcher: Batcher) -> list[Any]:
        asks = [
            batcher.predict(fake, ["good"], None),
            batcher.predict(fake, ["fine", "bad"], None),
            batcher.predict(fake, ["fine"], None),
        ]
        return await behind(fake, asks, batcher)

    good, bad, fine = running(work)
    assert good[0]["text"] == "good"
    assert isinstance(bad, ValueError)
    assert fine[0]["apps"] == {name: f"{name} of fine" for name in fake.names}


def test_what_waits_is_bounded_and_what_is_late_is_not_run() -> None:
    fake = Fake()

    async def work(batcher: Batcher) -> list[Any]:
        fake.may_answer.clear()
        tasks = []
        for number in range(6):  # the first one runs, two wait
            tasks.append(asyncio.create_task(batcher.predict(fake, [f"text {number}"], ["a"])))
            await settled()
        refused = [task.exception() for task in tasks[3:]]
        late = await asyncio.gather(*tasks[:3], return_exceptions=True)
        fake.may_answer.set()
        while batcher.texts_waiting:
            await asyncio.sleep(0.001)
        answer = await batcher.predict(fake, ["after"], ["a"])
        return [refused, late, answer, batcher.texts_waiting]

    limits = Limits(max_queue=2, texts=2, deadline=0.5)
    refused, late, answer, waiting = running(work, limits)
    assert [(fault.status, fault.retry_after) for fault in refused] == [(429, 1)] * 3
    assert [fault.status for fault in late] == [504] * 3
    assert answer[0]["text"] == "after"
    assert fake.calls == [("text 0",), ("after",)]
    assert waiting == 0


def test_what_would_be_late_is_refused() -> None:
    """The queue is shorter where the model is slower: who waits in it gets an answer."""
    fake = Fake()
    slow = fake.predict

    def predict(texts: list[str], apps: list[str]) -> list[dict[str, Any]]:
        threading.Event().wait(0.1 * len(texts))
        return slow(texts, apps)

    fake.predict = predict  # type: ignore[method-assign]

    async def work(batcher: Batcher) -> list[Any]:
        await batcher.predict(fake, ["how fast?"], ["a"])
        asks = [batcher.predict(fake, [f"text {number}"], ["a"]) for number in range(40)]
        return await asyncio.gather(*asks, return_exceptions=True)

    answers = running(work, Limits(deadline=1.0, max_batch=2))
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert 20 < len(refused) < 38
    assert {fault.status for fault in refused} == {429}


def test_an_unknown_app_and_no_texts() -> None:
    async def work(batcher: Batcher) -> Any:
        assert await batcher.predict(Fake(), [], ["a"]) == []
        await batcher.predict(Fake(), ["x"], ["A"])

    with pytest.raises(Refusal, match="unknown app 'A'; did you mean 'a'"):
        running(work)


TEXTS = [
    "call dora",
    "",
    "ann met mum in new york",
    "play music 😀, now! " * 9,
    "日本 \ud83d",
    "bank",
]


@pytest.fixture(scope="module", params=["fp32", "int8"])
def both(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("bundles") / request.param
    apps = [FORMAT_0_1 / "apps" / name for name in ("calendar", "place", "intent", "flags")]
    onetrunk.export(apps, folder, precision=request.param)
    runtime = Runtime(folder, threads=1)
    alone = {
        (text, name): runtime.predict(text, [name])["apps"][name]
        for text in TEXTS
        for name in runtime.names
    }
    return runtime, alone, {text: runtime.embed(text) for text in TEXTS}


names = st.lists(st.sampled_from(["calendar", "place", "intent", "flags"]), unique=True)
requests = st.lists(
    st.tuples(
        st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5), st.one_of(st.none(), names)
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None, database=None)
@given(asked=requests, max_batch=st.integers(1, 9))
def test_an_answer_does_not_depend_on_its_batch(both: Any, asked: Any, max_batch: int) -> None:
    """Every app and text: what the runtime says of them alone, up to the last digit."""
    runtime, alone, embedded = both

    async def work(batcher: Batcher) -> list[Any]:
        asks = [batcher.predict(runtime, texts, apps) for texts, apps in asked]
        return await asyncio.gather(*asks, *(batcher.embed(runtime, texts) for texts, _ in asked))

    found = running(work, Limits(max_batch=max_batch))
    for (texts, apps), answers in zip(asked, found, strict=False):
        assert [answer["text"] for answer in answers] == texts
        for answer in answers:
            assert list(answer["apps"]) == (runtime.names if apps is None else apps)
            for name, of_app in answer["apps"].items():
                assert close(of_app, alone[answer["text"], name])
    for (texts, _), vectors in zip(asked, found[len(asked) :], strict=True):
        np.testing.assert_allclose(vectors, [embedded[text] for text in texts], atol=1e-5)


def close(one: Any, other: Any) -> bool:
    """Equal, but for the last of four digits."""
    if isinstance(one, float):
        return abs(one - other) < 1.5e-4
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == other)
