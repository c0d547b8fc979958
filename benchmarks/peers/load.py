"""Load on an HTTP service from a process of its own, with as little work of its own as can be.

    python load.py URL BODIES --seconds 10 [--connections 64] [--rate 200]

BODIES has a JSON body a line, sent in turn. Without ``--rate`` every connection sends a request as
soon as it has the answer to the one before. With it, requests are sent at random times (Poisson)
at this rate, whether others are answered or not, on as many connections as that takes; seconds are
then counted from the time at which a request was due. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

MOST_CONNECTIONS = 1000


class Load:
    """Requests to one address, and what came of them."""

    def __init__(self, url: str, bodies: list[bytes]) -> None:
        address, _, path = url.removeprefix("http://").partition("/")
        self.host, self.port = address.split(":")[0], int(address.split(":")[1])
        head = f"POST /{path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
        self.requests = cycle(
            [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        )
        self.answers: list[tuple[int, float, float]] = []
        """Status, seconds, and when it came."""
        self.idle: list[Any] = []
        self.open = 0

    async def ask(self, due: float) -> None:
        """Send the next request on an idle connection, or on a new one."""
        if self.idle:
            reader, writer = self.idle.pop()
        else:
            self.open += 1
            reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(next(self.requests))
            header = await reader.readuntil(b"\r\n\r\n")
            lowered = header.lower()
            length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            status = int(header[9:12])
            self.idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            status = 0
            self.open -= 1
        now = time.perf_counter()
        self.answers.append((status, now - due, now))

    async def closed(self, connections: int, seconds: float) -> None:
        end = time.perf_counter() + seconds

        async def one() -> None:
            while (now := time.perf_counter()) < end:
                await self.ask(now)

        await asyncio.gather(*(one() for _ in range(connections)))

    async def at_rate(self, rate: float, seconds: float) -> None:
        rng = random.Random(0)
        due = time.perf_counter()
        end = due + seconds
        tasks = set()
        while (due := due + rng.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            while not self.idle and self.open >= MOST_CONNECTIONS:
                await asyncio.sleep(0.001)
            task = asyncio.create_task(self.ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


def summary(load: Load, seconds: float) -> dict[str, Any]:
    good = [took for status, took, _ in load.answers if status == 200]
    p50, p99 = np.percentile(good, [50, 99]) if good else (None, None)
    return {
        "statuses": dict(Counter(str(status) for status, _, _ in load.answers)),
        "good_a_second": round(len(good) / seconds, 1),
        "asked_a_second": round(len(load.answers) / seconds, 1),
        "p50_ms": good and round(1000 * p50, 2),
        "p99_ms": good and round(1000 * p99, 2),
        "connections": load.open,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    load = Load(options.url, options.bodies.read_bytes().splitlines())
    began = time.perf_counter()
    if options.rate:
        asyncio.run(load.at_rate(options.rate, options.seconds))
    else:
        asyncio.run(load.closed(options.connections, options.seconds))
    print(json.dumps(summary(load, time.perf_counter() - began)))


if __name__ == "__main__":
    main()
