"""``onetrunk label`` killed twice: is every text there once, and what do bad answers cost?

    python benchmarks/label_resume.py RAW [--rows 10000] [--spacy en_core_web_sm]

RAW is a folder of text pairs. Its ``positive`` side is labelled twice: with a spaCy pipeline, and
with a chat endpoint on the loopback address. A fifth of the endpoint's answers is bad, in equal
parts HTTP 429 with Retry-After, HTTP 500, no answer in time, broken JSON, another schema, and an
entity that is not in the text. Each run is killed with SIGKILL twice, up to 0.1 s after a random
share of the rows is saved, and then continues to its end. The script checks that each source row is
there exactly once with the words of its text, that no text failed, and that the labels from the
endpoint are those of its good answers. It prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.data.iob import cut_at_spans
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import stream_ner, stream_pairs
from onetrunk.data.words import words_of
from onetrunk.label.labelers.chat import locate

KILLS = 2
BAD = 0.2
FAULTS = ("429", "500", "timeout", "invalid json", "wrong schema", "hallucinated")
TIMEOUT = 2.0
VERB = [sys.executable, "-c", "from onetrunk.cli import main; main()", "label"]
QUIET: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def good_answer(text: str) -> list[tuple[str, str]]:
    """The entities that the loopback model finds: capitalised words and numbers."""
    names = re.findall(r"\b[A-Z][a-z]+\b", text)
    numbers = re.findall(r"\b\d+\b", text)
    pairs = [(name, "name") for name in names] + [(number, "number") for number in numbers]
    return list(dict.fromkeys(pairs))


class Model(ThreadingHTTPServer):
    """A chat endpoint. The seed, the text and its turn decide whether an answer is bad."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seed = seed
        self.turns: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.lock = threading.Lock()

    def fault(self, text: str) -> str:
        """Return the fault of this answer, or ``good``."""
        with self.lock:
            rng = random.Random(f"{self.seed} {self.turns[text]} {text}")
            self.turns[text] += 1
            kind = rng.choice(FAULTS) if rng.random() < BAD else "good"
            self.served[kind] += 1
        return kind


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"].split("\n", 1)[1].rsplit("\n", 1)[0]
        kind = self.server.fault(text)
        pairs = [{"entity": name, "concept": concept} for name, concept in good_answer(text)]
        if kind == "hallucinated":
            pairs.append({"entity": "Ozymandias of Nowhere", "concept": "name"})
        content = json.dumps({"facts" if kind == "wrong schema" else "entities": pairs})
        if kind == "invalid json":
            content = content[: len(content) // 2]
        if kind == "timeout":
            time.sleep(1.5 * TIMEOUT)
        message = {"role": "assistant", "content": content}
        reply = {"choices": [{"message": message, "finish_reason": "stop"}]}
        data = json.dumps({**reply, "usage": {"total_tokens": len(text) // 4}}).encode()
        try:
            self.send_response(int(kind) if kind.isdigit() else 200)
            if kind == "429":
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the client timed out, or was killed
            pass

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def running(model: Model) -> Iterator[str]:
    thread = threading.Thread(target=model.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{model.server_address[1]}/v1"
    finally:
        model.shutdown()
        thread.join()
        model.server_close()


def killed_twice(
    command: list[str], out: Path, shards: int, rng: random.Random
) -> tuple[float, list[int]]:
    """Run a command, kill it twice, and let it end.

    Returns the seconds it took, and the number of shards saved at each kill.
    """
    start = time.perf_counter()
    saved_at_kills = []
    for number in range(KILLS):
        low = saved_at_kills[-1] if saved_at_kills else 0
        target = rng.randint(low + 1, max(low + 1, (number + 1) * shards // (KILLS + 1)))
        process = subprocess.Popen([*VERB, *command], **QUIET)
        while process.poll() is None and saved(out) < target:
            time.sleep(0.01)
        time.sleep(0.1 * rng.random())
        process.kill()
        if process.wait() == 0:
            raise SystemExit("it ended before it was killed: use more rows")
        saved_at_kills.append(saved(out))
    subprocess.run([*VERB, *command], check=True, **QUIET)
    return time.perf_counter() - start, saved_at_kills


def saved(out: Path) -> int:
    return len(list((out / ".work" / "shards").glob("[0-9]*.parquet")))


def check(texts: list[str], out: Path) -> list[AnnotatedText]:
    """Check that every row is there once, with the words of its text."""
    numbers = pq.read_table(out / "train.parquet", columns=["source_row"])["source_row"].to_pylist()
    assert numbers == list(range(len(texts))), "rows are missing, doubled or out of order"
    rows = list(stream_ner(out / "train.parquet"))
    for text, row in zip(texts, rows, strict=True):
        words = "".join(text[a:b] for a, b in words_of(text))
        assert row.text.replace(" ", "") == words, "a row has another text"
    return rows


def check_labels(texts: list[str], rows: list[AnnotatedText]) -> None:
    for text, row in zip(texts, rows, strict=True):
        entities, _ = locate(text, good_answer(text))
        expected = AnnotatedText.from_words(*cut_at_spans(text, words_of(text), entities))
        assert row == expected, f"other labels than those of good answers: {text[:60]!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--spacy", default="en_core_web_sm")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    texts = [pair.positive for pair in islice(stream_pairs(options.raw), options.rows)]
    shard_rows = max(1, min(500, len(texts) // 20))
    shards = -(-len(texts) // shard_rows)
    results: dict[str, Any] = {"rows": len(texts), "shard_rows": shard_rows}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw.parquet")
        pq.write_table(pa.table({"text": texts}), raw)

        def measure(name: str, *labeler: str) -> list[AnnotatedText]:
            out = Path(folder, name)
            command = [str(raw), "--out", str(out), "--shard-rows", str(shard_rows), *labeler]
            seconds, at = killed_twice(command, out, shards, rng)
            rows = check(texts, out)
            report = json.loads((out / "report.json").read_text(encoding="utf-8"))
            del report["input_notes"]  # places in a file that is gone
            report["types"] = {row["type"]: row["count"] for row in report["types"][:20]}
            results[name] = {
                "seconds": round(seconds, 1),
                "kills": KILLS,
                "shards": shards,
                "shards_saved_at_kills": at,
                "rows_missing": 0,
                "rows_doubled": 0,
                "report": report,
            }
            return rows

        measure("spacy", "--with", f"spacy:{options.spacy}")
        model = Model(options.seed)
        with running(model) as url:
            rows = measure(
                *("endpoint", "--with", "chat:loopback", "--endpoint", url),
                *("--timeout", str(TIMEOUT), "--concurrency", str(options.concurrency)),
            )
        check_labels(texts, rows)
        requests = model.served.total()
        results["endpoint"] |= {
            "requests": requests,
            "bad_answers": dict(sorted((model.served - Counter(good=requests)).items())),
            "share_of_bad_answers": round(1 - model.served["good"] / requests, 4),
            # A text asked about again after a good answer was paid for twice: at most those
            # under way at a kill.
            "good_answers_asked_for_twice": model.served["good"]
            + model.served["hallucinated"]
            - results["endpoint"]["report"]["texts"],
        }
    print(json.dumps({**results, "python": platform.python_version()}, indent=2))


if __name__ == "__main__":
    main()
