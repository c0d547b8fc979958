"""A chat endpoint on the loopback address that misbehaves as it is told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from onetrunk.label.labelers.cache import AnswerCache
from onetrunk.label.labelers.chat import ChatLabeler
from onetrunk.label.labelers.endpoint import Endpoint

BLOCK = re.compile(r"\ABEGIN (\w+)\n(.*)\nEND \1\Z", re.DOTALL)
SLEEP = 1.2


def answer_of(text: str) -> list[dict[str, str]]:
    """What a well-behaved model says: capitalised words are names, numbers are numbers."""
    names = dict.fromkeys(re.findall(r"[A-Z]\w*", text))
    numbers = dict.fromkeys(re.findall(r"\d+", text))
    return [{"entity": name, "concept": "Proper_Name"} for name in names] + [
        {"entity": number, "concept": "number"} for number in numbers
    ]


@dataclass
class Loopback:
    """``behave(text, attempt)`` names a fault for each request, or is empty for none."""

    url: str = ""
    behave: Callable[[str, int], str] = lambda text, attempt: ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    retry_after: str = "0"
    usage: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        block = BLOCK.match(body["messages"][1]["content"])
        assert block, "the text is not delimited"
        text = block[2]
        with self.lock:
            self.requests.append(body)
            self.times.append(time.monotonic())
            fault = self.behave(text, self.seen[text])
            self.seen[text] += 1
            self.faults[fault] += bool(fault)
        if fault.isdigit():
            headers = {"Retry-After": self.retry_after} if fault in ("429", "503") else {}
            return int(fault), headers, json.dumps({"error": f"status {fault}"})
        if fault == "timeout":
            time.sleep(SLEEP)
        pairs = answer_of(text)
        if fault == "hallucinated":
            pairs = [*pairs, {"entity": "Zanzibar Nowhere", "concept": "place"}]
        content = json.dumps({"entities": pairs})
        if fault == "invalid json":
            content = content[:-2]
        if fault == "wrong schema":
            content = json.dumps({"entities": [{"name": "Ann"}]})
        if fault.startswith("say "):
            content = fault.removeprefix("say ")
        choice = {
            "message": {"role": "assistant", "content": content},
            "finish_reason": "length" if fault == "cut" else "stop",
        }
        choices = [] if fault == "no choices" else [choice]
        usage = {"total_tokens": 10} if self.usage else None
        return 200, {}, json.dumps({"choices": choices, "usage": usage})


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    state = Loopback()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.headers.append(dict(self.headers))
            status, headers, content = state.reply(body)
            data = content.encode()
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # the client did not wait
                pass

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64  # with the usual 5, connections wait a second for another try

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


MakeChat = Callable[..., ChatLabeler]


@pytest.fixture
def chat(loopback: Loopback, tmp_path: Path) -> MakeChat:
    """``chat(retries=…, …)``: a labeler of the loopback endpoint that does not wait long."""

    def make(cache: str = "cache.sqlite", model: str = "m", **settings: Any) -> ChatLabeler:
        quick = {"timeout": 0.8, "backoff": 0.001, "concurrency": 4}
        endpoint = Endpoint(loopback.url, **{**quick, **settings})
        return ChatLabeler(model, endpoint, AnswerCache(tmp_path / cache))

    return make
