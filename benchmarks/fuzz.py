"""Fuzzing of all that reads what others wrote: readers, tokens, decoders, loaders, YAML, HTTP.

    python benchmarks/fuzz.py                          every target, as many cases as it has to have
    python benchmarks/fuzz.py read.csv decode.ner --cases 1000 --seed 7
    python benchmarks/fuzz.py read.csv --one 4711      one case again, with its traceback
    python benchmarks/fuzz.py read.csv --atheris --seconds 60
                                                       files by a search for new branches
                                                       (pip install atheris)

Writes cases, minutes and faults of each target to ``--out``, and ends with 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

from fuzz_folders import RECORDS, Folders
from fuzz_targets import (
    ROOT,
    Alignment,
    AppFile,
    Case,
    Decoding,
    Folder,
    Http,
    Reader,
    Yaml,
    check_file,
    service,
)
from onetrunk.bundle.parity import hostile_texts
from onetrunk.decoding import DECODERS
from onetrunk.storage import write_json

FIXTURES = ROOT / "tests" / "fixtures" / "format-0.1"
WEB = ROOT / "benchmarks" / "fuzz_web.mjs"
FAULTS = 20
"""So many are kept of a target; then it ends."""


class Targets:
    """All targets by name, each with the number of cases it has to have. What a target needs is
    made when it is first asked for, in ``place``."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.known: dict[str, tuple[int, Callable[[], Case]]] = {}
        slow = (".xlsx", ".spacy")
        for suffix in (*Reader.TAGGED, *Reader.LABELLED):
            make = partial(Reader, suffix, place / f"read{suffix}")
            self.known[f"read{suffix}"] = 5000 if suffix in slow else 10_000, make
        for name in DECODERS:
            self.known[f"decode.{name}"] = 100_000, partial(Decoding, name)
        self.known["alignment"] = 30_000, Alignment
        for kind in RECORDS:
            self.known[f"load.{kind}"] = 2500, partial(self._folder, kind)
        self.known["load.app-file"] = 100_000, lambda: AppFile(self.folders.place / "bundle")
        for kind in ("recipe", "suite"):
            self.known[f"yaml.{kind}"] = 3000, partial(Yaml, kind, place)
        self.known["http"] = 5000, self._http
        if shutil.which("node"):
            self.known["web.loader"] = 100_000, self._nothing
            self.known["web.tokenizer"] = 10_000, self._nothing

    @cached_property
    def folders(self) -> Folders:
        """A whole folder of each kind."""
        (self.place / "folders").mkdir()
        return Folders(FIXTURES, self.place / "folders")

    def _folder(self, kind: str) -> Case:
        return Folder(kind, self.folders, self.place)

    def _http(self) -> Case:
        bundle = self.place / "served"
        shutil.copytree(FIXTURES / "bundle", bundle, dirs_exist_ok=True)
        client = service(bundle)
        client.__enter__()  # which starts what answers; it ends with the process
        return Http(bundle, client)

    def _nothing(self) -> Case:
        raise SystemExit("targets of the web run whole: leave out --one")


def run(name: str, case: Case, cases: int, seed: int, first: int = 0) -> dict[str, Any]:
    """Cases of one target, and the faults among them by the number of their case."""
    start, faults = time.perf_counter(), dict[str, str]()
    done = 0
    for number in range(first, first + cases):
        done += 1
        try:
            case(random.Random(f"{name} {seed} {number}"))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {str(error)[:300]}"
            faults[str(number)] = f"{told} ({Path(where.filename).name}:{where.lineno})"
            if len(faults) == FAULTS:
                break
    minutes = (time.perf_counter() - start) / 60
    return {"cases": done, "seed": seed, "minutes": round(minutes, 2), "faults": faults}


