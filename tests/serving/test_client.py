"""The client beside what test_interface.py asserts: retries, errors, requests of any size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import onetrunk
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.interface import Score
from onetrunk.serving.api import create_app
from onetrunk.serving.settings import Limits

TOKEN = "a token that nobody guesses"
LISTING = {"apps": [], "limits": {"texts": 256, "characters": 1000, "body_bytes": 10**6}}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", seconds.append)
    return seconds


def scripted(
    *answers: httpx.Response | Exception, **options: Any
) -> tuple[onetrunk.Client, list[httpx.Request]]:
    """A client of a service that gives these answers, and the requests that it gets."""
    remaining, requests = iter(answers), []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/apps":
            return httpx.Response(200, json=LISTING)
        requests.append(request)
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = httpx.Client(transport=httpx.MockTransport(handle))
    return onetrunk.Client("http://there", http=http, **options), requests


GOOD = httpx.Response(200, json={"results": [{"text": "a", "apps": {}}]})
BUSY = httpx.Response(429, headers={"retry-after": "3"}, json={"error": "too busy"})


def test_a_busy_service_is_asked_again_when_it_says(waits: list[float]) -> None:
    client, requests = scripted(BUSY, httpx.Response(503), httpx.ConnectError("refused"), GOOD)
    assert client.predict("a") == {"text": "a", "apps": {}}
    assert len(requests) == 4
    assert 3 <= waits[0] <= 3.2
    assert 0 <= waits[1] <= 0.4
    assert 0 <= waits[2] <= 0.8


def test_waits_differ_so_that_callers_do_not_come_back_together(waits: list[float]) -> None:
    for _ in range(5):
        scripted(BUSY, GOOD)[0].predict("a")
    assert len({*waits}) == 5


def test_it_gives_up_after_the_last_retry(waits: list[float]) -> None:
    client, requests = scripted(BUSY, BUSY, BUSY, retries=2)
    with pytest.raises(UserError, match=r"^http://there: too busy$"):
        client.predict("a")
    assert len(requests) == 3
    gone, _ = scripted(httpx.ConnectError("refused"), retries=0)
    with pytest.raises(UserError, match="no connection: refused"):
        gone.predict("a")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 501, 504])
def test_what_will_not_change_is_not_asked_again(status: int, waits: list[float]) -> None:
    client, requests = scripted(httpx.Response(status, json={"error": "one line"}))
    with pytest.raises(UserError, match=r"^one line$"):
        client.predict("a")
    assert len(requests) == 1
    client, _ = scripted(httpx.Response(status, text="<html>of a proxy"))
    with pytest.raises(UserError, match=f"answered HTTP {status}"):
        client.predict("a")


def test_a_change_that_may_have_been_made_is_not_made_again(waits: list[float]) -> None:
    lost = httpx.ReadError("lost")
    asking, requests = scripted(lost, GOOD)
    asking.predict("a")
    assert len(requests) == 2
    for change in (
        lambda client: client.put_app("a", b""),
        lambda client: client.teach("a", "tc", [("x", "y")]),
    ):
        changing, requests = scripted(lost, GOOD)
        with pytest.raises(UserError, match="no answer: lost"):
            change(changing)
        assert len(requests) == 1
    late, requests = scripted(httpx.ReadTimeout("late"), GOOD)
    with pytest.raises(UserError, match="no answer in time"):
        late.predict("a")


def test_the_token_goes_with_a_change() -> None:
    score = Score("accuracy", 50.0, 1, 1, 0.1, 0.3, 1)
    answer = httpx.Response(200, json={"score": asdict(score)})
    client, requests = scripted(answer, token=TOKEN)
    assert client.teach("a/b c", "tc", [("x", "y")], ["z"], keep=True) == score
    assert requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert requests[0].url.raw_path == b"/v1/apps/a%2Fb%20c/teach"
    assert json.loads(requests[0].content) == {
        **{"family": "tc", "examples": [["x", "y"]], "labels": ["z"], "keep": True},
        **{"start": None, "stay": [], "overwrite": False},
    }


def test_an_address_is_checked_at_once() -> None:
    with pytest.raises(UserError, match="'localhost:8000' is no address"):
        onetrunk.Client("localhost:8000")


@pytest.fixture
def small(runtime: Runtime, answering: Callable[..., Any]) -> Any:
    """A client of a service that takes little at once."""
    limits = Limits(texts=3, characters=200, body_bytes=5500, max_queue=3)
    with answering(create_app(runtime, limits=limits)) as url, onetrunk.Client(url) as client:
        yield client


def test_any_number_of_texts_is_sent_in_parts(small: onetrunk.Client, runtime: Runtime) -> None:
    texts = [f"call dora {number}" for number in range(10)] + [
        "日" * 100,
        '"' * 200,
        '"\\\n' * 30,
        "😀" * 100,
    ]
    assert small.predict(texts) == runtime.predict(texts)
    assert small.predict(texts[0]) == runtime.predict(texts[0])
    np.testing.assert_allclose(small.embed(texts), runtime.embed(texts), atol=1e-5)
    assert list(small.stream(iter(texts))) == runtime.predict(texts)


def test_a_text_that_is_too_long_there_is_said_here(small: onetrunk.Client) -> None:
    with pytest.raises(UserError, match="text 1 has 201 characters; at most 200"):
        small.predict(["a", "b" * 201])
    first, long, last = small.stream(["a", "b" * 201, "c"])
    assert (first["text"], last["text"]) == ("a", "c")
    assert long["error"].startswith("201 characters; at most 200")


def test_names_and_unknown_apps(small: onetrunk.Client, runtime: Runtime) -> None:
    assert small.names == runtime.names
    assert small.apps[2] == {"name": "intent", "family": "tc", "labels": ["call", "play"]}
    with pytest.raises(UserError, match="unknown app 'intend'; did you mean 'intent'"):
        small.remove_app("intend")
    with pytest.raises(UserError, match="this service takes no changes"):
        small.remove_app("intent")


def test_without_httpx_the_extra_is_named(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules['httpx'] = None; import onetrunk; onetrunk.Client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'onetrunk[client]'" in done.stderr
