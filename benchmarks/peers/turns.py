"""Several ways to do one thing, timed in turns, so that a machine whose speed drifts slows all
alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def turns(
    ways: Mapping[str, Callable[[], Any]], repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Milliseconds of each way, of every turn after the first ``warm_up``."""
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= warm_up:
                milliseconds[name].append(1000 * (time.perf_counter() - start))
    return milliseconds
