"""The server itself, over real connections: slow and huge requests, overload, the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import onetrunk
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.serving import server
from onetrunk.serving.api import create_app
from onetrunk.serving.server import bind
from onetrunk.serving.settings import Limits

TEXT = "ann met mum in new york"
PATIENCE = 30


@contextmanager
def process(*arguments: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``onetrunk serve`` on a free port, and its address."""
    command = [sys.executable, "-m", "onetrunk", "serve", *map(str, arguments), "--port", "0"]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert child.stdout is not None
        line = json.loads(child.stdout.readline())
        assert line["event"] == "listening"
        yield child, f"http://{line['address']}"
    finally:
        child.kill()
        child.wait()


def test_the_command_serves_a_bundle_and_a_client_changes_it(bundle: Path, tmp_path: Path) -> None:
    want = Runtime(bundle).predict(TEXT)
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    with (
        process(bundle, "--token-file", token) as (child, url),
        onetrunk.Client(url, token="0123456789abcdef") as client,
    ):
        assert client.predict(TEXT) == want
        client.put_app("again", bundle / "apps" / "place.safetensors")
        assert client.predict(TEXT)["apps"]["again"] == want["apps"]["place"]
        client.remove_app("again")
        assert client.names == list(want["apps"])
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
        assert child.stderr is not None
        # The library has notes on each of the two apps of 0.1.0 at the start, and none afterwards.
        *notes, serving, page, changes = child.stderr.read().splitlines()
        assert len(notes) == 2
        assert page.startswith("page: ")
        assert changes == "changes: teach, put and remove are allowed to whoever has the token"
        assert serving.startswith("serving calendar, place, intent, flags, stars on http://127.")


