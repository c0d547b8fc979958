"""A runtime with room for fewer apps than its bundle has."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from onetrunk.bundle.contents import bundled_app
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

TEXTS = ["Call mum in New York, now!", "", "the bank " * 40]


def rounded(found: Any) -> Any:
    """Stacks of other heights and ranks add in another order."""
    if isinstance(found, float):
        return round(found, 3)
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    return [rounded(one) for one in found] if isinstance(found, list) else found


@pytest.mark.parametrize("max_loaded", [1, 2, 100])
def test_answers_are_those_of_a_runtime_that_holds_all(bundle: Path, max_loaded: int) -> None:
    everything, runtime = Runtime(bundle), Runtime(bundle, max_loaded=max_loaded)
    assert runtime.names == list(everything.apps)
    want = rounded(everything.predict(TEXTS))
    assert rounded(runtime.predict(TEXTS)) == want
    assert len(runtime.apps) <= max_loaded
    rng = random.Random(0)
    for _ in range(10):
        names = rng.sample(runtime.names, 3)
        for found, one in zip(runtime.predict(TEXTS, names), want, strict=True):
            assert rounded(found["apps"]) == {name: one["apps"][name] for name in names}
    assert len(runtime.apps) <= max(max_loaded, 3)


def test_the_least_recently_used_makes_way(bundle: Path) -> None:
    runtime = Runtime(bundle, max_loaded=2)
    for name in ("spam", "mood", "spam", "intent"):
        runtime.predict(TEXTS, [name])
    assert sorted(runtime.apps) == ["intent", "spam"]


def test_apps_added_in_memory_stay_there(
    bundle: Path, tiny_backbone: Backbone, make_app: Any
) -> None:
    runtime = Runtime(bundle, ["spam", "mood", "place"], max_loaded=1)
    new = bundled_app("spam", make_app(tiny_backbone, "spam", seed=9), tiny_backbone)
    runtime.add(new)
    assert sorted(runtime.names) == ["mood", "place", "spam"]
    mine = runtime.predict(TEXTS, ["spam"])
    for name in ("mood", "place", "mood"):
        runtime.predict(TEXTS, [name])
    assert sorted(runtime.apps) == ["mood", "spam"]
    assert runtime.predict(TEXTS, ["spam"]) == mine
    runtime.remove("spam")
    runtime.remove("place")  # which is not in memory
    assert runtime.names == ["mood"]
    with pytest.raises(UserError, match="unknown app 'place'"):
        runtime.predict(TEXTS, ["place"])
    with pytest.raises(UserError, match=r"unknown app 'moood'; did you mean 'mood'\?"):
        runtime.predict(TEXTS, ["moood"])


def test_what_is_wrong_is_said_at_the_start_or_at_first_use(bundle: Path) -> None:
    with pytest.raises(UserError, match="max_loaded: pass a whole number, 1 or more, not 0"):
        Runtime(bundle, max_loaded=0)
    with pytest.raises(UserError, match=r"has no app 'spma'; did you mean 'spam'\?"):
        Runtime(bundle, ["mood", "spma"], max_loaded=1)
    file = bundle / "apps/mood.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    runtime = Runtime(bundle, ["spam", "mood"], max_loaded=1)
    before = runtime.predict(TEXTS, ["spam"])
    with pytest.raises(UserError, match="its hash differs"):
        runtime.predict(TEXTS, ["mood"])
    assert runtime.predict(TEXTS, ["spam"]) == before


def test_threads_that_push_each_other_out(bundle: Path) -> None:
    """And one that removes an app while others ask for all."""
    everything, runtime = Runtime(bundle), Runtime(bundle, threads=1, max_loaded=2)
    want = rounded(everything.predict(TEXTS))
    failures: list[Any] = []

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(15):
                names = rng.sample([n for n in everything.names if n != "flags"], 2)
                asked = None if rng.random() < 0.2 else names
                for found, one in zip(runtime.predict(TEXTS, asked), want, strict=True):
                    for name, answer in rounded(found["apps"]).items():
                        if answer != one["apps"][name]:
                            failures.append((name, answer))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    runtime.remove("flags")
    for thread in threads:
        thread.join()
    assert not failures