def run_web(name: str, cases: int, seed: int) -> dict[str, Any]:
    """The targets that node runs. ``web.tokenizer`` compares tokens with those of Python."""
    start, faults = time.perf_counter(), dict[str, Any]()
    bundle = FIXTURES / "bundle"
    command = ["node", str(WEB), str(bundle)]
    if name == "web.loader":
        command += [str(seed + 1), str(cases)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        faults = json.loads(ran.stdout)["faults"]
    else:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
        texts = hostile_texts(cases, seed)
        said = json.dumps(texts)
        ran = subprocess.run(command, input=said, capture_output=True, text=True, check=True)
        for text, tokens in zip(texts, json.loads(ran.stdout), strict=True):
            valid = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
            whole = tokenizer.encode(valid, add_special_tokens=False)
            at = [0]  # of each character, its place in UTF-16
            for letter in text:
                at.append(at[-1] + 1 + (letter > "\uffff"))
            want = [
                {"id": one, "start": at[start], "end": at[end]}
                for one, (start, end) in zip(whole.ids, whole.offsets, strict=True)
            ]
            if tokens != want and len(faults) < FAULTS:
                faults[repr(text[:100])] = "other tokens than Python's"
    minutes = (time.perf_counter() - start) / 60
    return {"cases": cases, "seed": seed, "minutes": round(minutes, 2), "faults": faults}


def search(name: str, seconds: int, place: Path) -> None:
    """Look for new branches in what reads a file of a format, by atheris; it ends the process."""
    import atheris

    suffix = name.removeprefix("read")
    reader = Reader(suffix, place / "seeds")
    seeds = place / "corpus"
    seeds.mkdir()
    for number in range(50):
        rng = random.Random(number)
        reader(rng)
        shutil.copyfile(place / "seeds" / f"a{suffix}", seeds / str(number))
    file = place / f"a{suffix}"

    def one(content: bytes) -> None:
        file.write_bytes(content or b" ")
        check_file(file, random.Random(len(content)))

    for module in [found for one, found in sys.modules.items() if one.startswith("onetrunk.data")]:
        for function in vars(module).values():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                atheris.instrument_func(function)  # in its place
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", str(seeds)], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    parser.add_argument("--cases", type=int, help="of each target, in place of its own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, metavar="NUMBER", help="run one case alone")
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--seconds", type=int, default=60, help="for --atheris")
    parser.add_argument("--out", type=Path, help="a JSON file; other targets in it stay")
    options = parser.parse_args()
    logging.disable()  # every odd row is told
    place = Path(tempfile.mkdtemp(prefix="onetrunk-fuzz-"))
    try:
        targets = Targets(place)
        names = options.targets or [*targets.known]
        for name in names:
            if name not in targets.known:
                parser.error(f"unknown target {name!r}: {', '.join(targets.known)}")
        if options.atheris:
            search(names[0], options.seconds, place)
        if options.one is not None:
            case = targets.known[names[0]][1]()
            case(random.Random(f"{names[0]} {options.seed} {options.one}"))
            return
        found = {}
        for name in names:
            cases, make = targets.known[name]
            cases = options.cases or cases
            if name.startswith("web."):
                found[name] = run_web(name, cases, options.seed)
            else:
                found[name] = run(name, make(), cases, options.seed)
            print(name, json.dumps(found[name], ensure_ascii=False)[:2000], flush=True)
            if options.out:
                save(options.out, found)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(any(result["faults"] for result in found.values()))


def save(out: Path, found: dict[str, Any]) -> None:
    """Put results into a file, beside those of other targets."""
    before = json.loads(out.read_text()) if out.exists() else {}
    targets = {**before.get("targets", {}), **found}
    packages = ("numpy", "tokenizers", "safetensors", "pyarrow", "spacy", "openpyxl", "pyyaml")
    versions = {"python": platform.python_version(), **{one: version(one) for one in packages}}
    total = sum(result["cases"] for result in targets.values())
    write_json(out, {"cases": total, "targets": targets, "versions": versions})


if __name__ == "__main__":
    main()
