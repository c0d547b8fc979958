"""The routing example runs, and each message reaches the handler of its label."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import onetrunk

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests/fixtures/format-0.1/bundle"
MESSAGES = ["call ann", "play music", "", "call dora in new york", "play a", "river bank"]


@pytest.fixture
def example() -> ModuleType:
    spec = spec_from_file_location("route_messages", ROOT / "examples/route_messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_message_reaches_its_handler(example: ModuleType) -> None:
    model = onetrunk.load(BUNDLE)
    handlers = {label: lambda result, label=label: label for label in ("call", "play")}
    found = list(example.route(model, "intent", MESSAGES, handlers, lambda result: "nobody"))
    want = [
        (result["apps"]["intent"]["labels"] or ["nobody"])[0] for result in model.predict(MESSAGES)
    ]
    assert found == want
    assert {"call", "play", "nobody"} <= set(found)
    (answer,) = example.route(model, "intent", [None], handlers, lambda result: "nobody")
    assert answer == "nobody"  # what is no text cannot be answered, and does not stop the others


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "usage: python route_messages.py BUNDLE APP"),
        ([BUNDLE], "usage: python route_messages.py BUNDLE APP"),
        ([BUNDLE, "calendar"], "error: app calendar gives no labels: name an app of family tc"),
        ([BUNDLE, "stars"], "error: app stars gives no labels"),
        ([BUNDLE, "intend"], "error: unknown app 'intend'; did you mean 'intent'?"),
        ([ROOT / "none", "intent"], "error: "),
    ],
)
def test_what_is_wrong_is_said_in_a_line(given: list[Any], said: str) -> None:
    command = [sys.executable, ROOT / "examples/route_messages.py", *given]
    run = subprocess.run(command, input="x", text=True, capture_output=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(said)
    assert "Traceback" not in run.stderr


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, str(ROOT / "examples/route_messages.py"), str(BUNDLE), "intent"]
    run = subprocess.run(
        command, input="\n".join(MESSAGES), text=True, capture_output=True, timeout=60, check=True
    )
    lines = run.stdout.splitlines()
    assert len(lines) == len(MESSAGES)
    assert lines[0].startswith("call: ")
    assert lines[1] == "play: play music"
    assert lines[2] == "somebody reads: "
