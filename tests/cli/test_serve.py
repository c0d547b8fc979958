"""``onetrunk serve``: what is said before anything is served. The rest is in tests/serving."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from onetrunk.bundle.page import ORT, ORT_VARIABLE
from onetrunk.serving.settings import TOKEN

FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nowhere"], "no such folder: nowhere"),
        ([FORMAT_0_1 / "bundle", "--backbone", "x"], "is a bundle: it runs alone"),
        ([FORMAT_0_1 / "bundle", "--token-file", "nothing"], "nothing: No such file"),
        ([FORMAT_0_1 / "bundle", "--deadline", "0"], "--deadline is 0"),
        ([FORMAT_0_1 / "bundle", "--max-queue", "9"], "--max-texts 256 is more than --max-queue 9"),
        ([FORMAT_0_1 / "bundle", "--cors-origin", "example.org"], "write https://example.org"),
        ([FORMAT_0_1 / "bundle", "--port", "70000"], "cannot listen on 127.0.0.1 port 70000"),
        ([FORMAT_0_1 / "bundle", "--host", "no host"], "cannot listen on no host port 8000"),
    ],
)
def test_what_cannot_be_served(run: Callable[..., Any], arguments: list[Any], why: str) -> None:
    done = run("serve", *arguments)
    assert done.code == 2
    assert done.err.count("error:") == 1
    assert why in done.err


@pytest.fixture
def said(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``said(argument, …)``: what a service says at its start, in lines, and what it shows at /."""

    def start(*arguments: Any) -> tuple[list[str], str]:
        shown = []

        def ask(app: FastAPI, listening: socket.socket) -> None:
            listening.close()
            shown.append(TestClient(app).get("/").text)

        monkeypatch.setattr("onetrunk.serving.logs.log_to", lambda stream: None)
        monkeypatch.setattr("onetrunk.serving.server.run", ask)
        done = run("serve", *arguments, "--port", 0)
        assert done.code == 0, done.err
        return done.err.splitlines(), shown[0]

    return start


def test_it_says_whether_there_is_a_page(
    said: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says no other than what is shown."""
    for name in ORT:
        (tmp_path / name).touch()
    bundle, app = FORMAT_0_1 / "bundle", FORMAT_0_1 / "apps" / "intent"
    for ort, arguments, part in (
        (tmp_path, [bundle], " runs the bundle in the browser"),
        (tmp_path, [bundle, "--no-page"], "none; / only lists the routes (--no-page)"),
        (tmp_path, [app], "none; / only lists the routes, since a page runs a bundle"),
        (tmp_path / "no", [bundle], "none; / only lists the routes. For the page, name the folder"),
    ):
        monkeypatch.setenv(ORT_VARIABLE, str(ort))
        lines, page = said(*arguments)
        (line,) = [line for line in lines if line.startswith("page: ")]
        assert part in line
        assert ("none" in line) == ("POST /v1/predict" in page)


def test_it_says_whether_apps_may_change(
    said: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    monkeypatch.delenv(TOKEN, raising=False)
    bundle, app = FORMAT_0_1 / "bundle", FORMAT_0_1 / "apps" / "intent"
    for arguments, part in (
        (
            [bundle],
            f"refused; to allow teach, put and remove, give --token-file FILE or set {TOKEN}",
        ),
        ([bundle, "--token-file", token], "teach, put and remove are allowed to whoever has the"),
        ([app, "--token-file", token], "refused, since app folders are served as they are"),
    ):
        lines, _ = said(*arguments)
        (line,) = [line for line in lines if line.startswith("changes: ")]
        assert part in line


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
