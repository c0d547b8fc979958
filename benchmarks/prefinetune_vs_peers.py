"""Stage 1 against the strongest peers on a CPU: speed, memory, and the rate of matrix products.

    python benchmarks/prefinetune_vs_peers.py DATA [--repeats 5] [--steps 50] [--quick]
        [--out results/prefinetune-vs-peers.json]

DATA holds the corpora of ``recipes/tpl.yaml`` as ``pre_ner/NAME`` and ``pre_pairs/NAME``.

- *Pairs*: strategy ``tc`` against sentence-transformers' trainer with the loss that equals ours
  (MultipleNegativesRankingLoss in both directions, one softmax each).
- *NER*: strategy ``ner`` against Hugging Face's Trainer with a token classifier whose classes are
  the concepts of our objective. The heads differ; the work in the encoder is what is compared.
- For information, once: strategy ``tpl``, and the peers as they come (fp32, dropout 0.1 as the
  encoder's configuration has it, no batches by length).

What is equal: the encoder (peers load the folder it is saved to), no dropout, the threads, the
number of texts a batch, the longest text, fused AdamW with clipping, and the texts: those that
onetrunk draws in its first steps. sentence-transformers gets the very same batches, as raw texts
that it tokenises as it goes, which is the only way it knows; its trainer has no batching by length
and leaves out padding only with flash attention, which a CPU has not. Hugging Face's Trainer gets
the same sentences as token ids, and some more for it to choose from, and makes its own batches of
them, by length if that is faster: 50 steps are one round of its sampler from long to short.

A peer's configuration is found first: from fp32, no loader worker and fused attention, each change
(bf16, a worker, eager attention, ``torch_compile``, batches by length off) stays if it is faster.
bf16 is not tried where a product alone takes more than twice as long: it would take an hour.
Then onetrunk and the chosen ways take turns, each in a process of its own, whose peak memory is its
own. Results are medians over the turns (the fastest beside them) of *useful tokens a second*:
tokens through the encoder without padding, over the time of whole steps, loading included.

``share_of_matrix_product_rate``: the time of all matrix products of the timed steps, each measured
alone at its exact shape, over the time of the steps; one more run of each side.

Last, one gradient of 2,048 pairs: plain (the activations of the whole batch are kept: 10 GB), and
cached as the recipe's default has it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from peers import isolated

WAY = {
    "bf16": False, "workers": 0, "attention": "sdpa", "compile": False, "grouped": True,
    "dropout": 0.0,
}  # fmt: skip
DEFAULTS = WAY | {"grouped": False, "dropout": 0.1}
CHANGES: dict[str, dict[str, Any]] = {
    "bf16": {"bf16": True},
    "worker": {"workers": 1},
    "eager": {"attention": "eager"},
    "compile": {"compile": True},
    "ungrouped": {"grouped": False},
}
PEERS = {"tc": "sentence-transformers", "ner": "transformers"}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job in this process."""
    import torch

    from peers import trainings, workload

    torch.set_num_threads(job["threads"])
    data, folder = Path(job["data"]), Path(job["folder"])
    if job["what"] == "workload":
        workload.write(data, job["rows"], job["all_steps"], folder)
        return {}
    if job["what"] == "gradient":
        recipe = workload.large_batch(data, job["size"], threads=job["threads"])
        plain = folder / "plain" if job["compare"] else None
        return trainings.gradient(recipe, job["graph_tokens"], folder / job["name"], plain)
    run = (job["warmup"], job["steps"], job["products"])
    if job["what"] == "onetrunk":
        recipe = workload.recipe(data, job["strategy"], job["rows"], threads=job["threads"])
        return trainings.onetrunk(recipe, *run)
    train = {"tc": trainings.pairs, "ner": trainings.ner}[job["strategy"]]
    return train(folder, job["way"], *run)


