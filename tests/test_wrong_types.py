"""Arguments of a wrong type: one line that names the argument."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

import onetrunk
from onetrunk.errors import UserError

BUNDLE = Path(__file__).parent / "fixtures/format-0.1/bundle"
ROWS = [("well done", "glad"), ("late again", "cross"), ("thank you", "glad"), ("no", "cross")]


@pytest.fixture(scope="module")
def runtime() -> onetrunk.Runtime:
    return onetrunk.Runtime(BUNDLE, threads=1)


CALLS: dict[str, tuple[Any, str]] = {
    "backbone": (lambda wrong, _: onetrunk.adapt(wrong, "tc", ROWS), "backbone: pass a path, not"),
    "family": (lambda wrong, _: onetrunk.adapt("x", wrong, ROWS), "unknown task family"),
    "train": (lambda wrong, _: onetrunk.adapt("x", "tc", wrong), "is not a source; pass a path"),
    "load": (lambda wrong, _: onetrunk.Backbone.load(wrong), "backbone: pass a path, not"),
    "apps": (lambda wrong, to: onetrunk.export(wrong, to), "apps: pass app folders, or a dict"),
    "app": (lambda wrong, to: onetrunk.export({"a": wrong}, to), "app 'a': pass an App, not"),
    "out": (lambda wrong, _: onetrunk.export([], wrong), "out: pass a path, not"),
    "recipe": (lambda wrong, to: onetrunk.prefinetune(wrong, to), "recipe: pass a path, not"),
    "bundle": (lambda wrong, _: onetrunk.Runtime(wrong), "bundle: pass a path, not"),
    "threads": (lambda wrong, _: onetrunk.Runtime(BUNDLE, threads=wrong), "threads: pass a whole"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", [None, 2.5])
def test_an_argument_is_named(tmp_path: Path, call: str, wrong: Any) -> None:
    run, message = CALLS[call]
    with pytest.raises(UserError, match=message) as raised:
        run(wrong, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert str(wrong) in str(raised.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [None, 3, ["x"]])
def test_what_a_runtime_is_asked_for(runtime: onetrunk.Runtime, wrong: Any) -> None:
    with pytest.raises(UserError, match="an app's name is a string, not"):
        runtime.teach(wrong, "tc", ROWS)
    with pytest.raises(UserError, match=r"unknown app|no app"):
        runtime.correct(wrong if wrong != ["x"] else 3, ROWS[0])  # a list cannot be looked up


def test_a_runtime_is_opened_again_and_not_copied(runtime: onetrunk.Runtime) -> None:
    for take in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"open its bundle again, Runtime\(folder\)"):
            take(runtime)
    assert copy.copy(runtime).predict("ann met mum") == runtime.predict("ann met mum")
