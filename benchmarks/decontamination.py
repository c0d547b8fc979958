"""Which pre-finetuning rows overlap with evaluation sets, and whether planted ones are found.

    python benchmarks/decontamination.py DATA [--out results/decontamination.json] [--sets NAME ...]

DATA holds ``pre_ner/NAME`` and ``pre_pairs/NAME`` (their train files are checked) and ``ner/NAME``
and ``tc/NAME`` (their validation and test files are what is checked against). ``--sets`` restricts
both to the folders named, such as ``ner/conll2003 pre_ner/gmb``.

Planted: from every evaluation set three texts of ten words or more, one as it is, one in other case
and spacing, one with a word changed, among generated rows. Prints a table; writes row numbers and
counts as JSON, no text.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onetrunk.cli.console import progress_bar
from onetrunk.contamination.index import KINDS, EvaluationIndex
from onetrunk.contamination.removal import SourceReport, decontaminate, decontamination_report
from onetrunk.data.sources import find_file, read_pairs, read_texts
from onetrunk.storage import write_json

EVALUATION = ("ner", "tc")
SPLITS = ("validation", "test")
SOURCES = ("pre_ner", "pre_pairs")
GENERATED = 2000
LONG = 10


def folders(data: Path, groups: Sequence[str], only: Sequence[str]) -> list[str]:
    """``group/NAME`` of every folder, or of those in ``only``."""
    names = [
        f"{group}/{path.name}" for group in groups for path in sorted((data / group).iterdir())
    ]
    return [name for name in names if not only or name in only]


def evaluation_sets(data: Path, only: Sequence[str]) -> dict[str, Path]:
    return {
        f"{name}/{split}": file
        for name in folders(data, EVALUATION, only)
        for split in SPLITS
        for file in (data / name).glob(f"{split}.*")
    }


def source_rows(data: Path, name: str) -> list[tuple[str, ...]]:
    """The texts of each row: one of a sentence, two of a pair."""
    file = find_file(data / name, "train")
    if name.startswith("pre_pairs/"):
        return [(pair.query, pair.positive) for pair in read_pairs(file)]
    return [(text,) for text in read_texts(file)]


def planted(texts: Sequence[str], rng: random.Random) -> Iterator[tuple[str, str]]:
    """Three texts of an evaluation set, if it has three: how each was disguised, and the text."""
    long = [text for text in texts if len(set(text.split())) >= LONG]
    if len(long) < 3:
        return
    same, respaced, changed = rng.sample(long, 3)
    yield "as it is", same
    yield "case and spaces", "  ".join(respaced.swapcase().split())
    words = changed.split()
    # A word with letters: changing a comma would leave the text the same, normalised.
    words[rng.choice([at for at, word in enumerate(words) if word.isalnum()])] = "qwxz"
    yield "one word", " ".join(words)


def check_planted(index: EvaluationIndex, plants: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """For each disguise, the number of planted rows and the number that is removed."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = [("generated", generated(rng, letters)) for _ in range(GENERATED)] + list(plants)
    rng.shuffle(rows)
    rows_left = list(decontaminate(rows, lambda row: row[1:], index, SourceReport()))
    count = {
        disguise: sum(row[0] == disguise for row in rows)
        for disguise in dict.fromkeys(disguise for disguise, _ in rows)
    }
    return {
        disguise: {"rows": total, "removed": total - sum(row[0] == disguise for row in rows_left)}
        for disguise, total in sorted(count.items())
    }


def generated(rng: random.Random, letters: str) -> str:
    """Twelve words of random letters."""
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(12))


def table(reports: dict[str, SourceReport]) -> Iterator[str]:
    """A line a source: what was removed, by kind, and the evaluation set most rows overlap with."""
    yield f"{'source':<44}{'rows':>9}" + "".join(f"{k:>12}" for k in KINDS) + "   most with"
    for name, source in reports.items():
        most = max(source.by_evaluation_set, key=source.by_evaluation_set.__getitem__, default="-")
        removed = "".join(f"{source.removed[kind]:>12,}" for kind in KINDS)
        yield f"{name:<44}{source.rows:>9,}{removed}   {most}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/decontamination.json"))
    parser.add_argument("--sets", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args()
    sets = evaluation_sets(options.data, options.sets)
    sources = folders(options.data, SOURCES, options.sets)
    if not sets or not sources:
        parser.error(f"{options.data}: no evaluation set or no source of these names")

    index, rng = EvaluationIndex(), random.Random(0)
    plants: list[tuple[str, str]] = []
    reports: dict[str, SourceReport] = {}
    seconds = {"index": 0.0, "check": 0.0}  # without reading the files
    with progress_bar() as bar:
        task = bar.add_task("evaluation sets", total=len(sets), note="")
        for name, file in sets.items():
            bar.update(task, note=name)
            texts = read_texts(file)
            start = time.perf_counter()
            index.add(name, texts)
            seconds["index"] += time.perf_counter() - start
            plants += planted(texts, rng)
            bar.advance(task)
        task = bar.add_task("sources", total=len(sources), note="")
        for name in sources:
            bar.update(task, note=name)
            rows, reports[name] = source_rows(options.data, name), SourceReport()
            start = time.perf_counter()
            for _ in decontaminate(rows, lambda row: row, index, reports[name]):
                pass
            seconds["check"] += time.perf_counter() - start
            bar.advance(task)

    checked = reports.values()
    result = {
        "what": "train files of pre-finetuning data against validation and test files",
        "planted": check_planted(index, plants),
        "rows": sum(source.rows for source in checked),
        "texts": sum(source.texts for source in checked),
        "removed": {kind: sum(source.removed[kind] for source in checked) for kind in KINDS},
        "seconds": {phase: round(value, 1) for phase, value in seconds.items()},
        "machine": {"cpu": platform.machine()},
        **decontamination_report(index, reports),
    }
    write_json(options.out, result)
    print(*table(reports), sep="\n")
    print(f"planted: {json.dumps(result['planted'])}")
    print(f"{result['texts']:,} texts; seconds: {json.dumps(result['seconds'])}")


if __name__ == "__main__":
    main()