def test_no_torch_is_needed(bundle: Path) -> None:
    code = f"""
import sys
for name in ("torch", "transformers", "onnx", "scipy", "sklearn", "pyarrow", "datasets", "httpx"):
    sys.modules[name] = None
import onetrunk.cli
from pathlib import Path
from onetrunk.bundle.runtime import Runtime
from onetrunk.serving import server
from onetrunk.serving.api import create_app
from onetrunk.serving.changes import Apps
bundle = Path({str(bundle)!r})
runtime = Runtime(bundle)
create_app(runtime)
apps = Apps(runtime, bundle)
apps.put("new", (bundle / "apps/intent.safetensors").read_bytes())
apps.remove("new")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_first_request_is_not_lost(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    said = []

    def log(event: str, **_: Any) -> None:
        said.append(event)
        if event == "listening":  # the server itself does not run yet
            signal.raise_signal(kind)

    monkeypatch.setattr(server, "log", log)
    before = signal.getsignal(kind)
    again = threading.Timer(PATIENCE, os.kill, (os.getpid(), kind))  # if the first one is lost
    again.start()
    server.run(create_app(Runtime(bundle, threads=1)), bind("127.0.0.1", 0))
    assert again.is_alive()
    again.cancel()
    assert said == ["listening", "stopped"]
    assert signal.getsignal(kind) == before


def test_sigterm_under_load_answers_every_request_that_was_accepted(bundle: Path) -> None:
    with process(bundle) as (child, url):
        answered: list[tuple[float, int]] = []
        texts = [f"{TEXT} {number}" for number in range(64)]

        def ask() -> None:
            with httpx.Client(timeout=PATIENCE) as http:
                try:
                    while True:
                        status = http.post(f"{url}/v1/predict", json={"texts": texts}).status_code
                        answered.append((time.monotonic(), status))
                except httpx.TransportError:  # not accepted: the server has gone
                    pass

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answered) < 16:
            time.sleep(0.01)
        ended = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
        for thread in threads:
            thread.join()
        assert child.stdout is not None
        lines = [json.loads(line) for line in child.stdout]
    logged = [line["status"] for line in lines if line["event"] == "request"]
    assert Counter(logged) == Counter(status for _, status in answered) == {200: len(answered)}
    assert any(at > ended for at, _ in answered)
    assert lines[-1]["event"] == "stopped"


class Slow(Runtime):
    """Twenty-five texts a second."""

    def predict(self, texts: Any, apps: Any = None) -> Any:
        time.sleep(0.04 * len(texts))
        return super().predict(texts, apps)


def test_overload_is_answered_by_429_alone(bundle: Path, answering: Any) -> None:
    app = create_app(Slow(bundle, threads=1), limits=Limits(max_queue=4, texts=1, deadline=5))
    with answering(app) as url, httpx.Client(timeout=PATIENCE) as http:

        def ask(number: int) -> httpx.Response:
            return http.post(f"{url}/v1/predict", json={"texts": [f"{TEXT} {number}"]})

        with ThreadPoolExecutor(16) as pool:
            answers = [*pool.map(ask, range(48))]
        counts = Counter(answer.status_code for answer in answers)
        assert counts.keys() == {200, 429}
        for answer in answers:
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
        with ThreadPoolExecutor(16) as pool:  # with patience every one is answered
            client = onetrunk.Client(url, retries=50, backoff=0.05)
            assert len([*pool.map(client.predict, [TEXT] * 16)]) == 16
        assert ask(0).status_code == 200


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=PATIENCE)) as connection:
        yield connection


def answer_to(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    content = b""
    try:
        while part := connection.recv(65536):
            content += part
    except ConnectionResetError:
        pass
    return content


POST = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


def test_headers_that_never_end_end_the_connection(
    runtime: Runtime, answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    complete = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with answering(create_app(runtime)) as url:
        for begun in (b"", b"GET / HTTP/1.1\r\nx-slow: ", complete + b"GET / HTTP/1.1\r\nx-slow: "):
            with connected(url) as connection:
                connection.sendall(begun)
                if begun.startswith(complete):
                    assert b"200 OK" in connection.recv(4096)
                    connection.sendall(b"a")
                began = time.monotonic()
                while time.monotonic() - began < PATIENCE:
                    try:
                        if begun:
                            connection.sendall(b"a")
                        connection.settimeout(0.05)
                        if not connection.recv(4096):
                            break
                    except TimeoutError:
                        continue
                    except OSError:
                        break
                assert time.monotonic() - began < 3
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_body_that_never_ends_is_answered_by_408(runtime: Runtime, answering: Any) -> None:
    with (
        answering(create_app(runtime, limits=Limits(deadline=0.3))) as url,
        connected(url) as connection,
    ):
        connection.sendall(POST + b'content-length: 100\r\n\r\n{"texts": ')
        answer = answer_to(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the body did not arrive within 0.3 seconds" in answer


def test_a_huge_body_is_refused_before_it_comes(runtime: Runtime, answering: Any) -> None:
    with answering(create_app(runtime)) as url, connected(url) as connection:
        connection.sendall(POST + b"content-length: 999999999999\r\n\r\n{")
        answer = answer_to(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"the body has more than 1,048,576 bytes" in answer


def test_a_huge_body_in_chunks_is_refused_on_its_way(runtime: Runtime, answering: Any) -> None:
    sent = 0
    with answering(create_app(runtime)) as url, connected(url) as connection:
        connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        try:
            while sent < 2**28:
                connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                sent += 0x10000
        except OSError:  # the connection was closed: as it should be
            pass
    assert sent < 2**26


def test_what_is_not_http_is_answered_by_400(runtime: Runtime, answering: Any) -> None:
    with answering(create_app(runtime)) as url:
        for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 70_000):
            with connected(url) as connection:
                connection.sendall(garbage)
                assert answer_to(connection)[:12] in (b"HTTP/1.1 400", b"")
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_port_that_is_taken_is_said() -> None:
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: Address already in use"):
            bind("127.0.0.1", port)
    with pytest.raises(UserError, match="port 70000"):
        bind("127.0.0.1", 70000)
