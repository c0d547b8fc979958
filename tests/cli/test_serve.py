"""``onetrunk serve``: what is said before anything is served. The rest is in tests/serving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nowhere"], "no such folder: nowhere"),
        ([FORMAT_0_1 / "bundle", "--backbone", "x"], "is a bundle: it runs alone"),
        ([FORMAT_0_1 / "bundle", "--token-file", "nothing"], "nothing: No such file"),
        ([FORMAT_0_1 / "bundle", "--deadline", "0"], "deadline is 0"),
        ([FORMAT_0_1 / "bundle", "--port", "70000"], "cannot listen on 127.0.0.1 port 70000"),
        ([FORMAT_0_1 / "bundle", "--host", "no host"], "cannot listen on no host port 8000"),
    ],
)
def test_what_cannot_be_served(run: Callable[..., Any], arguments: list[Any], why: str) -> None:
    done = run("serve", *arguments)
    assert done.code == 2
    assert done.err.count("error:") == 1
    assert why in done.err


def test_texts_and_bodies_grow_together(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of the most characters fits into a body, whatever the characters."""
    limits = []
    monkeypatch.setattr("onetrunk.serving.logs.log_to", lambda stream: None)
    monkeypatch.setattr("onetrunk.serving.server.run", lambda app, listening: listening.close())
    monkeypatch.setattr("onetrunk.serving.api.create_app", lambda *given: limits.append(given[2]))
    arguments = ["--port", 0, "--max-characters", 200_000]
    assert run("serve", FORMAT_0_1 / "bundle", *arguments).code == 0
    assert limits[0].characters == 200_000
    assert limits[0].body_bytes > 12 * 200_000
