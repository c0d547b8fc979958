"""What requests get, and what hostile ones get."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import onetrunk
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.page import ORT
from onetrunk.bundle.runtime import Runtime
from onetrunk.serving.logs import log_to

Serve = Callable[..., TestClient]
FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"
TEXTS = [
    "ann met mum in new york",
    "",
    "play music 😀, now!",
    "call \ud83d ann",
    "<script>x</script>",
]
JSON = {"content-type": "application/json"}


def test_answers_are_those_of_the_runtime(serve: Serve, runtime: Runtime) -> None:
    answer = serve().post("/v1/predict", content=json.dumps({"texts": TEXTS}), headers=JSON)
    assert answer.status_code == 200
    assert answer.json() == {"results": runtime.predict(TEXTS)}
    some = serve().post("/v1/predict", json={"texts": TEXTS[:1], "apps": ["stars", "intent"]})
    assert some.json() == {"results": runtime.predict(TEXTS[:1], ["stars", "intent"])}
    assert serve().post("/v1/predict", json={"texts": []}).json() == {"results": []}


def test_embeddings_are_those_of_the_runtime(serve: Serve, runtime: Runtime) -> None:
    answer = serve().post("/v1/embed", json={"texts": TEXTS[:3]}).json()
    want = runtime.embed(TEXTS[:3])
    assert answer["dimensions"] == want.shape[1]
    np.testing.assert_allclose(np.array(answer["embeddings"]), want, atol=1e-6)
    empty = serve().post("/v1/embed", json={"texts": []}).json()
    assert empty == {"embeddings": [], "dimensions": want.shape[1]}


def test_apps_on_pytorch_answer_too_and_do_not_change(serve: Serve) -> None:
    engine = onetrunk.load(FORMAT_0_1 / "apps/intent", FORMAT_0_1 / "apps/place")
    client = serve(engine, token="a token that nobody guesses")
    assert client.post("/v1/predict", json={"texts": TEXTS[:1]}).json() == {
        "results": engine.predict(TEXTS[:1])
    }
    assert client.get("/v1/apps").json()["apps"][0] == {
        "name": "intent",
        "family": "tc",
        "labels": ["call", "play"],
    }
    client.headers["authorization"] = "Bearer a token that nobody guesses"
    for change in (client.put("/v1/apps/x", content=b""), client.delete("/v1/apps/intent")):
        assert change.status_code == 501
        assert "serve an exported bundle" in change.json()["error"]


def test_apps_are_listed_with_what_a_request_may_hold(serve: Serve) -> None:
    listing = serve(limits={"texts": 7}).get("/v1/apps").json()
    assert [app["name"] for app in listing["apps"]] == [
        *("calendar", "place", "intent", "flags", "stars")
    ]
    assert listing["apps"][2] == {"name": "intent", "family": "tc", "labels": ["call", "play"]}
    assert listing["limits"]["texts"] == 7


def test_an_app_that_is_not_in_memory_is_listed_by_name(serve: Serve) -> None:
    listing = serve(Runtime(FORMAT_0_1 / "bundle", max_loaded=1)).get("/v1/apps").json()
    assert len(listing["apps"]) == 5
    assert {"name": "stars"} in listing["apps"]


def test_health_and_metrics(serve: Serve) -> None:
    client = serve()
    assert client.get("/healthz").text == "ok"
    assert client.get("/readyz").text == "ready"
    client.post("/v1/predict", json={"texts": ["a", "b"]})
    client.get("/nowhere/at/all")
    metrics = client.get("/metrics").text
    for line in (
        'onetrunk_requests_total{method="POST",route="/v1/predict",status="200"} 1.0',
        'onetrunk_requests_total{method="GET",route="other",status="404"} 1.0',
        "onetrunk_batch_texts_sum 2.0",
        "onetrunk_texts_waiting 0.0",
        "onetrunk_apps 5.0",
    ):
        assert line in metrics.splitlines()


def test_the_page_and_the_description_need_nothing_from_elsewhere(serve: Serve) -> None:
    client = serve()
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "POST /v1/predict" in page.text
    assert "//" not in page.text.replace("<!", "")
    assert client.get("/openapi.json").json()["info"]["title"] == "onetrunk"
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]


def test_the_playground_runs_the_bundle(
    serve: Serve, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ort = tmp_path / "ort"
    ort.mkdir()
    for name in (*ORT, "secret"):
        (ort / name).write_text(name)
    monkeypatch.setenv("ONETRUNK_ORT", str(ort))
    runtime = Runtime(bundle, threads=1)
    runtime.teach(
        "kept", "tc", [(f"{w} {i}", w) for i in range(6) for w in "ab"], keep_examples=True
    )
    runtime.save()
    client = serve(runtime, bundle=bundle)
    assert "<title>onetrunk playground" in client.get("/").text
    assert client.get("/main.js").headers["x-content-type-options"] == "nosniff"
    assert client.get("/runtime/index.js").status_code == 200
    assert client.get(f"/ort/{ORT[0]}").text == ORT[0]
    for path in Bundle(bundle).files:
        found = client.get(f"/bundle/{path}")
        if path.startswith("examples/"):
            assert found.status_code == 404
        else:
            assert found.content == (bundle / path).read_bytes()
    hidden = ("/bundle/examples", "/ort/secret", "/ort/", "/sw.js", "/..%2f..%2fetc/passwd")
    for path in (*hidden, "/bundle/..%2f..%2fetc/passwd", "/bundle//etc/passwd"):
        assert client.get(path).status_code == 404, path
    assert client.post("/v1/predict", json={"texts": ["a"]}).status_code == 200
    without = serve(runtime, bundle=bundle, playground=False)
    assert "POST /v1/predict" in without.get("/").text
    assert without.get("/bundle/bundle.json").status_code == 404


def test_a_key_that_comes_twice_is_refused_on_every_route(changeable: TestClient) -> None:
    for route, body, key in (
        ("predict", '{"texts": ["a"], "apps": ["intent"], "apps": ["stars"]}', "apps"),
        ("embed", '{"texts": ["a"], "texts": ["b"]}', "texts"),
        ("apps/x/teach", '{"family": "tc", "examples": [{"text": "a", "text": "b"}]}', "text"),
    ):
        for kind in ("application/json", "application/vnd.x+json"):
            answer = changeable.post(f"/v1/{route}", content=body, headers={"content-type": kind})
            assert answer.status_code == 400
            assert answer.json() == {
                "error": f"the body cannot be used: the key '{key}' occurs twice"
            }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "the body is empty: it must be a JSON object"),
        ('["a"]', "the body must be a JSON object, not a list"),
        ('"a"', "the body must be a JSON object, not a string"),
        ("7", "the body must be a JSON object, not a number"),
        ("true", "the body must be a JSON object, not true or false"),
        ("{", "the body is not JSON"),
        ('{"texts": ["a"', "the body is not JSON"),
        ("[" * 100_000, "the body cannot be read"),
        ('{"texts": ' + "[" * 400_000, "the body cannot be read"),
        (b'{"texts": ["\xff\xfe"]}', "the body cannot be read"),
        ('{"texts": [' + "9" * 5000 + "]}", "the body cannot be read"),
        ('{"texts": ["a"], "texts": []}', "the body cannot be used: the key 'texts' occurs twice"),
        ('{"texts": [{"a": 1, "a": 2}]}', "the body cannot be used: the key 'a' occurs twice"),
        ('{"texts": [NaN]}', "texts: item 0 (counted from 0): input should be a valid"),
        (
            '{"texts": ["a", Infinity]}',
            "texts: item 1 (counted from 0): input should be a valid",
        ),
        (
            '{"texts": ["a", null]}',
            "texts: item 1 (counted from 0): input should be a valid string",
        ),
        ('{"texts": [["a"]]}', "texts: item 0 (counted from 0): input should be a valid string"),
        ('{"texts": "a"}', "texts: input should be a valid list"),
        ('{"texts": {}}', "texts: input should be a valid list"),
        ('{"apps": ["intent"]}', "the body has no 'texts'"),
        ('{"text": ["a"]}', "the body has no 'texts'"),
        (
            '{"texts": ["a"], "app": []}',
            "'app' is unknown; did you mean 'apps'? valid: apps, texts",
        ),
        ('{"texts": ["a"], "apps": ["intend"]}', "unknown app 'intend'; did you mean 'intent'?"),
        ('{"texts": ["a"], "apps": ["../x"]}', "unknown app '../x'"),
    ],
)
def test_a_wrong_body_is_answered_by_one_line(serve: Serve, body: Any, why: str) -> None:
    answer = serve().post("/v1/predict", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/json"
    message = answer.json()["error"]
    assert why in message
    assert "\n" not in message
    assert len(message) < 250


def test_only_json_is_read_as_json(serve: Serve) -> None:
    """What a page elsewhere may send without asking (text/plain) is no request."""
    must = "the body must be sent with the header Content-Type: application/json; it was sent "
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonl", ""):
        for content in ('{"texts": ["a"]}', "a=b"):
            headers = {"content-type": kind} if kind else {}
            answer = serve().post("/v1/predict", content=content, headers=headers)
            assert answer.status_code == 415
            assert answer.json() == {"error": must + (f"as {kind}" if kind else "without one")}
    empty = serve().post("/v1/predict")
    assert (empty.status_code, "the body is empty" in empty.text) == (422, True)


@pytest.mark.parametrize("has_page", [True, False])
def test_a_wrong_path_or_method_is_named(
    serve: Serve, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_page: bool
) -> None:
    """The playground, which is mounted at /, changes none of it."""
    for name in ORT:
        (tmp_path / name).write_text(name)
    monkeypatch.setenv("ONETRUNK_ORT", str(tmp_path))
    client = serve(Runtime(bundle, threads=1), bundle=bundle, playground=has_page)
    for method, path, status, why in (
        ("POST", "/predict", 404, "there is no /predict; did you mean /v1/predict?"),
        ("GET", "/v1/app", 404, "there is no /v1/app; did you mean /v1/apps?"),
        ("POST", "/v1/apps/a/teech", 404, "there is no /v1/apps/a/teech; did you mean "),
        ("GET", "/xyz", 404, "there is no /xyz; GET /openapi.json describes what there is"),
        ("GET", "/v1/predict", 405, "/v1/predict takes POST, not GET"),
        ("POST", "/v1/apps/news", 405, "/v1/apps/news takes DELETE or PUT, not POST"),
        ("POST", "/", 405, "/ takes GET or HEAD, not POST"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["error"][: len(why)]) == (status, why)
        assert ("allow" in answer.headers) == (status == 405)


def test_sizes_are_limited(serve: Serve) -> None:
    client = serve(limits={"texts": 2, "characters": 10, "body_bytes": 100})
    assert client.post("/v1/predict", json={"texts": ["a" * 10, "b"]}).status_code == 200
    for texts, status, why in (
        (["a", "b", "c"], 422, "3 texts; at most 2 are read at once"),
        (["a", "b" * 11], 422, "text 1 (counted from 0) has 11 characters; at most 10"),
        (["a" * 200], 413, "the body has more than 100 bytes"),
    ):
        for route in ("/v1/predict", "/v1/embed"):
            answer = client.post(route, json={"texts": texts})
            assert answer.status_code == status
            assert why in answer.json()["error"]


def test_a_body_without_a_length_is_limited_as_it_comes(serve: Serve) -> None:
    read = []

    def body() -> Iterator[bytes]:
        for number in range(10_000):
            read.append(number)
            yield b" " * 1000

    answer = serve(limits={"body_bytes": 5000}).post("/v1/predict", content=body(), headers=JSON)
    assert answer.status_code == 413


def test_html_stays_text_in_json(serve: Serve, runtime: Runtime) -> None:
    answer = serve().post("/v1/predict", json={"texts": ["<script>alert(1)</script> & co"]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["results"][0]["text"] == "<script>alert(1)</script> & co"
    wrong = serve().post("/v1/predict", json={"texts": ["a"], "apps": ["<img src=x>"]})
    assert wrong.headers["content-type"] == "application/json"
    assert wrong.headers["x-content-type-options"] == "nosniff"
    missing = serve().get("/<script>")
    assert missing.headers["content-type"] == "application/json"


def test_other_sites_may_call_only_if_they_are_named(serve: Serve) -> None:
    asks = {"origin": "https://good.example", "access-control-request-method": "POST"}
    allowed = "access-control-allow-origin"
    assert allowed not in serve().options("/v1/predict", headers=asks).headers
    assert allowed not in serve().get("/v1/apps", headers=asks).headers
    client = serve(cors_origins=["https://good.example/"])
    assert client.options("/v1/predict", headers=asks).headers[allowed] == "https://good.example"
    other = {**asks, "origin": "https://bad.example"}
    assert allowed not in client.options("/v1/predict", headers=other).headers


def test_a_request_keeps_its_id_if_it_is_one(serve: Serve) -> None:
    client = serve()
    assert (
        client.get("/v1/apps", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    strange = client.get("/v1/apps", headers={"x-request-id": 'a"b' * 99}).headers["x-request-id"]
    assert len(strange) == 16


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What has been logged so far."""
    stream = io.StringIO()
    loggers = [
        logging.getLogger(name) for name in ("onetrunk.service", "uvicorn.error", "onetrunk")
    ]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    log_to(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_the_log_has_sizes_and_no_texts(serve: Serve, logged: Any) -> None:
    client = serve()
    client.post("/v1/predict?secret", json={"texts": ["secret words", "x"]})
    client.post("/v1/predict", json={"texts": ["secret"], "apps": ["secret app"]})
    client.put("/v1/apps/secret", content=b"secret")
    client.get("/secret")
    client.get("/healthz")
    lines = logged()
    assert "secret" not in json.dumps(lines)
    first = lines[0]
    assert first.keys() >= {"time", "level", "id", "bytes_in", "bytes_out", "ms"}
    expected = {"event": "request", "method": "POST", "route": "/v1/predict", "status": 200}
    assert first.items() >= {**expected, "texts": 2, "characters": 13}.items()
    assert [line["status"] for line in lines] == [200, 422, 403, 404]


def test_a_fault_of_ours_is_logged_without_its_message(serve: Serve, logged: Any) -> None:
    class Broken(Runtime):
        def predict(self, texts: Any, apps: Any = None) -> Any:
            raise ValueError(f"secret: {texts}")

    answer = serve(Broken(FORMAT_0_1 / "bundle")).post("/v1/predict", json={"texts": ["secret"]})
    assert answer.status_code == 500
    fault, request = logged()
    assert answer.json() == {"error": f"internal error; the log has more under {request['id']}"}
    assert fault["id"] == request["id"]
    assert fault["error"] == "ValueError"
    assert any("batching.py" in place for place in fault["where"])
    assert "secret" not in json.dumps([fault, request])
