"""What a bundle costs on this machine: bytes, cold start, memory, latency by number of apps.

Each number of apps is compared with what it replaces: a whole pass of the same encoder for every
app, as separate models would need.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onetrunk.bundle.layout import APPS, PRIMARY, Bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT = "Hi Ann, could we move our lunch from Friday to next Tuesday at the new place in Oslo? Bob"
COUNTS = (1, 5, 20, 100)
WARM_UP = 3

# Importing modules is not counted: the program around it may have imported them already.
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
    """What was measured."""

    sizes: dict[str, int]
    """Bytes by part; all apps are one part."""
    apps: int
    cold_seconds: float
    """From opening the bundle to the first answer, in a fresh process, without imports."""
    resident_mib: float | None
    """Growth of memory in that time; None where the system does not tell."""
    latency: list[Latency]


def measure_costs(
    folder: str | Path,
    text: str = TEXT,
    counts: Sequence[int] = COUNTS,
    repeats: int = 50,
    progress: Progress = silent,
) -> Costs:
    """Measure a bundle on this machine, with one thread and with all cores.

    A count larger than the number of apps is reached with copies: the cost of an app does not
    depend on what it has learnt. Raises :class:`UserError` for a bundle without apps, or one that
    cannot be run.
    """
    folder = Path(folder)
    bundle = Bundle(folder)
    if not bundle.apps:
        raise UserError(f"{folder} has no apps to measure")
    steps = 1 + 2 * len(counts)
    progress("cold start", 0, steps)
    cold = _cold(folder, text)
    latency: list[Latency] = []
    for threads in (1, 0):
        runtime = Runtime(folder, threads=threads)
        for count in sorted(counts):
            progress(f"{count} apps, {threads or 'all'} threads", 1 + len(latency), steps)
            runtime = _with_copies(runtime, count)
            names = runtime.names[:count]
            latency.append(_latency(runtime, names, text, threads, repeats))
    progress("", steps, steps)
    return Costs(_sizes(bundle), len(bundle.apps), cold["seconds"], cold["mib"], latency)


def _with_copies(runtime: Runtime, count: int) -> Runtime:
    """A runtime with at least ``count`` apps: copies are added where there are fewer."""
    originals = runtime.bundle.apps
    copies = {}
    for number in range(len(runtime.names), count):
        name = originals[number % len(originals)]
        copies[f"{name[:80]} copy {number}"] = runtime.apps[name]
    return runtime.with_apps(copies)


def _latency(
    runtime: Runtime, names: Sequence[str], text: str, threads: int, repeats: int
) -> Latency:
    together = _times(lambda: runtime.predict([text], names), repeats)
    apart = _times(
        lambda: [runtime.predict([text], [name]) for name in names],
        max(3, repeats // len(names)),
        warm_up=1,  # the passes for all apps together came before
    )
    p50, p95, p99 = np.percentile(together, [50, 95, 99])
    return Latency(
        len(names), threads, *(round(float(p), 3) for p in (p50, p95, p99, np.median(apart)))
    )


def _times(run: Callable[[], Any], repeats: int, warm_up: int = WARM_UP) -> list[float]:
    """Milliseconds of each run."""
    times = []
    for number in range(warm_up + repeats):
        start = time.perf_counter()
        run()
        if number >= warm_up:
            times.append(1000 * (time.perf_counter() - start))
    return times


def _cold(folder: Path, text: str) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-c", _COLD, str(folder), text], capture_output=True, text=True
    )
    if ran.returncode:
        raise UserError(f"{folder} cannot be run: {ran.stderr.strip().splitlines()[-1]}")
    measured: dict[str, float] = json.loads(ran.stdout)
    return measured


def _sizes(bundle: Bundle) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, entry in bundle.files.items():
        part = Path(path).parts[0]
        sizes[part] = sizes.get(part, 0) + int(entry["bytes"])
    return {part: sizes[part] for part in sorted(sizes, key=lambda p: (p in (PRIMARY, APPS), p))}


def plot_costs(costs: Costs) -> Figure:
    """Latency over the number of apps, together and apart, for each number of threads."""
    from matplotlib.figure import Figure  # not at the top: a device measures without it

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for threads, style in ((1, "-"), (0, "--")):
        measured = [latency for latency in costs.latency if latency.threads == threads]
        counts, cores = (
            [latency.apps for latency in measured],
            "1 thread" if threads else "all cores",
        )
        for label, color, values in (
            ("one pass for all", "C0", [latency.p50 for latency in measured]),
            ("a pass for each", "C3", [latency.apart for latency in measured]),
        ):
            axis.plot(counts, values, style, color=color, marker="o", label=f"{label}, {cores}")
    axis.set(xscale="log", yscale="log", xlabel="apps", ylabel="milliseconds a text (median)")
    counts = sorted({latency.apps for latency in costs.latency})
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure
