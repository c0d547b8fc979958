"""What a bundle costs here: bytes, cold start, memory, and latency by number of apps.

Beside each number of apps stands what it replaces: a whole pass of the same encoder for every app,
as separate models would take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from onetrunk.bundle.layout import APPS, PRIMARY, Bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError

TEXT = "Hi Ann, could we move our lunch from Friday to next Tuesday at the new place in Oslo? Bob"
COUNTS = (1, 5, 20, 100)
WARM_UP = 3

# Reading modules is not counted: another program may have them already.
_COLD = """
import json, sys, time
from pathlib import Path
import onetrunk.bundle.runtime

def resident():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return None
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

before = resident()
start = time.perf_counter()
onetrunk.bundle.runtime.Runtime(sys.argv[1]).predict([sys.argv[2]])
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "mib": None if before is None else resident() - before}))
"""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one text, batch 1, from text to answers."""

    apps: int
    threads: int
    """0: all cores."""
    p50: float
    p95: float
    p99: float
    apart: float
    """Median of the same apps, each in a pass of the whole encoder."""


@dataclass(frozen=True)
class Costs:
    """What was measured of a bundle."""

    sizes: dict[str, int]
    """Bytes by part; of apps, all together."""
    apps: int
    cold_seconds: float
    """From opening the bundle to the first answer, in a fresh process; imports not counted."""
    resident_mib: float | None
    """What memory grew by meanwhile; None where the system does not tell."""
    latency: list[Latency]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def measure_costs(
    folder: Path,
    text: str = TEXT,
    counts: Sequence[int] = COUNTS,
    repeats: int = 50,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Costs:
    """Measure a bundle on this machine, with one thread and with all cores.

    Where a count is beyond the apps that there are, copies of them stand in: what an app costs does
    not depend on what it has learnt. ``tell`` is called with (what, steps done, steps in all).
    Raises :class:`UserError` for a bundle without apps, or one that cannot be run.
    """
    bundle = Bundle(folder)
    if not bundle.apps:
        raise UserError(f"{folder} has no apps to measure")
    steps = 1 + 2 * len(counts)
    tell("cold start", 0, steps)
    cold = _cold(folder, text)
    latency: list[Latency] = []
    for threads in (1, 0):
        runtime = Runtime(folder, threads=threads)
        for count in sorted(counts):
            what = f"{count} apps, {threads or 'all'} threads"
            tell(what, 1 + len(latency), steps)
            latency.append(_latency(runtime, _names(runtime, count), text, threads, repeats))
    tell("", steps, steps)
    return Costs(_sizes(bundle), len(bundle.apps), cold["seconds"], cold["mib"], latency)


def _names(runtime: Runtime, count: int) -> list[str]:
    """So many apps; copies are added where there are fewer."""
    own = runtime.bundle.apps
    while (number := len(runtime.names)) < count:
        name = own[number % len(own)]
        runtime.add(replace(runtime.apps[name], name=f"{name[:80]} copy {number}"))
    return runtime.names[:count]


def _latency(
    runtime: Runtime, names: Sequence[str], text: str, threads: int, repeats: int
) -> Latency:
    together = _times(lambda: runtime.predict([text], names), repeats)
    apart = _times(
        lambda: [runtime.predict([text], [name]) for name in names],
        max(3, repeats // len(names)),
    )
    p50, p95, p99 = np.percentile(together, [50, 95, 99])
    return Latency(
        len(names), threads, *(round(float(p), 3) for p in (p50, p95, p99, np.median(apart)))
    )


def _times(run: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds of each run."""
    times = []
    for number in range(WARM_UP + repeats):
        start = time.perf_counter()
        run()
        if number >= WARM_UP:
            times.append(1000 * (time.perf_counter() - start))
    return times


def _cold(folder: Path, text: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _COLD, str(folder), text], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"{folder} cannot be run: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _sizes(bundle: Bundle) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, entry in bundle.files.items():
        part = Path(path).parts[0]
        sizes[part] = sizes.get(part, 0) + int(entry["bytes"])
    return {part: sizes[part] for part in sorted(sizes, key=lambda p: (p in (PRIMARY, APPS), p))}


def plot_costs(costs: Costs) -> Figure:
    """Latency over the number of apps, together and apart, for each number of threads."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for threads, style in ((1, "-"), (0, "--")):
        found = [one for one in costs.latency if one.threads == threads]
        counts, how = [one.apps for one in found], "1 thread" if threads else "all cores"
        axis.plot(counts, [one.p50 for one in found], style, color="C0", marker="o",
                  label=f"one pass for all, {how}")  # fmt: skip
        axis.plot(counts, [one.apart for one in found], style, color="C3", marker="o",
                  label=f"a pass for each, {how}")  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="apps", ylabel="milliseconds a text (median)")
    counts = sorted({one.apps for one in costs.latency})
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure
