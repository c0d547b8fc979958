"""The client beside what test_interface.py asserts: retries, errors, requests of any size."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import onetrunk
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.rows import AnnotatedText
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
    where = "http://there/v1/predict: " if status == 404 else ""
    with pytest.raises(UserError, match=f"^{where}one line$"):
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


def test_a_token_is_read_from_a_file_with_a_line_end() -> None:
    client, requests = scripted(httpx.Response(204), token=f" {TOKEN}\r\n")
    client.put_app("a", b"")
    assert requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["two\nlines", "caf\xe9", "a\0b"])
def test_no_message_has_a_token(token: str) -> None:
    with pytest.raises(UserError, match="the token is none: it must be one line") as error:
        onetrunk.Client("http://there", token=token)
    assert token not in str(error.value)
    client = onetrunk.Client("http://me:secret@127.0.0.1:9", retries=0)
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:9: no connection") as error:
        client.predict("a")
    assert "secret" not in f"{error.value} {client}"
    http = httpx.Client(headers={"authorization": "Bearer secret\n"})
    with pytest.raises(UserError) as error:
        onetrunk.Client("http://127.0.0.1:9", retries=0, http=http).predict("a")
    assert "secret" not in str(error.value)


def test_a_wrong_address_is_named(runtime: Runtime, answering: Callable[..., Any]) -> None:
    with answering(create_app(runtime)) as url:
        for more in ("/v1", "/v1/predict"):
            with pytest.raises(UserError, match="address of a service ends before /v1") as error:
                onetrunk.Client(url + more).predict("a")
            assert str(error.value).startswith(f"{url}{more}/v1/")
        with pytest.raises(UserError) as error:
            onetrunk.Client(f"{url}/other").predict("a")
        assert str(error.value).startswith(f"{url}/other/v1/")
        assert "ends before" not in str(error.value)


def test_a_file_that_cannot_be_put(tmp_path: Path) -> None:
    client, requests = scripted()
    (tmp_path / "news.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"no such file: .*did you mean 'news.safetensors'"):
        client.put_app("news", tmp_path / "new.safetensors")
    with pytest.raises(UserError, match=r"is a folder: pass a file apps/NAME\.safetensors"):
        client.put_app("news", tmp_path)
    with pytest.raises(UserError, match="file: pass a path, not 7"):
        client.put_app("news", 7)  # type: ignore[arg-type]
    assert not requests


SPANS = [
    AnnotatedText("😀 ann met bob", ((2, 5, "who"), (10, 13, "who"))),
    AnnotatedText("nobody 😀", ()),
]
LABELLED = [{"text": "call ann", "label": "call"}, {"text": "stop", "label": "stop"}]


@pytest.mark.parametrize("family", ["tc", "multi-label", "rating", "ner"])
def test_it_teaches_from_what_adapt_reads(
    family: str, bundle: Path, answering: Callable[..., Any], tmp_path: Path
) -> None:
    """Invariant: an app is the same, taught here or there, from any form of the rows."""
    file = tmp_path / "rows.jsonl"
    if family == "ner":
        rows: list[dict[str, Any]] = [
            {"text": row.text, "spans": [*map(list, row.entities)]} for row in SPANS
        ]
        forms: list[Any] = [file, str(file), SPANS]
    else:
        names = {"multi-label": ["a", "b"], "rating": [1, 4]}.get(family, ["call", "stop"])
        rows = [{"text": f"{name} {i}", "label": name} for i in range(4) for name in names]
        frame = pd.DataFrame(rows)
        forms = [file, str(file), frame, pa.Table.from_pandas(frame), frame.to_dict("records")]
        forms += [[{**row, "label": np.array([row["label"]])[0]} for row in rows]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone = Runtime(bundle, threads=1)
    alone.teach("taught", family, rows)
    texts = ["😀 ann met bob", "call 4"]
    want = alone.predict(texts, ["taught"])
    app = create_app(Runtime(bundle, threads=1), bundle, token=TOKEN, playground=False)
    with answering(app) as url, onetrunk.Client(url, TOKEN) as client:
        for form in forms:
            client.teach("taught", family, form, overwrite=True)
            assert client.predict(texts, ["taught"]) == want
        if family == "tc":
            other = frame.rename(columns={"text": "said", "label": "class"})
            client.teach(
                "taught", family, other, text_column="said", label_column="class", overwrite=True
            )
            assert client.predict(texts, ["taught"]) == want
            with pytest.raises(UserError, match=r"there is an app .*overwrite"):
                client.teach("taught", family, file)


def test_rows_that_cannot_be_read_are_not_sent(tmp_path: Path) -> None:
    client, requests = scripted()
    for wrong, why in (
        (tmp_path / "none.csv", "no such file"),
        ((row for row in LABELLED), "is not a source; pass a path"),
        ([("a", object())], r"cannot be sent as JSON: <object.*\(object\)"),
        (pd.DataFrame({"text": ["a"]}), "label"),
    ):
        with pytest.raises(UserError, match=why):
            client.teach("x", "tc", wrong)
    with pytest.raises(UserError, match="'tcc'; did you mean 'tc'"):
        client.teach("x", "tcc", pd.DataFrame(LABELLED))
    with pytest.raises(UserError, match="labels: item 0"):
        client.teach("x", "tc", LABELLED, [1])  # type: ignore[list-item]
    assert not requests


def test_calling_needs_no_pytorch() -> None:
    code = (
        "import sys; from onetrunk.serving import client; client._read('tc', sys.argv[1], None, "
        "None); print({'torch', 'transformers', 'pandas', 'onnxruntime'} & {*sys.modules})"
    )
    rows = Path(__file__).parents[2] / "examples/first_steps/requests.csv"
    done = subprocess.run(
        [sys.executable, "-c", code, rows], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


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
    with pytest.raises(
        UserError, match=r"text 1 \(counted from 0\) has 201 characters; at most 200"
    ):
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
    code = "import sys; sys.modules['httpx'] = None; import onetrunk; onetrunk.Client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'onetrunk[client]'" in done.stderr
