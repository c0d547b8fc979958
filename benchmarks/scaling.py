"""Data-parallel stage 1: what processes exchange, how long that takes, and what more would cost.

    python benchmarks/scaling.py [--steps 12] [--rounds 3] [--out results/scaling.json]

Runs the first steps of ``recipes/tpl.yaml`` with one and with two processes of one thread, in
turns, and draws batches of growing size. What this machine cannot run is computed from that and
from the rates in ``ASSUMED``. Prints JSON: ``measured`` and ``computed``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

RECIPE = Path("recipes/tpl.yaml")
WORLDS = (1, 2)
GPUS, TIMES = 8, (1, 8, 64)  # times the recipe's batch
ASSUMED = {
    "flop_a_token": 64e6,  # MiniLM-L6, forward and backward
    "flop_a_second": 50e12,  # of one GPU in bf16, with so narrow an encoder
    "bytes_a_second": {"NVLink": 300e9, "PCIe 4 x16": 20e9, "100 Gbit/s Ethernet": 10e9},
}
WARM_UP = 2  # steps of a run that are not counted


def trainer_of(processes: Any) -> Any:
    from onetrunk.config import load_recipe
    from onetrunk.prefinetuning.loop import Trainer

    return Trainer(load_recipe(RECIPE, precision="fp32", threads=1), processes=processes)


def train(steps: int) -> None:
    """Be one of the processes that :func:`launched` starts; the first prints what was measured."""
    from onetrunk.processes import Processes

    joined = Processes.join()
    meter = dict.fromkeys(("waiting", "exchange", "bytes"), 0.0)
    trainer = trainer_of(metered(meter)(joined.rank, joined.world))
    measured = []
    for step in range(steps):
        meter.update(dict.fromkeys(meter, 0.0))
        before = time.process_time()
        record = asdict(trainer.step(step))
        measured.append({**record, **meter, "cpu": time.process_time() - before})
    if joined.first:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"steps": measured[WARM_UP:], "peak_mb": round(peak)}))
    joined.leave()


def metered(meter: dict[str, float]) -> type[Any]:
    """:class:`Processes` that note bytes and time, and wait for one another before they exchange:
    time in which another one still computes is not exchange."""
    import torch.distributed as dist
    from torch import Tensor

    from onetrunk.processes import Processes

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            sent = [value for value in arguments if isinstance(value, Tensor)]
            meter["bytes"] += sum(tensor.numel() * tensor.element_size() for tensor in sent)
            return operation(*arguments)

        return call

    def timed(name: str) -> Callable[..., Any]:
        def call(self: Processes, *arguments: Any) -> Any:
            start = time.perf_counter()
            self.wait()
            all_arrived = time.perf_counter()
            result = getattr(Processes, name)(self, *arguments)
            meter["waiting"] += all_arrived - start
            meter["exchange"] += time.perf_counter() - all_arrived
            return result

        return call

    for name in ("all_reduce", "all_gather"):
        setattr(dist, name, counted(getattr(dist, name)))
    return type("Metered", (Processes,), {name: timed(name) for name in ("total", "add", "gather")})


def draw() -> None:
    """Global batches of several sizes: tokens, distinct tokens, and what each process spends on
    choosing all rows and reading its own; and how many parameters there are."""
    from onetrunk.processes import ALONE

    trainer = trainer_of(ALONE)
    sizes = {name: objective.settings.batch_size for name, objective in trainer.objectives.items()}
    batches = []
    for times in TIMES:
        seconds, tokens, distinct = [], [], []
        for name, objective in trainer.objectives.items():
            objective.settings.batch_size = times * sizes[name]
        for step in range(9):
            before = time.process_time()
            for objective in trainer.objectives.values():
                objective.draw(step, 0, GPUS)
            seconds.append(time.process_time() - before)
            texts = [o.texts(o.draw(step)) for o in trainer.objectives.values()]
            tokens.append(sum(len(ids) for texts_of_family in texts for ids in texts_of_family))
            distinct.append(
                sum(
                    len({int(i) for ids in texts_of_family for i in ids})
                    for texts_of_family in texts
                )
            )
        batches.append({
            "rows": {name: times * size for name, size in sizes.items()},
            "tokens": round(median(tokens)),
            "distinct_tokens_summed_over_families": round(median(distinct)),
            "cpu_milliseconds_to_draw": round(1000 * median(seconds), 1),
        })  # fmt: skip
    print(json.dumps({
        "batches": batches,
        "families": len(sizes),
        "width": trainer.encoder.width,
        "parameters": {
            "backbone": sum(p.numel() for p in trainer.shared.values()),
            "token_embeddings": trainer.encoder.token_embedding.weight.numel(),
            "LoRAs and objectives": sum(p.numel() for p in trainer._private),
        },
    }))  # fmt: skip


def launched(world: int, *arguments: str) -> Any:
    """Run this file in ``world`` processes; returns the JSON that it prints."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(world)]
    done = subprocess.run(
        [sys.executable, *launcher, __file__, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the steps of all rounds."""
    steps = [step for run in rounds for step in run["steps"]]

    def middle(value: Callable[[dict[str, Any]], float], digits: int) -> float:
        return round(median(map(value, steps)), digits)

    return {
        "steps": len(steps),
        "seconds_a_step": middle(lambda s: s["seconds"], 2),
        "fastest_step": round(min(step["seconds"] for step in steps), 2),
        "tokens_a_second": middle(lambda s: s["tokens"] / s["seconds"], 0),
        "cpu_seconds_a_step": middle(lambda s: s["cpu"], 2),
        "exchange_seconds": middle(lambda s: s["exchange"], 3),
        "exchange_share": middle(lambda s: s["exchange"] / s["seconds"], 3),
        "waiting_share": middle(lambda s: s["waiting"] / s["seconds"], 3),
        "megabytes_a_step": middle(lambda s: s["bytes"] / 1e6, 1),
        "peak_mb": max(run["peak_mb"] for run in rounds),
    }


def computed(drawn: dict[str, Any]) -> dict[str, Any]:
    """A step on several GPUs: its arithmetic, and its exchange over three kinds of wire."""
    parameters, families = drawn["parameters"], drawn["families"]
    lora_parameters = parameters["LoRAs and objectives"]
    dense = families * (parameters["backbone"] - parameters["token_embeddings"]) + lora_parameters
    steps = []
    for batch in drawn["batches"]:
        flop = batch["tokens"] * ASSUMED["flop_a_token"]
        rows = batch["distinct_tokens_summed_over_families"]
        size = 4 * (dense + rows * drawn["width"])
        ring = 2 * (GPUS - 1) / GPUS * size  # what a ring all-reduce sends
        wires = ASSUMED["bytes_a_second"].items()
        steps.append({
            "rows": batch["rows"],
            "arithmetic_ms": round(1000 * flop / GPUS / ASSUMED["flop_a_second"], 2),
            "megabytes": round(size / 1e6, 1),
            "exchange_ms": {wire: round(1000 * ring / speed, 2) for wire, speed in wires},
        })  # fmt: skip
    texts = json.loads(Path("results/data-throughput.json").read_text())["texts_a_second"]
    check = json.loads(Path("results/decontamination.json").read_text())
    checked = check["rows"] / check["seconds"]["check"]
    return {
        "gpus": GPUS,
        "assumed": ASSUMED,
        "steps": steps,
        "megabytes_if_all_token_embeddings_travelled": round(
            4 * (families * parameters["backbone"] + lora_parameters) / 1e6, 1
        ),
        # Weights, a gradient for each family, AdamW's two moments.
        "state_megabytes": round(
            4 * ((3 + families) * parameters["backbone"] + 4 * lora_parameters) / 1e6
        ),
        "hours_on_2_cores": {
            f"{rows:,} rows": {
                "prepare": round(rows / texts["prepare"] / 3600, 2),
                "decontaminate": round(rows / checked / 3600, 2),
            }
            for rows in (1_350_000, 100_000_000)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/scaling.json"))
    parser.add_argument("--measure", choices=("train", "draw"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure == "train":
        train(options.steps)
        return
    if options.measure == "draw":
        draw()
        return
    runs: dict[int, list[dict[str, Any]]] = {world: [] for world in WORLDS}
    loads = []
    for _ in range(options.rounds):
        for world in WORLDS:
            steps = str(options.steps)
            runs[world].append(launched(world, "--measure", "train", "--steps", steps))
            loads.append(round(os.getloadavg()[0], 1))
            print(world, json.dumps(summary(runs[world])), file=sys.stderr)
    drawn = launched(1, "--measure", "draw")
    result = {
        "what": f"first steps of {RECIPE}, fp32, one thread a process, gloo on one machine",
        "measured": {
            "training_by_processes": {world: summary(rounds) for world, rounds in runs.items()},
            "drawing": drawn,
        },
        "computed": computed(drawn),
        "machine": {
            "cpu": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "load_average_after_each_run": loads,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("onetrunk", "torch", "accelerate")},
        },
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