def in_process(job: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Do one job in a process of its own."""
    return isolated.in_process(__file__, {**job, **more})


def tune(job: dict[str, Any], strategy: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fastest way of a peer, and what was tried."""
    from shared import bf16_worth_trying  # here: a peer's process would pay for what it imports

    tried = []

    def speed(way: dict[str, Any]) -> float:
        measured = in_process(job, what="peer", strategy=strategy, way=way)
        tried.append({**way, "tokens_a_second": round(measured["tokens_a_second"])})
        print(f"  {PEERS[strategy]} {tried[-1]}", file=sys.stderr)
        return measured["tokens_a_second"]

    best = dict(WAY)
    fastest = speed(best)
    for name, change in CHANGES.items():
        if name == "ungrouped" and strategy != "ner":
            continue
        if name == "bf16" and not bf16_worth_trying():
            continue
        way = best | change
        tokens_a_second = speed(way)
        if tokens_a_second > fastest:
            best, fastest = way, tokens_a_second
    return best, tried


def compare(job: dict[str, Any], repeats: int, ways: dict[str, Any]) -> dict[str, Any]:
    """Turns of all sides; medians, and the fastest."""
    sides = {f"onetrunk {name}": {"what": "onetrunk", "strategy": name} for name in ("tc", "ner")}
    sides |= {
        f"{PEERS[name]} {name}": {"what": "peer", "strategy": name, "way": way}
        for name, way in ways.items()
    }
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for repeat in range(repeats):
        for name, side in sides.items():
            turns[name].append(in_process(job, **side))
            speed = turns[name][-1]["tokens_a_second"]
            print(f"  turn {repeat + 1} {name} {speed:.0f}", file=sys.stderr)
    result: dict[str, Any] = {name: summary(measured) for name, measured in turns.items()}
    for name, side in sides.items():
        result[name] |= {
            key: round(value, 4)
            for key, value in in_process(job, **side, products=True).items()
            if "product" in key or key == "gflop_a_step"
        }
    result["onetrunk tpl"] = summary([in_process(job, what="onetrunk", strategy="tpl")])
    for name, peer in PEERS.items():
        alone = in_process(job, what="peer", strategy=name, way=DEFAULTS)
        result[f"{peer} {name}, defaults"] = summary([alone])
    for name, peer in PEERS.items():
        ours, peers = turns[f"onetrunk {name}"], turns[f"{peer} {name}"]
        faster = [
            a["tokens_a_second"] / b["tokens_a_second"] for a, b in zip(ours, peers, strict=True)
        ]
        memory = [a["peak_mib"] / b["peak_mib"] for a, b in zip(ours, peers, strict=True)]
        result[f"onetrunk over {peer}, {name}"] = {
            "tokens_a_second": round(median(faster), 2),
            "tokens_a_second_each": [round(value, 2) for value in faster],
            "peak_memory": round(median(memory), 2),
        }
    return result


def large_batch(job: dict[str, Any], repeats: int, size: int) -> dict[str, Any]:
    """Turns of the plain and the cached gradient of one large batch."""
    ways = {"plain": 10**9, "cached": None}  # None: as the recipe has it
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, graph_tokens in ways.items():
            measured = in_process(
                job, what="gradient", name=name, size=size, graph_tokens=graph_tokens,
                compare=name != "plain",
            )  # fmt: skip
            turns[name].append(measured)
            print(f"  gradient {name} {measured['seconds']:.1f} s", file=sys.stderr)
    slower = [a["seconds"] / b["seconds"] for a, b in zip(*reversed(turns.values()), strict=True)]
    medians = {name: summary(measured) for name, measured in turns.items()}
    difference = turns["cached"][0]["largest_difference_over_largest_gradient"]
    medians["cached"]["largest_difference_over_largest_gradient"] = difference
    return {"pairs": size, **medians, "time_cached_over_plain": round(median(slower), 3)}


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of every number; the best of what other work on the machine can only worsen."""
    medians = {
        key: round(median(turn[key] for turn in turns), 4)
        for key, value in turns[0].items()
        if not isinstance(value, str)
    }
    if "tokens_a_second" in medians:
        medians["tokens_a_second_fastest"] = round(
            max(turn["tokens_a_second"] for turn in turns), 1
        )
    return medians | {key: value for key, value in turns[0].items() if isinstance(value, str)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warmup", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rows", type=int, default=5000, help="read from each corpus")
    parser.add_argument("--pairs", type=int, default=2048, help="of the large batch")
    parser.add_argument("--quick", action="store_true", help="to see that it works")
    parser.add_argument("--out", type=Path, default=Path("results/prefinetune-vs-peers.json"))
    options = isolated.parse(parser, measure)
    if importlib.util.find_spec("sentence_transformers") is None:
        parser.error("needs sentence-transformers: pip install -c constraints.txt -e '.[bench]'")
    if options.quick:
        options.repeats, options.steps, options.warmup = 1, 4, 2
        options.rows, options.pairs = 1000, 128
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "data": str(options.data.resolve()), "folder": folder, "threads": options.threads,
            "rows": options.rows, "warmup": options.warmup, "steps": options.steps,
            "all_steps": options.warmup + options.steps, "products": False,
        }  # fmt: skip
        in_process(job, what="workload")
        tuned = {name: tune(job, name) for name in PEERS}
        result = compare(job, options.repeats, {name: way for name, (way, _) in tuned.items()})
        result["gradient_of_a_large_batch"] = large_batch(job, options.repeats, options.pairs)
    result |= {
        "ways": {PEERS[name]: way for name, (way, _) in tuned.items()},
        "tried": {PEERS[name]: tried for name, (_, tried) in tuned.items()},
        "steps": options.steps,
        "warmup": options.warmup,
        "repeats": options.repeats,
        "rows_of_each_corpus": options.rows,
        "threads": options.threads,
        "load_at_start": [round(value, 2) for value in load],
        "processor": processor(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "sentence-transformers")
        }
        | {"python": platform.python_version()},
    }
    text = json.dumps(result, indent=2)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")
    print(text)


def processor() -> str:
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
